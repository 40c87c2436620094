"""Activations: output elements of convolutions and dense layers (Radosavovic et al. 2020, §3.1:
a better guide to the running time on memory-bound hardware than MACs)."""

from cnnjax.compute.trace import Trace

UNIT = "output elements of convolutions and dense layers per image"


def per_layer(trace: Trace) -> list[int]:
    """Of each layer, in the trace's order."""
    return [layer.activations for layer in trace.layers]


def total(trace: Trace) -> int:
    """Of the whole net."""
    return sum(per_layer(trace))
