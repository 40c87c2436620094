"""Datasets as values, splits held out, statistics, the cache: what all sources share."""

import dataclasses
import importlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnjax.data import Dataset, Outline, check, draws, load, names, pixels
from cnnjax.data import source as source_module
from cnnjax.data.source import flippable
from cnnjax.errors import UserError
from cnnjax.values import from_json, key, to_json


def write_npz(path, n=40, test=12, val=0, shape=(9, 9, 3), classes=4, **more):
    """An npz dataset of random images, all different."""
    rng = np.random.default_rng(0)
    arrays = {}
    for name, size in (("train", n), ("test", test), ("val", val)):
        if size:
            arrays[f"x_{name}"] = rng.integers(0, 256, (size, *shape), dtype=np.uint8)
            arrays[f"y_{name}"] = np.arange(size) % classes
    np.savez(path, **arrays | more)
    return str(path)


def rows(images):
    """The images as a set of byte strings."""
    return {image.tobytes() for image in images}


def pairs(images, labels):
    return [(x.tobytes(), y) for x, y in zip(images, labels, strict=True)]


# The value.


OTHERS = {
    "name": "cifar10", "size": 48, "resolution": 16, "train_examples": 100, "stream": True,
    "eval_crop": 0.875, "classes": (1, 7),
}  # fmt: skip


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Dataset)])
def test_every_field_of_a_dataset_is_in_its_key(field):
    other = OTHERS[field]
    dataset = Dataset(**{field: other})
    assert key(dataset) != key(Dataset())
    assert from_json(to_json(dataset)) == dataset


@pytest.mark.parametrize(
    ("field", "limits"),
    [("size", "16 to 256"), ("resolution", "8 to 1024"), ("train_examples", "at least 1")],
)
@given(n=st.one_of(st.integers(max_value=0), st.floats(), st.booleans(), st.text(max_size=3)))
def test_a_field_out_of_its_range_is_named_with_value_and_range(field, limits, n):
    with pytest.raises(UserError) as e:
        Dataset(**{field: n})
    assert str(e.value) == f"{field}={n!r}: use a whole number " + (
        f"from {limits}" if "to" in limits else f"of {limits}"
    )


def test_upper_ends_are_checked_and_included():
    Dataset(size=256, resolution=1024)
    for field, n in (("size", 257), ("resolution", 1025)):
        with pytest.raises(UserError, match=f"{field}={n}: use a whole number from"):
            Dataset(**{field: n})


def test_an_empty_name_is_an_error():
    with pytest.raises(UserError, match="name=' ': name a dataset, such as cluttered_digits"):
        Dataset(" ")


# Held-out splits and subsets.


@settings(deadline=None, max_examples=20)
@given(n=st.integers(3, 300))
def test_held_out_and_kept_examples_partition_the_training_set(n, tmp_path_factory):
    path = write_npz(tmp_path_factory.mktemp("npz") / "d.npz", n=n, shape=(2, 3, 1))
    made = np.load(path)
    found = load(Dataset(path))
    assert len(found.val) == max(n // 10, 1)
    assert len(found.train) + len(found.val) == n
    left, held = (pairs(s.images, s.labels) for s in (found.train, found.val))
    assert sorted(left + held) == sorted(pairs(made["x_train"], made["y_train"]))


def test_a_validation_split_that_is_there_is_used_as_it_is(tmp_path):
    path = write_npz(tmp_path / "d.npz", n=40, val=7)
    found = load(Dataset(path))
    assert (len(found.train), len(found.val), len(found.test)) == (40, 7, 12)
    assert rows(found.val.images) == rows(np.load(path)["x_val"])
    assert not any("validation" in note for note in found.info.notes)


def test_what_is_held_out_is_told_in_the_notes(tmp_path):
    notes = load(Dataset(write_npz(tmp_path / "d.npz", n=40))).info.notes
    assert "validation: 4 of 40 training images, by a fixed permutation" in notes


def test_at_most_5000_are_held_out(tmp_path):
    found = check(Dataset(write_npz(tmp_path / "d.npz", n=60_000, shape=(1, 1, 1))))
    assert (found.train, found.val) == (55_000, 5_000)


def test_smaller_training_sets_are_prefixes_of_larger_and_leave_the_rest_alone(tmp_path):
    path = write_npz(tmp_path / "d.npz")
    small, large, whole = (load(Dataset(path, train_examples=n)) for n in (5, 20, None))
    assert (small.train.images == large.train.images[:5]).all()
    assert rows(large.train.images) < rows(whole.train.images)
    for cut in (small, large):
        assert (cut.val.images == whole.val.images).all()
        assert (cut.test.images == whole.test.images).all()


def test_more_training_examples_than_there_are_is_an_error_with_the_number(tmp_path):
    dataset = Dataset(write_npz(tmp_path / "d.npz", n=40), train_examples=37)
    for function in (check, load):
        with pytest.raises(UserError, match=r"train_examples=37: .*d\.npz has 36 to train on"):
            function(dataset)


def test_too_few_images_to_hold_any_out_is_an_error(tmp_path):
    with pytest.raises(UserError, match="d has 2 training images: too few to hold any out"):
        load(Dataset(write_npz(tmp_path / "d.npz", n=2)))


def test_check_agrees_with_load(tmp_path):
    for dataset in (
        Dataset(write_npz(tmp_path / "d.npz"), resolution=8, train_examples=11),
        Dataset(resolution=16, train_examples=99),
    ):
        found = load(dataset)
        sizes = (len(found.train), len(found.val), len(found.test))
        assert check(dataset) == Outline(found.info, *sizes)
        assert found.info.image_shape == found.train.images.shape[1:]


# What a source is.


def test_statistics_are_the_training_images_own(tmp_path):
    found = load(Dataset(write_npz(tmp_path / "d.npz"), train_examples=20))
    scaled = found.train.images.astype(np.float64) / 255
    assert found.mean.dtype == found.std.dtype == np.float32
    np.testing.assert_allclose(found.mean, scaled.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(found.std, scaled.std((0, 1, 2)), rtol=1e-6)


def test_a_channel_of_one_value_can_be_divided_by(tmp_path):
    x = np.zeros((30, 4, 4, 2), np.uint8)
    path = write_npz(tmp_path / "d.npz", shape=(4, 4, 2), n=30, x_train=x)
    assert (load(Dataset(path)).std > 0).all()


def test_a_split_is_a_random_access_source():
    split = load(Dataset(train_examples=5)).train
    examples = [split[i] for i in range(len(split))]
    for name in ("scale", "clutter", "original", "fragments"):
        assert [e[name] for e in examples] == list(split.extra[name])
    assert [e["label"] for e in examples] == list(split.labels)
    assert (np.stack([e["image"] for e in examples]) == split.images).all()
    assert {e["image"].dtype for e in examples} == {np.dtype(np.uint8)}
    assert split.labels.dtype == np.int32


def test_a_loaded_dataset_is_shared_and_therefore_read_only():
    found = load(Dataset())
    assert load(Dataset()) is found
    with pytest.raises(ValueError, match="read-only"):
        found.test.images[0] = 0


def test_a_file_that_changed_is_read_again(tmp_path):
    path = write_npz(tmp_path / "d.npz", n=40)
    assert len(load(Dataset(path)).train) == 36
    write_npz(path, n=50)
    assert len(load(Dataset(path)).train) == 45


def test_a_new_dataset_is_one_new_file(tmp_path, monkeypatch):
    (tmp_path / "gradients.py").write_text(
        "import numpy as np\n"
        "from cnnjax.data.source import Info, Raw, Split\n"
        "NAMES = ('gradients',)\n"
        "def claims(name): return name in NAMES\n"
        "def stamp(dataset): return 'gradients'\n"
        "def read(dataset):\n"
        "    split = Split(np.zeros((20, 8, 8, 1), np.uint8), np.zeros(20, np.int32))\n"
        "    return Raw(Info('gradients', (8, 8, 1), ('a',), True, 'here'), split, None, split)\n"
    )
    package = importlib.import_module("cnnjax.data.sources")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    try:
        assert set(names()) == {"cluttered_digits", "gradients"}
        assert len(load(Dataset("gradients")).train) == 18
    finally:
        sys.modules.pop("cnnjax.data.sources.gradients", None)
        source_module._load.cache_clear()


def test_naming_and_checking_a_dataset_imports_nothing_heavy():
    code = (
        "import sys; from cnnjax.data import Dataset, check, names; from cnnjax.data.augment "
        "import Augment; names(); check(Dataset()); Augment(flip=True); print([m for m in "
        "('jax', 'tensorflow_datasets', 'sklearn', 'PIL', 'scipy') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "classes", "flips"),
    [
        ("mnist", (), False),
        ("emnist/letters", (), False),
        ("svhn_cropped", (), False),
        ("omniglot", (), False),
        ("cifar10", ("airplane", "cat"), True),
        ("pictures", ("a", "b"), False),
        ("pictures", ("ant", "bee"), True),
    ],
)
def test_digits_and_characters_are_not_mirrored(name, classes, flips):
    assert flippable(name, classes) is flips


# Pixels and draws.


@settings(deadline=None, max_examples=30)
@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    channels=st.integers(1, 5),
    side=st.integers(8, 24),
    level=st.integers(0, 255),
)
def test_fit_gives_the_side_asked_for_and_keeps_a_constant(height, width, channels, side, level):
    image = np.full((height, width, channels), level, np.uint8)
    assert (pixels.fit(image, side) == np.full((side, side, channels), level, np.uint8)).all()


def test_fit_takes_the_central_square():
    image = np.zeros((8, 24, 1), np.uint8)
    image[:, 8:16] = 200
    assert (pixels.fit(image, 8) == 200).all()
    assert (pixels.fit(image.transpose(1, 0, 2), 8) == 200).all()


def test_fit_is_antialiased():
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))[..., None]
    assert abs(pixels.fit(stripes, 16).astype(int) - 127).max() < 20


def test_png_keeps_the_pixels():
    for channels in (1, 3):
        image = np.random.default_rng(0).integers(0, 256, (7, 5, channels), dtype=np.uint8)
        assert (pixels.decode(pixels.png(image), channels) == image).all()


@given(n=st.integers(0, 200), seed=st.integers(0, 2**32))
def test_permutations_are_permutations_and_fixed(n, seed):
    order = draws.permutation(n, seed)
    assert sorted(order) == list(range(n))
    assert (order == draws.permutation(n, seed)).all()


def test_permutations_never_change():
    assert draws.permutation(10, 2).tolist() == [7, 3, 6, 0, 8, 1, 4, 9, 5, 2]


@given(low=st.integers(-50, 50), span=st.integers(0, 100))
def test_draws_stay_within_both_ends(low, span):
    drawn = draws.between(draws.words(0).random_raw(2000), low, low + span)
    assert drawn.min() >= low
    assert drawn.max() <= low + span
    if span < 50:
        assert set(drawn) == set(range(low, low + span + 1))
