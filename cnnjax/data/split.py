"""A split of a dataset in memory, and what any split can do."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np


class Examples(NamedTuple):
    """A batch: uint8 images [B, H, W, C] and int32 labels [B], −1 where it is padded."""

    images: np.ndarray
    labels: np.ndarray


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

    def batches(
        self, size: int, places: np.ndarray | None = None, workers: int = 0
    ) -> Iterator[Examples]:
        """All examples in order, `size` at a time; of each batch those at `places`, all by default.

        The last batch is padded, so that all have one shape.
        """
        places = np.arange(size) if places is None else places
        for start in range(0, len(self), size):
            rows = start + places
            there = rows < len(self)
            images = np.zeros((len(places), *self.images.shape[1:]), self.images.dtype)
            labels = np.full(len(places), -1, np.int32)
            images[there], labels[there] = self.images[rows[there]], self.labels[rows[there]]
            yield Examples(images, labels)
