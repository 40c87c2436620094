"""Convolution that is fast on the CPU, in a loop too, with its gradients; GPU and TPU keep XLA's.

XLA:CPU leaves the gradient convolutions of a loop's body in a form 25 to 100 times slower than
outside (https://github.com/jax-ml/jax/issues/12868), and is slow at some shapes anywhere. Here
every convolution, its gradients too, is written as that of the `forms` which is fast at its shape,
equal to XLA's up to rounding.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.train import forms
from cnnjax.train.forms import LAYOUT, Pads, Pair

FEW = 4  # Up to so many groups a convolution for each is faster than products by taps.


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
    step, dilation = tuple(window_strides), tuple(rhs_dilation or (1, 1))
    if 1 < feature_group_count <= FEW:
        xs, ws = (jnp.split(a, feature_group_count, axis=-1) for a in (lhs, rhs))
        parts = [_conv(x, w, step, pads, dilation) for x, w in zip(xs, ws, strict=True)]
        return jnp.concatenate(parts, axis=-1)
    if feature_group_count > 1:
        return forms.by_taps(lhs, rhs, step, pads, dilation, feature_group_count)
    return _conv(lhs, rhs, step, pads, dilation)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _conv(x: jax.Array, w: jax.Array, stride: Pair, pads: Pads, dilation: Pair) -> jax.Array:
    return forms.convolve(x, w, stride, pads, dilation)


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
    dx = forms.convolve(g, flipped, (1, 1), input_pads, dilation, holes=stride)
    weight_pads = tuple((low, span + start + 1 - size - low) for low, span, start, size in along)
    return dx, forms.correlate(x, g, dilation, weight_pads, stride)


_conv.defvjp(_conv_forward, _conv_backward)
