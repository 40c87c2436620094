"""MobileNetV1, Howard, Zhu, Chen et al. 2017, "MobileNets", table 1: depthwise separable layers.

Numerically that of Keras (`keras.applications.MobileNet`) on images whose sides are a multiple of
32; on others Keras pads the strided layers differently.
"""

from functools import partial
from typing import Any

import jax

from cnnjax.nets.activations import ReLU6
from cnnjax.nets.blocks import Plain
from cnnjax.nets.context import Context, Step, axis
from cnnjax.nets.gates import channels
from cnnjax.nets.inverted import NORM, fit_strides
from cnnjax.nets.layers import Same, conv, divisible
from cnnjax.nets.net import Head, Net, Stage
from cnnjax.nets.norms import NoNorm
from cnnjax.values import value

# Channels, layers, stride of the first.
TABLE = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2))
WIDTHS = {"": 1.0, "_075": 0.75, "_050": 0.5, "_025": 0.25}


@value
class Separable:
    """act(norm(1×1(act(norm(k×k(x)))))), the k×k depthwise: fig. 3"""

    features: int = axis("width")
    kernel: int = axis("kernel", 3)
    dilation: int = axis("dilation", 1)
    norm: Any = axis("norm", NORM)
    act: Any = axis("activation", ReLU6())
    groups: int | None = axis("groups", None)  # None: depthwise.
    padding: int | Same | None = axis("padding", Same())

    def __call__(self, x: jax.Array, ctx: Context, step: Step) -> jax.Array:
        bias = isinstance(self.norm, NoNorm)
        x = conv(
            x,
            ctx,
            x.shape[-1],
            self.kernel,
            stride=step,
            dilation=self.dilation,
            groups=self.groups,
            padding=self.padding,
            bias=bias,
            name="spatial_conv",
        )
        x = self.act(self.norm(x, ctx, "spatial_norm"))
        features = divisible(self.features, self.groups)
        x = conv(x, ctx, features, 1, bias=bias, name="project_conv")
        return self.act(self.norm(x, ctx, "project_norm"))


def mobilenet_v1(
    width: float = 1.0, classes: int = 1000, input_shape: tuple[int, int, int] = (224, 224, 3)
) -> Net:
    """Table 1, its channels times `width` (§3.3: 1, 0.75, 0.5 and 0.25) and a multiple of 8.

    On small images the first strides become 1 by the rule of `inverted.fit_strides`.
    """
    strides = {"stem": 2} | {f"stage{i}": s for i, (_, _, s) in enumerate(TABLE, 1)}
    strides, adapted = fit_strides(strides, min(input_shape[:2]))
    stem = Plain(channels(32 * width), norm=NORM, act=ReLU6(), padding=Same())
    return Net(
        stem=Stage(stem, stride=strides["stem"]),
        stages=tuple(
            Stage(Separable(channels(c * width)), depth=n, stride=strides[f"stage{i}"])
            for i, (c, n, _) in enumerate(TABLE, 1)
        ),
        head=Head(classes, reduced_dropout=0.001),
        adapted=adapted,
    )


NETS = {f"mobilenet_v1{name}": partial(mobilenet_v1, width) for name, width in WIDTHS.items()}
