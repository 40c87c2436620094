"""What blocks are built from: activations, norms and pools as values, and the layers that compute.

A layer receives a `Context`, which says how the net runs (training or not, precision, the device
axis of batch norm, what computes convolutions) and is no part of what the net is.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.errors import UserError
from cnnjax.values import value

he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


def axis(name: str, default: Any = dataclasses.MISSING) -> Any:
    """Declare a field that the axis `name` of `vary` moves."""
    return dataclasses.field(default=default, metadata={"axis": name})


def wide(dtype: Any) -> Any:
    """float64 for float64, float32 for anything narrower."""
    return jnp.float64 if jnp.dtype(dtype) == jnp.float64 else jnp.float32


@dataclasses.dataclass(frozen=True)
class Context:
    """How a net runs. `keys` are one dropout key per example, so that devices change nothing."""

    train: bool = False
    dtype: Any = None  # Compute in this type; None: the type of the input.
    axis_name: str | None = None  # Batch norm over this device axis.
    conv: Callable = lax.conv_general_dilated
    max_pool: Callable | None = None  # Instead of Flax's, where that is slow.
    keys: jax.Array | None = None

    def dtypes(self, x: jax.Array) -> dict[str, Any]:
        """Compute and parameter type for an input; parameters have at least 32 bits."""
        dtype = self.dtype or x.dtype
        return {"dtype": dtype, "param_dtype": wide(dtype)}


# Activations.


@value
class ReLU:
    """max(x, 0)"""

    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.relu(x)


@value
class Tanh:
    """tanh(x)"""

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.tanh(x)


@value
class Sigmoid:
    """1 / (1 + exp(-x))"""

    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.sigmoid(x)


@value
class GELU:
    """x Φ(x), exact (Hendrycks & Gimpel 2016)"""

    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.gelu(x, approximate=False)


@value
class SiLU:
    """x sigmoid(x)"""

    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.silu(x)


@value
class Identity:
    """x"""

    def __call__(self, x: jax.Array) -> jax.Array:
        return x


# Norms.


@value
class NoNorm:
    """x; a convolution before it keeps its bias."""

    def __call__(self, x: jax.Array, ctx: Context, name: str) -> jax.Array:
        return x


@value
class BatchNorm:
    """Ioffe & Szegedy 2015; running = momentum · running + (1 - momentum) · batch."""

    momentum: float = 0.9
    epsilon: float = 1e-5

    def __call__(self, x: jax.Array, ctx: Context, name: str) -> jax.Array:
        return nn.BatchNorm(
            use_running_average=not ctx.train,
            momentum=self.momentum,
            epsilon=self.epsilon,
            axis_name=ctx.axis_name if ctx.train else None,
            name=name,
            **ctx.dtypes(x),
        )(x)


@value
class GroupNorm:
    """Wu & He 2018; where the channels don't divide, the largest common divisor of groups."""

    groups: int = 8
    epsilon: float = 1e-5

    def __call__(self, x: jax.Array, ctx: Context, name: str) -> jax.Array:
        groups = math.gcd(self.groups, x.shape[-1])
        return nn.GroupNorm(groups, epsilon=self.epsilon, name=name, **ctx.dtypes(x))(x)


# Pools.


@value
class Max:
    """The window's largest; padding never wins."""

    def __call__(self, x: jax.Array, ctx: Context, window: int, stride: int, pad: int) -> jax.Array:
        if ctx.max_pool:
            return ctx.max_pool(x, window, stride, pad)
        return nn.max_pool(x, (window, window), (stride, stride), ((pad, pad), (pad, pad)))


@value
class Average:
    """The window's mean, padding counted as in PyTorch's default."""

    def __call__(self, x: jax.Array, ctx: Context, window: int, stride: int, pad: int) -> jax.Array:
        spatial = ((pad, pad), (pad, pad))
        total = nn.pooling.pool(x, 0.0, lax.add, (window, window), (stride, stride), spatial)
        return total * jnp.asarray(1 / window**2, x.dtype)


@value
class Pool:
    """Pooling over `window` × `window` pixels."""

    kind: Any = axis("pooling", Max())
    window: int = 2
    stride: int = 2
    padding: int = 0

    def __call__(self, x: jax.Array, ctx: Context, where: str) -> jax.Array:
        smallest = min(x.shape[1:3]) + 2 * self.padding
        if self.window > smallest:
            raise UserError(
                f"{where}: a pool of {self.window}×{self.window} does not fit its "
                f"{x.shape[1]}×{x.shape[2]} map; use a larger input or fewer stages"
            )
        return self.kind(x, ctx, self.window, self.stride, self.padding)


# Layers with parameters.


def conv(
    x: jax.Array,
    ctx: Context,
    features: int,
    kernel: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    padding: int | None = None,
    bias: bool = False,
    name: str,
) -> jax.Array:
    """Convolution [B, H, W, C] → [B, H', W', features].

    Padding is explicit and symmetric as in PyTorch; `None` pads the total dilation · (kernel - 1),
    the floor of its half before and the rest after.

    Raises:
      UserError: a kernel with taps that never meet its map, naming the layer.
    """
    total = dilation * (kernel - 1)
    low, high = (total // 2, total - total // 2) if padding is None else (padding, padding)
    layer = nn.Conv(
        features,
        (kernel, kernel),
        strides=stride,
        padding=((low, high), (low, high)),
        kernel_dilation=dilation,
        use_bias=bias,
        kernel_init=he_normal,
        conv_general_dilated=ctx.conv,
        name=name,
        **ctx.dtypes(x),
    )
    _check_fits(layer, x.shape[1:3], kernel, dilation, low, high)
    return layer(x)


def _check_fits(
    layer: nn.Module, size: tuple[int, ...], kernel: int, dilation: int, low: int, high: int
) -> None:
    total, smallest = dilation * (kernel - 1), min(size)
    first_tap, last_tap = -low, total - low  # Seen from output 0; the last output mirrors it.
    fits = smallest + low + high > total
    if fits and (low + high == 0 or (last_tap < smallest and -first_tap < smallest)):
        return
    dilated = f" dilated {dilation}×" if dilation > 1 else ""
    raise UserError(
        f"{'/'.join(layer.path)}: a {kernel}×{kernel} kernel{dilated} reaches past its "
        f"{size[0]}×{size[1]} map; use a smaller kernel or dilation, or a larger input"
    )


def dense(x: jax.Array, ctx: Context, features: int, *, name: str, init=he_normal) -> jax.Array:
    """[B, C] → [B, features]"""
    return nn.Dense(features, kernel_init=init, name=name, **ctx.dtypes(x))(x)


def dropout(x: jax.Array, ctx: Context, rate: float, salt: int) -> jax.Array:
    """Zero a share `rate` of [B, C] in training and scale the rest, a key for each example."""
    if not ctx.train or rate == 0 or ctx.keys is None:
        return x

    def mask(key: jax.Array) -> jax.Array:
        return jax.random.bernoulli(jax.random.fold_in(key, salt), 1 - rate, x.shape[1:])

    return jnp.where(jax.vmap(mask)(ctx.keys), x / (1 - rate), jnp.zeros_like(x))


ACTIVATIONS = {
    "relu": ReLU,
    "tanh": Tanh,
    "sigmoid": Sigmoid,
    "gelu": GELU,
    "silu": SiLU,
    "identity": Identity,
}
NORMS = {"batch": BatchNorm, "group": GroupNorm, "none": NoNorm}
POOLS = {"max": Max, "avg": Average}
