"""The layers that blocks are built from: functions that compute in the caller's Linen scope."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.errors import UserError
from cnnjax.nets.connect import CONVOLUTION, Window, he_normal
from cnnjax.nets.context import ONE, Context, Step
from cnnjax.values import value


@value
class Same:
    """TensorFlow's padding: ⌈size / stride⌉ outputs, the odd pixel of it behind the map."""


PADDINGS: dict[str, Same | None] = {"same": Same(), "symmetric": None}


def conv(
    x: jax.Array,
    ctx: Context,
    features: int,
    kernel: int,
    *,
    stride: Step = ONE,
    dilation: int = 1,
    groups: int | None = 1,
    padding: int | Same | None = None,
    bias: bool = False,
    connect: Any = CONVOLUTION,
    name: str,
) -> jax.Array:
    """Convolution [B, H, W, C] → [B, H', W', features].

    Padding is explicit and symmetric as in PyTorch; `None` pads the total dilation · (kernel - 1),
    the floor of its half before and the rest after. `groups=None` is depthwise: a group a channel.
    Channels that the groups don't divide take the largest common divisor of groups.

    Raises:
      UserError: a kernel with taps that never meet its map, naming the layer.
    """
    pads = tuple(sides(padding, n, dilation * (kernel - 1), stride) for n in x.shape[1:3])
    together = math.gcd(x.shape[-1], features)
    groups = together if groups is None else math.gcd(groups, together)
    window = Window(features, kernel, stride.by, pads, dilation * stride.rate, groups, bias)
    _check_fits(f"{ctx.path}/{name}", x.shape[1:3], window)
    return connect(x, ctx, window, name)


def sides(padding: int | Same | None, size: int, reach: int, step: Step) -> tuple[int, int]:
    """Before and behind the map, for a kernel whose last tap is `reach` units past its first."""
    if isinstance(padding, int):
        return padding * step.rate, padding * step.rate
    if not isinstance(padding, Same):
        low = reach // 2 * step.rate
        return low, reach * step.rate - low
    # On a map of units `rate` apart: as on that whose stride has not been traded.
    stride, units = step.by * step.after // step.rate, -(-size // step.rate)
    total = max(0, (-(-units // stride) - 1) * stride + reach + 1 - units)
    low = total // 2 * step.rate
    traded = step.after > 1
    return low, (reach * step.rate if traded else total) - low


def _check_fits(where: str, size: tuple[int, ...], w: Window) -> None:
    smallest = min(size)
    (low, high), total = min(w.pads), w.reach
    first_tap, last_tap = -low, total - low  # Seen from output 0; the last output mirrors it.
    fits = smallest + low + high > total
    if fits and (low + high == 0 or (last_tap < smallest and -first_tap < smallest)):
        return
    dilated = f" dilated {w.dilation}×" if w.dilation > 1 else ""
    raise UserError(
        f"{where}: a {w.kernel}×{w.kernel} kernel{dilated} reaches past its "
        f"{size[0]}×{size[1]} map; use a smaller kernel or dilation, or a larger input"
    )


def divisible(features: float, groups: int | None) -> int:
    """The multiple of `groups` nearest to `features`, at least one of them."""
    groups = groups or 1
    return max(1, round(features / groups)) * groups


def dense(x: jax.Array, ctx: Context, features: int, *, name: str, init=he_normal) -> jax.Array:
    """[B, C] → [B, features]"""
    return nn.Dense(features, kernel_init=init, name=name, **ctx.dtypes(x))(x)


def dropout(x: jax.Array, ctx: Context, rate: float, name: str) -> jax.Array:
    """Zero a share `rate` of [B, ...] in training and scale the rest, a key for each example."""
    return _dropped(x, ctx, rate, name, x.shape[1:])


def drop_path(x: jax.Array, ctx: Context, rate: float, name: str) -> jax.Array:
    """Zero a share `rate` of the examples in training (Huang et al. 2016, "Stochastic depth")."""
    return _dropped(x, ctx, rate, name, (1,) * (x.ndim - 1))


def _dropped(
    x: jax.Array, ctx: Context, rate: float, name: str, shape: tuple[int, ...]
) -> jax.Array:
    if not ctx.train or rate == 0 or ctx.keys is None:
        return x
    kept = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, shape))(ctx.draws(name))
    return jnp.where(kept, x / (1 - rate), jnp.zeros_like(x))
