"""A streamed training is the one in memory; what feeds it ends with it."""

import contextlib
import dataclasses
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import cnnjax
from cnnjax.data import Dataset, load, pixels
from cnnjax.data.stream import Stream
from cnnjax.errors import UserError
from cnnjax.study import experiment
from cnnjax.study.plan import Head
from cnnjax.study.results import Folder
from cnnjax.study.run import Run
from cnnjax.study.worker import Worker
from cnnjax.train import feed, hosts
from cnnjax.train.devices import local
from cnnjax.train.evaluation import evaluate
from cnnjax.train.loop import Hooks, make_task, train
from cnnjax.train.precision import precision
from cnnjax.train.recipe import make_recipe
from tests import parallel
from tests.test_train import distance
from tests.tiny import least_net, small_net

ROOT = Path(__file__).resolve().parent.parent

RECIPE = make_recipe(epochs=3, batch_size=16, learning_rate=0.05, pad_crop=1, cutout=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """As `tiny.write_dataset`, in files."""
    root, draws = tmp_path_factory.mktemp("data") / "tiny", np.random.default_rng(0)
    for split, n in (("train", 48), ("val", 20), ("test", 20)):
        for i in range(n):
            image = draws.integers(0, 100, (8, 8), np.uint8)
            image[3 * (i % 3) : 3 * (i % 3) + 2, :3] += 120
            path = root / split / f"class {i % 3}" / f"{i:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    return root


@pytest.fixture(scope="module")
def resident(folder):
    return load(Dataset(f"folder:{folder}", stream=False))


@pytest.fixture(scope="module")
def streamed(folder):
    return load(Dataset(f"folder:{folder}", stream=True))


def trained(source, recipe=RECIPE, mode="pmap", count=1, workers=0, **more):
    with precision(recipe.dtype):
        where = local(mode, count, data_workers=workers)
        return train(small_net(), recipe, source, 3, where, **more)


def far(a, b):
    return distance(a.variables, b.variables)


@pytest.mark.parametrize(
    ("mode", "count", "workers"),
    [("pmap", 1, 0), ("pmap", 8, 0), ("jit", 8, 0),
     *(pytest.param(*case, marks=pytest.mark.slow) for case in (("fsdp", 4, 0), ("pmap", 2, 2)))],
)  # fmt: skip
def test_a_streamed_training_is_the_one_in_memory(resident, streamed, mode, count, workers):
    """Order, augmentation, batch norm, dropout: to rounding, on any number of devices."""
    recipe = dataclasses.replace(RECIPE, dtype="float64")
    one = trained(resident, recipe)
    other = trained(streamed, recipe, mode, count, workers)
    assert (one.steps, other.steps) == (9, 9)
    assert far(one, other) < 1e-10


@pytest.mark.parametrize(
    "tune", [pytest.param("gradual(parts=2)", marks=pytest.mark.slow), "probe"]
)
def test_what_trains_is_the_same_streamed(resident, streamed, tune):
    recipe = make_recipe(RECIPE, dtype="float64", fine_tune=tune)
    one, other = trained(resident, recipe), trained(streamed, recipe)
    assert far(one, other) < 1e-10
    with precision("float64"):
        split = [o.seen(s.test) for o, s in ((one, resident), (other, streamed))]
        found = [evaluate(o.program, local(count=1), o.state, s, "test")
                 for o, s in zip((one, other), split, strict=True)]  # fmt: skip
    np.testing.assert_allclose(found[0].logits, found[1].logits, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found[0].labels, found[1].labels)


def test_what_comes_cropped_is_not_cropped_again(resident, streamed):
    recipe = dataclasses.replace(RECIPE, crop_scale=0.5)
    scales = [make_task(small_net(), recipe, s).augment.crop_scale for s in (resident, streamed)]
    assert scales == [0.5, 1.0]


def test_crops_are_cut_where_images_are_decoded(streamed, monkeypatch):
    asked = set()
    cropped = Stream.cropped

    def noted(stream, i, scale, *seed):
        asked.add((scale, *seed))
        return cropped(stream, i, scale, *seed)

    monkeypatch.setattr(Stream, "cropped", noted)
    done = trained(streamed, dataclasses.replace(RECIPE, epochs=2, crop_scale=0.5))
    assert done.status == "done"
    assert asked == {(0.5, 3, 0), (0.5, 3, 1)}  # The recipe's scale, the seed, the epoch.


def test_flags_say_what_is_streamed(folder):
    words = [f"--dataset=folder:{folder}", "--resolution=32", "--net=lenet5"]
    found = experiment.setting(experiment.load("train", ROOT / "experiments", words))
    assert (found.dataset.stream, found.dataset.eval_crop) == (None, 1.0)
    words += ["--stream", "--eval_crop=0.875"]
    found = experiment.setting(experiment.load("train", ROOT / "experiments", words))
    assert (found.dataset.stream, found.dataset.eval_crop) == (True, 0.875)


def test_a_resumed_stream_is_the_uninterrupted_one_to_the_bit(streamed, tmp_path):
    whole = trained(streamed)
    rows, statuses = [], []
    for asks in (0, 1, 0, 1000):
        left = iter(range(asks))
        hooks = Hooks(epoch=rows.append, stop=lambda left=left: next(left, None) is None)
        part = trained(streamed, hooks=hooks, saved=tmp_path / "saved")
        statuses.append(part.status)
    assert statuses == ["stopped", "stopped", "stopped", "done"]
    for a, b in zip(jax.tree.leaves(whole.state), jax.tree.leaves(part.state), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [row["epoch"] for row in rows] == [1, 2, 3]


def test_evaluation_of_a_stream_counts_each_example_once_in_order(resident, streamed):
    done = trained(streamed, dataclasses.replace(RECIPE, epochs=1), count=2)
    where = local(count=2)
    one, other = (evaluate(done.program, where, done.state, s.test, "test")
                  for s in (resident, streamed))  # fmt: skip
    assert one.logits.shape == (20, 3)
    np.testing.assert_array_equal(one.logits, other.logits)
    np.testing.assert_array_equal(other.labels, resident.test.labels)
    assert one.metrics == other.metrics


def test_waiting_is_measured_where_there_is_something_to_wait_for(resident, streamed, monkeypatch):
    rows = []
    hooks = Hooks(epoch=rows.append)
    trained(resident, hooks=hooks)
    assert not any("input_wait_seconds" in row for row in rows)
    decode = pixels.decode

    def slowly(*args):
        time.sleep(0.01)
        return decode(*args)

    rows.clear()
    monkeypatch.setattr(pixels, "decode", slowly)
    begun = time.perf_counter()
    trained(streamed, hooks=hooks)
    took = time.perf_counter() - begun
    # The first batch alone takes 0.08 s of two threads; later ones may be ready in time.
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[0]["input_wait_seconds"] > 0.02
    assert sum(row["input_wait_seconds"] for row in rows) < took


def test_a_broken_image_ends_the_training_and_its_threads(streamed, monkeypatch):
    def broken(*_):
        raise ValueError("cut off")

    before = threading.active_count()
    monkeypatch.setattr(pixels, "decode", broken)
    with pytest.raises(UserError, match=r"can't read the image .*png \(cut off\): mend or remove"):
        trained(streamed)
    gone(before)


def gone(threads):
    """Grain's own threads end by themselves soon after."""
    late = time.monotonic() + 10
    while threading.active_count() > threads and time.monotonic() < late:
        time.sleep(0.05)
    assert threading.active_count() <= threads


def test_a_stopped_training_leaves_no_thread(streamed, tmp_path):
    before = threading.active_count()
    assert trained(streamed, hooks=Hooks(stop=lambda: True)).status == "stopped"
    gone(before)


@pytest.mark.parametrize("taken", [0, 1, 5, 9])
def test_items_are_made_ready_ahead_in_order_and_closed(taken):
    made, closed = [], []

    def items():
        try:
            for i in range(9):
                made.append(i)
                yield i
        finally:
            closed.append(True)

    ahead = feed.Ahead(items(), lambda x: 10 * x)
    assert [ahead.get(10) for _ in range(taken)] == [10 * i for i in range(taken)]
    time.sleep(0.05)
    assert len(made) <= taken + feed.AHEAD + 1
    if taken == 9:
        with pytest.raises(StopIteration):
            ahead.get(10)
    ahead.close()
    assert closed == [True]


def test_what_is_not_there_yet_is_not_waited_for_long():
    go = threading.Event()

    def items():
        go.wait(10)
        yield 1

    with contextlib.closing(feed.Ahead(items(), lambda x: x)) as ahead:
        with pytest.raises(queue.Empty):
            ahead.get(0.01)
        go.set()
        assert ahead.get(10) == 1


def test_a_net_is_fitted_and_evaluated_on_a_stream_in_a_line(folder, streamed):
    data = Dataset(f"folder:{folder}", stream=True)
    assert isinstance(streamed.test, Stream)
    done = cnnjax.fit(small_net(), data, epochs=2, batch_size=16, devices=1)
    found = done.evaluate(data, "val")
    assert found["examples"] == 20
    assert found["accuracy"] == pytest.approx(done.history[-1]["val_accuracy"])
    with pytest.raises(UserError, match=r"images of \(9, 9, 1\) given, the net takes \(8, 8, 1\)"):
        done.evaluate(Dataset(f"folder:{folder}", resolution=9, stream=True))


@pytest.fixture
def executor(tmp_path):
    made = Folder(tmp_path / "results" / "tiny")
    made.create(Head("tiny", "What?", None, None).json([]))
    return Worker(made, local(count=1), "tiny")


def test_a_streamed_run_leaves_what_one_in_memory_leaves_and_its_waiting(folder, executor):
    data = Dataset(f"folder:{folder}", stream=False)
    run = Run(least_net(), data, make_recipe(epochs=2, batch_size=16), label="small")
    other = dataclasses.replace(run, dataset=dataclasses.replace(data, stream=True))
    one, two = executor.execute(run), executor.execute(other)
    assert (one["status"], two["status"]) == ("done", "done")
    assert set(two["timings"]) - set(one["timings"]) == {"input_wait_seconds"}
    rows = executor.folder.read_curve(other.key)
    waits = [row["input_wait_seconds"] for row in rows]
    assert two["timings"]["input_wait_seconds"] == pytest.approx(sum(waits), abs=2e-3)
    assert set(one["metrics"]) == set(two["metrics"])
    for name, v in one["metrics"].items():
        assert two["metrics"][name] == pytest.approx(v, rel=1e-3, abs=1e-3)
    a, b = (np.load(executor.folder.run_dir(r.key) / "predictions.npz") for r in (run, other))
    for name in ("index", "label"):
        np.testing.assert_array_equal(a[name], b[name])
    assert any(note.startswith("streamed: ") for note in two["data"]["notes"])


def test_a_run_whose_image_is_broken_failed_and_says_which(folder, executor, monkeypatch):
    data = Dataset(f"folder:{folder}", stream=True)
    load(data)
    run = Run(least_net(), data, make_recipe(epochs=1, batch_size=16), label="small")
    monkeypatch.setattr(pixels, "decode", lambda *_: (_ for _ in ()).throw(ValueError("cut off")))
    record = executor.execute(run)
    assert record["status"] == "failed"
    assert re.fullmatch(
        r"can't read the image .*\.png \(cut off\): mend or remove it", record["error"]
    )


def launched(folder, results, *flags):
    """A study of one net on a stream, in a process of its own."""
    words = [
        "--experiment=train", f"--dataset=folder:{folder}", "--resolution=32", "--stream",
        "--net=lenet5", "--batch_size=16", "--learning_rate=0.01", "--seeds=1", "--epochs=2",
        f"--results={results}", "--data_workers=2", *flags,
    ]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, str(ROOT / "launch.py"), *words], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def members(group):
    """The processes of a session, by id, with their states; zombies have ended."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rsplit(")", 1)[1].split()
            if int(fields[3]) == group and fields[0] != "Z":
                found[int(path.parent.name)] = fields[0]
    return found


def ended(group):
    """What Python starts to tidy up after processes ends a moment later."""
    late = time.monotonic() + 30
    while members(group) and time.monotonic() < late:
        time.sleep(0.2)
    assert not members(group)


@pytest.mark.slow
def test_a_study_streams_with_processes_that_end_with_it(folder, tmp_path):
    process = launched(folder, tmp_path)
    text = process.communicate(timeout=300)[0]
    assert process.returncode == 0, text
    assert "Traceback" not in text
    ended(process.pid)
    (path,) = tmp_path.glob("train/runs/*/record.json")
    record = json.loads(path.read_text())
    assert record["status"] == "done"
    assert record["timings"]["input_wait_seconds"] > 0
    assert "data_workers" not in json.dumps(record["config"])


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_or_killed_it_leaves_no_process(folder, tmp_path, how):
    process = launched(folder, tmp_path, "--epochs=100000")
    late = time.monotonic() + 120
    while len(members(process.pid)) < 3 and time.monotonic() < late:
        time.sleep(0.2)
    time.sleep(5)  # Workers have begun, or begin while they are asked to end.
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # As a terminal does: workers hear it too.
    else:
        process.kill()
    text = process.communicate(timeout=120)[0]
    ended(process.pid)
    if how == signal.SIGINT:
        assert "Traceback" not in text
        (path,) = tmp_path.glob("train/runs/*/record.json")
        assert json.loads(path.read_text())["status"] == "stopped"


# Two processes of one training.


def child(index, port, folder, out):
    jax.config.update("jax_num_cpu_devices", 2)
    hosts.start(f"127.0.0.1:{port}", 2, index)
    source = load(Dataset(f"folder:{folder}", stream=True))
    recipe = dataclasses.replace(RECIPE, dtype="float64")
    read = []
    decode = Stream._decoded

    def counted(stream, i):
        read.append(i)
        return decode(stream, i)

    Stream._decoded = counted
    found = {}
    for mode in ("pmap", "jit", "fsdp"):
        read.clear()
        done = trained(source, recipe, mode, None)
        with precision("float64"):
            where = local(mode)
            test = evaluate(done.program, where, done.state, source.test, "test")
        leaves = [np.asarray(x).ravel() for x in jax.tree.leaves(done.variables["params"])]
        found |= {f"{mode}-params": np.concatenate(leaves), f"{mode}-labels": test.labels,
                  f"{mode}-logits": test.logits, f"{mode}-read": len(read)}  # fmt: skip
    np.savez(Path(out) / f"{index}.npz", **found)


@pytest.mark.slow
def test_two_processes_read_a_half_each_and_train_as_one(folder, streamed, tmp_path):
    port = parallel.free_port()
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    environment["XLA_FLAGS"] = "--xla_backend_optimization_level=1"
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.test_feed", *map(str, (i, port, folder, tmp_path))],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for i in range(2)
    ]  # fmt: skip
    texts = [p.communicate(timeout=600)[0] for p in started]
    assert [p.returncode for p in started] == [0, 0], texts
    recipe = dataclasses.replace(RECIPE, dtype="float64")
    one = trained(streamed, recipe, count=4)
    wanted = np.concatenate(
        [np.asarray(x).ravel() for x in jax.tree.leaves(one.variables["params"])]
    )
    whole = 3 * (48 + 32) + 32  # Examples, padding left out: 3 epochs, 3 validations, a test.
    for index in range(2):
        found = np.load(tmp_path / f"{index}.npz")
        for mode in ("pmap", "jit", "fsdp"):
            assert np.abs(found[f"{mode}-params"] - wanted).max() < 1e-10 * np.abs(wanted).max()
            assert found[f"{mode}-labels"].tolist() == sorted(i % 3 for i in range(20))
            assert found[f"{mode}-read"] <= whole / 2 + 16


if __name__ == "__main__":
    child(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:5])
