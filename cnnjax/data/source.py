"""A dataset by name: found, read, split and measured, in memory or streamed from where it lies.

A kind of dataset is one module in `cnnjax/data/sources/`, found there by name. It holds

- `NAMES`: the names it offers by itself, a tuple (of the embedded datasets, otherwise empty);
- `claims(name) -> bool`: is the name one of its own? What nobody claims goes to `sources/tfds.py`;
- `stamp(dataset) -> str`: cheap; changes whenever the data would; UserError if there are no data;
- `read(dataset) -> Raw`;
- `outline(dataset) -> Outline`, only where that is cheaper than `read`;
- only where examples can be read one by one, `nbytes(dataset) -> int`, cheap: what all its images
  would take in memory; and `stream(dataset) -> Raw`, cheap: its splits as `Stream`s.

Every choice made here is fixed, whatever the run's seed. Where a dataset has no validation split,
10 % of its training images, at most 5,000, are held out by a fixed permutation; where it has no
test split either, the test images are held out the same way before that.
"""

import dataclasses
import functools
import importlib
import pkgutil
from types import ModuleType

import numpy as np

from cnnjax.data import cache, chosen, draws, pixels, statistics
from cnnjax.data.parts import Info, Outline, Raw, Source
from cnnjax.data.split import Split
from cnnjax.data.stream import Stream
from cnnjax.errors import UserError
from cnnjax.values import value

__all__ = [
    "Dataset", "Info", "Outline", "Raw", "Source", "Split", "Stream", "check", "flippable", "load",
    "names", "streamed",
]  # fmt: skip

SIZES = (16, 256)  # Pixels: below, digits are specks; above, making the set takes minutes.
RESOLUTIONS = (8, 1024)
_TEST, _VAL, _SUBSET, _SAMPLE = 1, 2, 3, 4  # Which permutation: seeds that must never change.

# More is streamed, unless told otherwise. The same on every machine, and it must never change: a
# random crop of a streamed image is cut from the original, so that it is part of what a run is.
RESIDENT_BYTES = 2 << 30
SAMPLE = 2000  # Training images that a stream's mean and deviation are of.

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
    `stream`: decode images whenever they are needed, instead of once into memory; by rule if None:
    where all would take over `RESIDENT_BYTES`, or evaluation crops.
    `eval_crop`: the share of the shorter side that evaluation sees, in the centre; streams only.
    `classes`: the numbers of the classes to keep, in rising order, all if none; they are numbered
    anew from 0. In memory only.
    """

    name: str = "cluttered_digits"
    size: int = 32
    resolution: int | None = None
    train_examples: int | None = None
    stream: bool | None = None
    eval_crop: float = 1.0
    classes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Raises UserError: a field out of its range."""
        if not isinstance(self.name, str) or not self.name.strip():
            raise UserError(f"name={self.name!r}: name a dataset, such as {Dataset.name}")
        _within("size", self.size, *SIZES)
        if self.resolution is not None:
            _within("resolution", self.resolution, *RESOLUTIONS)
        if self.train_examples is not None:
            _within("train_examples", self.train_examples, 1, None)
        if not (self.stream is None or isinstance(self.stream, bool)):
            raise UserError(f"stream={self.stream!r}: use true, false, or none for the rule")
        if not isinstance(self.eval_crop, float) or not 0 < self.eval_crop <= 1:
            raise UserError(f"eval_crop={self.eval_crop!r}: use a share of the side, 1.0 at most")
        if self.stream is False and self.eval_crop < 1:
            raise UserError("eval_crop: only streamed images are cropped; leave stream out")
        chosen.check(self.classes)


def load(dataset: Dataset) -> Source:
    """Read a dataset; the last few stay in memory, for as long as the data they came from stand.

    Raises:
      UserError: no such dataset, not prepared, unreadable, or fewer training examples than asked.
    """
    module = _module(dataset.name)
    if streamed(dataset):
        return _open(dataset, module.stream(dataset))
    return _load(dataset, module.stamp(dataset))


def streamed(dataset: Dataset) -> bool:
    """Are its images decoded whenever they are needed?

    Raises:
      UserError: they should be and can't, or there is no such dataset.
    """
    module = _module(dataset.name)
    possible = hasattr(module, "stream") and not dataset.classes
    if dataset.stream is not None or dataset.eval_crop < 1:
        if dataset.stream is not False and not possible:
            word = "stream" if dataset.stream else "eval_crop"
            why = "classes are chosen" if dataset.classes else "it is"
            raise UserError(f"{word}: {dataset.name} can't be streamed; {why} in memory as a whole")
        return dataset.stream is not False
    return possible and module.nbytes(dataset) > RESIDENT_BYTES


def check(dataset: Dataset) -> Outline:
    """What `load` would give, as cheaply as can be: without the images where the module knows.

    Raises:
      UserError: as `load`, but for images that only reading them finds broken.
    """
    module = _module(dataset.name)
    if streamed(dataset):
        return _settle(_sizes(module.stream(dataset)), dataset)
    module.stamp(dataset)
    if hasattr(module, "outline") and not dataset.classes:
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
    raw = chosen.of(_module(dataset.name).read(dataset), dataset.classes)
    info, *splits = _divided(raw, dataset)
    if dataset.resolution is not None:
        side = dataset.resolution
        splits = [dataclasses.replace(s, images=pixels.fit_all(s.images, side)) for s in splits]
    train, val, test = splits
    mean, std = statistics.of(train.images)
    for split in splits:
        for array in (split.images, split.labels, *split.extra.values()):
            array.setflags(write=False)  # They are shared by whoever loads this dataset.
    return Source(info, train, val, test, mean, std)


@functools.lru_cache(maxsize=3)
def _open(dataset: Dataset, raw: Raw) -> Source:
    info, train, val, test = _divided(raw, dataset)
    path = cache.folder() / f"statistics-{cache.digest(train.stamp, len(train))}.npz"
    found = cache.read_arrays(path) or {}
    if {"mean", "std"} - set(found):
        mean, std = statistics.of(train.sample(SAMPLE, _SAMPLE).images)
        found = {"mean": mean, "std": std}
        cache.write_arrays(path, found)
    return Source(info, train, val, test, found["mean"], found["std"])


def _divided(raw: Raw, dataset: Dataset) -> tuple:
    """What the dataset is, and what is left to train on, to validate and to test by."""
    outline = _settle(_sizes(raw), dataset)
    train, val, test = raw.train, raw.val, raw.test
    if test is None:
        train, test = _hold_out(train, outline.test, _TEST)
    if val is None:
        train, val = _hold_out(train, outline.val, _VAL)
    if dataset.train_examples is not None:
        train = train.take(draws.permutation(len(train), _SUBSET)[: dataset.train_examples])
    return outline.info, train, val, test


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
    if streamed(dataset):
        few = f"mean and deviation are of {min(SAMPLE, wanted):,} training images"
        notes += (f"streamed: decoded when they are needed; {few}",)
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


def _hold_out(split: Split | Stream, n: int, seed: int) -> tuple:
    """(what is left, the n held out), each in its old order."""
    order = draws.permutation(len(split), seed)
    return split.take(np.sort(order[n:])), split.take(np.sort(order[:n]))


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
