"""TFDS datasets, prepared here without TensorFlow and read without it."""

import contextlib
import dataclasses
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds

from cnnjax.data import Dataset, check, load, pixels
from cnnjax.data.source import _load
from cnnjax.errors import UserError


class Pictures(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Images whose level tells their label, in the shape and splits that a test asks for."""

    VERSION = tfds.core.Version("1.2.0")
    url_infos: ClassVar[dict] = {}

    def __init__(self, shape=(6, 5, 3), splits=None, features=None, labels=None, **kwargs):
        self._shape, self._splits, self._given = shape, splits or {}, features
        self._labels = labels or {}
        super().__init__(**kwargs)

    def _info(self):
        features = self._given or {
            "image": tfds.features.Image(shape=self._shape, encoding_format="png"),
            "label": tfds.features.ClassLabel(names=["ant", "bee", "cow"]),
            "id": tfds.features.Text(),
        }
        both = ("image", "label") if {"image", "label"} <= set(features) else None
        features = tfds.features.FeaturesDict(features)
        return tfds.core.DatasetInfo(
            builder=self, features=features, supervised_keys=both, disable_shuffling=True
        )

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(name, n) for name, n in self._splits.items()}

    def _generate_examples(self, split, n):
        for i in range(n):
            height, width, channels = (side or 5 + i % 4 for side in self._shape)
            image = np.full((height, width, channels), i % 256, np.uint8)
            label = self._labels.get(split, i % 3)
            example = {
                "image": pixels.png(image),
                "label": label,
                "id": f"{split} {i}",
                "number": i,
            }
            yield i, {name: example[name] for name in self.info.features}


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    return tmp_path


SPLITS = {"train": 40, "test": 9}


def prepare(root, splits=None, name="pictures", version="1.2.0", **kwargs):
    """Prepare `Pictures` under another name and version; the folder it is in."""
    attributes = {"name": name, "VERSION": tfds.core.Version(version)}
    with tfds.core.registered.skip_registration():
        kind = type("Pictures", (Pictures,), attributes)
    builder = kind(
        splits=SPLITS if splits is None else splits,
        data_dir=root,
        file_format="array_record",
        **kwargs,
    )
    tfds.display_progress_bar(False)
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare()
    return Path(builder.data_dir)


def levels(split):
    return split.images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("shape", [(6, 5, 3), (28, 28, 1), (8, 8, 4)])
def test_images_labels_and_classes_are_read_as_they_are(root, shape):
    prepare(root, shape=shape)
    found = load(Dataset("pictures"))
    assert found.info.image_shape == shape
    assert found.info.class_names == ("ant", "bee", "cow")
    assert found.info.provenance == "TFDS pictures/1.2.0"
    assert levels(found.test) == list(range(9))
    assert (found.test.labels == np.arange(9) % 3).all()
    assert sorted(levels(found.train) + levels(found.val)) == list(range(40))
    assert found.test.images.shape == (9, *shape)


def test_check_agrees_with_load_and_decodes_no_image(root, monkeypatch):
    prepare(root)
    dataset = Dataset("pictures", resolution=8)
    with monkeypatch.context() as patch:
        patch.setattr(pixels, "decode", None)
        outline = check(dataset)
    found = load(dataset)
    sizes = (len(found.train), len(found.val), len(found.test))
    assert (outline.info, outline.train, outline.val, outline.test) == (found.info, *sizes)


def test_images_of_varied_sizes_are_resized_and_that_is_told(root):
    prepare(root, shape=(None, None, 3))
    found = load(Dataset("pictures"))
    assert found.info.image_shape == (64, 64, 3)
    assert any("varied sizes, resized to 64 pixels" in note for note in found.info.notes)
    other = load(Dataset("pictures", resolution=12))
    assert other.train.images.shape[1:] == other.info.image_shape == (12, 12, 3)
    assert not any("varied" in note for note in other.info.notes)
    assert levels(other.test) == list(range(9))


def test_batches_leave_the_order_as_it_is(root, monkeypatch):
    prepare(root)
    monkeypatch.setattr("cnnjax.data.records._BATCH", 7)
    found = load(Dataset("pictures", resolution=9))
    assert levels(found.test) == list(range(9))


@pytest.mark.parametrize(
    ("splits", "labels", "sizes", "told"),
    [
        ({"train": 40, "validation": 8, "test": 9}, {}, (40, 8, 9), ()),
        ({"train": 40, "validation": 8}, {}, (36, 4, 8), ("test: the split 'validation'",)),
        ({"train": 40}, {}, (33, 3, 4), ("test: 4 of 40", "validation: 3 of 36")),
        (
            {"train": 40, "validation": 8, "test": 9},
            {"test": -1},
            (36, 4, 8),
            ("test: the split 'validation', since none with labels",),
        ),
    ],
)
def test_which_split_serves_as_what(root, splits, labels, sizes, told):
    prepare(root, splits, labels=labels)
    found = load(Dataset("pictures"))
    assert (len(found.train), len(found.val), len(found.test)) == sizes
    for note in told:
        assert any(line.startswith(note) for line in found.info.notes)


def test_the_second_load_needs_no_tfds_and_a_new_version_is_read_anew(root):
    prepare(root)
    code = (
        "import sys; from cnnjax.data import Dataset, load; found = load(Dataset('pictures')); "
        "print(len(found.test), 'tensorflow_datasets' in sys.modules)"
    )

    def said():
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert run.stderr == ""
        return run.stdout.split()

    assert [said(), said()] == [["9", "True"], ["9", "False"]]
    prepare(root, {"train": 40, "test": 11}, version="1.10.0")
    assert said() == ["11", "True"]
    assert len(load(Dataset("pictures:1.2.0")).test) == 9


def test_nothing_is_written_where_the_data_are(root):
    folder = prepare(root)
    before = sorted(root.rglob("*"))
    for file in (folder, *folder.iterdir()):
        os.chmod(file, 0o555 if file.is_dir() else 0o444)
    load(Dataset("pictures", resolution=10))
    assert sorted(root.rglob("*")) == before
    os.chmod(folder, 0o755)


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_streamed_images_are_those_in_memory(root, workers):
    prepare(root, shape=(None, None, 3))
    resident = Dataset("pictures", resolution=8, stream=False)
    one, other = load(resident), load(dataclasses.replace(resident, stream=True))
    assert check(dataclasses.replace(resident, stream=True)).info == other.info
    for split in ("train", "val", "test"):
        a, batches = getattr(one, split), list(getattr(other, split).batches(4, workers=workers))
        for field, wanted in (("images", a.images), ("labels", a.labels)):
            found = np.concatenate([getattr(batch, field) for batch in batches])[: len(a)]
            np.testing.assert_array_equal(found, wanted)


def test_a_broken_streamed_image_is_told(root, monkeypatch):
    prepare(root)
    stream = load(Dataset("pictures", resolution=8, stream=True)).train
    monkeypatch.setattr(pixels, "decode", lambda *_: (_ for _ in ()).throw(ValueError("cut off")))
    with pytest.raises(UserError, match="number 3[0-9]? of 'train' under .* .cut off.: prepare it"):
        stream.read(np.flatnonzero(stream.rows >= 30)[:1])


def test_streamed_rectangles_need_a_resolution(root):
    prepare(root)
    with pytest.raises(UserError, match="pictures: 6×5 images are streamed as squares: set resol"):
        check(Dataset("pictures", stream=True))


def test_digits_by_name_are_not_mirrored(root):
    prepare(root, name="kmnist")
    assert not load(Dataset("kmnist")).info.flip
    prepare(root)
    assert load(Dataset("pictures")).info.flip


# Errors.


def fails(name, match, **kwargs):
    """Checking fails with one line; loading does, too."""
    for function in (check, load):
        with pytest.raises(UserError, match=match) as e:
            function(Dataset(name, **kwargs))
        assert "\n" not in str(e.value)


def test_what_is_not_prepared_is_told_with_the_command(root):
    fails(
        "cifar10",
        r"cifar10 is not prepared under .*: run pip install -e '\.\[tf\]' && python -c "
        r"\"import tensorflow_datasets as tfds; tfds.builder\('cifar10', "
        r"file_format='array_record'\).download_and_prepare\(\)\", or set TFDS_DATA_DIR",
    )


def test_another_version_or_configuration_is_told(root):
    prepare(root)
    fails("pictures:9.0.0", r"pictures:9.0.0 is not prepared under .* \(there: 1.2.0\)")
    fails("pictures/big", r"pictures/big is not prepared under .*'pictures/big'")


def test_several_configurations_are_listed(root):
    folder = prepare(root)
    (root / "pairs" / "big").mkdir(parents=True)
    (root / "pairs" / "small").mkdir()
    folder.rename(root / "pairs" / "big" / "1.2.0")
    assert check(Dataset("pairs")).train == 36
    prepare(root).rename(root / "pairs" / "small" / "1.2.0")
    fails("pairs", "pairs is prepared as big, small: write pairs/big")
    assert check(Dataset("pairs/small:1.2.0")).train == 36


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("cifar01", "cifar10"),
        ("CIFAR10", "cifar10"),
        ("cluttered_digit", "cluttered_digits"),
        ("picture", "pictures"),
        ("../pictures", "pictures"),
    ],
)
def test_an_unknown_name_gives_the_nearest(root, name, near):
    prepare(root)
    fails(name, f"unknown dataset .*: did you mean '{near}'.*There are: cluttered_digits, pictures")


def test_an_unknown_name_with_nothing_near_gives_what_there_is(root):
    fails("zqxj", "unknown dataset 'zqxj': There are: cluttered_digits, TFDS names, folder:PATH")


def test_a_format_that_needs_tensorflow_is_told(root):
    for file in prepare(root).glob("*array_record*"):
        file.rename(file.with_name(file.name.replace("array_record", "tfrecord")))
    fails("pictures", "pictures under .* is prepared in a format that needs TensorFlow to read")


@pytest.mark.parametrize(
    "features",
    [
        {"number": np.int64},
        {"image": tfds.features.Image(shape=(6, 5, 3), encoding_format="png"), "number": np.int64},
        {
            "image": tfds.features.Image(shape=(6, 5, 3), encoding_format="png"),
            "label": np.int64,
        },
    ],
)
def test_what_is_no_image_classification_is_told(root, features):
    prepare(root, features=features)
    names = ", ".join(sorted(features))
    fails("pictures", rf"pictures is no image classification .* its features are {names}")


def test_no_training_split_is_told(root):
    prepare(root, {"test": 5, "extra": 5})
    fails("pictures", "pictures has no training split; it has extra, test")


def test_broken_metadata_are_told(root):
    (prepare(root) / "dataset_info.json").write_text("{")
    fails("pictures", r"can't read .*pictures/1.2.0 \(.*\): prepare it again")


def test_a_broken_image_is_told(root, monkeypatch):
    prepare(root)

    def broken(data, channels):
        raise ValueError("OSError: cut short")

    monkeypatch.setattr(pixels, "decode", broken)
    with pytest.raises(UserError, match=r"can't decode an image of pictures/1.2.0 under .*cut sho"):
        load(Dataset("pictures"))


def test_more_than_the_memory_holds_is_told(root, monkeypatch):
    prepare(root)
    monkeypatch.setattr(os, "sysconf", lambda name: 50)
    with pytest.raises(UserError, match=r"pictures at 9x9 needs 0 GiB of memory.*lower the resol"):
        load(Dataset("pictures", resolution=9))


def test_without_tfds_data_dir_it_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    prepare(tmp_path / "tensorflow_datasets")
    assert check(Dataset("pictures")).train == 36


@pytest.mark.slow
@pytest.mark.skipif("CNNJAX_TEST_TFDS" not in os.environ, reason="tells where CIFAR-10 is prepared")
def test_real_cifar10(monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", os.environ["CNNJAX_TEST_TFDS"])
    found = load(Dataset("cifar10"))
    assert (len(found.train), len(found.val), len(found.test)) == (45_000, 5_000, 10_000)
    assert found.info.class_names[:2] == ("airplane", "automobile")
    np.testing.assert_allclose(found.mean, [0.491, 0.482, 0.447], atol=2e-3)
    _load.cache_clear()
