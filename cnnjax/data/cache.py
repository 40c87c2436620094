"""What was read or made once, kept as uncompressed npz files that are whole or not there.

A file is written beside its place and moved there, so that a kill or a second process leaves no
half file; the zip format's checksums find what was damaged since, and then it is made anew.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from cnnjax.data.parts import Info, Outline, Raw
from cnnjax.data.split import Split
from cnnjax.errors import UserError

_FORMAT = 1  # Raise it when what is kept changes its meaning.
_DAY = 24 * 3600
_SPLITS = ("train", "val", "test")


def folder() -> Path:
    """`$CNNJAX_CACHE` or `~/.cache/cnnjax`, made if need be.

    Raises:
      UserError: it can't be made.
    """
    path = Path(os.environ.get("CNNJAX_CACHE") or "~/.cache/cnnjax").expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise _unwritable(path, e) from None
    return path


def digest(*parts: object) -> str:
    """12 hexadecimal digits of the parts' JSON."""
    text = json.dumps([_FORMAT, *parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def remembered(stamp: str, make: Callable[[], Raw]) -> Raw:
    """What `make` made when it was last called for this stamp.

    Raises:
      UserError: the cache can't be written.
    """
    path = folder() / f"{stamp}.npz"
    raw = _unpack(read_arrays(path) or {})
    if raw is None:
        raw = make()
        write_arrays(path, _pack(raw))
    return raw


def outlined(stamp: str, make: Callable[[], Outline]) -> Outline:
    """What `make` made when it was last called for this stamp.

    Raises:
      UserError: the cache can't be written.
    """
    path = folder() / f"outline-{stamp}.npz"
    if (told := (read_arrays(path) or {}).get("told")) is not None:
        found = json.loads(str(told))
        return Outline(**found | {"info": _info(found["info"])})
    made = make()
    write_arrays(path, {"told": np.array(json.dumps(dataclasses.asdict(made)))})
    return made


def read_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of an npz file; None if it is missing or damaged."""
    if not path.is_file():
        return None
    try:
        # Opened here, since numpy leaves the file open when what is in it is no zip.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    # A damaged file raises nearly anything, and whatever it is, the file is made anew.
    except Exception:
        return None


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an npz file as a whole.

    Raises:
      UserError: the folder can't be written or is full.
    """
    part = _part(path)
    try:
        sweep(path.parent)
        with part.open("xb") as file:
            np.savez(file, **arrays)
        os.replace(part, path)
    except OSError as e:
        raise _unwritable(path.parent, e) from None
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill that becomes `path` when done; if another process was faster, its stays.

    Raises:
      UserError: the cache can't be written.
    """
    part = _part(path)
    try:
        sweep(path.parent)
        part.mkdir()
    except OSError as e:
        raise _unwritable(path.parent, e) from None
    try:
        yield part
        try:
            os.rename(part, path)
        except OSError as e:
            if not path.exists():
                raise _unwritable(path.parent, e) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _unwritable(path: Path, e: OSError) -> UserError:
    return UserError(f"can't write the cache {path} ({e.strerror}): set CNNJAX_CACHE elsewhere")


def _part(path: Path) -> Path:
    """A name beside `path` that no other process takes."""
    return path.with_name(f".{path.name}-{uuid.uuid4().hex}.part")


def sweep(folder: Path) -> None:
    """Remove what processes left that were killed in mid-write, a day ago or longer."""
    for part in folder.glob(".*.part"):
        with contextlib.suppress(OSError):  # Another process may sweep too.
            if time.time() - part.stat().st_mtime > _DAY:
                shutil.rmtree(part) if part.is_dir() else part.unlink()


def _pack(raw: Raw) -> dict[str, np.ndarray]:
    arrays = {}
    for name in _SPLITS:
        if (split := getattr(raw, name)) is not None:
            facts = {f"{name}-extra-{key}": column for key, column in split.extra.items()}
            arrays |= {f"{name}-images": split.images, f"{name}-labels": split.labels} | facts
    told = {"info": dataclasses.asdict(raw.info), "arrays": sorted(arrays)}
    return arrays | {"told": np.array(json.dumps(told))}


def _unpack(arrays: dict[str, np.ndarray]) -> Raw | None:
    """None if arrays are missing."""
    told = json.loads(str(arrays.pop("told", "{}")))
    if not told or told["arrays"] != sorted(arrays):
        return None
    return Raw(_info(told["info"]), **{name: _split(arrays, name) for name in _SPLITS})


def _info(told: dict) -> Info:
    return Info(**{k: tuple(v) if isinstance(v, list) else v for k, v in told.items()})


def _split(arrays: dict[str, np.ndarray], name: str) -> Split | None:
    if f"{name}-images" not in arrays:
        return None
    start = f"{name}-extra-"
    facts = {key.removeprefix(start): a for key, a in arrays.items() if key.startswith(start)}
    return Split(arrays[f"{name}-images"], arrays[f"{name}-labels"], facts)
