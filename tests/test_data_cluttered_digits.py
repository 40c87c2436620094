"""The embedded dataset: the same everywhere, with splits that share no original."""

import dataclasses
import functools
import hashlib
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from cnnjax.data import Dataset, check, clutter, load
from cnnjax.data import source as source_module
from cnnjax.data.sources import cluttered_digits

# Of images and labels. They change only with the dataset's version.
HASHES = {"train": "48dcab20fa7ad015", "val": "ff837d875aa058bc", "test": "3cfccb4c17fcedcc"}
FEW = (("train", 30, 40), ("val", 20, 25), ("test", 20, 25))


@pytest.fixture(scope="module")
def originals():
    digits = load_digits()
    return digits.images.astype(np.uint8), digits.target


@pytest.fixture
def few(tmp_path, monkeypatch):
    """A cache of its own, and a recipe of few canvases."""
    monkeypatch.setenv("CNNJAX_CACHE", str(tmp_path))
    monkeypatch.setattr(clutter, "Recipe", functools.partial(clutter.Recipe, originals=FEW))
    source_module._load.cache_clear()
    yield tmp_path
    source_module._load.cache_clear()


def digest(split):
    return hashlib.sha256(split.images.tobytes() + split.labels.tobytes()).hexdigest()[:16]


def test_the_canvases_are_the_same_everywhere():
    found = load(Dataset())
    assert {name: digest(getattr(found, name)) for name in HASHES} == HASHES


def test_sizes_and_shape():
    found = load(Dataset())
    assert [s.images.shape for s in (found.train, found.val, found.test)] == [
        (n, 32, 32, 1) for n in (6000, 1000, 1500)
    ]
    assert found.info.class_names == tuple("0123456789")
    assert not found.info.flip


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_depends_on_no_original_of_another(originals, split):
    """Neither its digits nor its fragments: all other originals replaced, it stays the same."""
    digits, labels = originals
    recipe = clutter.Recipe(originals=(("train", 1000, 200), ("val", 300, 60), ("test", 497, 60)))
    block = {"train": (0, 1000), "val": (1000, 1300), "test": (1300, 1797)}[split]
    others = np.random.default_rng(0).integers(0, 17, digits.shape, dtype=np.uint8)
    others[slice(*block)] = digits[slice(*block)]
    a, b = (clutter.splits(d, labels, 32, recipe)[split] for d in (digits, others))
    assert (a.images == b.images).all()
    assert (a.extra["original"] >= block[0]).all()
    assert (a.extra["original"] < block[1]).all()


def test_originals_are_disjoint_and_used_equally_often():
    found = load(Dataset())
    used = [np.unique(s.extra["original"]) for s in (found.train, found.val, found.test)]
    assert sorted(np.concatenate(used)) == list(range(1797))
    for split in (found.train, found.val, found.test):
        counts = np.bincount(split.extra["original"])
        assert np.ptp(counts[counts > 0]) <= 1


def test_labels_are_the_originals(originals):
    split = load(Dataset()).test
    assert (split.labels == originals[1][split.extra["original"]]).all()


@pytest.mark.parametrize("size", [16, 32, 45])
def test_scale_grows_with_the_canvas_and_fragments_number_4_to_8(originals, size):
    recipe = clutter.Recipe(originals=(("train", 300, 400),))
    facts = clutter.splits(*originals, size, recipe)["train"].extra
    low, high = ((length * size + 16) // 32 for length in (12, 23))
    assert set(facts["scale"]) == set(range(low, high + 1))
    assert set(facts["fragments"]) == {4, 5, 6, 7, 8}
    assert facts["fragments"].mean() == pytest.approx(6, abs=0.3)
    assert facts["clutter"].min() >= 0
    assert facts["clutter"].max() < 1
    assert np.corrcoef(facts["clutter"], facts["fragments"])[0, 1] > 0.2


def test_without_fragments_the_digit_is_all_there_is(originals):
    recipe = clutter.Recipe(originals=(("train", 300, 50),), fragments=(0, 0))
    split = clutter.splits(*originals, 32, recipe)["train"]
    assert (split.extra["clutter"] == 0).all()
    # What is left is a digit of at least 0.6 contrast, and noise of 0.1 around it.
    assert (split.images.max((1, 2, 3)) > 130).all()
    dark = np.sort(split.images.reshape(50, -1), axis=1)[:, :400]
    assert dark.max() < 128


def test_noise_has_the_standard_deviation_asked_for(originals):
    recipe = clutter.Recipe(originals=(("train", 300, 20),), fragments=(0, 0), contrast=(0, 0))
    pixels = clutter.splits(*originals, 32, recipe)["train"].images / 255
    # Negative noise is cut off at black: half the squares are left.
    assert np.sqrt(2 * (pixels**2).mean()) == pytest.approx(0.1, rel=0.05)


def test_bilinear_weights_are_exact():
    for side in (6, 8, 12, 23):
        weights = clutter._bilinear(8, side)
        assert (weights.sum(1) == 2 * side).all()
        assert (weights == weights[::-1, ::-1]).all()
    assert (clutter._bilinear(8, 8) == 16 * np.eye(8)).all()


def test_it_is_prepared_once_and_then_read_without_tfds(few):
    code = (
        "import sys, functools; from cnnjax.data import clutter, Dataset, load; clutter.Recipe = "
        f"functools.partial(clutter.Recipe, originals={FEW}); found = load(Dataset()); print("
        "len(found.test), 'tensorflow_datasets' in sys.modules, 'sklearn' in sys.modules)"
    )
    said = []
    for _ in range(2):
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        assert run.stderr == ""
        said.append(run.stdout.split())
    assert said == [["25", "True", "True"], ["25", "False", "False"]]


def test_the_cache_file_tells_version_and_parameters(few):
    load(Dataset())
    before = {f.name for f in few.iterdir()}
    assert len(before) == 2
    assert all(name.startswith("cluttered_digits-32px-1.0.0-") for name in before)
    load(Dataset(size=40))
    assert len({f.name for f in few.iterdir()} - before) == 2


def test_another_recipe_has_another_stamp(monkeypatch):
    before = cluttered_digits.stamp(Dataset())
    for field, new in (("scale", (12, 24)), ("seed", 1), ("originals", FEW)):
        with monkeypatch.context() as patch:
            patch.setattr(clutter, "Recipe", functools.partial(clutter.Recipe, **{field: new}))
            assert cluttered_digits.stamp(Dataset()) != before
    assert {f.name for f in dataclasses.fields(clutter.Recipe)} >= {"scale", "seed", "originals"}


@pytest.mark.parametrize("damage", ["npz", "records", "both", "info"])
def test_what_was_damaged_is_made_anew(few, damage):
    before = load(Dataset())
    source_module._load.cache_clear()
    (npz,) = few.glob("*.npz")
    if damage != "records":
        npz.write_bytes(npz.read_bytes()[:-100])
    if damage in ("records", "both"):
        for file in few.rglob("*array_record*"):
            data = file.read_bytes()
            file.write_bytes(data[: len(data) // 2])
    if damage == "info":
        next(few.rglob("dataset_info.json")).write_text("{")
    after = load(Dataset())
    assert {n: digest(getattr(after, n)) for n in HASHES} == {
        n: digest(getattr(before, n)) for n in HASHES
    }


def test_the_prepared_data_are_tfds_data_that_keep_the_canvases(few, originals):
    import tensorflow_datasets as tfds

    load(Dataset())
    (info,) = few.rglob("dataset_info.json")
    records = tfds.builder_from_directory(info.parent).as_data_source("test")
    made = clutter.splits(*originals, 32, clutter.Recipe())["test"]
    for i in range(len(records)):
        for name, fact in made[i].items():
            assert np.array_equal(records[i][name], fact)


def test_the_users_tfds_folder_is_left_alone(few, tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("tfds")
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
    load(Dataset())
    assert list(folder.iterdir()) == []


def test_checking_makes_nothing(few):
    assert check(Dataset()).train == 40
    assert list(few.iterdir()) == []
