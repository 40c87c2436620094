"""A point's replicates, and a weighted sum of several."""

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """A point's replicates: an accuracy a seed and, where that is known, which test examples each
    got right, bool [seeds, examples], and the original that each example was made from, int
    [examples]."""

    values: tuple[float, ...]
    right: np.ndarray | None = None
    originals: np.ndarray | None = None

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))


Terms = Sequence[tuple[float, Sample]]


def merged(terms: Terms) -> list[tuple[float, Sample]]:
    """A sample that stands in several terms once, with the sum of its weights, if any."""
    weights: dict[int, float] = {}
    samples = {id(sample): sample for _, sample in terms}
    for weight, sample in terms:
        weights[id(sample)] = weights.get(id(sample), 0.0) + weight
    return [(w, samples[i]) for i, w in weights.items() if w]


def crossed(terms: Terms) -> bool:
    """Whether it is known of all which examples were got right, and the examples are the same."""
    return bool(terms) and all(_alike(terms[0][1], sample) for _, sample in terms)


def _alike(a: Sample, b: Sample) -> bool:
    if a.right is None or b.right is None or a.right.shape[1] != b.right.shape[1]:
        return False
    if a.originals is None or b.originals is None:
        return a.originals is b.originals
    return a is b or np.array_equal(a.originals, b.originals)


def by_original(sample: Sample) -> np.ndarray:
    """Right answers less the sample's mean, summed over the examples of each original, float
    [seeds, originals]."""
    right = sample.right.astype(float)
    right -= right.mean()
    if sample.originals is None:
        return right
    _, place = np.unique(sample.originals, return_inverse=True)
    found = np.zeros((len(right), place.max() + 1))
    for row, values in zip(found, right, strict=True):
        row[:] = np.bincount(place, values)
    return found
