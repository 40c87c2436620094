"""Arithmetic intensity: FLOPs (2 · MACs) a byte moved.

A layer below its machine's ratio of arithmetic to bandwidth waits for memory, one above it for
arithmetic (Williams, Waterman & Patterson 2009, "Roofline"). One image alone: in a batch the
weights are read once for all, which raises it where weights outweigh maps.
"""

from cnnjax.compute import macs, traffic
from cnnjax.compute.trace import Trace

UNIT = "FLOPs per byte of input, weights and output"


def per_layer(trace: Trace) -> list[float | None]:
    """Of each layer, in the trace's order; None where nothing is multiplied."""
    pairs = zip(macs.per_layer(trace), traffic.per_layer(trace), strict=True)
    return [2 * n / moved if moved else None for n, moved in pairs]


def total(trace: Trace) -> float:
    """Of all convolutions and dense layers together; 0 if there are none."""
    moved = traffic.total(trace)
    return 2 * macs.total(trace) / moved if moved else 0.0
