"""MobileNetV2, Sandler, Howard, Zhu, Zhmoginov & Chen 2018, table 2.

Numerically that of Keras (`keras.applications.MobileNetV2`); those of torchvision and timm
with the axis `padding` at "symmetric". The momentum of batch norm is 0.99: the reference code's
0.997 (Keras: 0.999) needs thousands of steps before the running statistics are of use.
"""

from functools import partial

from cnnjax.nets.activations import ReLU6
from cnnjax.nets.blocks import Plain
from cnnjax.nets.gates import channels
from cnnjax.nets.inverted import NORM, Inverted, Pointwise, fit_strides
from cnnjax.nets.layers import Same
from cnnjax.nets.net import Head, Net, Stage

# Expansion t, channels c, blocks n, stride s of the first.
TABLE = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
WIDTHS = {"": 1.0, "_035": 0.35, "_050": 0.5, "_075": 0.75, "_130": 1.3, "_140": 1.4}


def mobilenet_v2(
    width: float = 1.0, classes: int = 1000, input_shape: tuple[int, int, int] = (224, 224, 3)
) -> Net:
    """Table 2, its channels times `width` and a multiple of 8; the last 1280 never shrink (§4).

    On small images the first strides become 1 by the rule of `inverted.fit_strides`.
    """
    strides = {"stem": 2} | {f"stage{i}": s for i, (_, _, _, s) in enumerate(TABLE, 1)}
    strides, adapted = fit_strides(strides, min(input_shape[:2]))
    stem = Plain(channels(32 * width), norm=NORM, act=ReLU6(), padding=Same())
    return Net(
        stem=Stage(stem, stride=strides["stem"]),
        stages=tuple(
            Stage(Inverted(channels(c * width), t), depth=n, stride=strides[f"stage{i}"])
            for i, (t, c, n, _) in enumerate(TABLE, 1)
        ),
        neck=Stage(Pointwise(channels(1280 * max(1.0, width)))),
        head=Head(classes, reduced_dropout=0.2),
        adapted=adapted,
    )


NETS = {f"mobilenet_v2{name}": partial(mobilenet_v2, width) for name, width in WIDTHS.items()}
