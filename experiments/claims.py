"""Which claims of the field hold here?

Each claim says before anything is trained what it predicts, by how much, on how many seeds and how
it is judged, and ends as supported, contradicted or undecided. All arms of a claim are tuned alike,
over as many learning rates each.
"""

import dataclasses

from absl import flags

from cnnjax.study.options import QUICK, SMALL, Defaults, words
from cnnjax.study.predeclared import Claim, Contrast, Fact, Score, Steps, TrainingMacs


def less(a, b):
    """The terms of the arm `a` less the arm `b`."""
    return (1.0, a), (-1.0, b)


CLAIMS = (
    Claim(
        name="relu",
        statement="ReLU comes to 25% training error in fewer steps than tanh and than sigmoid",
        source="Krizhevsky, Sutskever & Hinton 2012, fig. 1",
        metric=Steps("train_accuracy", 0.75),
        contrasts=(
            Contrast("tanh / ReLU", less("tanh", "ReLU")),
            Contrast("sigmoid / ReLU", less("sigmoid", "ReLU")),
        ),
        adapted="four slim layers, with a global average",
    ),
    Claim(
        name="depth",
        statement="Plain nets' training error grows with depth, residual nets' does not",
        source="He, Zhang, Ren & Sun 2015, §4.2",
        metric=Score("train_accuracy"),
        contrasts=(
            Contrast("plain 8 − 32 layers, batch norm", less("plain 8 BN", "plain 32 BN")),
            Contrast(
                "residual 32 − 8 layers, batch norm", less("residual 32 BN", "residual 8 BN"), -0.02
            ),
            Contrast("plain 8 − 32 layers, no norm", less("plain 8", "plain 32")),
            Contrast("residual 32 − 8 layers, no norm", less("residual 32", "residual 8"), -0.02),
        ),
        adapted="half the channels, images of 16 pixels; a fall of up to 2 points counts as none; "
        "without norm the optimizer is AdamW, for SGD left these nets at chance, and residual "
        "branches start from nothing (De & Smith 2020)",
    ),
    Claim(
        name="stack",
        statement="Three 3×3 layers beat one of 7×7 that sees as far, with fewer weights",
        source="Simonyan & Zisserman 2014, §2.3",
        contrasts=(Contrast("three 3×3 − one 7×7", less("three 3×3", "one 7×7")),),
        facts=(
            Fact("receptive_field", "three 3×3", "one 7×7"),
            Fact("params", "one 7×7", "three 3×3", same=False),
        ),
    ),
    Claim(
        name="sharing",
        statement="Shared weights beat local and dense connections to the same outputs",
        source="LeCun, Bottou, Bengio & Haffner 1998, §II-A",
        contrasts=(
            Contrast("shared − local", less("shared", "local")),
            Contrast("shared − dense", less("shared", "dense")),
        ),
        facts=(
            Fact("activations", "local", "shared"),
            Fact("activations", "dense", "shared"),
        ),
        adapted="a slim net of three layers and a global average",
    ),
    Claim(
        name="stem",
        statement="A first layer of 7×7 at stride 2 beats one of 11×11 at stride 4",
        source="Zeiler & Fergus 2013, §4.1",
        contrasts=(Contrast("7/2 − 11/4", less("7/2", "11/4")),),
        adapted="both before a slim net, on images of 64 pixels; 7/2 also makes larger maps",
    ),
    Claim(
        name="dilation",
        statement="Dilation sees further at equal MACs, which helps a shallow net and hurts a deep "
        "one",
        source="Yu & Koltun 2016, §2",
        contrasts=(
            Contrast("shallow, dilated − not", less("shallow, dilated 2", "shallow")),
            Contrast("deep, not dilated − dilated", less("deep", "deep, dilated 2")),
        ),
        facts=(
            Fact("receptive_field", "shallow, dilated 2", "shallow", same=False),
            Fact("receptive_field", "deep, dilated 2", "deep", same=False),
            Fact("macs", "shallow, dilated 2", "shallow"),
            Fact("macs", "deep, dilated 2", "deep"),
        ),
    ),
    Claim(
        name="pooling",
        statement="Answers stay the same under shifts of 1 to 3 pixels more often with pools than "
        "with strides",
        source="LeCun, Bottou, Bengio & Haffner 1998, §II-A; measured as by Zhang 2019, §3",
        metric=Score("shift_consistency"),
        contrasts=(Contrast("max pooling − stride", less("max pooling", "stride")),),
    ),
    Claim(
        name="transfer",
        statement="Fine-tuned weights of another task come to the best validation accuracy of "
        "training from scratch in fewer training MACs",
        source="He, Girshick & Dollár 2019, §1",
        metric=TrainingMacs("scratch"),
        contrasts=(Contrast("scratch / fine-tuned", ((-1.0, "fine-tuned"),)),),
        seeds=8,
        adapted="pre-trained on half of the digits' classes, tuned to 500 images of the others; "
        "the pre-training itself is not counted",
    ),
)
NAMES = tuple(claim.name for claim in CLAIMS)

FLAGS = flags.FlagValues()
CHOSEN = words(FLAGS, "claims", ",".join(NAMES), NAMES, "which claims")

X = ("arm", "arm")
SERIES = "claim"
DEFAULTS = Defaults(common=SMALL | {"reinit": "head"}, quick=QUICK)
NOT_RUN = (
    "it takes weights: python launch.py --experiment=train --classes=0,1,2,3,4 --epochs=20 "
    "--batch_size=32 --seeds=1, then "
    "python launch.py --experiment=claims --claims=transfer --pretrained=results/train/runs/KEY"
)
SHIFTS = (1, 2, 3)  # Pixels.
FEW = 500  # Training images of the new task.


def claims():
    return [claim for claim in CLAIMS if claim.name in CHOSEN.value]


def runs(setting):
    """Every arm, from nothing unless it says otherwise."""
    arms = {f.__name__: f for f in (relu, depth, stack, sharing, stem, dilation, pooling, transfer)}
    for claim in claims():
        for arm, net, more in arms[claim.name](setting):
            place = {"claim": claim.name, "arm": arm}
            if net is None:
                yield setting.missing(NOT_RUN, **place)
            else:
                yield setting.run(net, seeds=claim.seeds, **{"scratch": True} | more, **place)


def relu(setting):
    from cnnjax.nets import vary

    base = vary.norm(setting.net(), "none")
    for arm, name in (("ReLU", "relu"), ("tanh", "tanh"), ("sigmoid", "sigmoid")):
        yield arm, vary.activation(base, name), {"rates": (0.02, 0.05, 0.1, 0.2, 0.4)}


def depth(setting):
    from cnnjax.nets import vary
    from cnnjax.nets.gates import SkipInit
    from cnnjax.train.recipe import AdamW

    dataset = dataclasses.replace(setting.dataset, resolution=16)
    residual = vary.width(setting.net("resnet20"), 0.5)
    plain = vary.shortcut(residual, "none")
    bare = vary.norm(residual, "none")
    gated = tuple(
        dataclasses.replace(s, block=dataclasses.replace(s.block, gate=SkipInit()))
        for s in bare.stages
    )
    adam = dataclasses.replace(setting.recipe, optimizer=AdamW())
    sgd = {"rates": (0.03, 0.1, 0.3)}
    adamw = {"rates": (0.001, 0.003, 0.01), "recipe": adam}
    twins = {
        ("plain", " BN"): (plain, sgd),
        ("residual", " BN"): (residual, sgd),
        ("plain", ""): (vary.norm(plain, "none"), adamw),
        ("residual", ""): (bare.clone(stages=gated), adamw),
    }
    for (kind, norm), (net, more) in twins.items():
        for blocks in (1, 5):
            same = {"label": "resnet20", "dataset": dataset}
            yield f"{kind} {6 * blocks + 2}{norm}", vary.depth(net, blocks), same | more


def stack(setting):
    from cnnjax.nets import vary

    base = vary.depth(vary.kernel(setting.net(), 3), 1)
    yield "one 7×7", vary.kernel(base, 7), {}
    yield "three 3×3", vary.depth(base, 3), {}


def sharing(setting):
    from cnnjax.nets import vary

    base = vary.width(setting.net(), 0.5)
    for arm, kind in (("shared", "conv"), ("local", "local"), ("dense", "full")):
        yield arm, vary.connectivity(base, kind), {"rates": (0.03, 0.1, 0.3)}


def stem(setting):
    from cnnjax.nets.blocks import Plain
    from cnnjax.nets.net import Stage

    dataset = dataclasses.replace(setting.dataset, size=64, resolution=64)
    base = setting.net(input_shape=(64, 64, setting.image_shape[2]))
    for size, stride in ((11, 4), (7, 2)):
        net = base.clone(
            stem=Stage(Plain(8, kernel=size), stride=stride),
            adapted="the first layer alone is AlexNet's or ZFNet's, with fewer channels",
        )
        yield f"{size}/{stride}", net, {"dataset": dataset}


def dilation(setting):
    from cnnjax.nets import vary

    base = vary.depth(vary.kernel(setting.net(), 3), 1)
    nets = {"shallow": base.clone(stages=base.stages[:2]), "deep": vary.depth(base, 2)}
    for arm, net in nets.items():
        yield arm, net, {}
        yield f"{arm}, dilated 2", vary.dilation(net, 2), {}


def pooling(setting):
    from cnnjax.nets import vary

    for arm, kind in (("max pooling", "max"), ("stride", "stride")):
        yield arm, vary.pooling(setting.net(), kind), {"shifts": SHIFTS}


def transfer(setting):
    """The new task: the second half of the classes, unless the command line chooses others."""
    from cnnjax.data import check

    if setting.pretrained is None:
        yield from (("scratch", None, {}), ("fine-tuned", None, {}))
        return
    n = setting.classes
    classes = setting.dataset.classes or tuple(range(n // 2, n))
    whole = dataclasses.replace(setting.dataset, classes=classes, train_examples=None)
    dataset = dataclasses.replace(whole, train_examples=min(FEW, check(whole).train))
    recipe = dataclasses.replace(setting.recipe, epochs=2 * setting.recipe.epochs)
    net = dataclasses.replace(setting, classes=len(classes)).net()
    same = {"dataset": dataset, "recipe": recipe}
    yield "scratch", net, same | {"rates": (0.1, 0.2, 0.4)}
    yield "fine-tuned", net, same | {"rates": (0.03, 0.1, 0.3), "scratch": False}
