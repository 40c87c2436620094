"""Images of noise: as many and as large as the name says, the same every time."""

import numpy as np
import pytest

from cnnjax.data import Dataset, check, load
from cnnjax.errors import UserError


@pytest.mark.parametrize(
    ("name", "shape", "classes", "train"),
    [
        ("noise:8", (8, 8, 3), 1000, 1024),
        ("noise:8:5", (8, 8, 3), 5, 1024),
        ("noise:8x6x1:4:32", (8, 6, 1), 4, 32),
    ],
)
def test_the_name_says_what_it_is(name, shape, classes, train):
    told, source = check(Dataset(name)), load(Dataset(name))
    assert (told.info.image_shape, told.info.classes, told.train) == (shape, classes, train)
    assert source.train.images.shape == (train, *shape)
    assert len(source.val) == told.val
    assert source.train.labels.max() < classes
    np.testing.assert_array_equal(source.test.images, load(Dataset(name)).test.images)


@pytest.mark.parametrize("name", ["noise:", "noise:0", "noise:8:1", "noise:8x8", "noise:8:9:2"])
def test_other_names_are_refused(name):
    with pytest.raises(UserError, match="write noise:SIDE, or noise:HEIGHTxWIDTHxCHANNELS"):
        check(Dataset(name))


def test_a_large_one_is_known_and_not_made():
    assert check(Dataset("noise:224:1000:1281167")).train == 1281167
    with pytest.raises(UserError, match="takes over 8 GiB of memory"):
        load(Dataset("noise:224:1000:1281167"))
