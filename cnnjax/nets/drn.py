"""Dilated residual networks, Yu, Koltun & Funkhouser 2017: fig. 5 and table 1, and the authors'
code for type D.

The last map has 28 pixels where a ResNet's has 7: strides end after the fourth stage, dilation
takes their place, and the last stages, without shortcuts, dilate less again against gridding
(§4). Type A is a ResNet itself, by the axis: `get("resnet50", output_stride=8)`.
"""

from collections.abc import Callable
from functools import partial

from cnnjax.nets.blocks import Bottleneck, Plain, Residual
from cnnjax.nets.net import Head, Net, Stage

# Depths of stages 3 to 6, as in ResNet-18, 34 and 101.
SHORT, MIDDLE, LONG = (2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 23, 3)


def drn(
    begin: type[Residual] | type[Plain],
    block: type[Residual] | type[Bottleneck],
    depths: tuple[int, ...],
    end: int,
    classes: int = 1000,
    input_shape: tuple[int, int, int] = (224, 224, 3),
) -> Net:
    """Stages 1 to 8: `begin` in the first two, `block` with `depths`, then `end` plain layers each.

    Type C begins with residual blocks and ends with 2 layers a stage, type D with plain layers
    and 1.

    Below 64 pixels the stem is a 3×3 convolution and stages 2 and 3 keep their maps' size.
    """
    small = min(input_shape[:2]) < 64
    stride = 1 if small else 2
    return Net(
        stem=Stage(Plain(16, kernel=3 if small else 7)),
        stages=(
            Stage(begin(16)),
            Stage(begin(32), stride=stride),
            Stage(block(64), depth=depths[0], stride=stride),
            Stage(block(128), depth=depths[1], stride=2),
            Stage(block(256, dilation=2), depth=depths[2]),
            Stage(block(512, dilation=4), depth=depths[3]),
            Stage(Plain(512, dilation=2), depth=end),
            Stage(Plain(512), depth=end),
        ),
        head=Head(classes),
        adapted="stem of 3×3, no stride in stages 2 and 3" if small else "",
    )


def _c(block: type, depths: tuple[int, ...]) -> Callable[..., Net]:
    return partial(drn, Residual, block, depths, 2)


def _d(block: type, depths: tuple[int, ...]) -> Callable[..., Net]:
    return partial(drn, Plain, block, depths, 1)


NETS = {
    "drn26": _c(Residual, SHORT),
    "drn42": _c(Residual, MIDDLE),
    "drn58": _c(Bottleneck, MIDDLE),
    "drn22": _d(Residual, SHORT),
    "drn38": _d(Residual, MIDDLE),
    "drn54": _d(Bottleneck, MIDDLE),
    "drn105": _d(Bottleneck, LONG),
}
