"""Who is at work on a run: the lock `runs/<key>/lock`, held by the process that carries it out."""

import contextlib

from cnnjax.errors import UserError
from cnnjax.study import files, locks
from cnnjax.study.results import Folder


def attempt(folder: Folder, key: str) -> contextlib.AbstractContextManager[bool]:
    """Claim the run for the block's duration; False, at once, if another process has it.

    Raises:
      UserError: the disk refuses, or the run's folder or its lock is a link to another place.
    """
    path = folder.run_dir(key)
    with files.telling(path):
        path.mkdir(exist_ok=True)  # Without its parents: a disk that is gone stays gone.
    if path.resolve() != (folder.path / "runs").resolve() / key:
        raise UserError(f"{path} is a link that leads out of its folder: delete it")
    return locks.attempt(path / "lock")


def held(folder: Folder, key: str) -> bool:
    """Whether a process is at work on the run."""
    return locks.held(folder.run_dir(key) / "lock")
