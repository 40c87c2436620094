"""Files that are whole or absent: replaced in one step, and read without trust.

JSON has no word for NaN or infinity: they are written as null.
"""

import contextlib
import errno
import json
import math
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.errors import UserError

LARGEST = 32 * 2**20  # Bytes; a real record is some 100 kB, so a larger file is none of ours.


# Said of the disk itself rather than of one file, whoever says it: Orbax's layers pass on the text.
_FULL = (errno.ENOSPC, errno.EDQUOT)
_GONE = (errno.EROFS, errno.ESTALE, errno.EIO, errno.ENOTCONN, errno.ENODEV, errno.EFBIG)


class Unreadable(ValueError):
    """A file or a part of one that can't be used, in a few words."""


class Refused(UserError):
    """The disk takes nothing more: no run's fault, and no other run would fare better."""


def write_json(path: Path, data: Any) -> None:
    """Replace a JSON file in one step."""
    text = json.dumps(plain(data), allow_nan=False, ensure_ascii=False, indent=1) + "\n"
    write_text(path, text)


def write_text(path: Path, text: str) -> None:
    """Replace a text file in one step."""
    replace(path, text.encode("utf-8", errors="backslashreplace"))


def replace(path: Path, content: bytes) -> None:
    """Write a temporary file beside `path`, push it to the disk, and rename it.

    Raises:
      UserError: the disk is full or refuses; what stood at `path` still does.
    """
    # In the same folder, since a rename is atomic only within one file system.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with telling(path, temporary):
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # Else a power cut can leave the new name with no content.
        os.replace(temporary, path)


def append_line(path: Path, line: str) -> None:
    """Add a line, after dropping one that a kill left half written.

    Raises:
      UserError: the disk is full or refuses.
    """
    with telling(path), path.open("ab+") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(end - 1, 0))
        if end and file.read(1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
        file.write(line.encode() + b"\n")


def read_json(path: Path) -> dict[str, Any]:
    """An object from strict or nearly strict JSON (NaN reads as null).

    Raises:
      Unreadable: anything else, in a few words.
      OSError: there is no such file, or it may not be read.
    """
    size = path.stat().st_size
    if size > LARGEST:
        raise Unreadable(f"{size} bytes are too many")
    try:
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None)
    except RecursionError:
        raise Unreadable("nested too deeply") from None
    except ValueError as e:
        raise Unreadable(f"no valid JSON: {short(e)}") from None
    if not isinstance(data, dict):
        raise Unreadable("no JSON object")
    return data


def read_own(path: Path, most: int) -> bytes:
    """The bytes of a plain file, not of what a link at its place leads to.

    Raises:
      Unreadable: it is no plain file, or it has more bytes than `most`.
      OSError: there is no such file, or it may not be read.
    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable("it is a link or no plain file")
    if status.st_size > most:
        raise Unreadable(f"{status.st_size} bytes are too many")
    return path.read_bytes()


def stamp(path: Path) -> tuple[int, int] | None:
    """What changes whenever the file is replaced; None where there is none."""
    with contextlib.suppress(OSError):
        status = path.stat()
        return status.st_ino, status.st_mtime_ns
    return None


def plain(v: Any) -> Any:
    """Plain JSON data: NumPy's values unwrapped, tuples as lists, NaN and infinities null."""
    if isinstance(v, Mapping):
        return {str(k): plain(x) for k, x in v.items()}
    if isinstance(v, list | tuple):
        return [plain(x) for x in v]
    if isinstance(v, np.ndarray | np.generic):
        return plain(v.tolist())
    if isinstance(v, float) and not math.isfinite(v):
        return None
    return v


@contextlib.contextmanager
def telling(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """What the disk refuses, said in one line; the half-written temporary file goes."""
    try:
        yield
    except OSError as e:
        with contextlib.suppress(OSError):
            if temporary is not None:
                temporary.unlink(missing_ok=True)
        raise _refused(e.errno, path) from None


def refusal(e: BaseException, path: Path) -> Refused | None:
    """The same said of an error that a library met while it wrote into the folder `path`, where it
    is the disk's refusal."""
    chain: list[BaseException] = []
    found: BaseException | None = e
    while found is not None and found not in chain:
        chain.append(found)
        found = found.__cause__ or found.__context__
    for x in chain:
        if isinstance(x, Refused):
            return x
        where = str(getattr(x, "filename", None) or x)
        for number in (*_FULL, *_GONE):
            ours = str(path) in where
            if isinstance(x, OSError) and x.errno == number and (ours or number in _FULL):
                return _refused(number, Path(x.filename or path))
            if ours and os.strerror(number) in where:
                return _refused(number, path)
    return None


def short(e: Exception) -> str:
    """An error's message on one short line."""
    return " ".join(str(e).split())[:160]


def _refused(number: int | None, path: Path) -> Refused:
    if number in _FULL:
        return Refused(
            f"the disk is full: {path} was not written{_free(path)}; make room and run the same "
            "command again"
        )
    why = os.strerror(number) if number else "no reason given"
    return Refused(f"can't write {path} ({why}): choose another --results=DIR")


def _free(path: Path) -> str:
    with contextlib.suppress(OSError):
        return f" ({shutil.disk_usage(path.parent).free // 2**20} MiB free)"
    return ""
