"""Killed at random moments, a study ends as if it had not been; asked to stop, it saves first."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.tiny import write_dataset

ROOT = Path(__file__).parent.parent
TIMINGS = {"train_seconds"}
pytestmark = pytest.mark.slow


def command(tmp_path, results):
    data = write_dataset(tmp_path / "tiny.npz", side=16)
    return [sys.executable, "launch.py", "--experiment=width", f"--dataset={data}",
            f"--results={results}", "--widths=1,2", "--seeds=2", "--learning_rates=0.03,0.1",
            "--epochs=150", "--batch_size=16"]  # fmt: skip


def table(results):
    rows = csv.DictReader((results / "width" / "table.csv").read_text().splitlines())
    return [{k: v for k, v in row.items() if k not in TIMINGS} for row in rows]


def start(words):
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True)  # fmt: skip


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_saves_says_so_and_goes_on(tmp_path, number):
    words = [*command(tmp_path, tmp_path / "results"), "--epochs=4000", "--widths=1", "--seeds=1"]
    running = start([*words, "--learning_rate=0.1"])
    for line in running.stdout:
        if "about" in line:
            break
    deadline = time.monotonic() + 60
    curve = None
    while curve is None and time.monotonic() < deadline:
        time.sleep(0.2)
        curve = next((tmp_path / "results").rglob("curve.jsonl"), None)
        curve = curve if curve and curve.stat().st_size else None
    os.kill(running.pid, number)
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert "the same command goes on from here" in said
    assert "Traceback" not in said
    rows = table(tmp_path / "results")
    assert [row["status"] for row in rows] == ["stopped"]
    assert next((tmp_path / "results").rglob("checkpoint/manifest.json"))
