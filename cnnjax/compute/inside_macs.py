"""MACs whose tap falls inside the map, beside `macs`, where those on its padding count too.

On small maps under large or dilated kernels a third of the taps and more lies on padding, which
adds nothing to the sum: an implementation may leave them out, and XLA's own count does. Padding
that the program writes out itself (`jnp.pad`) is part of the map.
"""

from functools import lru_cache
from math import prod

import numpy as np
from jax.extend.core import JaxprEqn

from cnnjax.compute import operations
from cnnjax.compute.trace import Trace

UNIT = "multiply-accumulates inside the map per image"


def per_layer(trace: Trace) -> list[int]:
    """Of each layer, in the trace's order."""
    return [inside_macs(layer.eqn) * layer.times if layer.eqn else 0 for layer in trace.layers]


def total(trace: Trace) -> int:
    """Of the whole net."""
    return sum(per_layer(trace))


def inside_macs(eqn: JaxprEqn) -> int:
    """Multiply-accumulates of one convolution or matrix product, taps on padding left out.

    Exact for stride, dilation of either side, uneven padding and groups: along each axis of the map
    the pairs of an output and a tap that meet a unit are counted, and the pairs of axes multiply.
    """
    if eqn.primitive.name == operations.DOT:
        return operations.macs(eqn)
    p, (left, right) = eqn.params, (v.aval.shape for v in eqn.invars[:2])
    out, spec = eqn.outvars[0].aval.shape, p["dimension_numbers"]
    axes = zip(
        [left[d] for d in spec.lhs_spec[2:]],
        [out[d] for d in spec.out_spec[2:]],
        [right[d] for d in spec.rhs_spec[2:]],
        p["window_strides"],
        p["rhs_dilation"],
        [low for low, _ in p["padding"]],
        p["lhs_dilation"],
        strict=True,
    )
    batch, features = (out[d] for d in spec.out_spec[:2])
    return batch * features * right[spec.rhs_spec[1]] * prod(_pairs(*axis) for axis in axes)


@lru_cache(maxsize=4096)
def _pairs(
    size: int, outputs: int, taps: int, stride: int, dilation: int, low: int, holes: int
) -> int:
    """Pairs of an output and a tap that meet one of `size` units, which stand `holes` apart."""
    places = np.arange(outputs)[:, None] * stride + np.arange(taps) * dilation - low
    inside = (places >= 0) & (places <= (size - 1) * holes) & (places % holes == 0)
    return int(inside.sum())
