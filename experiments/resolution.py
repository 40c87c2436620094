"""What does input resolution buy for its compute?

The same images are resized to each side; the net stays, so MACs grow with the area and each unit
sees a smaller part of the scene.
"""

import dataclasses

from absl import flags

from cnnjax.study.options import QUICK, SMALL, Defaults, integers

FLAGS = flags.FlagValues()
RESOLUTIONS = integers(FLAGS, "resolutions", "16,24,32,48", "image sides in pixels", low=8)

X = ("resolution", "input resolution (pixels)")
DEFAULTS = Defaults(common=SMALL, quick=QUICK | {"resolutions": "16,32"})


def runs(setting):
    for side in RESOLUTIONS.value:
        dataset = dataclasses.replace(setting.dataset, resolution=side)
        net = setting.net(input_shape=(side, side, setting.image_shape[2]))
        yield setting.run(net, dataset=dataset, resolution=side)
