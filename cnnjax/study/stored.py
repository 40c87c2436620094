"""A net's pictures in `artifacts/pictures.npz`: arrays of bytes, read back without trust."""

import dataclasses
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnnjax.study import artifacts, files
from cnnjax.study.results import Folder
from cnnjax.study.untrusted import line, mapping, sequence

PICTURES = "pictures.npz"
LARGEST = 4 * 2**20  # Bytes of all arrays together; ours are a fiftieth of it.
_MEMBERS, _COUNT, _SIDE = 32, 64, 128  # Arrays, pictures of one array, pixels of a side, at most.
_NONE = np.zeros((0, 1, 1, 1), np.uint8)


@dataclasses.dataclass(frozen=True, eq=False)
class Pictures:
    """What `study.pictures` made; what is missing or can't be read is empty.

    `images` uint8 [N, H, W, 1 or 3], `saliency` and `field` uint8 [N, H, W], with each image's
    label, the net's answer and the label's probability; `filters` [K, H, W, 1 or 3] of the layer
    `first`; `maps` are (layer, uint8 [N', H, W, K]); `hardest` [K, H, W, 1 or 3] of the test
    examples with the numbers `hardest_index`; `classes` are the names of the first classes.
    """

    images: np.ndarray
    labels: tuple[int, ...]
    answers: tuple[int, ...]
    chances: tuple[float, ...]
    saliency: np.ndarray
    field: np.ndarray
    first: str
    filters: np.ndarray
    maps: tuple[tuple[str, np.ndarray], ...]
    hardest: np.ndarray
    hardest_index: tuple[int, ...]
    classes: tuple[str, ...]


def write_pictures(folder: Folder, key: str, made: Mapping[str, Any]) -> None:
    """Replace the run's `artifacts/pictures.npz` by arrays, and texts under `told`.

    Raises:
      UserError: the disk refuses.
    """
    text = json.dumps(files.plain(made.get("told", {})), ensure_ascii=False)
    arrays = {"told": np.frombuffer(text.encode("utf-8", "replace"), np.uint8)}
    for name, values in made.items():
        if name != "told":
            kinds = {"f": np.float32, "i": np.int32}
            arrays[name] = np.asarray(values).astype(kinds.get(np.asarray(values).dtype.kind, "u1"))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    files.replace(artifacts.place(folder, key, PICTURES), buffer.getvalue())


def read_pictures(folder: Folder, key: str) -> Pictures | None:
    """The run's pictures; None where there are none or the file can't be read."""
    try:
        path = artifacts.found(folder, key, PICTURES)
        if path.stat().st_size > LARGEST:
            return None
        arrays = _arrays(path.read_bytes())
    # A damaged archive raises whatever zip, zlib and NumPy happen to.
    except Exception:
        return None
    told = _told(arrays.get("told"))
    images = _pictures(arrays.get("images"))
    n = len(images)
    hard = _pictures(arrays.get("hardest"))
    names = [line(x)[:200] for x in sequence(told.get("maps"))[:_MEMBERS]]
    maps = ((name, _pictures(arrays.get(f"map{i}"), _COUNT)) for i, name in enumerate(names))
    labels, answers, index = (
        _numbers(arrays.get(name), "i", count)
        for name, count in (("labels", n), ("answers", n), ("hardest_index", len(hard)))
    )
    return Pictures(
        images=images,
        labels=labels,
        answers=answers,
        chances=_numbers(arrays.get("chances"), "f", n),
        saliency=_masks(arrays.get("saliency"), n),
        field=_masks(arrays.get("field"), n),
        first=line(told.get("filters"))[:200],
        filters=_pictures(arrays.get("filters")),
        maps=tuple((name, values) for name, values in maps if values.size),
        hardest=hard if index else _NONE,
        hardest_index=index,
        classes=tuple(line(x)[:60] for x in sequence(told.get("classes"))[:1000]),
    )


def _arrays(content: bytes) -> dict[str, np.ndarray]:
    """Plain arrays by name, none of which is read before it is known to be as large as it says."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if len(members) > _MEMBERS or sum(m.file_size for m in members) > LARGEST:
            raise files.Unreadable("it unpacks to too much")
        return {m.filename.removesuffix(".npy"): _array(archive.read(m)) for m in members}


def _array(content: bytes) -> np.ndarray:
    stream = io.BytesIO(content)
    np.lib.format.read_magic(stream)
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype.kind not in "uif" or fortran:
        raise files.Unreadable("it holds no plain numbers")
    return np.frombuffer(content, dtype, offset=stream.tell()).reshape(shape)


def _told(values: np.ndarray | None) -> dict[str, Any]:
    try:
        return mapping(json.loads(bytes(values)) if values is not None else {})
    except (ValueError, RecursionError):
        return {}


def _pictures(values: np.ndarray | None, channels: int | None = None) -> np.ndarray:
    """uint8 [N, H, W, C], grey or colour where no other number of channels may be."""
    if values is None or values.dtype != np.uint8 or values.ndim != 4 or not _small(values):
        return _NONE
    count = values.shape[-1]
    return values if (count <= channels if channels else count in (1, 3)) else _NONE


def _masks(values: np.ndarray | None, n: int) -> np.ndarray:
    good = values is not None and values.dtype == np.uint8 and values.ndim == 3
    return values if good and len(values) == n and _small(values) else _NONE[..., 0]


def _small(values: np.ndarray) -> bool:
    return len(values) <= _COUNT and max(values.shape[1:3]) <= _SIDE and values.size > 0


def _numbers(values: np.ndarray | None, kind: str, n: int) -> tuple[Any, ...]:
    """n finite numbers, or none at all."""
    good = values is not None and values.dtype.kind == kind and values.shape == (n,)
    return tuple(values.tolist()) if good and np.isfinite(values).all() else ()


def named(classes: Sequence[str], number: int) -> str:
    """A class's name, or its number where it has none."""
    return classes[number] if 0 <= number < len(classes) and classes[number] else str(number)
