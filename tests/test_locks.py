"""Locks: one holder, gone with its process, never through a link; two launches share a study."""

import os
import signal
import subprocess
import sys

import pytest

from cnnjax.errors import UserError
from cnnjax.study import claims, locks
from cnnjax.study.results import Folder

KEY = "0123456789abcdef"
HEAD = {"experiment": "tiny", "question": "What?", "x": None, "series": None, "axes": []}
HOLD = """
import sys, time
from pathlib import Path
from cnnjax.study import locks
with locks.attempt(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path):
    made = Folder(tmp_path / "tiny")
    made.create(HEAD)
    return made


def holder(path):
    running = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE)
    assert running.stdout.readline() == b"True\n"
    return running


def claim(folder):
    with claims.attempt(folder, KEY) as mine:
        return mine


def test_a_lock_has_one_holder(tmp_path):
    path = tmp_path / "lock"
    assert not locks.held(path) and not path.exists()  # To look leaves nothing.
    with locks.attempt(path) as mine:
        assert mine and locks.held(path)
        with locks.attempt(path) as other:
            assert not other
    assert not locks.held(path)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_lock_dies_with_its_holder(tmp_path, number):
    path = tmp_path / "lock"
    running = holder(path)
    assert locks.held(path)
    running.send_signal(number)
    running.communicate()
    assert not locks.held(path)


def test_what_is_held_too_long_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    path = tmp_path / "lock"
    with locks.waited(path), pytest.raises(UserError, match="does one hang?"), locks.waited(path):
        pytest.fail("two had it")


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_lock_is_never_held_through_a_link(folder, tmp_path, link):
    precious = tmp_path / "precious"
    precious.write_text("do not touch")
    folder.run_dir(KEY).mkdir()
    link(precious, folder.run_dir(KEY) / "lock")
    with (
        pytest.raises(UserError, match="is a link or no plain file, so it can't be a lock"),
        claims.attempt(folder, KEY),
    ):
        pytest.fail("held")
    assert precious.read_text() == "do not touch"


def test_a_run_that_is_a_link_is_not_claimed(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    folder.run_dir(KEY).symlink_to(tmp_path / "elsewhere")
    with (
        pytest.raises(UserError, match="is a link that leads out of its folder"),
        claims.attempt(folder, KEY),
    ):
        pytest.fail("held")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_locks_are_no_results(folder):
    with claims.attempt(folder, KEY):
        study = folder.load()
    assert study.records == {} and study.warnings == []
    (folder.path / "study.json").unlink()
    folder.create(HEAD)  # A lost study.json can be written anew beside them.


def test_a_plan_keeps_its_place_and_none_is_lost(folder):
    for i in (1, 2, 1):
        folder.add_plan({"id": str(i), "points": [], "command": f"launch {i}"})
    assert [plan["id"] for plan in folder.read_study()["plans"]] == ["1", "2"]
    add = (
        "import sys; from cnnjax.study.results import Folder\n"
        "for i in range(10): Folder(sys.argv[1]).add_plan({'id': sys.argv[2] + str(i)})"
    )
    words = [[sys.executable, "-c", add, folder.path, name] for name in "ab"]
    for running in [subprocess.Popen(w) for w in words]:
        assert running.wait() == 0
    assert len(folder.read_study()["plans"]) == 22


def test_a_folder_that_is_gone_is_not_made_anew(tmp_path):
    with (
        pytest.raises(UserError, match="can't write .* \\(No such file or directory\\)"),
        claims.attempt(Folder(tmp_path / "gone"), KEY),
    ):
        pytest.fail("held")
    assert not (tmp_path / "gone").exists()
