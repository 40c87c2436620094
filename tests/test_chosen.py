"""Some classes of a dataset: what is kept, how it is numbered, and that nothing else has moved."""

import dataclasses

import numpy as np
import pytest

from cnnjax import Dataset, UserError, data, values
from cnnjax.study import experiment as study
from tests.test_claims import EXPERIMENTS
from tests.tiny import write_dataset


@pytest.fixture
def name(tmp_path):
    return write_dataset(tmp_path / "tiny.npz", classes=3)


def test_only_the_chosen_classes_are_left_and_numbered_anew(name):
    whole, some = data.load(Dataset(name)), data.load(Dataset(name, classes=(0, 2)))
    assert some.info.classes == 2
    assert some.info.class_names == (whole.info.class_names[0], whole.info.class_names[2])
    for split in ("train", "val", "test"):
        before, after = getattr(whole, split), getattr(some, split)
        kept = before.labels != 1
        assert np.array_equal(after.images, before.images[kept])
        assert np.array_equal(after.labels, before.labels[kept] // 2)
    assert any("of 3 classes only" in note for note in some.info.notes)


def test_a_check_says_what_loading_gives():
    """Of the embedded dataset, whose check knows the sizes of the whole without reading it."""
    for dataset in (Dataset(size=16, classes=(5, 6, 7, 8, 9)),
                    Dataset(size=16, classes=(1, 7), train_examples=9)):  # fmt: skip
        found, outline = data.load(dataset), data.check(dataset)
        assert (outline.train, outline.val) == (len(found.train), len(found.val))
        assert outline.info == found.info
    assert set(found.train.labels) == {0, 1}
    assert len(found.train) == 9


def test_all_classes_is_the_dataset_as_it_was(name):
    assert values.key(Dataset(name)) == values.key(Dataset(name, classes=()))
    assert "classes" not in values.to_json(Dataset(name), defaults=False)
    assert values.key(Dataset()) == "d16c154d3eff3773"
    assert dataclasses.replace(Dataset(), classes=(0, 1)) != Dataset()


@pytest.mark.parametrize("bad", [(1,), (1, 0), (0, 0), (-1, 1), (0.0, 1.0), [0, 1], (True, 2)])
def test_no_choice_is_refused(bad):
    with pytest.raises(UserError, match="use at least two whole numbers in rising order"):
        Dataset(classes=bad)


def test_a_class_that_there_is_not_is_named(name):
    with pytest.raises(UserError, match="tiny has no class 3: they are numbered from 0 to 2"):
        data.load(Dataset(name, classes=(0, 3)))


def test_chosen_classes_are_not_streamed(tmp_path):
    with pytest.raises(UserError, match="can't be streamed; classes are chosen in memory"):
        data.check(Dataset(f"folder:{tmp_path}", stream=True, classes=(0, 1)))


def test_the_flag_chooses(name):
    found = study.setting(study.load("train", EXPERIMENTS, [f"--dataset={name}", "--classes=2,0"]))
    assert found.dataset.classes == (0, 2)
    assert found.classes == 2
    assert found.net("lenet5", (32, 32, 1)).head.classes == 2
