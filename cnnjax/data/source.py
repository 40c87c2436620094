"""A dataset by name: found, read, split and measured, as numpy arrays in memory.

A kind of dataset is one module in `cnnjax/data/sources/`, found there by name. It holds

- `NAMES`: the names it offers by itself, a tuple (of the embedded datasets, otherwise empty);
- `claims(name) -> bool`: is the name one of its own? What nobody claims goes to `sources/tfds.py`;
- `stamp(dataset) -> str`: cheap; changes whenever the data would; UserError if there are no data;
- `read(dataset) -> Raw`;
- `outline(dataset) -> Outline`, only where that is cheaper than `read`.

Every choice made here is fixed, whatever the run's seed. Where a dataset has no validation split,
10 % of its training images, at most 5,000, are held out by a fixed permutation; where it has no
test split either, the test images are held out the same way before that.
"""

import dataclasses
import functools
import importlib
import pkgutil
from collections.abc import Mapping
from types import ModuleType

import numpy as np

from cnnjax.data import draws, pixels
from cnnjax.errors import UserError
from cnnjax.values import value

SIZES = (16, 256)  # Pixels: below, digits are specks; above, making the set takes minutes.
RESOLUTIONS = (8, 1024)
_TEST, _VAL, _SUBSET = 1, 2, 3  # Which permutation: seeds that must never change.

# Mirrored, these become another class or none.
_HANDED = ("mnist", "svhn", "digit", "omniglot", "char", "letter", "alpha", "text", "gtsrb")
_HANDED += ("traffic_sign", "cmaterdb")


@value
class Dataset:
    """The dataset a run names.

    `name`: an embedded dataset, `folder:PATH`, `PATH.npz`, or a TFDS name (`cifar10:3.0.2`).
    `size`: side in pixels of the canvas, of generated datasets only.
    `resolution`: side in pixels that images are resized to, antialiased; as they come if None.
    `train_examples`: train on the first n of a fixed permutation, on all if None.
    """

    name: str = "cluttered_digits"
    size: int = 32
    resolution: int | None = None
    train_examples: int | None = None

    def __post_init__(self) -> None:
        """Raises UserError: a field out of its range."""
        if not isinstance(self.name, str) or not self.name.strip():
            raise UserError(f"name={self.name!r}: name a dataset, such as {Dataset.name}")
        _within("size", self.size, *SIZES)
        if self.resolution is not None:
            _within("resolution", self.resolution, *RESOLUTIONS)
        if self.train_examples is not None:
            _within("train_examples", self.train_examples, 1, None)


@dataclasses.dataclass(frozen=True)
class Info:
    """What a dataset is.

    `image_shape`: (height, width, channels). `flip`: does a mirrored image keep its label?
    `provenance`: version and where it comes from. `notes`: what was decided for the reader.
    """

    name: str
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    flip: bool
    provenance: str
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        return len(self.class_names)


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Examples in memory: `images` uint8 [n, H, W, C], `labels` int32 [n], `extra` facts [n].

    A random-access source in grain's sense too: whoever uses only `len` and indexing can be given
    any other such source.
    """

    images: np.ndarray
    labels: np.ndarray
    extra: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> dict[str, np.ndarray]:
        facts = {name: column[i] for name, column in self.extra.items()}
        return {"image": self.images[i], "label": self.labels[i]} | facts

    def take(self, indices: np.ndarray) -> "Split":
        """The examples at `indices`, in that order."""
        facts = {name: column[indices] for name, column in self.extra.items()}
        return Split(self.images[indices], self.labels[indices], facts)


@dataclasses.dataclass(frozen=True, eq=False)
class Raw:
    """A dataset as its module reads it, before anything is held out."""

    info: Info
    train: Split
    val: Split | None
    test: Split | None


@dataclasses.dataclass(frozen=True)
class Outline:
    """A dataset without its images: what it is and how many examples each split has.

    A module's `outline` leaves `val` and `test` None where the dataset has no such split.
    """

    info: Info
    train: int
    val: int | None
    test: int | None


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """A dataset ready for use; `mean`, `std`: of the training images in [0, 1], float32 [C]."""

    info: Info
    train: Split
    val: Split
    test: Split
    mean: np.ndarray
    std: np.ndarray


def load(dataset: Dataset) -> Source:
    """Read a dataset; the last few stay in memory, for as long as the data they came from stand.

    Raises:
      UserError: no such dataset, not prepared, unreadable, or fewer training examples than asked.
    """
    return _load(dataset, _module(dataset.name).stamp(dataset))


def check(dataset: Dataset) -> Outline:
    """What `load` would give, as cheaply as can be: without the images where the module knows.

    Raises:
      UserError: as `load`, but for images that only reading them finds broken.
    """
    module = _module(dataset.name)
    module.stamp(dataset)
    if hasattr(module, "outline"):
        return _settle(module.outline(dataset), dataset)
    source = load(dataset)
    return Outline(source.info, len(source.train), len(source.val), len(source.test))


def names() -> tuple[str, ...]:
    """The embedded datasets, which need no network."""
    return tuple(sorted(name for module in _modules().values() for name in module.NAMES))


def flippable(name: str, class_names: tuple[str, ...] = ()) -> bool:
    """Does a mirrored image keep its label? Not where names speak of digits or characters."""
    characters = bool(class_names) and all(len(word) == 1 for word in class_names)
    return not characters and not any(word in name.lower() for word in _HANDED)


@functools.lru_cache(maxsize=3)
def _load(dataset: Dataset, stamp: str) -> Source:
    del stamp  # Part of what is remembered: other data, other stamp.
    raw = _module(dataset.name).read(dataset)
    outline = _settle(_sizes(raw), dataset)
    train, val, test = raw.train, raw.val, raw.test
    if test is None:
        train, test = _hold_out(train, outline.test, _TEST)
    if val is None:
        train, val = _hold_out(train, outline.val, _VAL)
    if dataset.train_examples is not None:
        chosen = draws.permutation(len(train), _SUBSET)[: dataset.train_examples]
        train = train.take(chosen)
    if dataset.resolution is not None:
        side = dataset.resolution
        train, val, test = (
            _with_images(s, pixels.fit_all(s.images, side)) for s in (train, val, test)
        )
    mean, std = _statistics(train.images)
    for split in (train, val, test):
        for array in (split.images, split.labels, *split.extra.values()):
            array.setflags(write=False)  # They are shared by whoever loads this dataset.
    return Source(outline.info, train, val, test, mean, std)


def _settle(found: Outline, dataset: Dataset) -> Outline:
    """The splits' sizes once test and validation are held out and the training set is cut."""
    train, val, test, notes = found.train, found.val, found.test, found.info.notes
    for split in ("test", "validation"):
        if (test if split == "test" else val) is None:
            held = _share(train, found.info.name)
            notes += (f"{split}: {held} of {train} training images, by a fixed permutation",)
            train -= held
            test, val = (held, val) if split == "test" else (test, held)
    wanted = dataset.train_examples or train
    if wanted > train:
        raise UserError(f"train_examples={wanted}: {dataset.name} has {train} to train on")
    height, width, channels = found.info.image_shape
    side = dataset.resolution
    shape = (side or height, side or width, channels)
    return Outline(
        dataclasses.replace(found.info, image_shape=shape, notes=notes), wanted, val, test
    )


def _share(n: int, name: str) -> int:
    if n < 3:
        raise UserError(f"{name} has {n} training images: too few to hold any out for validation")
    return min(max(n // 10, 1), 5000)


def _sizes(raw: Raw) -> Outline:
    val, test = (None if s is None else len(s) for s in (raw.val, raw.test))
    return Outline(raw.info, len(raw.train), val, test)


def _hold_out(split: Split, n: int, seed: int) -> tuple[Split, Split]:
    """(what is left, the n held out), each in its old order."""
    order = draws.permutation(len(split), seed)
    return split.take(np.sort(order[n:])), split.take(np.sort(order[:n]))


def _with_images(split: Split, images: np.ndarray) -> Split:
    return dataclasses.replace(split, images=images)


def _statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per channel mean and standard deviation in [0, 1], float32 [C].

    Through counts of the 256 values, which is exact and needs no float copy of the images.
    """
    levels = np.arange(256) / 255
    columns = [
        np.bincount(images[..., c].reshape(-1), minlength=256) for c in range(images.shape[-1])
    ]
    share = np.stack(columns) / columns[0].sum()
    mean = share @ levels
    std = np.sqrt(np.maximum(share @ levels**2 - mean**2, 0))
    # A channel of one value only would be divided by zero: one grey level is the least.
    return mean.astype(np.float32), np.maximum(std, 1 / 255).astype(np.float32)


def _modules() -> dict[str, ModuleType]:
    package = importlib.import_module("cnnjax.data.sources")
    found = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return {name: importlib.import_module(f"{package.__name__}.{name}") for name in found}


def _module(name: str) -> ModuleType:
    modules = _modules()
    return next((m for m in modules.values() if m.claims(name)), modules["tfds"])


def _within(field: str, n: object, low: int, high: int | None) -> None:
    whole = isinstance(n, int | np.integer) and not isinstance(n, bool)
    if not whole or n < low or (high is not None and n > high):
        limits = f"from {low} to {high}" if high is not None else f"of at least {low}"
        raise UserError(f"{field}={n!r}: use a whole number {limits}")
