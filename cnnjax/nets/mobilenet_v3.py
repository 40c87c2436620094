"""MobileNetV3, Howard, Sandler, Chu et al. 2019, tables 1 (large) and 2 (small).

Numerically those of Keras (`keras.applications.MobileNetV3Large` and `...Small`, not minimalistic,
without the preprocessing) and timm's `tf_mobilenetv3_*_100`; those of torchvision and timm's
others with the axis `padding` at "symmetric". Like all of them, the small net's neck has no
squeeze-and-excitation, against the mark in table 2.
"""

from functools import partial
from typing import Any

from cnnjax.nets.activations import HardSigmoid, HardSwish, ReLU
from cnnjax.nets.blocks import Plain
from cnnjax.nets.gates import SqueezeExcite, channels
from cnnjax.nets.inverted import NORM, Inverted, Pointwise, fit_strides
from cnnjax.nets.layers import Same
from cnnjax.nets.net import Head, Net, Stage

SE = SqueezeExcite(0.25, divisor=8, gate=HardSigmoid())  # §5.3
RE, HS = ReLU(), HardSwish()
# Rows of one resolution and one number of output channels: kernel, squeeze-and-excitation,
# activation, stride of the first, output channels, expanded channels of each block.
LARGE = (
    (3, None, RE, 1, 16, (16,)),
    (3, None, RE, 2, 24, (64, 72)),
    (5, SE, RE, 2, 40, (72, 120, 120)),
    (3, None, HS, 2, 80, (240, 200, 184, 184)),
    (3, SE, HS, 1, 112, (480, 672)),
    (5, SE, HS, 2, 160, (672, 960, 960)),
)
SMALL = (
    (3, SE, RE, 2, 16, (16,)),
    (3, None, RE, 2, 24, (72, 88)),
    (5, SE, HS, 2, 40, (96, 240, 240)),
    (5, SE, HS, 1, 48, (120, 144)),
    (5, SE, HS, 2, 96, (288, 576, 576)),
)
HIDDEN = {LARGE: 1280, SMALL: 1024}


def mobilenet_v3(
    table: tuple[tuple[Any, ...], ...],
    width: float = 1.0,
    classes: int = 1000,
    input_shape: tuple[int, int, int] = (224, 224, 3),
) -> Net:
    """The table's net, its channels times `width` and a multiple of 8; the first 16 and the hidden
    layer stay (as in Keras).

    On small images the first strides become 1 by the rule of `inverted.fit_strides`.
    """
    strides = {"stem": 2} | {f"stage{i}": row[3] for i, row in enumerate(table, 1)}
    strides, adapted = fit_strides(strides, min(input_shape[:2]))
    stages, before = [], 16
    for i, (kernel, gate, act, _, features, expanded) in enumerate(table, 1):
        wide = channels(features * width)
        inputs = (before,) + (features,) * (len(expanded) - 1)
        blocks = tuple(
            Inverted(wide, e / x, kernel, act=act, gate=gate)
            for e, x in zip(expanded, inputs, strict=True)
        )
        stages.append(Stage(blocks, depth=len(blocks), stride=strides[f"stage{i}"]))
        before = features
    return Net(
        stem=Stage(Plain(16, norm=NORM, act=HS, padding=Same()), stride=strides["stem"]),
        stages=tuple(stages),
        neck=Stage(Pointwise(channels(6 * wide), act=HS)),
        head=Head(classes, hidden=(HIDDEN[table],), act=HS, dropout=0.2),
        adapted=adapted,
    )


NETS = {
    "mobilenet_v3_large": partial(mobilenet_v3, LARGE),
    "mobilenet_v3_large_075": partial(mobilenet_v3, LARGE, 0.75),
    "mobilenet_v3_small": partial(mobilenet_v3, SMALL),
    "mobilenet_v3_small_075": partial(mobilenet_v3, SMALL, 0.75),
}
