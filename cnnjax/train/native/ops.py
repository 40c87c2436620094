"""What is native as functions of JAX: a convolution's three products, each gradient of the two
others; largest values and where they are; sums by channel, and what batch norm makes of them."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.compute.flat import Equation

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


class End(NamedTuple):
    """What becomes of a convolution [B, H', W', O]: each output scaled and shifted, by [O], then
    `beside` added, of the same shape, then what is below `least` or above `most` cut off."""

    scale: jax.Array
    shift: jax.Array
    beside: jax.Array | None
    least: float
    most: float


def called(equation: Equation) -> str | None:
    """Which native call it is, if it is one; `convolve` are convolutions of whatever kind."""
    if equation.name != "ffi_call":
        return None
    _, ours, name = equation.params["target_name"].rpartition("cnnjax_")
    return name if ours else None


def attributes(equation: Equation) -> dict[str, Any]:
    """What a native call is told beside its arrays."""
    return {name: getattr(kept, "val", kept) for name, kept in equation.params["attributes"]}


# A `convolve` and more; all without derivatives.


def finished(equation: Equation, x: jax.Array, w: jax.Array, end: End) -> jax.Array:
    """It with that end."""
    beside = () if end.beside is None else (end.beside,)
    bounds = {"least": np.float32(end.least), "most": np.float32(end.most)}
    call = _more("cnnjax_finish", equation)
    return call(x, w, end.scale, end.shift, *beside, **attributes(equation), **bounds)


def measured(
    equation: Equation, x: jax.Array, w: jax.Array, scale: jax.Array, epsilon: np.float32
) -> tuple[jax.Array, ...]:
    """It and its `Moments`."""
    call = _more("cnnjax_measure", equation, Moments)
    return tuple(call(x, w, scale, **attributes(equation), epsilon=epsilon))


def returned(
    equation: Equation,
    g: jax.Array,
    w: jax.Array,
    passed: jax.Array,
    x: jax.Array,
    mean: jax.Array,
    rate: jax.Array,
    factor: jax.Array,
    *beside: jax.Array,
    bounds: Pair,
) -> tuple[jax.Array, ...]:
    """It, with `beside` or not, where `passed` is between the bounds, else 0; and the `Slopes` of
    these gradients of what x was normalised to. All maps [B, H, W, C], the others [C]."""
    call = _more("cnnjax_return", equation, Slopes)
    least, most = map(np.float32, bounds)
    about = attributes(equation) | {"least": least, "most": most}
    return tuple(call(g, w, passed, x, mean, rate, factor, *beside, **about))


def _more(name: str, equation: Equation, by_channel: Any = None) -> Callable[..., Any]:
    (out,) = equation.outs
    row = jax.ShapeDtypeStruct(out.aval.shape[-1:], out.aval.dtype)
    like = jax.ShapeDtypeStruct(out.aval.shape, out.aval.dtype)
    results = [like] + [row] * len(by_channel._fields) if by_channel else like
    return jax.ffi.ffi_call(name, results, vmap_method="sequential")


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


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def pick(x: jax.Array, v: jax.Array, at: Window) -> jax.Array:
    """Of [B, H, W, C] what v has where x is largest in each window, the first of equals:
    [B, H', W', C]. Padding is never the largest."""
    shape = (x.shape[0], *at.outputs, x.shape[3])
    return _pooled("cnnjax_pick", shape, x, v, at)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def place(x: jax.Array, g: jax.Array, at: Window) -> jax.Array:
    """The gradient by v: [B, H', W', C] → [B, H, W, C]."""
    return _pooled("cnnjax_place", x.shape, x, g, at)


@jax.custom_vjp
def sums(g: jax.Array, x: jax.Array, center: jax.Array) -> jax.Array:
    """Of maps [..., C] and a value [C]: Σ g and Σ g (x - center) of each channel, [2, C]."""
    channels = x.shape[-1]
    call = jax.ffi.ffi_call("cnnjax_sums", _like((2, channels), x), vmap_method="sequential")
    return call(g.reshape(-1, channels), x.reshape(-1, channels), center)


class Moments(NamedTuple):
    """Of a map's channels, [C] each: `rate` is one over the deviation, `factor` scale · rate."""

    mean: jax.Array
    variance: jax.Array
    rate: jax.Array
    factor: jax.Array


class Slopes(NamedTuple):
    """A norm's gradients by its scale and its bias, and what that by x is made of beside factor ·
    g: slope · (x - mean) + shift; [C] each."""

    scale: jax.Array
    bias: jax.Array
    slope: jax.Array
    shift: jax.Array


def moments(x: jax.Array, scale: jax.Array, epsilon: float) -> Moments:
    """Of a map [..., C], to be normalised and scaled by [C]; without derivatives."""
    call = _by_channel("cnnjax_moments", Moments, x)
    return Moments(*call(x.reshape(-1, x.shape[-1]), scale, epsilon=np.float32(epsilon)))


def slopes(g: jax.Array, x: jax.Array, at: Moments) -> Slopes:
    """Of the gradients [..., C] of what x was normalised to; without derivatives."""
    rows = (a.reshape(-1, x.shape[-1]) for a in (g, x))
    return Slopes(*_by_channel("cnnjax_slopes", Slopes, x)(*rows, at.mean, at.rate, at.factor))


def _by_channel(name: str, result: Any, x: jax.Array) -> Callable[..., Any]:
    like = _like((x.shape[-1],), x)
    return jax.ffi.ffi_call(name, [like] * len(result._fields), vmap_method="sequential")


def _pooled(name: str, shape: tuple[int, ...], x: jax.Array, v: jax.Array, at: Window) -> jax.Array:
    call = jax.ffi.ffi_call(name, _like(shape, x), vmap_method="sequential")
    lows = (low for low, _ in at.pads)
    about = {"stride": at.stride, "low": lows, "dilation": at.dilation, "window": at.kernel}
    return call(x, v, **{attribute: _pair(numbers) for attribute, numbers in about.items()})


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
# What is picked moves with v alone.
pick.defvjp(_kept(pick), lambda at, r, c: (jnp.zeros_like(r[0]), place(r[0], c, at)))
place.defvjp(_kept(place), lambda at, r, c: (jnp.zeros_like(r[0]), pick(r[0], c, at)))
sums.defvjp(
    lambda g, x, center: (found := sums(g, x, center), (g, x, center, found[0])),
    lambda r, c: (c[0] + c[1] * (r[1] - r[2]), c[1] * r[0], -c[1] * r[3]),
)
