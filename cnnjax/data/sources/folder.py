"""`folder:PATH`: image files in PATH/train/CLASS/, PATH/val/CLASS/ and PATH/test/CLASS/.

Where there is no test folder, val is the test, as in ImageNet's own; without val, some of train is.
"""

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnjax.data import cache, draws, pixels
from cnnjax.data.files import Files, Listing, listing, unreadable
from cnnjax.data.source import Dataset, Info, Raw, Split, Stream, flippable
from cnnjax.errors import UserError

NAMES = ()
_PREFIX = "folder:"
_SIDE = 64  # Pixels, for images of varied sizes when no resolution is asked for.
_LOOK = 100  # Images that tell a stream's channels and sizes, by a permutation of this seed:
_SEED = 5


def claims(name: str) -> bool:
    return name.startswith(_PREFIX)


def stamp(dataset: Dataset) -> str:
    found = _list(dataset)
    files = [f for split in found.splits.values() for f in split.paths]
    facts = [
        (str(f.relative_to(found.root)), f.stat().st_size, f.stat().st_mtime_ns) for f in files
    ]
    side = f"{dataset.resolution}px" if dataset.resolution else "native"
    return f"folder-{side}-{cache.digest(str(found.root), facts)}"


def read(dataset: Dataset) -> Raw:
    """From the cache; else decoded, and resized where sizes vary or a resolution is asked for."""
    return cache.remembered(stamp(dataset), lambda: _read(dataset))


def nbytes(dataset: Dataset) -> int:
    found = _list(dataset)
    examples = sum(map(len, found.splits.values()))
    return examples * math.prod(_seen(found, dataset.resolution).shape)


def stream(dataset: Dataset) -> Raw:
    """Known by its folders and a few of its files; a file that changes in its place goes unnoticed.

    Raises:
      UserError: images that are no squares and of one size, where no resolution is asked for.
    """
    return _stream(_list(dataset), dataset.resolution, dataset.eval_crop)


def _read(dataset: Dataset) -> Raw:
    found = _list(dataset)
    headers = [_told(f, pixels.header) for split in found.splits.values() for f in split.paths]
    seen = _shape(headers, dataset.resolution)
    splits = {name: _decoded(files, seen.shape) for name, files in found.splits.items()}
    return Raw(_info(found, seen), splits["train"], splits.get("val"), splits["test"])


@functools.lru_cache(maxsize=4)
def _stream(found: Listing, resolution: int | None, share: float) -> Raw:
    seen = _seen(found, resolution)
    height, width, _ = seen.shape
    if height != width:
        raise UserError(
            f"{found.root}: {height}×{width} images are streamed as squares: set resolution"
        )
    splits = {
        name: Stream(
            files,
            np.arange(len(files)),
            seen.shape,
            share,
            f"folder-{cache.digest(found.mark, name, seen.shape, share)}",
        )
        for name, files in found.splits.items()
    }
    return Raw(_info(found, seen), splits["train"], splits.get("val"), splits["test"])


class _Seen(NamedTuple):
    shape: tuple[int, int, int]
    notes: tuple[str, ...]


def _shape(headers: list[tuple[int, int, bool]], resolution: int | None) -> _Seen:
    """The shape that images with these headers are given."""
    channels = 1 if all(grey for _, _, grey in headers) else 3
    sizes = {(height, width) for height, width, _ in headers}
    if resolution:
        return _Seen((resolution, resolution, channels), ())
    if len(sizes) == 1:
        return _Seen((*sizes.pop(), channels), ())
    note = f"images of varied sizes, resized to {_SIDE} pixels; set resolution for another"
    return _Seen((_SIDE, _SIDE, channels), (note,))


def _seen(found: Listing, resolution: int | None) -> _Seen:
    """As `_shape`, by some of the files."""
    return _shape(_headers(found), resolution)


@functools.lru_cache(maxsize=4)
def _headers(found: Listing) -> list[tuple[int, int, bool]]:
    train = found.splits["train"]
    chosen = draws.permutation(len(train), _SEED)[:_LOOK]
    return [_told(train.path(i), pixels.header) for i in chosen]


def _info(found: Listing, seen: _Seen) -> Info:
    name = found.root.name
    return Info(
        name=name,
        image_shape=seen.shape,
        class_names=found.classes,
        flip=flippable(name, found.classes),
        provenance=f"image files in {found.root}",
        notes=(*found.notes, *seen.notes),
    )


def _list(dataset: Dataset) -> Listing:
    return listing(Path(dataset.name.removeprefix(_PREFIX)))


def _decoded(files: Files, shape: tuple[int, int, int]) -> Split:
    images = []
    for file in files.paths:
        image = _told(file, lambda f: pixels.decode(f, shape[2]))
        images.append(image if image.shape == shape else pixels.fit(image, shape[0]))
    return Split(np.stack(images), files.labels)


def _told(file: Path, read: Callable[[Path], Any]) -> Any:
    """What `read` gives; if it can't, an error that names the file."""
    try:
        return read(file)
    except ValueError as e:
        raise unreadable(file, str(e)) from None
