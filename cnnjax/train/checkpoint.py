"""Arrays in a folder: Orbax writes them, and a manifest of SHA-256 sums stands beside them.

A folder appears under its name by a rename, so a kill leaves the last finished one whole; what
Orbax does not notice is damage afterwards, hence the manifest.
"""

import contextlib
import functools
import hashlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cnnjax.errors import UserError


class Damaged(Exception):
    """What is wrong with a folder, in a few words."""


def save(path: Path, tree: Any) -> None:
    """Write the arrays of `tree` and their manifest to the folder `path`, replacing its content.

    Raises:
      UserError: the disk is full or refuses; what stood at `path` still does.
    """
    path = Path(path).absolute()
    fresh, old = (path.with_name(f"{path.name}.{word}") for word in ("new", "old"))
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()  # Not its parents: a disk that is gone is not written beside.
        _write(fresh / "arrays", tree)
        (fresh / "manifest.json").write_text(json.dumps(_sums(fresh / "arrays"), indent=1))
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():  # Two renames; `restore` knows what to do if killed between them.
            os.replace(path, old)
        os.replace(fresh, path)
    except (OSError, ValueError) as e:  # Orbax's storage says ValueError for a full disk.
        shutil.rmtree(fresh, ignore_errors=True)
        raise UserError(_refused(path, e)) from e
    shutil.rmtree(old, ignore_errors=True)


def restore(path: Path, like: Any) -> Any | None:
    """The tree saved at `path` as NumPy arrays of the shapes and types of `like`; None where
    nothing usable is there.

    Raises:
      UserError: the saved tree does not fit `like`.
    """
    path = Path(path).absolute()
    for folder in (path, path.with_name(f"{path.name}.old")):
        with contextlib.suppress(Damaged, FileNotFoundError):
            return read(folder, like)
    return None


def read(folder: Path, like: Any) -> Any:
    """The arrays of the folder, as `restore` gives them.

    Raises:
      Damaged: naming the file that is not as it was written.
      FileNotFoundError: there is no such folder.
      UserError: the saved tree does not fit `like`.
    """
    import orbax.checkpoint as ocp

    check(folder)
    wanted = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), like)
    try:
        with _quiet(), _orbax() as storage:
            return storage.restore(folder / "arrays", args=ocp.args.StandardRestore(wanted))
    except (ValueError, KeyError, TypeError) as e:
        reason = str(e).strip().splitlines()[0]
        raise UserError(f"{folder} holds the weights of another net: {reason}") from e


def check(folder: Path) -> None:
    """Compare the files of the folder with its manifest.

    Raises:
      Damaged, FileNotFoundError: as `read`.
    """
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        found = _sums(folder / "arrays")
    except (OSError, ValueError):
        raise Damaged("its manifest can't be read") from None
    if not isinstance(manifest, dict) or not manifest:
        raise Damaged("its manifest is no list of files")
    for name in sorted({*manifest, *found}):
        if manifest.get(name) != found.get(name):
            word = "is missing" if name not in found else "is not as it was written"
            raise Damaged(f"{name} {word}")


def _write(folder: Path, tree: Any) -> None:
    import orbax.checkpoint as ocp

    with _quiet(), _orbax() as storage:
        storage.save(folder, args=ocp.args.StandardSave(jax.tree.map(np.asarray, tree)))


def _orbax() -> Any:
    """Orbax's storage, which of several processes would wait for the others: they neither write nor
    read. (Its newer interface asks all of them, whatever it is told.)"""
    import orbax.checkpoint as ocp

    here = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=here, active_processes={here}, barrier_sync_key_prefix=f"process{here}"
    )
    handler = ocp.StandardCheckpointHandler(multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


def _sums(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _refused(path: Path, e: Exception) -> str:
    reason = (getattr(e, "strerror", None) or str(e).strip().splitlines()[0])[:200]
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(path.parent).free // 2**20
        return f"can't save {path} ({reason}; {free} MiB free): make room and start again"
    return f"can't save {path} ({reason}): is the disk still there?"


@contextlib.contextmanager
def _quiet():
    """Orbax tells each step through absl's log, and what it raises, with all its threads saw."""
    log = logging.getLogger("absl")
    level, told = log.level, sys.unraisablehook
    log.setLevel(logging.CRITICAL)
    sys.unraisablehook = functools.partial(_unless_late, told)
    try:
        yield
        sys.unraisablehook = told  # Not after a failure: what is then still under way comes late.
    finally:
        log.setLevel(level)


def _unless_late(told: Callable[[Any], None], met: Any) -> None:
    """Threads of a save that failed find its event loop closed, and nobody need know."""
    if str(met.exc_value) != "Event loop is closed":
        told(met)
