"""How many devices and processes, and in which mode, changes nothing but rounding."""

import csv
import os
import signal
import subprocess
import sys
import time

import pytest

from cnnjax.errors import UserError
from cnnjax.train import hosts
from tests import parallel
from tests.tiny import write_dataset


@pytest.mark.slow
def test_devices_processes_and_modes_change_nothing_but_rounding(tmp_path):
    # `python -m tests.parallel` has 2 and 4 devices and a deeper net, in six times as long.
    rows = parallel.table(tmp_path, counts=(1, 8), depth=1)
    assert len(rows) == 2 * (1 + 3 + 3)
    assert {k: v for k, v in rows.items() if v > parallel.BOUNDS[k.split()[0]]} == {}
    assert any(v > 0 for v in rows.values())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("127.0.0.1:1", None, 0), "several hosts: give --num_processes too"),
        ((None, 2, None), "give --coordinator and --process_id too"),
        (("127.0.0.1:1", 2, 2), "process_id: 2 is out of range: from 0 to 1"),
    ],
)
def test_half_a_description_of_the_processes_is_refused(given, message):
    with pytest.raises(UserError, match=message):
        hosts.start(*given)


@pytest.mark.parametrize(
    ("environment", "several"),
    [
        ({}, False),
        ({"SLURM_NTASKS": "2", "SLURM_JOB_ID": "7"}, False),  # A job, but no step of it.
        ({"SLURM_STEP_NUM_TASKS": "1"}, False),
        ({"SLURM_STEP_NUM_TASKS": "2"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, True),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, True),
    ],
)
def test_a_launchers_processes_are_found_in_the_environment(environment, several, monkeypatch):
    joined = []
    for name in (*hosts._STEPS, "TPU_WORKER_HOSTNAMES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(hosts.jax.distributed, "initialize", lambda *a, **k: joined.append(a))
    hosts.start()
    assert bool(joined) is several


def test_one_process_agrees_with_itself():
    assert hosts.agree(True, False, 3) == (True, False, 3)
    assert hosts.tell([1, {"a": None}]) == [1, {"a": None}]
    assert hosts.leads()


def launch(results, processes, *flags, devices=2):
    """The whole command line in so many processes; the processes."""
    port = parallel.free_port()
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(parallel.ROOT)}
    words = [sys.executable, "launch.py", "--experiment=width", f"--results={results}", *flags,
             f"--cpu_devices={devices}"]  # fmt: skip
    several = [f"--coordinator=127.0.0.1:{port}", f"--num_processes={processes}"]
    return [
        subprocess.Popen(
            [*words, *([*several, f"--process_id={i}"] if processes > 1 else [])],
            cwd=parallel.ROOT, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for i in range(processes)
    ]  # fmt: skip


def ended(started):
    """Exit statuses and what was said."""
    said = [process.communicate(timeout=600)[0] for process in started]
    return [process.returncode for process in started], said


def table(results):
    """A study's table without what a clock says."""
    with (results / "width" / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    numbers = ("train_accuracy", "val_accuracy", "test_accuracy")
    return [{k: round(float(v), 6) if k in numbers and v else v for k, v in row.items()
             if k != "train_seconds"} for row in rows]  # fmt: skip


@pytest.mark.slow
def test_a_study_of_two_processes_is_that_of_one(tmp_path):
    """One of them is asked to stop on the way, and the same command goes on with another number."""
    data = write_dataset(tmp_path / "tiny.npz", side=16)
    flags = [f"--dataset={data}", "--widths=0.5,1", "--seeds=2", "--learning_rate=0.05",
             "--batch_size=16", "--dtype=float64", "--net=tests.tiny:least_net"]  # fmt: skip
    status, said = ended(launch(tmp_path / "one", 1, "--epochs=20", *flags, devices=4))
    assert status == [0], said
    status, said = ended(launch(tmp_path / "two", 2, "--epochs=20", *flags))
    assert status == [0, 0], said
    assert table(tmp_path / "two") == table(tmp_path / "one")
    assert "nothing left" in said[0]
    assert "test" not in said[1]  # Only the first talks.

    # Longer than any test waits.
    started = launch(tmp_path / "long", 2, "--epochs=100000", "--widths=1", *flags[:1], *flags[2:])
    curves = (tmp_path / "long" / "width" / "runs").glob
    while not list(curves("*/curve.jsonl")):
        assert all(process.poll() is None for process in started), ended(started)
        time.sleep(0.2)
    started[1].send_signal(signal.SIGTERM)
    status, said = ended(started)
    assert status == [130, 130], said
    assert "stopped and saved; the same command goes on from here" in said[0]
    assert list(curves("*/checkpoint/*/manifest.json"))


@pytest.mark.slow
def test_a_failure_in_several_processes_ends_all_of_them_with_a_line(tmp_path):
    data = write_dataset(tmp_path / "tiny.npz", side=16)
    flags = [f"--dataset={data}", "--widths=1", "--seeds=1", "--epochs=1", "--batch_size=18"]
    status, said = ended(launch(tmp_path / "results", 2, *flags))
    assert status[0] == 2
    assert "error: batch_size: 18 does not divide among 4 devices; try 16" in said[0]
    assert status[1] == 0  # There was nothing to train with.
