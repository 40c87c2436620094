"""Worker processes of one launch, and several launches on one results folder."""

import json
import os
import signal
import subprocess

import pytest

from tests.studies import ROOT, alive, children, command, curves, ended, start, table, until

TWO = ("--executor=local", "--local.workers=2")
pytestmark = pytest.mark.slow


def records(results):
    found = [json.loads(p.read_text()) for p in (results / "width").glob("runs/*/record.json")]
    return {record["key"]: record for record in found}


def test_two_workers_find_what_one_process_does_whatever_the_order(tmp_path):
    """On one core each, since sums of floats depend on how many share them."""
    two, one = tmp_path / "two", tmp_path / "one"
    said = ended(start(command(tmp_path, two, *TWO)))
    assert "8 runs, 2 at a time" in said
    core = min(os.sched_getaffinity(0))
    subprocess.run(["taskset", "--cpu-list", str(core), *command(tmp_path, one)], cwd=ROOT,
                   check=True, capture_output=True)  # fmt: skip
    assert table(two) == table(one)
    assert {r["hardware"]["executor"] for r in records(two).values()} == {"local"}
    assert {r["hardware"]["cores"] for r in records(two).values()} == {1}
    configs = [{k: r["config"] for k, r in records(x).items()} for x in (two, one)]
    assert configs[0] == configs[1]


def test_workers_end_with_their_parent_and_save(tmp_path):
    flags = ("--epochs=4000", "--learning_rate=0.1", *TWO)
    running = start(command(tmp_path, tmp_path, *flags))
    until(lambda: len(curves(tmp_path)) == 2)
    workers = children(running.pid)
    assert len(workers) == 2
    running.kill()
    running.communicate()
    until(lambda: not any(map(alive, workers)), seconds=30)
    assert {r["status"] for r in records(tmp_path).values()} == {"stopped"}
    assert all(r["steps_done"] > 0 for r in records(tmp_path).values())


def test_asked_twice_it_leaves_at_once(tmp_path):
    running = start(command(tmp_path, tmp_path, "--epochs=4000", "--learning_rate=0.1", *TWO))
    until(lambda: len(curves(tmp_path)) == 2)
    workers = children(running.pid)
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)  # They can't save.
    for line in running.stdout:
        if "at a time" in line:
            break
    os.kill(running.pid, signal.SIGINT)
    assert "again: leave at once" in running.stdout.readline()
    os.kill(running.pid, signal.SIGINT)
    said = ended(running, 130, seconds=20)
    assert "stopped at once" in said
    until(lambda: not any(map(alive, workers)), seconds=10)


def test_two_launches_share_the_runs_and_a_study_grows_while_it_runs(tmp_path):
    """The second asks for more seeds and another width while the first is at work."""
    few = command(tmp_path, tmp_path, "--learning_rate=0.1")
    many = [*few, "--seeds=3", "--widths=1,2,3"]
    first = start(few)
    until(lambda: curves(tmp_path))
    second = start(many)
    said = ended(first), ended(second)
    assert all("Best on validation" in text for text in said)
    found = records(tmp_path)
    assert len(found) == 9
    assert {(r["status"], len(r["attempts"])) for r in found.values()} == {("done", 0)}
    whole = tmp_path / "whole"
    ended(start([*many, f"--results={whole}"]))
    assert table(tmp_path) == table(whole)
    plans = json.loads((tmp_path / "width" / "study.json").read_text())["plans"]
    assert [len(plan["points"]) for plan in plans] == [2, 3]


def test_a_dead_workers_run_is_tried_again_and_the_reason_kept(tmp_path):
    flags = ("--learning_rate=0.1", "--epochs=400", "--widths=1", *TWO)
    running = start(command(tmp_path, tmp_path, *flags))
    until(lambda: len(curves(tmp_path)) == 2)
    os.kill(children(running.pid)[0], signal.SIGKILL)
    ended(running)
    attempts = [a for r in records(tmp_path).values() for a in r["attempts"]]
    assert [a["reason"] for a in attempts] == [
        "its process was killed by SIGKILL: is the machine out of memory?"
    ]


def test_what_no_worker_can_do_is_said_in_a_line(tmp_path):
    words = command(tmp_path, tmp_path, *TWO, "--local.workers=1")
    around = os.environ | {"CNNJAX_CACHE": "/proc/none"}
    said = ended(start(words, env=around), 2)
    assert said.count("error: ") == 1 and "set CNNJAX_CACHE elsewhere" in said
