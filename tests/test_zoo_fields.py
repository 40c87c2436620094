"""The truth of receptive fields, for every net: what is seen is what has a gradient."""

import numpy as np
import pytest

from cnnjax import nets
from cnnjax.compute import receptive_field_fill
from cnnjax.compute.spatial import Field
from cnnjax.compute.trace import trace
from cnnjax.nets.net import Net
from tests import zoo

LARGE = 700  # Pixels beyond which rows and columns are looked at one after the other.


def assert_field_is_support(net: Net, shape: tuple[int, int, int]) -> Field:
    """Compare every pixel of an image larger than the field; of a large one each row, then each
    column, in an image that is narrow the other way: a window reaches all its rows there too."""
    field = trace(net, shape).field
    (height, i), (width, j) = (zoo.room(a, n) for a, n in zip(field.axes, shape[:2], strict=True))
    if max(height, width) <= LARGE:
        places = {(): ((height, width), (i, j))}
    else:
        narrow = [5 * axis.stride for axis in field.axes]
        places = {1: ((height, narrow[1]), (i, 2)), 0: ((narrow[0], width), (2, j))}
    for other, place in places.items():
        seen = zoo.support(zoo.linear(net), *place)
        np.testing.assert_array_equal(seen.any(other), zoo.predicted(field, *place).any(other))
    return field


@zoo.each
def test_a_unit_sees_the_pixels_that_it_has_a_gradient_at(name):
    net, shape = zoo.native(name), nets.native_shape(name)
    assert_field_is_support(net, shape)
    assert receptive_field_fill.total(trace(net, shape)) == 1  # No net of a paper leaves holes.


@pytest.mark.parametrize(
    ("name", "axes", "fill"),
    [
        # Strided 1×1 convolutions skip units, but the fields of those that they keep overlap …
        ("resnet50_v1", {"depth": 1}, 1),
        # … unless what comes before sees next to nothing.
        ("resnet50_v1", {"depth": 1, "kernel": (3, 1, 1, 3)}, (57 / 83) ** 2),
        # Every second pixel each way, one more at both ends; every third.
        ("resnet20", {"dilation": 2}, (81 / 161) ** 2),
        ("resnet20", {"dilation": 3, "depth": 1}, (25 / 73) ** 2),
        ("mobilenet_v2", {"dilation": 2}, (491 / 981) ** 2),
        ("vgg4_slim", {"dilation": 2, "pooling": "stride"}, (15 / 29) ** 2),
        # Rates that grow by stage leave none, nor does a stride traded for dilation.
        ("resnet20", {"dilation": (1, 2, 4)}, 1),
        ("resnet20", {"output_stride": 1}, 1),
        ("drn26", {"output_stride": 4}, 1),
    ],
)
def test_what_leaves_holes(name, axes, fill):
    net, shape = zoo.native(name, **axes), nets.native_shape(name)
    field = assert_field_is_support(net, shape)
    assert receptive_field_fill.total(trace(net, shape)) == pytest.approx(fill), field.sizes
