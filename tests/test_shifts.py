"""Shifted test images: moved as by hand, and what a net's answers to them come to."""

import dataclasses

import numpy as np
import pytest

import cnnjax
from cnnjax import Dataset, UserError, data, nets
from cnnjax.data.split import Split
from cnnjax.study.results import Folder
from cnnjax.study.run import Run
from cnnjax.study.worker import Worker
from cnnjax.train import shifts
from cnnjax.train.devices import local
from cnnjax.train.recipe import Recipe
from tests.tiny import least_net, small_net, trials, write_dataset


def by_hand(image, down, right):
    """Pixel by pixel: what lies outside is the nearest pixel inside."""
    height, width = image.shape[:2]
    found = np.empty_like(image)
    for y in range(height):
        for x in range(width):
            row = min(max(y - down, 0), height - 1)
            column = min(max(x - right, 0), width - 1)
            found[y, x] = image[row, column]
    return found


@pytest.mark.parametrize(("down", "right"), [(0, 0), (1, 0), (-2, 0), (0, 3), (0, -1), (2, -2)])
def test_images_move_as_by_hand(down, right):
    images = np.random.default_rng(0).integers(0, 256, (3, 5, 6, 2), np.uint8)
    moved = shifts.moved(images, down, right)
    assert moved.dtype == np.uint8
    assert np.array_equal(moved, [by_hand(image, down, right) for image in images])


def test_a_metric_is_the_mean_over_shifts_and_directions():
    images = np.random.default_rng(1).integers(0, 256, (7, 6, 6, 1), np.uint8)
    split = Split(images, np.arange(7, dtype=np.int32) % 2)

    def answer(split):
        return (split.images[:, 2, 2, 0] > 128).astype(int)

    found = answer(split)
    same, right = [], []
    for k in (1, 2):
        for way in ((k, 0), (-k, 0), (0, k), (0, -k)):
            moved = np.array([by_hand(image, *way) for image in images])
            answers = answer(dataclasses.replace(split, images=moved))
            same.append((answers == found).mean())
            right.append((answers == split.labels).mean())
    metrics = shifts.tolerance(answer, split, found, (1, 2))
    assert metrics["shift_consistency"] == pytest.approx(np.mean(same))
    assert metrics["shift_accuracy"] == pytest.approx(np.mean(right))
    assert metrics["shift_consistency_2"] == pytest.approx(np.mean(same[4:]))
    assert 0 < metrics["shift_consistency"] < 1
    assert shifts.tolerance(answer, split, found, ()) == {}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    home = tmp_path_factory.mktemp("shifts")
    name = write_dataset(home / "tiny.npz")
    folder = Folder(home / "results")
    folder.create({"experiment": "train"})
    recipe = Recipe(epochs=4, batch_size=16)
    run = Run(least_net(), Dataset(name), recipe, shifts=(1, 2))
    return name, folder, run, Worker(folder, local(count=1), "train").execute(run)


def test_a_replicate_records_how_its_answers_shift(done):
    """As the saved net says of images moved by hand."""
    name, folder, run, record = done
    trained = cnnjax.load(folder.run_dir(run.key))
    images = data.load(Dataset(name)).test.images
    before = trained.predict(images).argmax(-1)
    same = []
    for k in (1, 2):
        for way in ((k, 0), (-k, 0), (0, k), (0, -k)):
            moved = np.array([by_hand(image, *way) for image in images])
            same.append((trained.predict(moved).argmax(-1) == before).mean())
    assert 0 < np.mean(same) < 1
    assert record["metrics"]["shift_consistency"] == pytest.approx(np.mean(same))
    assert record["metrics"]["shift_consistency_1"] == pytest.approx(np.mean(same[:4]))
    assert folder.load().records[run.key].metrics["shift_accuracy"] is not None


def test_shifts_are_part_of_what_a_run_is_and_their_default_is_not():
    plain = Run(nets.get("vgg4_slim"), seed=1)
    assert plain.key == dataclasses.replace(plain, shifts=()).key
    assert plain.key != dataclasses.replace(plain, shifts=(1,)).key
    assert plain.key == dataclasses.replace(plain, seeds=9).key
    (trial,) = trials(0.1)
    shifted = Run(plain.net, shifts=(1,))
    assert plain.at(trial, 1, test=False).key == shifted.at(trial, 1, False).key


@pytest.mark.parametrize("bad", [(0,), (-1,), (8,), (1.0,), (True,)])
def test_shifts_that_cannot_be_made_are_refused(tmp_path, bad):
    name = write_dataset(tmp_path / "tiny.npz")
    with pytest.raises(UserError, match="use whole numbers of pixels, 1 to 7"):
        Run(small_net(), Dataset(name), shifts=bad).check()
