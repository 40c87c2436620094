"""Convolution and max pooling whose gradients stay fast inside a loop on the CPU.

XLA:CPU leaves the gradient convolutions of a loop's body in a form 25 to 100 times slower than
outside (https://github.com/jax-ml/jax/issues/12868), its grouped convolutions are slow even
forward, and its max pooling gradient, a select-and-scatter, is slow anywhere. Here they are written
as operations that are fast in a loop too, equal to XLA's up to rounding. GPU and TPU keep XLA's.
"""

import functools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

FEW = 4  # Up to so many groups a convolution for each is faster than products by taps.
_LAYOUT = ("NHWC", "HWIO", "NHWC")
Pair = tuple[int, int]


def conv_general_dilated(
    lhs: jax.Array,
    rhs: jax.Array,
    window_strides: Any,
    padding: Any,
    lhs_dilation: Any = None,
    rhs_dilation: Any = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    **rest: Any,
) -> jax.Array:
    """As `lax.conv_general_dilated`; NHWC images take the fast forms.

    Without groups in reverse mode only; what is not covered is XLA's.
    """
    layout = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    covered = (
        lhs.ndim == 4
        and layout == lax.conv_dimension_numbers(lhs.shape, rhs.shape, _LAYOUT)
        and rest.get("batch_group_count", 1) == 1
        and set(lhs_dilation or (1,)) == {1}
        and not isinstance(padding, str)
    )
    if not covered:
        return lax.conv_general_dilated(
            lhs,
            rhs,
            window_strides,
            padding,
            lhs_dilation,
            rhs_dilation,
            dimension_numbers,
            feature_group_count,
            **rest,
        )
    pads = tuple((int(low), int(high)) for low, high in padding)
    step, dilation = tuple(window_strides), tuple(rhs_dilation or (1, 1))
    if 1 < feature_group_count <= FEW:
        xs, ws = (jnp.split(a, feature_group_count, axis=-1) for a in (lhs, rhs))
        parts = [_conv(x, w, step, pads, dilation) for x, w in zip(xs, ws, strict=True)]
        return jnp.concatenate(parts, axis=-1)
    if feature_group_count > 1:
        return _grouped(lhs, rhs, step, pads, dilation, feature_group_count)
    return _conv(lhs, rhs, step, pads, dilation)


def _grouped(x, w, stride, pads, dilation, groups) -> jax.Array:
    """One product a tap of the kernel: elementwise where each channel is a group of its own."""
    b, *sizes, c = x.shape
    rows, columns, per, out = w.shape
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, w.shape[:2], strict=True)]
    counts = [
        (n + low + high - span) // s + 1
        for n, (low, high), span, s in zip(sizes, pads, spans, stride, strict=True)
    ]
    # A negative padding crops; nothing lies between the pixels.
    zero = jnp.zeros((), x.dtype)
    edges = [(0, 0, 0), *((low, high, 0) for low, high in pads), (0, 0, 0)]
    x = lax.pad(x, zero, edges).reshape(b, *(n + sum(p) for n, p in zip(sizes, pads, strict=True)),
                                        groups, c // groups)  # fmt: skip
    w = w.reshape(rows, columns, per, groups, out // groups)

    def tap(i: int, j: int) -> jax.Array:
        first = (0, i * dilation[0], j * dilation[1], 0, 0)
        last = [f + (n - 1) * s + 1 for f, n, s in zip(first[1:3], counts, stride, strict=True)]
        seen = lax.slice(x, first, (b, *last, *x.shape[3:]), (1, *stride, 1, 1))
        if per == 1:
            return seen * w[i, j, 0]
        return jnp.einsum("bhwgi,igo->bhwgo", seen, w[i, j])

    taps = [tap(i, j) for i in range(rows) for j in range(columns)]
    return functools.reduce(jnp.add, taps).reshape(b, *counts, out)


def _xla(x, w, stride, pads, dilation, lhs_dilation=(1, 1)) -> jax.Array:
    return lax.conv_general_dilated(
        x, w, stride, pads, lhs_dilation, dilation, dimension_numbers=_LAYOUT
    )


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _conv(x: jax.Array, w: jax.Array, stride: Pair, pads: tuple[Pair, Pair], dilation: Pair):
    return _xla(x, w, stride, pads, dilation)


def _conv_forward(x, w, stride, pads, dilation):
    return _conv(x, w, stride, pads, dilation), (x, w)


def _conv_backward(stride, pads, dilation, residuals, g):
    x, w = residuals
    lows = [low for low, _ in pads]
    spans = [d * (k - 1) for d, k in zip(dilation, w.shape[:2], strict=True)]
    # The last input pixel (padded coordinates) that the last output's first tap reads.
    starts = [s * (o - 1) for s, o in zip(stride, g.shape[1:3], strict=True)]
    sizes = x.shape[1:3]

    along = list(zip(lows, spans, starts, sizes, strict=True))
    # Input gradient: the flipped kernel slid over g, with holes where the stride skipped.
    flipped = w[::-1, ::-1].swapaxes(2, 3)
    input_pads = [(span - low, size - 1 - start + low) for low, span, start, size in along]
    dx = _xla(g, flipped, (1, 1), input_pads, dilation, lhs_dilation=stride)
    # Weight gradient: g as a kernel slid over x, examples as channels, stride and dilation swapped.
    weight_pads = [(low, span + start + 1 - size - low) for low, span, start, size in along]
    dw = _xla(x.transpose(3, 1, 2, 0), g.transpose(1, 2, 0, 3), dilation, weight_pads, stride)
    return dx, dw.transpose(1, 2, 0, 3)


_conv.defvjp(_conv_forward, _conv_backward)


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
