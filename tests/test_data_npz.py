"""Arrays in an npz file."""

import numpy as np
import pytest

from cnnjax.data import Dataset, check, load
from cnnjax.errors import UserError


def arrays(**changes):
    rng = np.random.default_rng(0)
    made = {
        "x_train": rng.integers(0, 256, (30, 6, 5, 3), dtype=np.uint8),
        "y_train": np.arange(30) % 4,
        "x_test": rng.integers(0, 256, (8, 6, 5, 3), dtype=np.uint8),
        "y_test": np.arange(8) % 4,
    } | changes
    return {name: array for name, array in made.items() if array is not None}


def write(path, **changes):
    np.savez(path / "d.npz", **arrays(**changes))
    return Dataset(str(path / "d.npz"))


def test_arrays_are_taken_as_they_are(tmp_path):
    found = load(write(tmp_path))
    assert (found.test.images == arrays()["x_test"]).all()
    assert found.test.labels.tolist() == (np.arange(8) % 4).tolist()
    assert found.info.class_names == ("0", "1", "2", "3")
    assert found.info.image_shape == (6, 5, 3)


def test_floats_are_taken_to_the_nearest_of_256_levels(tmp_path):
    levels = arrays()["x_test"]
    found = load(write(tmp_path, x_test=(levels / 255).astype(np.float32)))
    assert (found.test.images == levels).all()


def test_grey_images_need_no_channel_axis_and_labels_may_be_a_column(tmp_path):
    grey = {name: arrays()[name][..., 0] for name in ("x_train", "x_test")}
    found = load(write(tmp_path, **grey, y_test=arrays()["y_test"][:, None]))
    assert found.info.image_shape == (6, 5, 1)
    assert len(found.test) == 8


def test_mirroring_is_as_told_and_off_if_not_told(tmp_path):
    assert not load(write(tmp_path)).info.flip
    assert "mirroring is off" in load(write(tmp_path)).info.notes[0]
    assert load(write(tmp_path, flip=np.array(True))).info.flip
    names = np.array(["ant", "bee", "cow", "dog"])
    found = load(write(tmp_path, class_names=names))
    assert found.info.flip
    assert found.info.class_names == tuple(names)
    assert not load(write(tmp_path, class_names=np.array(list("abcd")))).info.flip


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"x_test": None, "y_train": None}, "lacks y_train, x_test; it has x_train, y_test"),
        ({"x_val": np.zeros((2, 6, 5, 3))}, "has x_val without its partner: give both or none"),
        ({"y_val": np.zeros(2, int)}, "has y_val without its partner"),
        ({"y_test": np.zeros(7, int)}, r"y_test is int64 \[7\]: .* each of the 8 images"),
        ({"y_test": np.zeros(8)}, r"y_test is float64 \[8\]: give a whole number"),
        ({"y_test": np.eye(8, 4, dtype=int)}, r"y_test is int64 \[8, 4\]: give a whole number"),
        ({"y_test": np.arange(8) - 2}, "y_test has the label -2: count classes from 0"),
        ({"x_test": np.zeros((8, 6, 4, 3))}, r"differ in shape: \[\(6, 4, 3\), \(6, 5, 3\)\]"),
        ({"x_test": np.zeros((8, 3, 32, 32))}, r"x_test is \[8, 3, 32, 32\]: give \[n, height"),
        ({"x_test": np.zeros((8, 6))}, r"x_test is \[8, 6\]: give \[n, height"),
        ({"x_test": np.zeros((0, 6, 5, 3))}, r"x_test is \[0, 6, 5, 3\]: give \[n, height"),
        ({"x_test": np.zeros((8, 6, 5, 3), int)}, "x_test is int64: give uint8, or floats"),
        ({"x_test": np.full((8, 6, 5, 3), 1.5)}, "x_test runs from 1.5 to 1.5: give floats"),
        ({"x_test": np.full((8, 6, 5, 3), np.nan)}, "x_test runs from nan to nan: give floats"),
        ({"class_names": np.array(["a"])}, "class_names has 1 names, and labels go to 3"),
        ({"x_test": np.array([None])}, r"can't read .*d.npz \(Object arrays cannot be loaded"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(tmp_path, changes, match):
    dataset = write(tmp_path, **changes)
    for function in (check, load):
        with pytest.raises(UserError, match=match) as e:
            function(dataset)
        assert "\n" not in str(e.value)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut short"])
def test_what_is_no_npz_file_is_told(tmp_path, content):
    (tmp_path / "d.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"can't read .*d.npz \(.*\): write it with numpy.savez"):
        check(Dataset(str(tmp_path / "d.npz")))


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UserError, match=r"there is no file .*none\.npz"):
        check(Dataset(str(tmp_path / "none.npz")))
