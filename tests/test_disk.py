"""A disk that is full, read-only or gone is said in one line, and what was recorded stays whole."""

import dataclasses
import errno
import os
import subprocess
from pathlib import Path

import pytest

from cnnjax.cli.main import main
from cnnjax.data import Dataset
from cnnjax.study import files, worker
from cnnjax.study.files import Refused
from cnnjax.study.plan import Head
from cnnjax.study.results import Folder
from cnnjax.study.run import Run
from cnnjax.study.worker import Worker
from cnnjax.train import loop
from cnnjax.train.devices import local
from cnnjax.train.recipe import Recipe
from tests.tiny import FLAGS, least_net, trials, write_dataset

EXPERIMENTS = Path(__file__).parent.parent / "experiments"


@pytest.fixture
def disk(tmp_path):
    """A disk of 8 MiB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small disk can't be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def run(tmp_path):
    data = Dataset(write_dataset(tmp_path / "tiny.npz"))
    return Run(least_net(), data, Recipe(epochs=3, batch_size=16), label="small")


@pytest.fixture
def at_work(disk, run):
    """A worker on that disk with one run done before."""
    folder = Folder(disk / "results" / "tiny")
    folder.create(Head("tiny", "What?").json([]))
    made = Worker(folder, local(count=1), "tiny")
    assert made.execute(run.at(*trials(0.2), 7))["status"] == "done"
    return made


def fill(disk):
    with (disk / "fill").open("wb") as file:
        try:
            while True:
                file.write(b"x" * 4096)
                file.flush()
        except OSError as e:
            assert e.errno == errno.ENOSPC


def before(monkeypatch, module, name, action):
    """Do something each time before the module's function is called."""
    real = getattr(module, name)

    def wrapped(*args, **kwargs):
        action()
        return real(*args, **kwargs)

    monkeypatch.setattr(module, name, wrapped)


WRITES = [(loop.checkpoints, "save"), (loop, "evaluate"), (worker, "save_model")]


@pytest.mark.parametrize(("module", "name"), WRITES, ids=[name for _, name in WRITES])
def test_a_disk_that_gets_full_stops_the_study_with_a_line(
    at_work, run, disk, monkeypatch, capfd, module, name
):
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    before(monkeypatch, module, name, lambda: fill(disk))
    with pytest.raises(Refused, match=r"^the disk is full: .* was not written .*make room"):
        at_work.execute(run)
    said = capfd.readouterr()
    assert "Traceback" not in said.out + said.err
    study = at_work.folder.load()
    assert study.records[run.at(*trials(0.2), 7).key].status == "done" and study.warnings == []
    assert study.records[run.key].status == "running"  # Nobody is at it: the next launch goes on.
    (disk / "fill").unlink()
    monkeypatch.undo()
    assert at_work.execute(run)["status"] == "done"


def test_a_read_only_disk_is_said_before_anything_is_trained(at_work, run, disk):
    def remount(mode):
        subprocess.run(["mount", "-o", f"remount,{mode}", str(disk)], check=True)

    remount("ro")
    with pytest.raises(Refused, match=r"^can't write .* \(Read-only file system\): choose another"):
        at_work.execute(run)
    remount("rw")
    assert at_work.execute(run)["status"] == "done"


def test_a_disk_that_vanishes_is_not_written_beside(at_work, run, disk, monkeypatch):
    monkeypatch.chdir("/")
    gone = [0]

    def vanish():
        if not gone[0]:
            gone[0] = 1
            subprocess.run(["umount", "--lazy", str(disk)], check=True)

    before(monkeypatch, loop, "evaluate", vanish)
    with pytest.raises(Refused, match=r"can't write .* \(No such file or directory\)"):
        at_work.execute(run)
    assert list(disk.iterdir()) == []
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(disk)], check=True)  # For the fixture.


def test_the_command_says_it_in_one_line(disk, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    before(monkeypatch, loop, "evaluate", lambda: fill(disk))
    data = write_dataset(tmp_path / "tiny.npz", side=16)
    words = ["--experiment=width", f"--dataset={data}", "--widths=1", *FLAGS, f"--results={disk}"]
    assert main(words, EXPERIMENTS) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: the disk is full: ")


def test_whose_refusal_it_is_is_told_from_the_text(tmp_path):
    def said(e):
        return files.refusal(e, tmp_path)

    place = tmp_path / "runs" / "checkpoint"
    full = ValueError(f'RESOURCE_EXHAUSTED: Failed writing: "{place}": No space left on device')
    assert "the disk is full" in str(said(full))
    try:
        raise RuntimeError("while saving") from OSError(errno.EDQUOT, "quota")
    except RuntimeError as e:
        assert "the disk is full" in str(said(e))
    assert "(Stale file handle)" in str(said(OSError(errno.ESTALE, "stale", str(place))))
    # Not the results' disk, or not a disk at all.
    assert said(OSError(errno.EIO, "i/o", "/data/images.npz")) is None
    assert said(FileNotFoundError(errno.ENOENT, "none", str(place))) is None
    assert said(RuntimeError("RESOURCE_EXHAUSTED: out of memory allocating 5 bytes")) is None
    assert said(dataclasses.FrozenInstanceError("no")) is None
    assert os.strerror(errno.ENOSPC) == "No space left on device"
