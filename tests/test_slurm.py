"""A study on a real Slurm of two virtual nodes: whatever happens to its jobs, it ends the same."""

import contextlib
import functools
import json
import os
import signal
import subprocess

import pytest

from tests import studies
from tests.slurm_cluster import cluster, missing
from tests.studies import ROOT, curves, ended, table, until

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing() or "")]


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("slurm")) as found:
        yield found


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """Where all keep their data, so that what they find can be compared."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def command(tmp_path, home):
    return studies.command(home, tmp_path, "--widths=1", "--learning_rate=0.1", "--epochs=20")


def start(slurm, words):
    return studies.start([*words, "--executor=slurm"], env=slurm.variables)


def records(folder):
    found = [json.loads(p.read_text()) for p in (folder / "width").glob("runs/*/record.json")]
    return sorted(found, key=lambda record: record["seed"])


def jobs(folder):
    with contextlib.suppress(FileNotFoundError):
        return json.loads((folder / "width" / "slurm" / "jobs.json").read_text())


def begun(folder):
    """The key of a run that has a curve by now."""
    return until(lambda: next(iter(curves(folder)), None))


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """The same study in one process, undisturbed: the table that it leaves. Made once for all that
    ask for the same."""

    @functools.cache
    def made(*words):
        results = tmp_path_factory.mktemp("whole")
        study = [*words, f"--results={results}"]
        subprocess.run(study, cwd=ROOT, check=True, capture_output=True)
        return table(results)

    return lambda words: made(*(w for w in words if not w.startswith("--results=")))


def test_nothing_listens_but_on_loopback(slurm):
    lines = slurm.call("ss", "--listening", "--tcp", "--numeric", "--processes").splitlines()
    ours = [line for line in lines if any(f"pid={pid}," in line for pid in slurm.pids)]
    assert len(ours) == 3
    assert all(line.split()[3].startswith("127.0.0.1:") for line in ours)


def test_a_study_runs_as_jobs_and_a_second_launch_adds_none(slurm, command, whole, tmp_path):
    said = ended(start(slurm, command))
    assert "2 runs, 2 at a time" in said
    assert table(tmp_path) == whole(command)
    assert {record["hardware"]["executor"] for record in records(tmp_path)} == {"slurm"}
    before = jobs(tmp_path)
    assert len(before) == 2
    assert "nothing left to train" in ended(start(slurm, command))
    assert jobs(tmp_path) == before and slurm.queue() == {}


def test_killed_with_its_jobs_queued_the_next_launch_waits_for_those(slurm, command, tmp_path):
    words = [*command, "--epochs=600"]  # They outlive the next launch's beginning.
    first = start(slurm, words)
    begun(tmp_path)
    first.kill()
    first.communicate()
    queued = jobs(tmp_path)
    ended(start(slurm, words))
    assert jobs(tmp_path) == queued
    assert [record["attempts"] for record in records(tmp_path)] == [[], []]


def test_what_slurm_requeues_goes_on_and_ends_the_same(slurm, command, whole, tmp_path):
    words = [*command, "--epochs=600", "--seeds=1"]
    running = start(slurm, words)
    key = begun(tmp_path)
    job = jobs(tmp_path)[key]
    slurm.call("scontrol", "requeue", job)
    until(lambda: slurm.queue().get(job) == "PENDING")
    slurm.call("scontrol", "update", f"JobId={job}", "StartTime=now")  # Not in two minutes.
    ended(running)
    (record,) = records(tmp_path)
    assert [a["reason"] for a in record["attempts"]] == ["asked to stop"]
    assert jobs(tmp_path) == {key: job}
    assert table(tmp_path) == whole(words)


def test_warned_before_its_time_is_up_a_run_goes_on_in_the_next_job(
    slurm, command, whole, tmp_path
):
    words = [*command, "--epochs=600", "--seeds=1"]
    running = start(slurm, words)
    key = begun(tmp_path)
    job = jobs(tmp_path)[key]
    slurm.call("scancel", "--batch", "--signal=USR1", job)  # As Slurm does.
    ended(running)
    assert jobs(tmp_path)[key] != job
    assert table(tmp_path) == whole(words)


def test_a_killed_worker_is_tried_again_with_the_reason_kept(slurm, command, whole, tmp_path):
    words = [*command, "--epochs=600", "--seeds=1"]
    running = start(slurm, words)
    key = begun(tmp_path)
    slurm.call("scancel", "--batch", "--signal=KILL", jobs(tmp_path)[key])
    ended(running)
    (record,) = records(tmp_path)
    assert record["status"] == "done" and len(record["attempts"]) == 1
    assert table(tmp_path) == whole(words)


def test_asked_to_stop_jobs_save_and_leave_the_queue(slurm, command, tmp_path):
    running = start(slurm, [*command, "--epochs=4000", "--seeds=3"])
    begun(tmp_path)
    others = slurm.call("sbatch", "--parsable", "--output=/dev/null", "--wrap=sleep 60").strip()
    os.kill(running.pid, signal.SIGINT)
    assert "the same command goes on from here" in ended(running, 130)
    assert set(slurm.queue()) == {others}  # Whose jobs are not ours stays.
    slurm.call("scancel", others)
    assert {record["status"] for record in records(tmp_path)} == {"stopped"}


def test_slurms_refusal_is_said_in_a_line(slurm, command):
    running = start(slurm, [*command, "--slurm.partition=nope"])
    said = ended(running, 2)
    assert "error: sbatch: invalid partition specified: nope" in said
