"""EfficientNet, Tan & Le 2019, table 1 and §4, and its Lite versions for devices without fast
squeeze-and-excitation or SiLU (the authors' `tpu/models/official/efficientnet/lite`).

Numerically those of Keras (`keras.applications.EfficientNetB0` to `B7`, without its rescaling and
normalisation of the images) and timm's `tf_efficientnet_b0` to `b7` and `tf_efficientnet_lite0` to
`lite4`; those of torchvision and timm's others with the axis `padding` at "symmetric".
"""

import dataclasses
import math
from functools import partial
from typing import Any

from cnnjax.nets.activations import ReLU6, SiLU
from cnnjax.nets.blocks import Plain
from cnnjax.nets.gates import SqueezeExcite, channels
from cnnjax.nets.inverted import NORM, Inverted, Pointwise, dropping, fit_strides
from cnnjax.nets.layers import Same
from cnnjax.nets.net import Head, Net, Stage

# Expansion, kernel, channels, blocks, stride of the first.
TABLE = (
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)
SE = SqueezeExcite(0.25, act=SiLU())
# Factors of width and depth, side of the images, dropout.
SCALES = (
    (1.0, 1.0, 224, 0.2),
    (1.0, 1.1, 240, 0.2),
    (1.1, 1.2, 260, 0.3),
    (1.2, 1.4, 300, 0.3),
    (1.4, 1.8, 380, 0.4),
    (1.6, 2.2, 456, 0.4),
    (1.8, 2.6, 528, 0.5),
    (2.0, 3.1, 600, 0.5),
)
LITE_SCALES = (
    (1.0, 1.0, 224, 0.2),
    (1.0, 1.1, 240, 0.2),
    (1.1, 1.2, 260, 0.3),
    (1.2, 1.4, 280, 0.3),
    (1.4, 1.8, 300, 0.3),
)


@dataclasses.dataclass(frozen=True)
class Kind:
    """What the Lite versions have otherwise. `fixed`: stem, neck and the depth of the first and
    the last stage don't scale."""

    act: Any
    gate: SqueezeExcite | None
    fixed: bool = False


BASE = Kind(SiLU(), SE)
LITE = Kind(ReLU6(), None, fixed=True)


def efficientnet(
    width: float = 1.0,
    depth: float = 1.0,
    dropout: float = 0.2,
    kind: Kind = BASE,
    drop_path: float = 0.0,
    classes: int = 1000,
    input_shape: tuple[int, int, int] = (224, 224, 3),
) -> Net:
    """Table 1, channels times `width` and a multiple of 8, blocks times `depth` rounded up.

    `drop_path` is the rate of stochastic depth that the blocks' rates rise to from 0, one step
    short of it (the authors train with 0.2). On small images the first strides become 1 by the
    rule of `inverted.fit_strides`.
    """
    strides = {"stem": 2} | {f"stage{i}": row[-1] for i, row in enumerate(TABLE, 1)}
    strides, adapted = fit_strides(strides, min(input_shape[:2]))
    depths = [math.ceil(n * depth) for *_, n, _ in TABLE]
    if kind.fixed:
        depths[0], depths[-1] = TABLE[0][3], TABLE[-1][3]
    rates = [drop_path * n / sum(depths) for n in range(sum(depths))]
    stages = []
    for i, (expansion, kernel, features, _, _) in enumerate(TABLE, 1):
        block = Inverted(
            channels(features * width),
            expansion,
            kernel,
            act=kind.act,
            gate=kind.gate,
            gate_of_input=True,
        )
        block = dropping(block, rates[sum(depths[: i - 1]) : sum(depths[:i])])
        stages.append(Stage(block, depth=depths[i - 1], stride=strides[f"stage{i}"]))
    ends_width = 1.0 if kind.fixed else width
    stem = Plain(channels(32 * ends_width), norm=NORM, act=kind.act, padding=Same())
    return Net(
        stem=Stage(stem, stride=strides["stem"]),
        stages=tuple(stages),
        neck=Stage(Pointwise(channels(1280 * ends_width), act=kind.act)),
        head=Head(classes, reduced_dropout=dropout),
        adapted=adapted,
    )


NETS = {
    f"efficientnet_{series}{i}": partial(
        efficientnet, width, depth, dropout, kind, input_shape=(side, side, 3)
    )
    for series, kind, scales in (("b", BASE, SCALES), ("lite", LITE, LITE_SCALES))
    for i, (width, depth, side, dropout) in enumerate(scales)
}
