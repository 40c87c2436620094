"""A small study as a process, for tests that kill, stop and double it."""

import contextlib
import csv
import subprocess
import sys
import time
from pathlib import Path

from tests.tiny import write_dataset

ROOT = Path(__file__).parent.parent
TIMINGS = {"train_seconds"}


def command(tmp_path, results, *flags):
    """Of the smallest net at two widths; a flag given again wins."""
    data = write_dataset(tmp_path / "tiny.npz", side=16)
    return [sys.executable, "launch.py", "--experiment=width", f"--dataset={data}",
            f"--results={results}", "--widths=1,2", "--seeds=2", "--learning_rates=0.03,0.1",
            "--epochs=150", "--batch_size=16", "--executor=inline",
            "--net=tests.tiny:least_net", *flags]  # fmt: skip


def start(words, **more):
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, **more)  # fmt: skip


def ended(running, status=0, seconds=240):
    """What the process said, once it has ended with that status."""
    said, _ = running.communicate(timeout=seconds)
    assert running.returncode == status, said
    assert "Traceback" not in said
    return said


def until(holds, seconds=90):
    """What `holds` returns once that is something."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)
    return found


def table(results):
    """table.csv without what depends on the machine's mood."""
    rows = csv.DictReader((results / "width" / "table.csv").read_text().splitlines())
    return [{k: v for k, v in row.items() if k not in TIMINGS} for row in rows]


def curves(results):
    """The keys of the runs that have a curve by now."""
    found = (results / "width").glob("runs/*/curve.jsonl")
    return [path.parent.name for path in found if path.stat().st_size]


def children(pid):
    """The processes that have this one as their parent."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # Gone since.
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
    return found


def alive(pid):
    """Whether the process is there, and no zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
