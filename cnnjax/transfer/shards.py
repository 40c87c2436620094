"""Weights in several files: an index names, for each tensor, the file beside it that holds it.

As the Hugging Face hub keeps large models: `model.safetensors.index.json` holds
`{"weight_map": {TENSOR: FILE}}`, and each FILE is a file of safetensors in the same folder.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnjax.errors import UserError
from cnnjax.transfer.weights import line

ENDING = ".safetensors.index.json"
INDEX = f"model{ENDING}"
_SIZE = 1 << 26  # Bytes: a line a tensor, of more tensors than any net has.


def shards(index: Path) -> dict[str, set[str]]:
    """The names of the tensors that each file beside the index is to hold, by its name.

    Raises:
      UserError: it is damaged or no index, or a name is none of a file beside it.
    """
    try:
        if index.stat().st_size > _SIZE:
            raise ValueError(f"more than {_SIZE} bytes")
        told = json.loads(index.read_bytes(), object_pairs_hook=_object)
        held = told["weight_map"]
        if not isinstance(held, Mapping) or not held:
            raise ValueError("no weight_map")
        found: dict[str, set[str]] = {}
        for tensor, name in held.items():
            found.setdefault(_beside(name), set()).add(tensor)
        return found
    # Whatever is no such JSON; nested deeply it is a RecursionError.
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as e:
        raise UserError(
            f"{index} is damaged or no index of safetensors ({line(e)}): download it again"
        ) from None


def inside(folder: Path, name: str) -> Path:
    """The file of that name in the folder, where a link does not lead out of it.

    The links of the hub's cache lead from `snapshots/COMMIT/` to `blobs/` beside `snapshots`.

    Raises:
      UserError: it is missing or leads elsewhere.
    """
    path, found = folder / name, (folder / name).resolve()
    if not found.is_file():
        raise UserError(f"{folder} lacks {name}, which its index names: download it too")
    home = folder.resolve()
    cached = home.parent.parent / "blobs" if home.parent.name == "snapshots" else home
    if found.parent not in (home, cached):
        raise UserError(f"{path} leads out of its folder to {found}: put the file itself there")
    return found


def _beside(name: Any) -> str:
    """The name, if it is one of a file in the same folder."""
    plain = type(name) is str and name.isprintable() and not set(name) & set("/\\:")
    if not plain or name.startswith(".") or not name.endswith(".safetensors"):
        raise ValueError(f"{name!r} is no file of safetensors beside it")
    return name


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are different: json would keep the last of those that are not."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for i, (name, _) in enumerate(pairs) if name in dict(pairs[:i]))
        raise ValueError(f"{twice!r} comes twice")
    return found
