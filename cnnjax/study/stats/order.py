"""What stands before what: ranks and their correlation, and the front of cost and gain."""

import math
from collections.abc import Sequence

import numpy as np


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Spearman's: Pearson's correlation of the ranks, equal values sharing theirs; None where a
    side has fewer than two values to order.

    Raises:
      ValueError: a and b differ in length.
    """
    ranks = [_ranks(v) for v in (a, b)]
    if len(ranks[0]) != len(ranks[1]):
        raise ValueError("a rank correlation is of pairs")
    x, y = (r - r.mean() for r in ranks)
    size = math.sqrt(float((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / size if size else None


def front(
    costs: Sequence[float | None], gains: Sequence[float | None], tolerance: float = 0.0
) -> list[int]:
    """The places that nothing else beats, cheapest first; a place with None is never among them.

    A place is beaten by one that gains more at no more than `1 + tolerance` times the cost (nets
    matched in compute never match to the last digit), or that gains the same for less.
    """
    places = [
        (c, g, i)
        for i, (c, g) in enumerate(zip(costs, gains, strict=True))
        if c is not None and g is not None
    ]

    def beaten(cost: float, gain: float) -> bool:
        return any(
            (c <= cost * (1 + tolerance) and g > gain) or (c < cost and g == gain)
            for c, g, _ in places
        )

    return [i for c, g, i in sorted(places) if not beaten(c, g)]


def _ranks(values: Sequence[float]) -> np.ndarray:
    _, place, count = np.unique(np.asarray(values, float), return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[place]
