"""Image files in folders: which there are, and as a store of examples."""

import dataclasses
import functools
import os
from pathlib import Path

import numpy as np

from cnnjax.data import cache
from cnnjax.data.stream import Encoded
from cnnjax.errors import UserError

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}


@dataclasses.dataclass(frozen=True, eq=False)
class Files:
    """The image files of a split in order, a store of examples.

    `names`: CLASS/FILE in `folder`, as bytes, so that millions are sent to workers in no time.
    """

    folder: str
    names: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> Encoded:
        return Encoded(self.path(i), int(self.labels[i]))

    def path(self, i: int) -> Path:
        return Path(self.folder, os.fsdecode(self.names[i]))

    @property
    def paths(self) -> list[Path]:
        return [self.path(i) for i in range(len(self))]

    def unreadable(self, i: int, reason: str) -> UserError:
        return unreadable(self.path(i), reason)


@dataclasses.dataclass(frozen=True, eq=False)
class Listing:
    """What a folder holds: the files of its splits, and a mark that changes when one is added or
    removed. `notes`: what was decided for the reader.
    """

    root: Path
    classes: tuple[str, ...]
    splits: dict[str, Files]
    mark: str
    notes: tuple[str, ...]


def listing(root: Path) -> Listing:
    """The image files of each split in order; each split has files of the same classes.

    Listed anew when a folder has changed.

    Raises:
      UserError: a folder that is not there or has no images, or classes in one split only.
    """
    root = root.expanduser().resolve()
    if not root.is_dir():
        raise UserError(f"there is no folder {root}: write folder:PATH")
    splits = [f.path for f in os.scandir(root) if f.is_dir()]
    classes = [f.path for split in splits for f in os.scandir(split) if f.is_dir()]
    facts = [(path, os.stat(path).st_mtime_ns) for path in (str(root), *splits, *classes)]
    return _listed(root, cache.digest(sorted(facts)))


@functools.lru_cache(maxsize=4)
def _listed(root: Path, mark: str) -> Listing:
    places, notes = {"train": "train", "test": "test"}, ()
    if val := next((name for name in ("val", "validation") if (root / name).is_dir()), None):
        places["val"] = val
        if not (root / "test").is_dir():
            places["test"] = places.pop("val")
            notes = (f"test: the folder {val!r}, since none is called test",)
    names = {split: _files(root / place) for split, place in places.items()}
    classes = tuple(sorted({_class(name) for name in names["train"]}))
    for split, found in names.items():
        differ = sorted(set(classes) ^ {_class(name) for name in found})
        if differ:
            few = ", ".join(differ[:5])
            raise UserError(f"{root}: train and {split} have different classes: {few} in one only")
    number = {name: i for i, name in enumerate(classes)}
    splits = {
        split: Files(
            str(root / places[split]),
            np.array([os.fsencode(name) for name in found]),
            np.array([number[_class(name)] for name in found], np.int32),
        )
        for split, found in names.items()
    }
    return Listing(root, classes, splits, mark, notes)


def _files(folder: Path) -> list[str]:
    """CLASS/FILE of each image, classes and files in order."""
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: put images in {folder}/CLASS/")
    found = []
    for inner in sorted(f.name for f in os.scandir(folder) if f.is_dir()):
        for name in sorted(f.name for f in os.scandir(folder / inner)):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in _SUFFIXES:
                found.append(f"{inner}/{name}")
    if not found:
        raise UserError(f"there are no images in {folder}: put them in {folder}/CLASS/")
    return found


def _class(name: str) -> str:
    return name.partition("/")[0]


def unreadable(file: Path, reason: str) -> UserError:
    """The error for an image file that can't be decoded."""
    return UserError(f"can't read the image {file} ({reason}): mend or remove it")
