"""Receptive field: the bounding box, unclipped, of what one unit of a map sees of the image.

Araujo, Norris & Sim, "Computing receptive fields of convolutional neural networks" (Distill 2019).
"""

from cnnjax.compute.spatial import Field
from cnnjax.compute.trace import Trace

UNIT = "pixels"


def per_layer(trace: Trace) -> list[int | list[int] | None]:
    """At each layer's output; None where its units see the whole image (or nothing of it)."""
    return [
        _size(layer.field) if layer.field and layer.field.is_map else None for layer in trace.layers
    ]


def total(trace: Trace) -> int | list[int]:
    """Of the last map before global pooling or flattening; 0 if the output sees no pixel.

    Squeeze-and-excitation gates see all and are left out: `trace.field.is_global` says so.
    """
    return _size(trace.field) if trace.field else 0


def _size(field: Field) -> int | list[int]:
    """The side of a square, or [height, width]."""
    height, width = field.sizes
    return height if height == width else [height, width]
