"""Fill: how much of the receptive field's box is seen at all.

Dilation and strided 1×1 convolutions leave holes, pixels between from which no path leads to the
unit (Wang et al. 2018, "Understanding convolution for semantic segmentation", §3.2, "gridding").
"""

from math import prod

from cnnjax.compute.receptive_field import on_maps
from cnnjax.compute.spatial import Field
from cnnjax.compute.trace import Trace

UNIT = "share of the receptive field's pixels"


def per_layer(trace: Trace) -> list[float | None]:
    """At each layer's output; None where its units see the whole image (or nothing of it)."""
    return on_maps(trace, _share)


def total(trace: Trace) -> float:
    """Of the last map before global pooling or flattening; 0 if the output sees no pixel."""
    return _share(trace.field) if trace.field else 0.0


def _share(field: Field) -> float:
    return field.count / prod(field.sizes)
