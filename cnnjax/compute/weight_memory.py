"""Weight memory: parameters and running statistics, in the types in which `net.init` makes them."""

from cnnjax.compute.trace import Trace

UNIT = "bytes of parameters and running statistics"


def per_layer(trace: Trace) -> list[int]:
    """Of each layer, in the trace's order."""
    return [layer.stored for layer in trace.layers]


def total(trace: Trace) -> int:
    """Of the whole net."""
    return sum(per_layer(trace))
