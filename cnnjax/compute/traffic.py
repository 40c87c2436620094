"""Bytes moved: what convolutions and dense layers read and write once, in the types of the trace.

Input map, weights and output of each, as if nothing stayed in a cache from one layer to the next,
nothing else moved and nothing were read twice: the memory side of the roofline (Williams, Waterman
& Patterson 2009, "Roofline"). Bias, padding and what lies between these layers are left out;
all of a map counts, though a strided 1×1 convolution skips part of it.
"""

from cnnjax.compute.trace import Layer, Trace

UNIT = "bytes of input, weights and output of convolutions and dense layers per image"


def per_layer(trace: Trace) -> list[int]:
    """Of each layer, in the trace's order."""
    return [_moved(layer) for layer in trace.layers]


def total(trace: Trace) -> int:
    """Of the whole net."""
    return sum(per_layer(trace))


def _moved(layer: Layer) -> int:
    if layer.eqn is None:
        return 0
    arrays = (v.aval for v in (*layer.eqn.invars[:2], *layer.eqn.outvars))
    return layer.times * sum(a.size * a.dtype.itemsize for a in arrays)
