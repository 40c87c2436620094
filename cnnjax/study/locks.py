"""Locks that die with their holder, so that no two processes do the same thing to a folder.

They are held through an open file (`flock`), which the system gives up with the process, however it
ends. What is on the disk is an empty file that stays; that it is there says nothing.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from cnnjax.errors import UserError
from cnnjax.study import files

PATIENCE = 60.0  # Seconds: what is done under a folder's lock takes a small part of one.


@contextlib.contextmanager
def attempt(path: Path) -> Iterator[bool]:
    """Hold the lock for the block's duration; False, at once, if another process has it.

    Raises:
      UserError: the disk refuses, or what stands at `path` is no lock file.
    """
    lock = _acquired(path, 0)
    try:
        yield lock is not None
    finally:
        if lock:
            lock.release()


@contextlib.contextmanager
def waited(path: Path) -> Iterator[None]:
    """Hold the lock for the block's duration, after waiting for whoever has it.

    Raises:
      UserError: it was not to be had within a minute, the disk refuses, or what stands at `path` is
        no lock file.
    """
    lock = _acquired(path, PATIENCE)
    if lock is None:
        raise UserError(
            f"{path} has been held by another process for {PATIENCE:.0f} s: does one hang?"
        )
    try:
        yield
    finally:
        lock.release()


def held(path: Path) -> bool:
    """Whether a process has the lock; where there is no file, none has."""
    if not os.path.lexists(path):
        return False
    with attempt(path) as mine:
        return not mine


def _acquired(path: Path, patience: float) -> FileLock | None:
    with files.telling(path):
        with contextlib.suppress(FileNotFoundError):
            _check(path)
        lock = FileLock(path, timeout=patience, poll_interval=0.02, fallback_to_soft=False)
        try:
            lock.acquire()
        except Timeout:  # An OSError too, but none of the disk's.
            return None
        return lock


def _check(path: Path) -> None:
    """A file of other names is another's: a link must not lead out of the folder."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        raise UserError(f"{path} is a link or no plain file, so it can't be a lock: delete it")
