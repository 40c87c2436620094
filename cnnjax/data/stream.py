"""A split that stays where it is: each image is read and decoded when it is needed."""

import concurrent.futures
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from cnnjax.data import boxes, draws, pipeline, pixels
from cnnjax.data.boxes import Box
from cnnjax.data.order import order
from cnnjax.data.split import Examples, Split
from cnnjax.errors import UserError


class Encoded(NamedTuple):
    """An example as it is stored: the bytes of an image, or the file that has them."""

    image: bytes | Path
    label: int


class Store(Protocol):
    """Stored examples by number. Sent to worker processes, so it holds little and opens late."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: int) -> Encoded: ...

    def unreadable(self, i: int, reason: str) -> UserError:
        """The error for an image that can't be decoded, saying where it is and what to do."""
        ...


class Training(NamedTuple):
    """Which batches a training takes: `places` are those of this process in each whole batch."""

    seed: int
    batch_size: int
    places: np.ndarray
    crop_scale: float = 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class Stream:
    """Examples that are decoded when they are asked for; otherwise as a `Split`.

    `rows`: the numbers of its examples in the store, int64 [n]. `image_shape`: (side, side, C) of
    what it gives. `share`: of the shorter side, what evaluation sees. `stamp`: another for other
    data. `__getitem__` gives images as evaluation sees them, and so does `read`.
    """

    store: Store
    rows: np.ndarray
    image_shape: tuple[int, int, int]
    share: float
    stamp: str
    extra: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> dict[str, np.ndarray]:
        image, label = self._decoded(i)
        return {"image": pixels.fit(image, self.image_shape[0], self.share), "label": label}

    def take(self, indices: np.ndarray) -> "Stream":
        """The examples at `indices`, in that order."""
        return dataclasses.replace(self, rows=self.rows[indices])

    def read(self, indices: Sequence[int] | np.ndarray) -> Split:
        """The examples at `indices` in memory.

        Raises:
          UserError: an image that can't be decoded.
        """
        with concurrent.futures.ThreadPoolExecutor() as threads:
            found = list(threads.map(self.__getitem__, map(int, indices)))
        labels = np.array([x["label"] for x in found], np.int32)
        return Split(np.stack([x["image"] for x in found]), labels)

    def cropped(self, i: int, scale: float, *seed: int) -> dict[str, np.ndarray]:
        """The example as training sees it: of a random box of at least `scale` of the area
        (`boxes.crop`), drawn by the seed and the example; at 1 of the central square.

        Raises:
          UserError: the image can't be decoded.
        """
        image, label = self._decoded(i)
        side = self.image_shape[0]
        if scale == 1:
            return {"image": pixels.fit(image, side), "label": label}
        words = draws.words(*seed, int(self.rows[i])).random_raw(4 * boxes.TRIES)
        uniforms = draws.fraction(words).reshape(boxes.TRIES, 4)
        box = Box(*map(int, boxes.crop(uniforms, *image.shape[:2], scale, np)))
        inside = image[box.top : box.top + box.height, box.left : box.left + box.width]
        return {"image": pixels.resize(inside, side), "label": label}

    def batches(
        self, size: int, places: np.ndarray | None = None, workers: int = 0
    ) -> Iterator[Examples]:
        """All examples in order as `Split.batches` gives them, decoded by so many processes.

        Raises:
          UserError: an image that can't be decoded, or a process that died.
        """
        places = np.arange(size) if places is None else places
        last = -(-len(self) // size)
        return pipeline.run(Look(self, size, places), len(places), 0, last, workers)

    def training(self, which: Training, start: int, stop: int, workers: int) -> Iterator[Examples]:
        """This process's share of a training's batches from step `start` up to `stop`.

        Each epoch is a permutation from the seed, less what fills no batch; each box is drawn
        from the seed, the epoch and the example: neither workers, shares nor where a training goes
        on change a pixel.

        Raises:
          UserError: an image that can't be decoded, or a process that died.
        """
        return pipeline.run(Train(self, which), len(which.places), start, stop, workers)

    def sample(self, n: int, seed: int) -> Split:
        """The first n examples of a fixed permutation, in memory; all if there are fewer."""
        return self.read(draws.permutation(len(self), seed)[:n])

    def _decoded(self, i: int) -> tuple[np.ndarray, np.int32]:
        row = int(self.rows[i])
        image, label = self.store[row]
        try:
            return pixels.decode(image, self.image_shape[2]), np.int32(label)
        except ValueError as e:
            raise self.store.unreadable(row, str(e)) from None


@dataclasses.dataclass(frozen=True)
class Look:
    """An evaluation's examples by number: batch after batch, those at `places` of each."""

    stream: Stream
    batch_size: int
    places: np.ndarray

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        """uint8 `image` [S, S, C] and `label`; black and −1 past the end."""
        batch, at = divmod(number, len(self.places))
        i = batch * self.batch_size + int(self.places[at])
        if i < len(self.stream):
            return self.stream[i]
        return {"image": np.zeros(self.stream.image_shape, np.uint8), "label": np.int32(-1)}


@dataclasses.dataclass(frozen=True)
class Train:
    """A training's examples by number, over all its epochs."""

    stream: Stream
    which: Training

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        """uint8 `image` [S, S, C] and `label`."""
        seed, size, places, scale = self.which
        step, at = divmod(number, len(places))
        epoch, step = divmod(step, len(self.stream) // size)
        i = _order(seed, epoch, len(self.stream))[step * size + places[at]]
        return self.stream.cropped(int(i), scale, seed % 2**64, epoch)


@functools.lru_cache(maxsize=2)  # Workers run ahead into the next epoch.
def _order(seed: int, epoch: int, examples: int) -> np.ndarray:
    import jax

    return np.asarray(order(jax.random.key(seed), epoch, examples))
