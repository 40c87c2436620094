"""Effective stride: how many pixels lie between neighbouring units of a map.

Araujo, Norris & Sim, "Computing receptive fields of convolutional neural networks" (Distill 2019).
"""

from cnnjax.compute.receptive_field import on_maps, one_or_both
from cnnjax.compute.spatial import Field
from cnnjax.compute.trace import Trace

UNIT = "pixels between units of the map"


def per_layer(trace: Trace) -> list[int | list[int] | None]:
    """At each layer's output; None where its units have no place in the image."""
    return on_maps(trace, _stride)


def total(trace: Trace) -> int | list[int]:
    """Of the last map before global pooling or flattening; 0 if the output sees no pixel."""
    return _stride(trace.field) if trace.field else 0


def _stride(field: Field) -> int | list[int]:
    return one_or_both(axis.stride for axis in field.axes)
