"""PyTorch's files: `torch.save` of a state dict, as a zip (since 1.6) or as pickles in a row.

Neither is unpickled by Python: `cnnjax.transfer.unpickle` reads the instructions, and what they may
ask for is in the table of `torch_tensors`. Only storages that the weights lie in are read.
"""

import io
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.errors import UserError
from cnnjax.transfer import torch_tensors, unpickle
from cnnjax.transfer.unwrap import state_dict
from cnnjax.transfer.weights import Weights, line

SHOWN = "PyTorch's .pth, .pt and .bin"
_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001  # Before the pickles of the older form.
_REPEAT = 8  # How often tensors may share their storages, all in all.


def claims(path: Path) -> bool:
    """A zip, or a pickle of protocol 2 or newer."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(4)
    return head == b"PK\x03\x04" or (head[:1] == b"\x80" and head[1:2] in b"\2\3\4\5")


def read(path: Path) -> Weights:
    """The state dict in a file, unwrapped; see `cnnjax.transfer.unwrap`.

    Raises:
      UserError: it asks for more than tensors, is damaged, or holds none.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"PK"
        return (_read_zip if zipped else _read_pickles)(path)
    except unpickle.Forbidden as e:
        raise UserError(
            f"{path} asks for {e} when loaded: it holds code, not only weights, and none of it was "
            "run; save net.state_dict() with torch.save"
        ) from None
    except UserError:
        raise
    # Broken files raise nearly anything; what to do about it is always the same.
    except Exception as e:
        raise UserError(
            f"{path} is damaged or not PyTorch's ({line(e)}): download or save it again"
        ) from None


def _read_zip(path: Path) -> Weights:
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        # PyTorch compresses nothing, so that what is unpacked is never more than the file.
        packed = sum(max(entry.file_size, entry.compress_size) for entry in entries.values())
        plain = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries.values())
        if len(entries) != len(archive.infolist()) or packed > size or not plain:
            raise ValueError("entries that are compressed, overlap or come twice")
        roots = [name[: -len("data.pkl")] for name in entries if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise ValueError("a zip without one data.pkl")
        root = roots[0]
        told = f"{root}byteorder" in entries and archive.read(f"{root}byteorder")
        order = ">" if told == b"big" else "<"
        pickled = io.BytesIO(archive.read(f"{root}data.pkl"))
        loaded = unpickle.load(pickled, torch_tensors.MAKERS, torch_tensors.storage)
        return _weights(loaded, path, order, lambda key: archive.read(f"{root}data/{key}"))


def _read_pickles(path: Path) -> Weights:
    data = path.read_bytes()
    stream = io.BytesIO(data)
    seen: dict[str, torch_tensors.Storage] = {}

    def storage(name: Any) -> torch_tensors.Storage:
        found = torch_tensors.storage(name)
        seen.setdefault(found.key, found)
        return found

    if unpickle.load(stream, torch_tensors.MAKERS) != _MAGIC:
        raise ValueError("a pickle, but none of torch.save")
    if unpickle.load(stream, torch_tensors.MAKERS) != _VERSION:
        raise ValueError("another version of torch.save")
    order = "<" if unpickle.load(stream, torch_tensors.MAKERS).get("little_endian", True) else ">"
    loaded = unpickle.load(stream, torch_tensors.MAKERS, storage)
    keys = unpickle.load(stream, torch_tensors.MAKERS)
    held: dict[str, memoryview] = {}
    at = stream.tell()
    for key in keys:
        if type(key) is not str:
            raise ValueError("a storage without a name")
        count = int(np.frombuffer(data[at : at + 8], f"{order}i8")[0])
        end = at + 8 + count * torch_tensors.itemsize(seen[key].dtype)
        if not at + 8 <= end <= len(data):
            raise ValueError("cut short")
        held[key] = memoryview(data)[at + 8 : end]
        at = end
    return _weights(loaded, path, order, held.__getitem__)


def _weights(loaded: Any, path: Path, order: str, fetch: Callable[[str], Any]) -> Weights:
    """`fetch` gives a storage's bytes, in the byte order `order`, by its key."""
    tensors, about = state_dict(loaded, torch_tensors.Tensor, str(path))
    total = sum(math.prod(x.size) * torch_tensors.itemsize(x.dtype) for x in tensors.values())
    if total > _REPEAT * path.stat().st_size:
        raise ValueError("its tensors are many times its size")
    held: dict[str, Any] = {}
    for x in tensors.values():
        if x.storage.key not in held:
            held[x.storage.key] = fetch(x.storage.key)
    arrays = {
        name: torch_tensors.array(x, held[x.storage.key], order) for name, x in tensors.items()
    }
    return Weights(arrays, "torch", str(path), about)
