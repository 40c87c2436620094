"""`folder:PATH`: image files in PATH/train/CLASS/, PATH/test/CLASS/ and perhaps PATH/val/CLASS/."""

from pathlib import Path

import numpy as np

from cnnjax.data import cache, pixels
from cnnjax.data.source import Dataset, Info, Raw, Split, flippable
from cnnjax.errors import UserError

NAMES = ()
_PREFIX = "folder:"
_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}
_SIDE = 64  # Pixels, for images of varied sizes when no resolution is asked for.

# The class's name and the file, in order.
Files = list[tuple[str, Path]]


def claims(name: str) -> bool:
    return name.startswith(_PREFIX)


def stamp(dataset: Dataset) -> str:
    root = _root(dataset)
    files = [f for split in _list(root).values() for _, f in split]
    facts = [(str(f.relative_to(root)), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    side = f"{dataset.resolution}px" if dataset.resolution else "native"
    return f"folder-{side}-{cache.digest(str(root), facts)}"


def read(dataset: Dataset) -> Raw:
    """From the cache; else decoded, and resized where sizes vary or a resolution is asked for."""
    return cache.remembered(stamp(dataset), lambda: _read(dataset))


def _read(dataset: Dataset) -> Raw:
    root = _root(dataset)
    listed = _list(root)
    classes = tuple(sorted({name for name, _ in listed["train"]}))
    headers = [_told(f, pixels.header) for split in listed.values() for _, f in split]
    channels = 1 if all(grey for _, _, grey in headers) else 3
    sizes = {(height, width) for height, width, _ in headers}
    side, notes = dataset.resolution, ()
    if side is None and len(sizes) > 1:
        side = _SIDE
        notes = (f"images of varied sizes, resized to {side} pixels; set resolution for another",)
    splits = {name: _split(files, classes, channels, side) for name, files in listed.items()}
    height, width = (side, side) if side else sizes.pop()
    info = Info(
        name=root.name,
        image_shape=(height, width, channels),
        class_names=classes,
        flip=flippable(root.name, classes),
        provenance=f"image files in {root}",
        notes=notes,
    )
    return Raw(info, splits["train"], splits.get("val"), splits["test"])


def _root(dataset: Dataset) -> Path:
    root = Path(dataset.name.removeprefix(_PREFIX)).expanduser().resolve()
    if not root.is_dir():
        raise UserError(f"there is no folder {root}: write folder:PATH")
    return root


def _list(root: Path) -> dict[str, Files]:
    """The image files of each split, in order; each split has files of the same classes."""
    listed = {"train": _files(root / "train"), "test": _files(root / "test")}
    for name in ("val", "validation"):
        if (root / name).is_dir():
            listed["val"] = _files(root / name)
            break
    classes = {name for name, _ in listed["train"]}
    for split, files in listed.items():
        differ = sorted(classes ^ {name for name, _ in files})
        if differ:
            few = ", ".join(differ[:5])
            raise UserError(f"{root}: train and {split} have different classes: {few} in one only")
    return listed


def _files(folder: Path) -> Files:
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: put images in {folder}/CLASS/")
    found = [
        (f.parent.name, f)
        for f in sorted(folder.glob("*/*"))
        if f.suffix.lower() in _SUFFIXES and not f.name.startswith(".")
    ]
    if not found:
        raise UserError(f"there are no images in {folder}: put them in {folder}/CLASS/")
    return found


def _split(files: Files, classes: tuple[str, ...], channels: int, side: int | None) -> Split:
    images = []
    for _, file in files:
        image = _told(file, lambda f: pixels.decode(f, channels))
        images.append(image if side is None else pixels.fit(image, side))
    labels = [classes.index(name) for name, _ in files]
    return Split(np.stack(images), np.array(labels, np.int32))


def _told(file: Path, read):
    """What `read` gives; if it can't, an error that names the file."""
    try:
        return read(file)
    except ValueError as e:
        raise UserError(f"can't read the image {file} ({e}): mend or remove it") from None
