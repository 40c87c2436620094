"""Who carries a study out where nobody is named."""

import dataclasses
from types import SimpleNamespace

import pytest

from cnnjax.cli.main import main
from cnnjax.data import Dataset
from cnnjax.nets import vary
from cnnjax.study import environment, usual
from cnnjax.study.executors import inline, local
from cnnjax.study.plan import Point
from cnnjax.study.run import Run
from cnnjax.train.recipe import Recipe
from tests.test_executors import EXPERIMENTS
from tests.tiny import FLAGS, least_net, trials, write_dataset

ALONE = ("inline", inline.Options())


def workers(count):
    return "local", local.Options(workers=count)


@pytest.fixture
def run(tmp_path):
    data = Dataset(write_dataset(tmp_path / "tiny.npz"))
    return Run(least_net(), data, Recipe(epochs=2, batch_size=16), label="small")


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """Four cores, all memory, and plans that take an hour."""
    monkeypatch.setattr(environment, "cores", lambda: [0, 1, 2, 3])
    monkeypatch.setattr(environment, "free_memory", lambda: 2**40)
    monkeypatch.setattr(usual.estimate, "plan_seconds", lambda runs, *_: {"all": 3600.0})


@pytest.mark.parametrize("runs, expected", [(1, 1), (3, 1), (4, 2), (7, 3), (8, 4), (100, 4)])
def test_workers_share_the_cores_out_where_each_has_runs(run, runs, expected):
    found = usual.usual([Point(run, trials(0.1), runs)], 1, "cpu")
    assert found == (workers(expected) if expected > 1 else ALONE)


def test_runs_that_points_share_count_once(run):
    points = [Point(run, trials(0.1, 0.2), 2), Point(run, trials(0.1, 0.2), 2)]
    assert usual.usual(points, 1, "cpu") == workers(2)


def test_many_cores_have_so_many_workers_as_local_starts(run, monkeypatch):
    monkeypatch.setattr(environment, "cores", lambda: list(range(96)))
    assert usual.usual([Point(run, trials(0.1), 100)], 1, "cpu") == workers(local.ROOM)


@pytest.mark.parametrize("devices, platform", [(1, "gpu"), (1, "tpu"), (2, "cpu")])
def test_accelerators_and_several_devices_are_this_process_s(run, devices, platform):
    assert usual.usual([Point(run, trials(0.1), 100)], devices, platform) == ALONE


def test_what_is_brief_is_done_here(run, monkeypatch):
    monkeypatch.setattr(usual.estimate, "plan_seconds", lambda runs, *_: {"all": usual.LEAST / 2})
    assert usual.usual([Point(run, trials(0.1), 100)], 1, "cpu") == ALONE


def test_what_cannot_be_told_is_done_here(run):
    run = dataclasses.replace(run, axes=(("a", object()),))
    assert usual.usual([Point(run, trials(0.1), 100)], 1, "cpu") == ALONE


def test_measurements_are_of_this_process():
    point = SimpleNamespace(trains=False)
    assert usual.usual([point], 1, "cpu") == ALONE


def test_they_fit_into_memory(run, monkeypatch):
    points = [Point(run, trials(0.1), 100)]
    each = usual.run_bytes([run])
    monkeypatch.setattr(environment, "free_memory", lambda: 3 * each)
    assert usual.usual(points, 1, "cpu") == workers(3)
    monkeypatch.setattr(environment, "free_memory", lambda: 2 * each - 1)
    assert usual.usual(points, 1, "cpu") == ALONE
    monkeypatch.setattr(environment, "free_memory", lambda: None)
    assert usual.usual(points, 1, "cpu") == workers(4)


def test_the_largest_training_counts(run):
    wide = dataclasses.replace(run, net=vary.width(run.net, 64))
    large = dataclasses.replace(wide, recipe=Recipe(epochs=2, batch_size=1024))
    sizes = [usual.run_bytes(runs) for runs in ([run], [run, wide], [wide, large, run])]
    assert usual.PROCESS < sizes[0] < sizes[1] < sizes[2]


def test_free_memory_is_the_machine_s_at_most(monkeypatch):
    monkeypatch.undo()
    free = environment.free_memory()
    assert free is None or 2**20 < free < 2**50


@pytest.mark.parametrize(
    "flags, expected",
    [
        ((), ", 4 at a time"),
        (("--quick", "--local.workers=3"), ", 3 at a time"),
        (("--quick",), "to train, about"),
        (("--train_seconds=1",), "to train, about"),
        (("--executor=inline",), "to train, about"),
        (("--devices=2",), "to train, about"),
    ],
)
def test_the_plan_says_how_many_at_a_time(flags, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(local, "gpus", list)
    changed = ("--executor", "--seeds", "--epochs")
    command = [flag for flag in FLAGS if not flag.startswith(changed)]
    data = f"--dataset={write_dataset(tmp_path / 'tiny.npz', side=16)}"
    command += ["--experiment=width", data, "--widths=1,2", "--seeds=4", "--dry_run", *flags]
    assert main([*command, f"--results={tmp_path}"], EXPERIMENTS) == 0
    said = capsys.readouterr().out
    assert expected in said and ("at a time" in said) == ("at a time" in expected)
