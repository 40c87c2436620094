"""A training's checkpoints: `<folder>/<step>/`, the newest few and the best kept."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cnnjax.train import checkpoint

KEEP = 2  # Newest ones: should the last be damaged, there is the one before.
_STEP = re.compile(r"\d{9}")


def save(folder: Path, step: int, tree: Any, score: float | None = None) -> None:
    """Write the checkpoint of a step, and remove those that are neither among the newest `KEEP`
    nor the one with the highest score, such as the accuracy on validation.

    Raises:
      UserError: the disk is full or refuses; the earlier ones stand.
    """
    folder.mkdir(exist_ok=True)
    path = folder / f"{step:09d}"
    checkpoint.save(path, tree)
    (path / "score.json").write_text(json.dumps(score))
    for left in (p for p in folder.iterdir() if not _STEP.fullmatch(p.name)):
        shutil.rmtree(left, ignore_errors=True)  # By a kill within a save.
    there = _there(folder)
    scores = {p: s for p in there if (s := _score(p)) is not None}
    kept = {*there[-KEEP:], *([max(scores, key=scores.__getitem__)] if scores else [])}
    for old in set(there) - kept:
        shutil.rmtree(old, ignore_errors=True)


def restore(folder: Path, like: Any, damaged: Callable[[str], None]) -> Any | None:
    """The newest whole checkpoint's arrays, shaped as `like`; `damaged` is told of each newer one
    that is not whole, by name. None where there is none.

    Raises:
      UserError: it is of another net.
    """
    for path in reversed(_there(folder)):
        try:
            return checkpoint.read(path, like)
        except checkpoint.Damaged as e:
            damaged(f"checkpoint {path} is damaged ({e}) and is left out")
    return None


def remove(folder: Path) -> None:
    """Remove all of them."""
    shutil.rmtree(folder, ignore_errors=True)


def _there(folder: Path) -> list[Path]:
    """The checkpoints' folders, oldest first; what a kill left half written is none."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(p for p in found if _STEP.fullmatch(p.name) and p.is_dir())


def _score(path: Path) -> float | None:
    try:
        found = json.loads((path / "score.json").read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, float) else None
