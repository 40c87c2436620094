"""Checkpoints: Orbax for the arrays, atomic, and a manifest of SHA-256 sums beside them.

Orbax writes into a temporary folder and renames it, so a kill leaves the last finished one whole;
what it does not notice is damage afterwards, hence the manifest.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import jax

from cnnjax.errors import UserError


def save(path: Path, tree: Any) -> None:
    """Write the arrays of `tree` and their manifest to the folder `path`, replacing its content."""
    from orbax.checkpoint import v1 as ocp

    path = Path(path).absolute()
    fresh = path.with_name(f"{path.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    with _quiet():
        ocp.save(fresh / "arrays", tree)
    (fresh / "manifest.json").write_text(json.dumps(_sums(fresh / "arrays"), indent=1))
    old = path.with_name(f"{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():  # Two renames; `restore` knows what to do if killed between them.
        os.replace(path, old)
    os.replace(fresh, path)
    shutil.rmtree(old, ignore_errors=True)


def restore(path: Path, like: Any) -> Any | None:
    """The tree saved at `path`, shaped and placed as `like`; None where nothing usable is there.

    Raises:
      UserError: the saved tree does not fit `like`.
    """
    from orbax.checkpoint import v1 as ocp

    path = Path(path).absolute()
    for folder in (path, path.with_name(f"{path.name}.old")):
        if not _whole(folder):
            continue
        wanted = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like
        )
        try:
            with _quiet():
                return ocp.load(folder / "arrays", wanted)
        except (ValueError, KeyError, TypeError) as e:
            reason = str(e).strip().splitlines()[0]
            raise UserError(f"{folder} holds the weights of another net: {reason}") from e
    return None


def remove(path: Path) -> None:
    """Remove the checkpoint and what interrupted saves left beside it."""
    for name in (path.name, f"{path.name}.old", f"{path.name}.new"):
        shutil.rmtree(path.with_name(name), ignore_errors=True)


def _whole(folder: Path) -> bool:
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError):
        return False
    return bool(manifest) and manifest == _sums(folder / "arrays")


def _sums(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@contextlib.contextmanager
def _quiet():
    """Orbax tells each step through absl's log, and what it raises, with all its threads saw."""
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)
