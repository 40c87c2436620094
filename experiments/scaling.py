"""How does the speed of training grow with the devices that share it?

Steps of the training loop are timed on each number of `--devices`, with the batch a device kept
(weak scaling: the whole batch grows) and with the whole batch kept (strong scaling: each device's
share shrinks), input included. Devices that a CPU passes for (`--cpu_devices=8`) share its cores:
there the study shows that everything works, and no speed.
"""

import dataclasses

from absl import flags

from cnnjax.study.options import Defaults, integers, words

FLAGS = flags.FlagValues()
DEVICES = integers(FLAGS, "devices", "1,2,4,8", "how many devices")
REGIMES = words(FLAGS, "regimes", "weak,strong", ("weak", "strong"),
                "batch_size a device, or in all (then times the most devices)")  # fmt: skip
SECONDS = flags.DEFINE_float("seconds", 20, "what each measurement may take, about", 1,
                             flag_values=FLAGS)  # fmt: skip

X = ("devices", "devices")
SERIES = "regime"
DEFAULTS = Defaults(
    common={"seeds": 1, "batch_size": 32, "net": "resnet20", "dataset": "noise:32:10:2048"},
    quick={"net": "lenet5", "seconds": 2, "devices": "1"},
)


def runs(setting):
    from cnnjax.train.scaling import Scaling

    most, share = max(DEVICES.value), setting.recipe.batch_size
    for regime in REGIMES.value:
        for count in DEVICES.value:
            size = share * (count if regime == "weak" else most)
            instrument = Scaling(
                recipe=dataclasses.replace(setting.recipe, batch_size=size),
                dataset=setting.dataset,
                devices=count,
                seconds=SECONDS.value,
            )
            yield setting.probe(
                setting.net(), instrument, label=setting.net_name, regime=regime, devices=count
            )
