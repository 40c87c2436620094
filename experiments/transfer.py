"""What does pre-training buy per unit of compute, at each size of the new dataset?

The same net from scratch, as a linear probe of the weights of `--pretrained` and fine-tuned from
them, on so many training images, each way at its own best learning rate (Kornblith, Shlens & Le
2019, "Do better ImageNet models transfer better?"). Those flags of the recipe that say how to
fine-tune, such as --layer_decay, are the fine-tuning's alone. A net made for large images is a weak
rival from scratch on small ones: `--rivals` names nets that suit them better.
"""

import dataclasses

from absl import flags

from cnnjax.study.options import Defaults, integers, numbers, words

FLAGS = flags.FlagValues()
WAYS = words(FLAGS, "ways", "scratch,probe,full", ("scratch", "probe", "full", "gradual"),
             "from scratch, the last layer alone, everything, or stage by stage")  # fmt: skip
SIZES = integers(FLAGS, "sizes", "500,2000", "training images")
RATES = {
    "scratch": numbers(FLAGS, "scratch_rates", "0.03,0.1,0.3", "learning rates from scratch"),
    "probe": numbers(FLAGS, "probe_rates", "0.01,0.03,0.1", "learning rates of the probe"),
}
TUNED_RATES = numbers(FLAGS, "fine_tune_rates", "0.003,0.01,0.03", "learning rates of fine-tuning")
RIVALS = flags.DEFINE_list("rivals", "", "other nets to train from scratch, on images as they come",
                           flag_values=FLAGS)  # fmt: skip
EPOCHS = flags.DEFINE_integer("scratch_epochs", None, "epochs from scratch (default: --epochs)", 1,
                              flag_values=FLAGS)  # fmt: skip

X = ("examples", "training images")
SERIES = "way"
DEFAULTS = Defaults(
    common={"epochs": 20, "batch_size": 32, "reinit": "head", "seeds": 3},
    quick={"sizes": "500", "epochs": 4, "seeds": 2, "scratch_rates": "0.1", "probe_rates": "0.1",
           "fine_tune_rates": "0.01"},
)  # fmt: skip


def runs(setting):
    from cnnjax.data import check
    from cnnjax.errors import UserError
    from cnnjax.train.recipe import FINE_TUNINGS, FullTuning

    if setting.pretrained is None:
        raise UserError(
            "transfer needs weights to start from: give --pretrained=PATH, such as "
            "--pretrained=results/train/runs/KEY or --pretrained=weights.pth"
        )
    net = setting.net()
    plain = dataclasses.replace(
        setting.recipe, fine_tune=FullTuning(), layer_decay=1.0, frozen_norms=False
    )
    recipes = {
        "scratch": dataclasses.replace(plain, epochs=EPOCHS.value or plain.epochs),
        "probe": dataclasses.replace(plain, fine_tune=FINE_TUNINGS["probe"]()),
        "full": dataclasses.replace(setting.recipe, fine_tune=FullTuning()),
        "gradual": setting.recipe,
    }
    gradual = FINE_TUNINGS["gradual"]
    if not isinstance(setting.recipe.fine_tune, gradual):  # Else with the fields given.
        recipes["gradual"] = dataclasses.replace(setting.recipe, fine_tune=gradual())
    for way in WAYS.value:
        for size in SIZES.value:
            yield setting.run(
                net,
                dataset=dataclasses.replace(setting.dataset, train_examples=size),
                recipe=recipes[way],
                scratch=way == "scratch",
                rates=RATES.get(way, TUNED_RATES).value,
                way=way,
                examples=size,
            )
    for rival in RIVALS.value:
        for size in SIZES.value:
            dataset = dataclasses.replace(setting.dataset, resolution=None, train_examples=size)
            yield setting.run(
                setting.net(rival, check(dataset).info.image_shape),
                label=rival,
                dataset=dataset,
                recipe=recipes["scratch"],
                scratch=True,
                rates=RATES["scratch"].value,
                way=f"scratch: {rival}",
                examples=size,
            )
