"""Receptive field: the bounding box, unclipped, of what one unit of a map sees of the image.

Araujo, Norris & Sim, "Computing receptive fields of convolutional neural networks" (Distill 2019).
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from cnnjax.compute.spatial import Field
from cnnjax.compute.trace import Trace

UNIT = "pixels"
T = TypeVar("T")


def per_layer(trace: Trace) -> list[int | list[int] | None]:
    """At each layer's output; None where its units see the whole image (or nothing of it)."""
    return on_maps(trace, _size)


def total(trace: Trace) -> int | list[int]:
    """Of the last map before global pooling or flattening; 0 if the output sees no pixel.

    Squeeze-and-excitation gates see all and are left out: `trace.field.is_global` says so.
    """
    return _size(trace.field) if trace.field else 0


def on_maps(trace: Trace, measure: Callable[[Field], T]) -> list[T | None]:
    """`measure` of the field at each layer's output, None where that is no map."""
    fields = (layer.field for layer in trace.layers)
    return [measure(field) if field and field.is_map else None for field in fields]


def one_or_both(pair: Iterable[int]) -> int | list[int]:
    """One number for rows and columns where they agree, else [rows, columns]."""
    rows, columns = pair
    return rows if rows == columns else [rows, columns]


def _size(field: Field) -> int | list[int]:
    return one_or_both(field.sizes)
