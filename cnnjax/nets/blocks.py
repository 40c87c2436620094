"""Blocks: frozen values that compute, called in a Linen scope of their own: block(x, ctx, stride).

`features` are the channels that the width axis scales; `kernel` and `dilation` are declared
spatial, so 1×1 projections, which have no field, stay as they are.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.nets.layers import BatchNorm, Context, NoNorm, ReLU, axis, conv
from cnnjax.values import value


@value
class Plain:
    """act(norm(conv(x)))"""

    features: int = axis("width")
    kernel: int = axis("kernel", 3)
    dilation: int = axis("dilation", 1)
    norm: Any = axis("norm", BatchNorm())
    act: Any = axis("activation", ReLU())
    padding: int | None = None
    bias: bool | None = None  # None: only where no norm follows.

    def __call__(self, x: jax.Array, ctx: Context, stride: int = 1) -> jax.Array:
        x = conv(
            x,
            ctx,
            self.features,
            self.kernel,
            stride=stride,
            dilation=self.dilation,
            padding=self.padding,
            bias=isinstance(self.norm, NoNorm) if self.bias is None else self.bias,
            name="conv",
        )
        return self.act(self.norm(x, ctx, "norm"))


@value
class NoShortcut:
    """Leaves the shortcut out: the plain twin of a residual net (He et al. 2015, §4.2)."""

    def __call__(
        self, x: jax.Array, y: jax.Array, ctx: Context, stride: int, norm: Any
    ) -> jax.Array:
        return y


@value
class PadShortcut:
    """Option A of He et al. 2015, §3.3: subsample, zeros for the new channels, no parameters."""

    def __call__(
        self, x: jax.Array, y: jax.Array, ctx: Context, stride: int, norm: Any
    ) -> jax.Array:
        x = lax.slice(x, (0, 0, 0, 0), x.shape, (1, stride, stride, 1))
        extra = y.shape[-1] - x.shape[-1]
        if extra < 0:  # A narrower block keeps the first channels.
            return y + x[..., : y.shape[-1]]
        before = extra // 2
        return y + jnp.pad(x, ((0, 0), (0, 0), (0, 0), (before, extra - before)))


@value
class ProjectionShortcut:
    """Option B of He et al. 2015, §3.3: a 1×1 convolution where the shape changes."""

    def __call__(
        self, x: jax.Array, y: jax.Array, ctx: Context, stride: int, norm: Any
    ) -> jax.Array:
        features = y.shape[-1]
        if stride == 1 and x.shape[-1] == features:
            return y + x
        bias = isinstance(norm, NoNorm)
        x = conv(x, ctx, features, 1, stride=stride, bias=bias, name="shortcut_conv")
        return y + norm(x, ctx, "shortcut_norm")


@value
class Residual:
    """act(shortcut(x) + norm(conv(act(norm(conv(x)))))): He et al. 2015, fig. 2"""

    features: int = axis("width")
    kernel: int = axis("kernel", 3)
    dilation: int = axis("dilation", 1)
    shortcut: Any = axis("shortcut", ProjectionShortcut())
    norm: Any = axis("norm", BatchNorm())
    act: Any = axis("activation", ReLU())

    def __call__(self, x: jax.Array, ctx: Context, stride: int = 1) -> jax.Array:
        bias = isinstance(self.norm, NoNorm)
        spatial = {"dilation": self.dilation, "bias": bias}
        y = conv(x, ctx, self.features, self.kernel, stride=stride, name="conv1", **spatial)
        y = self.act(self.norm(y, ctx, "norm1"))
        y = conv(y, ctx, self.features, self.kernel, name="conv2", **spatial)
        y = self.norm(y, ctx, "norm2")
        return self.act(self.shortcut(x, y, ctx, stride, self.norm))


@value
class Bottleneck:
    """act(shortcut(x) + 1×1(k×k(1×1(x)))), expanding `features` fourfold: He et al. 2015, fig. 5

    The stride is in the k×k convolution (v1.5), or in the first 1×1 as in the paper (v1).
    """

    features: int = axis("width")
    kernel: int = axis("kernel", 3)
    dilation: int = axis("dilation", 1)
    stride_first: bool = False
    expansion: int = 4
    shortcut: Any = axis("shortcut", ProjectionShortcut())
    norm: Any = axis("norm", BatchNorm())
    act: Any = axis("activation", ReLU())

    def __call__(self, x: jax.Array, ctx: Context, stride: int = 1) -> jax.Array:
        bias = isinstance(self.norm, NoNorm)
        first, middle = (stride, 1) if self.stride_first else (1, stride)
        y = conv(x, ctx, self.features, 1, stride=first, bias=bias, name="conv1")
        y = self.act(self.norm(y, ctx, "norm1"))
        y = conv(
            y,
            ctx,
            self.features,
            self.kernel,
            stride=middle,
            dilation=self.dilation,
            bias=bias,
            name="conv2",
        )
        y = self.act(self.norm(y, ctx, "norm2"))
        y = conv(y, ctx, self.features * self.expansion, 1, bias=bias, name="conv3")
        y = self.norm(y, ctx, "norm3")
        return self.act(self.shortcut(x, y, ctx, stride, self.norm))


SHORTCUTS = {"pad": PadShortcut, "projection": ProjectionShortcut, "none": NoShortcut}
