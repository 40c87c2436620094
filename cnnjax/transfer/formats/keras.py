"""Keras 3's `.keras`: a zip of a net's config and its weights, of which only these are read."""

import zipfile
from pathlib import Path

from cnnjax.errors import UserError
from cnnjax.transfer.formats import hdf5
from cnnjax.transfer.weights import Weights, line

SHOWN = "Keras' .keras"
WEIGHTS = "model.weights.h5"
_FIRST = ("metadata.json", "config.json", WEIGHTS)  # What Keras begins it with.


def claims(path: Path) -> bool:
    """A zip with the weights in it, or one that begins as Keras' do, where it is damaged."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(64)
    if head[:4] != b"PK\x03\x04":
        return False
    if head[30:].startswith(tuple(name.encode() for name in _FIRST)):
        return True
    try:
        with zipfile.ZipFile(path) as archive:
            return WEIGHTS in archive.namelist()
    # Broken zips raise nearly anything.
    except Exception:
        return False


def read(path: Path) -> Weights:
    """The weights as in a `.weights.h5`; nothing is unpacked to the disk, and no config is read.

    Raises:
      UserError: it is damaged, compressed, or holds no weights.
    """
    try:
        data = _weights(path)
    # Broken zips raise nearly anything; what to do about it is always the same.
    except Exception as e:
        raise UserError(
            f"{path} is damaged or not Keras' ({line(e)}): download or save it again"
        ) from None
    return hdf5.parse(data, path)


def _weights(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        found = [entry for entry in archive.infolist() if entry.filename == WEIGHTS]
        if len(found) != 1:
            raise ValueError(f"{len(found)} times {WEIGHTS}")
        # Keras compresses nothing, so that what is read is never more than the file.
        (entry,) = found
        plain = entry.compress_type == zipfile.ZIP_STORED
        if not plain or max(entry.file_size, entry.compress_size) > path.stat().st_size:
            raise ValueError("compressed, or larger than the file")
        return archive.read(entry)
