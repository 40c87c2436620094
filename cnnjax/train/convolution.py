"""Convolutions that are fast on the CPU, with their gradients; GPU and TPU keep XLA's.

XLA:CPU leaves the gradient convolutions of a loop's body in a form 25 to 100 times slower than
outside (https://github.com/jax-ml/jax/issues/12868), and is slow at some shapes anywhere. So here
are `native` ones, compiled from `train.native`, and `forms`, XLA's, with every convolution and its
gradients written as that of the `train.forms` which is fast at its shape. Both equal XLA's up to
rounding.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.train import forms as written
from cnnjax.train.forms import LAYOUT, Pads, Pair
from cnnjax.train.native import ops

FEW = 4  # Up to so many groups a convolution for each is faster than products by taps.
LANES = 8  # Channels that a vector of every processor's divides.


def _as_laxs(convolve: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """`convolve(x, w, stride, pads, dilation, groups)` of NHWC images, called as
    `lax.conv_general_dilated` is, which does what it is not for."""

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
        layout = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
        covered = (
            lhs.ndim == 4
            and layout == lax.conv_dimension_numbers(lhs.shape, rhs.shape, LAYOUT)
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
        stride, dilation = tuple(window_strides), tuple(rhs_dilation or (1, 1))
        return convolve(lhs, rhs, stride, pads, dilation, feature_group_count)

    return conv_general_dilated


def _native(x, w, stride: Pair, pads: Pads, dilation: Pair, groups: int) -> jax.Array:
    """In float32, and what has less precision by way of it."""
    if not _suits(x, w, groups):
        return _forms(x, w, stride, pads, dilation, groups)
    at = ops.Window(x.shape[1:3], w.shape[:2], stride, pads, dilation, groups)
    y = ops.convolve(x.astype(jnp.float32), w.astype(jnp.float32), at)
    return y.astype(x.dtype)


def _suits(x: jax.Array, w: jax.Array, groups: int) -> bool:
    """Groups of one channel by whole vectors of groups, others if they fill a vector themselves."""
    each = groups == x.shape[3] == w.shape[3]
    fits = groups == 1 or (groups % LANES == 0 if each else w.shape[3] // groups >= LANES)
    return fits and x.dtype == w.dtype and x.dtype in (jnp.float32, jnp.bfloat16)


def _forms(x, w, stride: Pair, pads: Pads, dilation: Pair, groups: int) -> jax.Array:
    if 1 < groups <= FEW:
        xs, ws = (jnp.split(a, groups, axis=-1) for a in (x, w))
        parts = [_conv(x, w, stride, pads, dilation) for x, w in zip(xs, ws, strict=True)]
        return jnp.concatenate(parts, axis=-1)
    if groups > 1:
        return written.by_taps(x, w, stride, pads, dilation, groups)
    return _conv(x, w, stride, pads, dilation)


# What `lax.conv_general_dilated` does, without groups or natively in reverse mode only.
native, forms = _as_laxs(_native), _as_laxs(_forms)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _conv(x: jax.Array, w: jax.Array, stride: Pair, pads: Pads, dilation: Pair) -> jax.Array:
    return written.convolve(x, w, stride, pads, dilation)


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
    input_pads = tuple((span - low, size - 1 - start + low) for low, span, start, size in along)
    dx = written.convolve(g, flipped, (1, 1), input_pads, dilation, holes=stride)
    weight_pads = tuple((low, span + start + 1 - size - low) for low, span, start, size in along)
    return dx, written.correlate(x, g, dilation, weight_pads, stride)


_conv.defvjp(_conv_forward, _conv_backward)
