"""Parameters: the trainable numbers; running statistics of norms are none."""

from cnnjax.compute.trace import Trace

UNIT = "trainable numbers"


def per_layer(trace: Trace) -> list[int]:
    """Of each layer, in the trace's order."""
    return [layer.params for layer in trace.layers]


def total(trace: Trace) -> int:
    """Of the whole net."""
    return sum(per_layer(trace))
