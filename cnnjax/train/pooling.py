"""Max pooling whose gradient is fast on the CPU, where XLA's, a select-and-scatter, is slow. The
native one has any windows; else those side by side are computed by other operations of XLA's."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnnjax.train.native import ops


def native(x: jax.Array, window: int, stride: int, pad: int) -> jax.Array:
    """[B, H, W, C]; the gradient goes to the first of equal maxima, as XLA's does."""
    if x.dtype not in (jnp.float32, jnp.bfloat16):
        return max_pool(x, window, stride, pad)
    pads, size = ((pad, pad),) * 2, x.shape[1:3]
    at = ops.Window(size, (window, window), (stride, stride), pads, (1, 1))
    wide = x.astype(jnp.float32)
    return ops.pick(lax.stop_gradient(wide), wide, at).astype(x.dtype)


def max_pool(x: jax.Array, window: int, stride: int, pad: int) -> jax.Array:
    """[B, H, W, C]; windows side by side take the fast gradient, shared among equal maxima."""
    if window != stride or pad:
        return _max_pool_xla(x, window, stride, pad)
    return _side_by_side(x, window)


def _max_pool_xla(x: jax.Array, window: int, stride: int, pad: int) -> jax.Array:
    low = np.array(-np.inf, x.dtype)  # Traced it would hide that this is a maximum.
    spatial = ((0, 0), (pad, pad), (pad, pad), (0, 0))
    return lax.reduce_window(
        x, low, lax.max, (1, window, window, 1), (1, stride, stride, 1), spatial
    )


def _windows(x: jax.Array, window: int) -> jax.Array:
    b, h, w, c = x.shape
    return x.reshape(b, h // window, window, w // window, window, c)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _side_by_side(x: jax.Array, window: int) -> jax.Array:
    h, w = (n - n % window for n in x.shape[1:3])
    return _windows(x[:, :h, :w], window).max(axis=(2, 4))


def _pool_forward(x, window):
    y = _side_by_side(x, window)
    return y, (x, y)


def _pool_backward(window, residuals, g):
    x, y = residuals
    h, w = (n - n % window for n in x.shape[1:3])
    mine = _windows(x[:, :h, :w], window) == y[:, :, None, :, None]
    share = g / mine.sum(axis=(2, 4), dtype=g.dtype)
    dx = jnp.where(mine, share[:, :, None, :, None], jnp.zeros((), g.dtype))
    dx = dx.reshape(x.shape[0], h, w, x.shape[3])
    return (jnp.pad(dx, ((0, 0), (0, x.shape[1] - h), (0, x.shape[2] - w), (0, 0))),)


_side_by_side.defvjp(_pool_forward, _pool_backward)
