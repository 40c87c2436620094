"""What connects a map to the next: a convolution, or its twins with equal outputs that share less.

A convolution uses one kernel everywhere; a locally connected layer has one for each place; a fully
connected one sees the whole map from every unit (LeCun 1989, "Generalization and network design
strategies", §4).
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.nets.context import Context
from cnnjax.values import value

he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
Pads = tuple[tuple[int, int], tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class Window:
    """The geometry of a spatial layer."""

    features: int
    kernel: int
    stride: int
    pads: Pads
    dilation: int
    groups: int
    bias: bool
    init: Any = he_normal

    @property
    def reach(self) -> int:
        return self.dilation * (self.kernel - 1)

    def outputs(self, size: int, along: int) -> int:
        """Units of the output along an axis of the map."""
        return (size + sum(self.pads[along]) - self.reach - 1) // self.stride + 1


@value
class Convolution:
    """One kernel for all places."""

    def __call__(self, x: jax.Array, ctx: Context, w: Window, name: str) -> jax.Array:
        return nn.Conv(
            w.features,
            (w.kernel, w.kernel),
            strides=w.stride,
            padding=w.pads,
            kernel_dilation=w.dilation,
            feature_group_count=w.groups,
            use_bias=w.bias,
            kernel_init=w.init,
            conv_general_dilated=ctx.conv,
            name=name,
            **ctx.dtypes(x),
        )(x)


@value
class Local:
    """A kernel for each place (LeCun 1989's unshared weights). Groups are not kept apart."""

    def __call__(self, x: jax.Array, ctx: Context, w: Window, name: str) -> jax.Array:
        return _Local(w, **ctx.dtypes(x), name=name)(x)


@value
class Full:
    """Every unit sees the whole map."""

    def __call__(self, x: jax.Array, ctx: Context, w: Window, name: str) -> jax.Array:
        places = [w.outputs(n, along) for along, n in enumerate(x.shape[1:3])]
        return nn.DenseGeneral(
            (*places, w.features),
            axis=(1, 2, 3),
            use_bias=w.bias,
            kernel_init=w.init,
            name=name,
            **ctx.dtypes(x),
        )(x)


class _Local(nn.Module):
    """Own patches by slices: Linen's ConvLocal convolves to get them, whose gradient XLA:CPU
    computes slowly inside loops."""

    window: Window
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        w = self.window
        rows, columns = (w.outputs(n, along) for along, n in enumerate(x.shape[1:3]))
        padded = jnp.pad(x.astype(self.dtype), ((0, 0), *w.pads, (0, 0)))

        def taps(i: int, j: int) -> jax.Array:
            top, left = i * w.dilation, j * w.dilation
            bottom, right = top + (rows - 1) * w.stride + 1, left + (columns - 1) * w.stride + 1
            return padded[:, top : bottom : w.stride, left : right : w.stride]

        inside = [(i, j) for i in range(w.kernel) for j in range(w.kernel)]
        patches = jnp.concatenate([taps(i, j) for i, j in inside], axis=-1)
        shape = (rows, columns, patches.shape[-1], w.features)
        init = nn.initializers.variance_scaling(2.0, "fan_in", "normal", batch_axis=(0, 1))
        kernel = self.param("kernel", init, shape, self.param_dtype)
        y = jnp.einsum("bhwi,hwio->bhwo", patches, kernel.astype(self.dtype))
        if w.bias:
            bias = self.param("bias", nn.initializers.zeros, y.shape[1:], self.param_dtype)
            y += bias.astype(self.dtype)
        return y


CONVOLUTION = Convolution()
CONNECTIONS = {"conv": Convolution, "local": Local, "full": Full}
