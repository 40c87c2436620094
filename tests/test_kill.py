"""Killed at random moments, a study ends as if it had not been; asked to stop, it saves first."""

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections import Counter

import pytest

from cnnjax.study import files
from tests.studies import ROOT, children, command, curves, ended, start, table, until

KILLS = int(os.environ.get("CNNJAX_KILLS", "9"))
TWO = ("--executor=local", "--local.workers=2")
pytestmark = pytest.mark.slow


def test_a_study_killed_three_times_ends_as_an_undisturbed_one(tmp_path):
    whole, killed = command(tmp_path, tmp_path / "whole"), command(tmp_path, tmp_path / "killed")
    begin = time.monotonic()
    subprocess.run(whole, cwd=ROOT, check=True, capture_output=True)
    lasted = time.monotonic() - begin
    moments = random.Random(time.time_ns())
    for _ in range(3):
        running = start(killed)
        time.sleep(moments.uniform(0.25, 0.9) * lasted)
        running.kill()
        running.communicate()
    done = subprocess.run(killed, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert table(tmp_path / "killed") == table(tmp_path / "whole")


def test_two_workers_killed_again_and_again_end_as_undisturbed_ones(tmp_path):
    """Parent and workers, at random moments, with files damaged in between (CNNJAX_KILLS times)."""
    seed = time.time_ns()
    print("seed", seed)  # Shown where the test fails.
    chance, killed = random.Random(seed), tmp_path / "killed"
    flags = (*TWO, "--epochs=250", "--seeds=5", "--retries=1000")
    whole, words = (command(tmp_path, r, *flags) for r in (tmp_path / "whole", killed))
    subprocess.run(whole, cwd=ROOT, check=True, capture_output=True)
    runs, launches = killed / "width" / "runs", 0
    with (tmp_path / "said").open("w+") as said, contextlib.ExitStack() as ends:

        def launch():
            running = subprocess.Popen(words, cwd=ROOT, stdout=said, stderr=said)
            ends.callback(running.kill)
            return running

        running = launch()
        for number in range(KILLS):
            until_changed(running, runs)
            time.sleep(chance.uniform(0, 4))
            if running.poll() is None:
                # By turns, so that few kills hit both kinds; a parent may have no worker just now.
                workers = children(running.pid) if number % 3 else []
                victim = chance.choice(workers or [running.pid])
                print("killed", "parent" if victim == running.pid else "worker", statuses(runs))
                with contextlib.suppress(ProcessLookupError):  # It ended by itself just now.
                    os.kill(victim, signal.SIGKILL)
            time.sleep(0.1)
            print(damage(runs, chance))
            if running.poll() is not None:
                launches += 1
                running = launch()
        running.wait()
        said.seek(0)
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, said.read() + done.stdout + done.stderr
    tried = [json.loads(path.read_text())["attempts"] for path in runs.glob("*/record.json")]
    assert KILLS < 9 or (launches > 1 and any(tried)), "too few were hit at work"
    assert "Traceback" not in (tmp_path / "said").read_text()
    assert table(killed) == table(tmp_path / "whole")
    assert {row["status"] for row in table(killed)} == {"done"}
    stamps = {path: path.stat().st_mtime_ns for path in runs.glob("*/record.json")}
    again = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert "nothing left to train" in again.stdout
    assert stamps == {path: path.stat().st_mtime_ns for path in runs.glob("*/record.json")}


def statuses(runs):
    """How many runs there are of each status; those that can't be read are left out."""
    found = Counter()
    for path in runs.glob("*/record.json"):
        with contextlib.suppress(OSError, ValueError):
            found[json.loads(path.read_text())["status"]] += 1
    return dict(found)


def until_changed(running, runs):
    """Until a run has come further, or there is nothing left to wait for."""
    before = state(runs)
    until(lambda: running.poll() is not None or state(runs) != before)


def state(runs):
    """What changes with each epoch of any run, and each run that ends."""
    paths = (*runs.glob("*/curve.jsonl"), *runs.glob("*/record.json"))
    return {path: files.stamp(path) for path in paths}


def damage(runs, chance):
    """What a crash or a bad disk may leave: a record, a line or a checkpoint that is not whole."""
    saved = [p.parent for p in runs.glob("*/checkpoint/**/manifest.json")]
    kinds = {
        "record": list(runs.glob("*/record.json")),
        "curve": list(runs.glob("*/curve.jsonl")),
        "checkpoint": [p for folder in saved for p in folder.rglob("*") if p.is_file()],
    }
    kind = chance.choice(sorted(kinds))
    damaged = "nothing damaged"
    with contextlib.suppress(OSError, IndexError):  # Replaced or removed since, or none there.
        path = chance.choice(kinds[kind])
        content = path.read_bytes()
        damaged = f"damaged {path.relative_to(runs)}"
        if kind == "curve":
            with path.open("ab") as file:
                file.write(content[: len(content.partition(b"\n")[0]) // 2])
        elif kind == "record" or chance.random() < 0.5:
            os.truncate(path, len(content) // 2)
        else:
            with path.open("r+b") as file:
                file.seek(len(content) // 2)
                file.write(bytes([content[len(content) // 2] ^ 1]))
    return damaged


@pytest.mark.parametrize("flags", [("--learning_rate=0.1",), ("--learning_rate=0.1", *TWO)],
                         ids=["inline", "local"])  # fmt: skip
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_asked_to_stop_it_saves_says_so_and_goes_on(tmp_path, number, flags):
    results = tmp_path / "results"
    running = start(command(tmp_path, results, "--epochs=4000", "--widths=1", *flags))
    wanted = 2 if "--executor=local" in flags else 1
    until(lambda: len(curves(results)) == wanted)
    os.kill(running.pid, number)
    said = ended(running, 130, seconds=60)
    assert "the same command goes on from here" in said
    assert [row["status"] for row in table(results)] == ["stopped"] * wanted
    assert len(list(results.rglob("checkpoint/**/manifest.json"))) >= wanted
