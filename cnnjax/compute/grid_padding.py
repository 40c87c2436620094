"""Effective padding: how many pixels before the image the first unit's field begins.

With it the grid of a map is known: unit i sees the pixels i · stride - padding … + size - 1, and
its centre lies at i · stride - padding + (size - 1) / 2 (Araujo, Norris & Sim, "Computing receptive
fields of convolutional neural networks", Distill 2019). Negative where the map begins inside the
image, as after a slice.
"""

from cnnjax.compute.receptive_field import on_maps, one_or_both
from cnnjax.compute.spatial import Field
from cnnjax.compute.trace import Trace

UNIT = "pixels before the image"


def per_layer(trace: Trace) -> list[int | list[int] | None]:
    """At each layer's output; None where its units have no place in the image."""
    return on_maps(trace, _padding)


def total(trace: Trace) -> int | list[int]:
    """Of the last map before global pooling or flattening; 0 if the output sees no pixel."""
    return _padding(trace.field) if trace.field else 0


def _padding(field: Field) -> int | list[int]:
    return one_or_both(-axis.low for axis in field.axes)
