"""Multiply-accumulates of convolutions and dense layers; padding taps count, bias does not.

FLOPs are twice as many.
"""

from jax.extend.core import ClosedJaxpr

from cnnjax.compute.spatial import DATA
from cnnjax.compute.trace import Trace
from cnnjax.compute.walk import total_macs, walk

UNIT = "multiply-accumulates per image"


def per_layer(trace: Trace) -> list[int]:
    """Of each layer, in the trace's order."""
    return [layer.macs for layer in trace.layers]


def total(trace: Trace) -> int:
    """Of the whole net."""
    return sum(per_layer(trace))


def count_macs(program: ClosedJaxpr) -> int:
    """Multiply-accumulates of any traced program, gradients included; dead code is none.

    Scanned bodies count as often as they run; of a conditional's branches the dearest counts.

    Raises:
      Unfollowed: operations inside a while loop, whose rounds aren't known.
    """
    return total_macs(walk(program, [DATA] * len(program.in_avals))[1])
