"""Inverted residuals (Sandler et al. 2018, fig. 3b and table 1), and what else the nets for small
devices share: MobileNet V1, V2 and V3, EfficientNet and, for its small inputs, RegNet."""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import jax

from cnnjax.nets.activations import ReLU6
from cnnjax.nets.context import Context, Step, axis
from cnnjax.nets.gates import SqueezeExcite, channels
from cnnjax.nets.layers import Same, conv, divisible, drop_path
from cnnjax.nets.norms import BatchNorm, NoNorm
from cnnjax.nets.shortcuts import IdentityShortcut, NoShortcut
from cnnjax.values import value

NORM = BatchNorm(momentum=0.99, epsilon=1e-3)  # TensorFlow's epsilon.


@value
class Inverted:
    """shortcut(x) + 1×1(gate(k×k(1×1(x)))), depthwise k×k and no activation at its end.

    The first 1×1 widens x to `expansion` times its channels, a multiple of 8 (Sandler et al.'s
    reference code), and is left out where `expansion` is 1. `gate_of_input` counts the squeezed
    channels from x (EfficientNet), or else from the widened map (MobileNetV3).
    """

    features: int = axis("width")
    expansion: float = 6.0
    kernel: int = axis("kernel", 3)
    dilation: int = axis("dilation", 1)
    shortcut: Any = axis("shortcut", IdentityShortcut())
    norm: Any = axis("norm", NORM)
    act: Any = axis("activation", ReLU6())
    groups: int | None = axis("groups", None)  # None: depthwise.
    gate: SqueezeExcite | None = None
    gate_of_input: bool = False
    padding: int | Same | None = axis("padding", Same())
    drop_path: float = 0.0

    def __call__(self, x: jax.Array, ctx: Context, step: Step) -> jax.Array:
        bias = isinstance(self.norm, NoNorm)
        y = x
        if self.expansion != 1:
            wide = divisible(channels(x.shape[-1] * self.expansion), self.groups)
            y = conv(y, ctx, wide, 1, bias=bias, name="expand_conv")
            y = self.act(self.norm(y, ctx, "expand_norm"))
        y = conv(
            y,
            ctx,
            y.shape[-1],
            self.kernel,
            stride=step,
            dilation=self.dilation,
            groups=self.groups,
            padding=self.padding,
            bias=bias,
            name="spatial_conv",
        )
        y = self.act(self.norm(y, ctx, "spatial_norm"))
        if self.gate:
            y = self.gate(y, ctx, (x if self.gate_of_input else y).shape[-1])
        features = divisible(self.features, self.groups)
        y = conv(y, ctx, features, 1, bias=bias, name="project_conv")
        y = self.norm(y, ctx, "project_norm")
        return join(self, x, y, ctx, step)


@value
class Pointwise:
    """act(norm(1×1(x))): no kernel for an axis to move."""

    features: int = axis("width")
    norm: Any = axis("norm", NORM)
    act: Any = axis("activation", ReLU6())

    def __call__(self, x: jax.Array, ctx: Context, step: Step) -> jax.Array:
        bias = isinstance(self.norm, NoNorm)
        x = conv(x, ctx, self.features, 1, stride=step, bias=bias, name="conv")
        return self.act(self.norm(x, ctx, "norm"))


def join(block: Any, x: jax.Array, y: jax.Array, ctx: Context, step: Step) -> jax.Array:
    """The block's shortcut past its branch y, which examples drop where its input stays."""
    stays = x.shape == y.shape and not isinstance(block.shortcut, NoShortcut)
    y = drop_path(y, ctx, block.drop_path if stays else 0.0, "drop_path")
    return block.shortcut(x, y, ctx, step, block.norm)


def dropping(block: Any, rates: Iterable[float]) -> Any:
    """A stage's block once for each of its rates of stochastic depth, alone where all are 0."""
    rates = tuple(rates)
    return tuple(dataclasses.replace(block, drop_path=r) for r in rates) if any(rates) else block


def fit_strides(strides: dict[str, int], side: int) -> tuple[dict[str, int], str]:
    """Strides by the stages' names, and in words what was changed in them for small images.

    The first ones become 1, as few as leave the last map at least 3 pixels wide: none from 65
    pixels up where the strides multiply to 32, one from 33, two from 17.
    """
    fitted = dict(strides)
    for name in strides:
        if 2 * math.prod(fitted.values()) < side:
            break
        fitted[name] = 1
    changed = [name for name in strides if fitted[name] != strides[name]]
    return fitted, f"stride 1 in {' and '.join(changed)}" if changed else ""
