"""How does training here compare with PyTorch, Keras and plain Flax on this machine?

A training step and inference of a batch, in each framework one beside the other, in turn within
each round; those that are not installed are named as absent (`pip install -e '.[peers]'`). Nets,
recipes and images are the same: SGD with momentum, random images that are in memory, float32. And a
whole study: filter sizes at fixed width and at equal MACs, 24 trainings, from the command to the
last accuracy, beside loops in PyTorch and plain Flax that do no more than train and judge.
"""

import dataclasses
from pathlib import Path

from absl import flags

from cnnjax.errors import unknown
from cnnjax.study.options import Defaults, integers

FLAGS = flags.FlagValues()
PEERS = flags.DEFINE_list(
    "peers", ["flax", "torch", "torch_compile", "keras"], "what to measure beside cnnjax",
    flag_values=FLAGS,
)  # fmt: skip
NETS = flags.DEFINE_list("nets", [], "of the list (default: all of it)", flag_values=FLAGS)
BATCHES = integers(FLAGS, "batches", "32,128", "images a batch")
SECONDS = flags.DEFINE_float(
    "seconds", 60, "what a net and batch may take in rounds, about, and in compiling again", 1,
    flag_values=FLAGS,
)  # fmt: skip
STUDY = flags.DEFINE_bool("study", True, "time a whole study too, of the usual net and data alone",
                           flag_values=FLAGS)  # fmt: skip

SHAPE = (32, 32, 3)
LIST = {  # Name in the study: the net's name, and its axes.
    "lenet5": ("lenet5", {}),
    "vgg11": ("vgg11", {}),
    "resnet20": ("resnet20", {}),
    "resnet56": ("resnet56", {}),
    "resnet20, dilated": ("resnet20", {"dilation": 2}),
    "resnet20, 7×7": ("resnet20", {"kernel": 7}),
    "mobilenet_v1_025": ("mobilenet_v1_025", {}),
}
X = ("batch", "images a batch")
SERIES = "net"
EQUAL = True
DEFAULTS = Defaults(
    common={"seeds": 1},
    quick={"nets": "lenet5", "batches": "32", "seconds": 4, "peers": "flax,torch", "study": False},
)
DATASET, NET = "cluttered_digits", "vgg4_slim"
KERNELS, SEEDS, EPOCHS, EXAMPLES = (1, 3, 5, 7), 3, 6, 4000  # Of the study.


def runs(setting):
    from cnnjax import nets
    from cnnjax.peers.versus import PEERS as KNOWN
    from cnnjax.peers.versus import Versus, absent

    for name in PEERS.value:
        if name not in KNOWN:
            raise unknown("peer", name, KNOWN)
    chosen = NETS.value or list(LIST)
    for name in chosen:
        if name not in LIST:
            raise unknown("net of the benchmark", name, LIST)
    peers = tuple(dict.fromkeys(["cnnjax", *PEERS.value]))
    away = absent(peers)
    notes = [f"{peer} is absent: {package} is not installed" for peer, package in away.items()]
    there = tuple(peer for peer in peers if peer not in away)
    for name in chosen:
        base, axes = LIST[name]
        net = nets.get(base, 10, SHAPE, **axes)
        for batch in BATCHES.value:
            yield setting.probe(
                net, Versus(batch, SECONDS.value, there), label=name, image_shape=SHAPE,
                notes=notes, net=name, batch=batch,
            )  # fmt: skip
    usual = setting.dataset.name == DATASET and setting.net() == setting.net(NET)
    if STUDY.value and usual:  # Which the command of the study takes by default.
        instrument = study(setting, there)
        yield setting.probe(
            setting.net(), instrument, label="a study of filter sizes", notes=notes,
            net="a study of filter sizes", batch=instrument.batch_size,
        )  # fmt: skip


def study(setting, peers):
    from cnnjax.nets import vary
    from cnnjax.peers.study import Sweep
    from cnnjax.peers.whole import PEERS as ABLE
    from cnnjax.peers.whole import WholeStudy

    base = setting.net()
    equal = setting.equal(vary.kernel(base, 3))
    fixed = [setting.run(vary.kernel(base, size), kernel=size) for size in KERNELS]
    alike = [run for one in fixed for run in equal.runs(one)]
    sweep = Sweep(
        nets=tuple(run.net for run in (*fixed, *alike)),
        dataset=dataclasses.replace(setting.dataset, train_examples=EXAMPLES),
        seeds=SEEDS, epochs=EPOCHS,
    )  # fmt: skip
    command = (
        str(Path(__file__).parents[1] / "launch.py"), "--experiment=filter_size",
        f"--kernel_sizes={','.join(map(str, KERNELS))}", f"--seeds={SEEDS}", f"--epochs={EPOCHS}",
        f"--train_examples={EXAMPLES}", f"--batch_size={sweep.batch_size}",
        f"--learning_rate={sweep.learning_rate}", "--schedule=onecycle(peak=0.1)",
    )  # fmt: skip
    return WholeStudy(sweep, command, tuple(p for p in peers if p in ABLE))
