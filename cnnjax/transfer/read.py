"""Weights from a path or a name on the hub, by what the file holds and not by how it is called.

A format is one module in `cnnjax/transfer/formats/`, found there by name. It holds

- `SHOWN`: how messages name it;
- `claims(path) -> bool`: cheap; does the file or folder look like one of its own?
- `read(path) -> Weights`: all of it or a UserError in one line, whatever the file holds;
- `files(path) -> list[Path]`, only where that is not the path itself: what `read` reads.
"""

import dataclasses
import hashlib
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

import numpy as np

from cnnjax.errors import UserError
from cnnjax.transfer import hub
from cnnjax.transfer.weights import Weights, line

_MISTAKEN = {  # What stands where weights should be, by how it begins.
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself: run git lfs pull",
    b"<!doctype html": "a web page: download the file itself",
    b"<html": "a web page: download the file itself",
}


def read(path_or_name: str | Path) -> Weights:
    """The weights in a file or folder, or behind `hf:owner/name[@revision]`; no code of it is run.

    There is at least one tensor, and each is finite.

    Raises:
      UserError: there is nothing, it is damaged or of no known format, asks for more than tensors,
        or a tensor holds a NaN or an infinity (named).
    """
    path, config = _resolved(path_or_name)
    found = _format(path).read(path)
    where = str(path_or_name)
    about = {**found.about, "config": config} if config is not None else found.about
    weights = dataclasses.replace(found, where=where, about=about)
    if not weights.tensors:
        raise UserError(f"{where} holds no tensors: download or save it again")
    _check(weights)
    return weights


def digest(path_or_name: str | Path) -> str:
    """SHA-256 of what `read` would read, 64 hexadecimal digits; of one file, that of `sha256sum`,
    of several the sum of their sums, whatever folder they are in.

    Raises:
      UserError: there is nothing, or it is of no known format.
    """
    path, _ = _resolved(path_or_name)
    module = _format(path)
    if not hasattr(module, "files"):
        return _sum(path)
    home = path if path.is_dir() else path.parent
    files = sorted(module.files(path))
    listed = "".join(f"{_sum(f)}  {f.relative_to(home).as_posix()}\n" for f in files)
    return hashlib.sha256(listed.encode()).hexdigest()


def _resolved(path_or_name: str | Path) -> tuple[Path, object]:
    """The file or folder, and the hub's config.json."""
    if hub.claims(path_or_name):
        return hub.fetch(path_or_name)
    path = Path(path_or_name).expanduser()
    if not path.exists():
        raise UserError(f"there is no file or folder {path}: give a path or hf:owner/name")
    return path, None


def _format(path: Path) -> ModuleType:
    package = importlib.import_module("cnnjax.transfer.formats")
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    modules = [importlib.import_module(f"{package.__name__}.{name}") for name in names]
    try:
        found = next((module for module in modules if module.claims(path)), None)
        head = _head(path) if found is None and path.is_file() else b""
    except OSError as e:
        raise UserError(f"can't read {path}: {e.strerror}") from None
    if found is not None:
        return found
    shown = ", ".join(module.SHOWN for module in modules)
    if path.is_dir():
        raise UserError(f"the folder {path} holds no model: give one of {shown}")
    if not head:
        raise UserError(f"{path} is empty: download or save it again")
    for start, what in _MISTAKEN.items():
        if head.lstrip().lower().startswith(start):
            raise UserError(f"{path} is {what}")
    raise UserError(f"{path} is damaged or of no known format; known are {shown}")


def _check(weights: Weights) -> None:
    for name, tensor in weights.tensors.items():
        if np.issubdtype(tensor.dtype, np.inexact) and not np.isfinite(tensor).all():
            what = "a NaN" if np.isnan(tensor).any() else "an infinity"
            raise UserError(
                f"{weights.where}: {line(name)} holds {what}: these weights are spoiled"
            )


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(64)


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
