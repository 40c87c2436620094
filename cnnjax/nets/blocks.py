"""Blocks: frozen values that compute, called in a Linen scope of their own: block(x, ctx, step).

`features` are the channels that the width axis scales; `kernel`, `dilation` and `groups` are
declared for their axes, so 1×1 projections, which have no field, stay as they are.
"""

from typing import Any

import jax

from cnnjax.nets.activations import ReLU
from cnnjax.nets.connect import Convolution
from cnnjax.nets.context import ONE, Context, Step, axis
from cnnjax.nets.layers import Same, conv, divisible
from cnnjax.nets.norms import BatchNorm, LocalResponse, NoNorm
from cnnjax.nets.shortcuts import ProjectionShortcut
from cnnjax.values import value


@value
class Plain:
    """respond(act(norm(conv(x))))"""

    features: int = axis("width")
    kernel: int = axis("kernel", 3)
    dilation: int = axis("dilation", 1)
    norm: Any = axis("norm", BatchNorm())
    act: Any = axis("activation", ReLU())
    padding: int | Same | None = axis("padding", None)
    bias: bool | None = None  # None: only where no norm follows.
    groups: int | None = axis("groups", 1)
    connect: Any = axis("connectivity", Convolution())
    respond: LocalResponse | None = None

    def __call__(self, x: jax.Array, ctx: Context, step: Step) -> jax.Array:
        x = conv(
            x,
            ctx,
            divisible(self.features, self.groups),
            self.kernel,
            stride=step,
            dilation=self.dilation,
            groups=self.groups,
            padding=self.padding,
            bias=isinstance(self.norm, NoNorm) if self.bias is None else self.bias,
            connect=self.connect,
            name="conv",
        )
        x = self.act(self.norm(x, ctx, "norm"))
        return self.respond(x) if self.respond else x


@value
class Residual:
    """act(shortcut(x) + norm(conv(act(norm(conv(x)))))): He et al. 2015, fig. 2"""

    features: int = axis("width")
    kernel: int = axis("kernel", 3)
    dilation: int = axis("dilation", 1)
    shortcut: Any = axis("shortcut", ProjectionShortcut())
    norm: Any = axis("norm", BatchNorm())
    act: Any = axis("activation", ReLU())
    groups: int | None = axis("groups", 1)
    gate: Any = None  # Squeeze-and-excitation of the branch.

    def __call__(self, x: jax.Array, ctx: Context, step: Step) -> jax.Array:
        features = divisible(self.features, self.groups)
        spatial = {
            "dilation": self.dilation,
            "groups": self.groups,
            "bias": isinstance(self.norm, NoNorm),
        }
        y = conv(x, ctx, features, self.kernel, stride=step, name="conv1", **spatial)
        y = self.act(self.norm(y, ctx, "norm1"))
        y = conv(y, ctx, features, self.kernel, stride=step.then, name="conv2", **spatial)
        y = self.norm(y, ctx, "norm2")
        y = self.gate(y, ctx, y.shape[-1]) if self.gate else y
        return self.act(self.shortcut(x, y, ctx, step, self.norm))


@value
class Bottleneck:
    """act(shortcut(x) + 1×1(k×k(1×1(x)))), expanding `features` fourfold: He et al. 2015, fig. 5

    The stride is in the k×k convolution (v1.5), or in the first 1×1 as in the paper (v1). `inner`
    is the k×k convolution's width per feature (ResNeXt and wide nets have 2).
    """

    features: int = axis("width")
    kernel: int = axis("kernel", 3)
    dilation: int = axis("dilation", 1)
    stride_first: bool = False
    expansion: int = 4
    shortcut: Any = axis("shortcut", ProjectionShortcut())
    norm: Any = axis("norm", BatchNorm())
    act: Any = axis("activation", ReLU())
    groups: int | None = axis("groups", 1)
    inner: float = 1.0
    gate: Any = None  # Squeeze-and-excitation of the branch.

    def __call__(self, x: jax.Array, ctx: Context, step: Step) -> jax.Array:
        bias = isinstance(self.norm, NoNorm)
        first, middle = (step, step.then) if self.stride_first else (ONE, step)
        features = divisible(self.features * self.inner, self.groups)
        y = conv(x, ctx, features, 1, stride=first, bias=bias, name="conv1")
        y = self.act(self.norm(y, ctx, "norm1"))
        y = conv(
            y,
            ctx,
            features,
            self.kernel,
            stride=middle,
            dilation=self.dilation,
            groups=self.groups,
            bias=bias,
            name="conv2",
        )
        y = self.act(self.norm(y, ctx, "norm2"))
        y = conv(y, ctx, self.features * self.expansion, 1, bias=bias, name="conv3")
        y = self.norm(y, ctx, "norm3")
        y = self.gate(y, ctx, y.shape[-1]) if self.gate else y
        return self.act(self.shortcut(x, y, ctx, step, self.norm))
