"""Activation memory: the most bytes that the values of one image take at a time in inference.

Of the traced program, one equation after another: each makes new arrays, views (reshapes,
broadcasts) make none, an elementwise one writes over an input that nothing needs afterwards, and an
array goes after its last use. In a chain that is the largest input and output of one operation
together (Sandler et al. 2018, "MobileNetV2", §5.1). Weights are left out: see `weight_memory`.

A machine may need less, where XLA fuses operations or orders them otherwise, or more, for the
scratch space of its convolutions: `cnnjax.compute.temp_memory` asks it.
"""

from collections import defaultdict, deque

from cnnjax.compute.liveness import Chain, chain, inner
from cnnjax.compute.trace import Trace

UNIT = "bytes of one image's values at their peak in inference"


def per_layer(trace: Trace) -> list[int]:
    """While each layer's operation runs, in the trace's order; 0 where it has none."""
    found = _chain(trace)
    held: dict[int, deque[int]] = defaultdict(deque)
    for op, there in zip(found.ops, found.held(), strict=True):
        for eqn in _with_inner(op.eqn):
            held[id(eqn)].append(there)
    # A function that is called twice has its equations twice, in the order of the calls.
    return [
        held[id(layer.eqn)].popleft() if held.get(id(layer.eqn)) else 0 for layer in trace.layers
    ]


def total(trace: Trace) -> int:
    """At the peak."""
    return _chain(trace).peak()


def _chain(trace: Trace) -> Chain:
    return chain(trace.program, [False] * (len(trace.program.in_avals) - 1) + [True])


def _with_inner(eqn):
    yield eqn
    for jaxpr in inner(eqn):
        for one in jaxpr.eqns:
            yield from _with_inner(one)
