"""What a dataset is made of: its facts, and its splits before and after some are held out."""

import dataclasses

import numpy as np

from cnnjax.data.split import Split
from cnnjax.data.stream import Stream


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
class Raw:
    """A dataset as its module reads it, before anything is held out."""

    info: Info
    train: Split | Stream
    val: Split | Stream | None
    test: Split | Stream | None


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
    train: Split | Stream
    val: Split | Stream
    test: Split | Stream
    mean: np.ndarray
    std: np.ndarray
