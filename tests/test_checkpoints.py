"""A training's checkpoints: the newest whole one is found, whatever happened to the others."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnjax.data import Dataset, load
from cnnjax.errors import UserError
from cnnjax.train import checkpoint, checkpoints, loop
from cnnjax.train.devices import local
from cnnjax.train.loop import Hooks, train
from cnnjax.train.precision import precision
from cnnjax.train.recipe import Recipe
from tests.parallel import net
from tests.tiny import write_dataset

TREE = {"w": jnp.arange(5.0), "n": jnp.int32(3)}


def fill(folder, steps, scores=()):
    for i, step in enumerate(steps):
        tree = {"w": jnp.arange(5.0) + step, "n": jnp.int32(step)}
        checkpoints.save(folder, step, tree, dict(enumerate(scores)).get(i))


def steps_in(folder):
    return sorted(int(p.name) for p in folder.iterdir())


def largest(folder):
    files = [p for p in (folder / "arrays").rglob("*") if p.is_file()]
    return max(files, key=lambda p: p.stat().st_size)


@pytest.fixture
def told():
    return []


def test_the_newest_is_restored_and_old_ones_go(tmp_path, told):
    fill(tmp_path, (7, 20, 100))
    assert steps_in(tmp_path) == [20, 100]
    found = checkpoints.restore(tmp_path, TREE, told.append)
    assert (int(found["n"]), told) == (100, [])
    np.testing.assert_array_equal(found["w"], np.arange(5.0) + 100)


def test_the_best_on_validation_is_kept(tmp_path):
    fill(tmp_path, (1, 2, 3, 4, 5), (0.1, 0.9, 0.3, 0.2, 0.1))
    assert steps_in(tmp_path) == [2, 4, 5]


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def truncated(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (lambda folder: flipped(largest(folder)), "is not as it was written"),
        (lambda folder: truncated(largest(folder)), "is not as it was written"),
        (lambda folder: largest(folder).unlink(), "is missing"),
        (lambda folder: (folder / "arrays" / "more").write_text("x"), "more is not as it was"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "its manifest can't be read"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "is no list of files"),
        (lambda folder: shutil.rmtree(folder / "arrays"), "is missing"),
    ],
)
def test_a_damaged_one_is_named_and_the_one_before_it_taken(tmp_path, told, harm, word):
    fill(tmp_path, (1, 2))
    harm(tmp_path / "000000002")
    assert int(checkpoints.restore(tmp_path, TREE, told.append)["n"]) == 1
    (line,) = told
    assert "000000002 is damaged" in line
    assert word in line


@settings(max_examples=25)
@given(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 7))
def test_no_flipped_bit_is_missed(tmp_path_factory, file, byte, bit):
    folder = tmp_path_factory.mktemp("c") / "c"
    checkpoint.save(folder, TREE)
    files = sorted(p for p in (folder / "arrays").rglob("*") if p.is_file() and p.stat().st_size)
    path = files[file % len(files)]
    content = bytearray(path.read_bytes())
    content[byte % len(content)] ^= 1 << bit
    path.write_bytes(bytes(content))
    with pytest.raises(checkpoint.Damaged, match="is not as it was written"):
        checkpoint.check(folder)


def test_what_a_kill_left_half_written_is_none_and_goes(tmp_path, told):
    fill(tmp_path, (1,))
    (tmp_path / "000000002.new" / "arrays").mkdir(parents=True)
    assert int(checkpoints.restore(tmp_path, TREE, told.append)["n"]) == 1
    fill(tmp_path, (3,))
    assert steps_in(tmp_path) == [1, 3]


def test_none_is_found_where_there_is_none(tmp_path, told):
    assert checkpoints.restore(tmp_path / "none", TREE, told.append) is None
    checkpoints.remove(tmp_path / "none")


def test_a_full_disk_is_told_in_a_line_and_the_one_before_stands(tmp_path, monkeypatch, told):
    fill(tmp_path, (1,))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "_write", full)
    with pytest.raises(UserError, match=r"can't save .*000000002 \(No space left on device; \d+ M"):
        fill(tmp_path, (2,))
    assert int(checkpoints.restore(tmp_path, TREE, told.append)["n"]) == 1


@pytest.mark.parametrize(("mode", "count"), [("jit", 4), ("fsdp", 8), ("pmap", 1)])
def test_a_training_goes_on_with_other_devices_and_in_another_mode(
    tmp_path, monkeypatch, mode, count
):
    """In float64, so that only rounding differs; a damaged newest checkpoint costs some steps."""
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(loop, "DISPATCH_SECONDS", 1e-9)  # One step a dispatch, saved after each.
    source = load(Dataset(write_dataset(tmp_path / "tiny.npz")))
    recipe = Recipe(epochs=3, batch_size=16, learning_rate=0.05, dtype="float64")
    saved, told = tmp_path / "checkpoints", []
    asked = iter(range(100))
    with precision("float64"):
        whole = train(net(), recipe, source, 3, local("pmap", 2))
        hooks = Hooks(stop=lambda: next(asked) >= 4)
        part = train(net(), recipe, source, 3, local("pmap", 2), hooks, saved)
        assert (part.status, part.steps) == ("stopped", 5)
        flipped(largest(saved / "000000005"))
        hooks = dataclasses.replace(Hooks(), say=told.append)
        rest = train(net(), recipe, source, 3, local(mode, count), hooks, saved)
    assert "000000005 is damaged" in told[0]
    assert rest.status == "done"
    pairs = zip(jax.tree.leaves(whole.variables), jax.tree.leaves(rest.variables), strict=True)
    assert max(np.abs(np.asarray(a) - np.asarray(b)).max() for a, b in pairs) < 1e-10


def test_the_score_is_the_accuracy_on_validation(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    source = load(Dataset(write_dataset(tmp_path / "tiny.npz")))
    rows = []
    hooks = Hooks(epoch=rows.append, stop=lambda: len(rows) == 2)
    recipe = Recipe(epochs=5, batch_size=16, learning_rate=0.05)
    train(net(), recipe, source, 0, local("pmap", 1), hooks, tmp_path / "c")
    newest = max(p for p in (tmp_path / "c").iterdir())
    assert json.loads((newest / "score.json").read_text()) == rows[-1]["val_accuracy"]
