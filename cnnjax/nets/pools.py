"""Pooling as values."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnnjax.errors import UserError
from cnnjax.nets.context import Context, axis
from cnnjax.nets.norms import LocalResponse
from cnnjax.values import value

Pads = tuple[tuple[int, int], tuple[int, int]]


@value
class Max:
    """The window's largest; padding never wins."""

    def __call__(self, x: jax.Array, ctx: Context, pool: "Pool", pads: Pads) -> jax.Array:
        low = {low for low, _ in pads}
        equal = low == {high for _, high in pads} and len(low) == 1
        if ctx.max_pool and equal and pool.rate == 1:
            return ctx.max_pool(x, pool.window, pool.stride, low.pop())
        if pool.rate > 1:  # JAX has no gradient of a dilated one.
            return _largest_of_slices(x, pool, pads)
        return _reduce(x, -jnp.inf, lax.max, pool, pads)


@value
class Average:
    """The window's mean; padding counts as zeros where `padded`, as in PyTorch's default.

    What a ceiling adds beyond the padding never counts.
    """

    padded: bool = True

    def __call__(self, x: jax.Array, ctx: Context, pool: "Pool", pads: Pads) -> jax.Array:
        total = _reduce(x, 0.0, lax.add, pool, pads)
        inside = pool.padding * pool.rate if self.padded else 0
        uneven = any(side != inside for pair in pads for side in pair)
        if not uneven:
            return total * jnp.asarray(1 / pool.window**2, x.dtype)
        ones = jnp.ones((1, *(n + 2 * inside for n in x.shape[1:3]), 1), x.dtype)
        rest = tuple((low - inside, high - inside) for low, high in pads)
        return total / _reduce(ones, 0.0, lax.add, pool, rest)


@value
class Subsampling:
    """coefficient · Σ window + bias, both trainable, for each map (LeCun et al. 1998, §II-B)."""

    def __call__(self, x: jax.Array, ctx: Context, pool: "Pool", pads: Pads) -> jax.Array:
        total = _reduce(x, 0.0, lax.add, pool, pads)
        return _Affine(1 / pool.window**2, name="subsampling")(total)


@value
class Strided:
    """No window: the convolution before it takes the stride (Springenberg et al. 2015, §2)."""

    def __call__(self, x: jax.Array, ctx: Context, pool: "Pool", pads: Pads) -> jax.Array:
        return x  # The stage has given the stride to its last block.


class _Affine(nn.Module):
    """coefficient · x + bias, a pair for each channel."""

    start: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (x.shape[-1],)
        scale = self.param("coefficient", nn.initializers.constant(self.start), shape, x.dtype)
        bias = self.param("bias", nn.initializers.zeros, shape, x.dtype)
        return x * scale.astype(x.dtype) + bias.astype(x.dtype)


@value
class Pool:
    """Pooling over `window` × `window` pixels; called in a scope of its own.

    `ceil` keeps a last window that starts inside the map or its padding but ends beyond it.
    `rate` is how far apart the units of the map are, and `traded` the stride that was traded for
    dilation (`vary.output_stride`). `respond` normalises what was pooled.
    """

    kind: Any = axis("pooling", Max())
    window: int = 2
    stride: int = 2
    padding: int = 0
    ceil: bool = False
    rate: int = 1
    traded: int = 1
    respond: LocalResponse | None = None

    def __call__(self, x: jax.Array, ctx: Context) -> jax.Array:
        reach = (self.window - 1) * self.rate
        if reach >= min(x.shape[1:3]) + 2 * self.padding * self.rate:
            raise UserError(
                f"{ctx.path}: a pool of {self.window}×{self.window} does not fit its "
                f"{x.shape[1]}×{x.shape[2]} map; use a larger input or fewer stages"
            )
        side = self.padding * self.rate
        pads = tuple((side, side + self._beyond(n)) for n in x.shape[1:3])
        x = self.kind(x, ctx, self, pads)
        return self.respond(x) if self.respond else x

    def _beyond(self, size: int) -> int:
        """Pixels past the padding that a ceiling asks for."""
        units, stride = -(-size // self.rate), self.stride * self.traded
        whole, rest = divmod(units + 2 * self.padding - self.window, stride)
        # PyTorch's rule: a window that starts in the padding behind the map is left out.
        if not self.ceil or rest == 0 or (whole + 1) * stride >= units + self.padding:
            return 0
        return (stride - rest) * self.rate


def _largest_of_slices(x: jax.Array, pool: Pool, pads: Pads) -> jax.Array:
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)), constant_values=-jnp.inf)
    for along in (1, 2):
        last = x.shape[along] - 1 - (pool.window - 1) * pool.rate
        starts = [i * pool.rate for i in range(pool.window)]
        taps = [lax.slice_in_dim(x, s, s + last + 1, pool.stride, along) for s in starts]
        x = functools.reduce(jnp.maximum, taps)
    return x


def _reduce(x: jax.Array, start: float, how: Any, pool: Pool, pads: Pads) -> jax.Array:
    window, stride, rate = pool.window, pool.stride, pool.rate
    return lax.reduce_window(
        x,
        np.asarray(start, x.dtype),  # A constant, or there is no gradient.
        how,
        (1, window, window, 1),
        (1, stride, stride, 1),
        ((0, 0), *pads, (0, 0)),
        window_dilation=(1, rate, rate, 1),
    )


POOLS = {"max": Max, "avg": Average, "stride": Strided}
