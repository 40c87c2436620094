"""Safetensors: a JSON header and the tensors' bytes, through the library of that name."""

import importlib
import json
from pathlib import Path

import numpy as np

from cnnjax.errors import UserError
from cnnjax.transfer.weights import Weights, line, widened

SHOWN = "safetensors"
_DTYPES = {
    "F64": "f8",
    "F32": "f4",
    "F16": "f2",
    "BF16": "bfloat16",
    "I64": "i8",
    "I32": "i4",
    "I16": "i2",
    "I8": "i1",
    "U64": "u8",
    "U32": "u4",
    "U16": "u2",
    "U8": "u1",
    "BOOL": "?",
    "C64": "c8",
}


def claims(path: Path) -> bool:
    """Eight bytes tell a header's length, and a JSON object follows."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(9)
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") + 8 <= path.stat().st_size


def read(path: Path) -> Weights:
    """The tensors of a file and, in `about`, its metadata.

    Raises:
      UserError: it is damaged, holds a type of number that numpy lacks, or the library is missing.
    """
    try:
        library = importlib.import_module("safetensors")
    except ImportError:
        raise UserError(
            f"reading {path} needs safetensors: pip install 'cnnjax[transfer]'"
        ) from None
    data = path.read_bytes()
    try:
        stored = library.deserialize(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except Exception as e:  # Its own type of error, which is no ValueError.
        raise UserError(
            f"{path} is damaged or no safetensors ({line(e)}): download or save it again"
        ) from None
    for name, told in stored:
        if told["dtype"] not in _DTYPES:
            raise UserError(
                f"{path}: {line(name)} is stored as {told['dtype']}: save it as one of "
                f"{', '.join(_DTYPES)}"
            )
    arrays = {name: _array(told) for name, told in stored}
    metadata = header.get("__metadata__")
    return Weights(arrays, "torch", str(path), {"metadata": metadata} if metadata else {})


def _array(told: dict) -> np.ndarray:
    dtype = _DTYPES[told["dtype"]]
    kind = {"bfloat16": "<u2", "?": "u1"}.get(dtype, f"<{dtype}")
    return widened(np.frombuffer(told["data"], kind).reshape(told["shape"]), dtype)
