"""SE-ResNets: Hu, Shen & Sun 2018, "Squeeze-and-excitation networks", table 1 and fig. 3.

They equal timm's seresnet18 … seresnet152: ResNets as here (stride in the 3×3, v1.5) whose
branches are gated. Squeezed channels are a sixteenth, rounded to a multiple of 8, which only the
narrowest stage of 18 and 34 feels (8 instead of 4).
"""

import dataclasses
from functools import partial

from cnnjax.nets.gates import SqueezeExcite
from cnnjax.nets.resnet import IMAGENET, imagenet

NETS = {
    f"seresnet{n}": partial(
        imagenet, dataclasses.replace(block, gate=SqueezeExcite(divisor=8)), depths
    )
    for n, (block, depths) in IMAGENET.items()
}
