"""The native convolution as functions of JAX: three products, each gradient of the two others."""

from functools import partial
from typing import NamedTuple

import jax
import numpy as np

Pair = tuple[int, int]


class Window(NamedTuple):
    """How a kernel moves over a map [H, W], and the sizes of both."""

    size: Pair
    kernel: Pair
    stride: Pair
    pads: tuple[Pair, Pair]
    dilation: Pair
    groups: int = 1

    @property
    def reach(self) -> Pair:
        """Pixels from a kernel's first tap to its last."""
        return tuple(d * (k - 1) for d, k in zip(self.dilation, self.kernel, strict=True))

    @property
    def outputs(self) -> Pair:
        """[H', W']."""
        along = zip(self.size, self.pads, self.reach, self.stride, strict=True)
        return tuple((n + low + high - reach - 1) // s + 1 for n, (low, high), reach, s in along)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(x: jax.Array, w: jax.Array, at: Window) -> jax.Array:
    """float32 [B, H, W, C] by [kh, kw, C / groups, O] → [B, H', W', O]."""
    lows = tuple(low for low, _ in at.pads)
    return _convolved(x, w, at, at.outputs, w.shape[3], at.stride, lows, (1, 1), flipped=False)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def spread(g: jax.Array, w: jax.Array, at: Window) -> jax.Array:
    """The gradient by x: [B, H', W', O] by [kh, kw, C / groups, O] → [B, H, W, C]; the flipped
    kernel slid over g, with holes where the stride skipped."""
    lows = tuple(reach - low for (low, _), reach in zip(at.pads, at.reach, strict=True))
    channels = w.shape[2] * at.groups
    return _convolved(g, w, at, at.size, channels, (1, 1), lows, at.stride, flipped=True)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def correlate(x: jax.Array, g: jax.Array, at: Window) -> jax.Array:
    """The gradient by w: [B, H, W, C] and [B, H', W', O] → [kh, kw, C / groups, O]."""
    shape = (*at.kernel, x.shape[3] // at.groups, g.shape[3])
    call = jax.ffi.ffi_call("cnnjax_correlate", _like(shape, x), vmap_method="sequential")
    about = {"stride": at.stride, "low": (low for low, _ in at.pads), "dilation": at.dilation}
    pairs = {name: _pair(numbers) for name, numbers in about.items()}
    return call(x, g, **pairs, groups=np.int64(at.groups))


def _convolved(x, w, at, sizes, channels, stride, lows, holes, flipped) -> jax.Array:
    result = _like((x.shape[0], *sizes, channels), x)
    call = jax.ffi.ffi_call("cnnjax_convolve", result, vmap_method="sequential")
    about = {"stride": stride, "low": lows, "dilation": at.dilation, "holes": holes}
    pairs = {name: _pair(numbers) for name, numbers in about.items()}
    return call(x, w, **pairs, groups=np.int64(at.groups), flipped=np.bool_(flipped))


def _like(shape: tuple[int, ...], x: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, x.dtype)


def _pair(numbers) -> np.ndarray:
    return np.array([*numbers], np.int64)


def _kept(f):
    return lambda a, b, at: (f(a, b, at), (a, b))


# With c an array like the result: x and w by c, g and w by c, x and g by c.
convolve.defvjp(_kept(convolve), lambda at, r, c: (spread(c, r[1], at), correlate(r[0], c, at)))
spread.defvjp(_kept(spread), lambda at, r, c: (convolve(c, r[1], at), correlate(c, r[0], at)))
correlate.defvjp(_kept(correlate), lambda at, r, c: (spread(r[1], c, at), convolve(r[0], c, at)))
