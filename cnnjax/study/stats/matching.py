"""Weights on nets, so that samples of them are alike in complexity."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Self

import numpy as np

MOST = 10  # Bins.
FEWEST = 3  # Nets of a sample in a bin, so that none gets all of its weight.


def matched(costs: Sequence[Sequence[float]]) -> list[np.ndarray] | None:
    """A weight on each net of each sample, each sample's adding up to 1, so that the weighted
    distributions of log cost are alike; None where too few nets have costs in common for that.

    The range that all samples reach into is cut into bins, and each bin gets the same weight,
    shared by its nets (Radosavovic et al. 2019, §3; their bins are of equal ratio, these hold equal
    numbers of nets, so that in small samples none gets much of the weight). Within bins the samples
    may still lie differently, so the weights are tilted exponentially until the mean log costs are
    equal (as Hainmueller 2012, "Entropy balancing", does).
    """
    logs = [np.log(np.asarray(c, float)) for c in costs]
    bins = Bins.common(logs)
    return bins and bins.matched(logs)


def effective(weights: Sequence[float]) -> float:
    """(Σw)² / Σw², Kish's effective number: that of equal weights is their count."""
    w = np.asarray(weights, float)
    return float(w.sum() ** 2 / (w**2).sum())


@dataclasses.dataclass(frozen=True, eq=False)
class Bins:
    """Bins of log cost by their `edges`, [bins + 1]."""

    edges: np.ndarray

    @classmethod
    def common(cls, logs: Sequence[np.ndarray]) -> Self | None:
        """As many as the root of the nets in the range that all samples reach into, of equal
        numbers of nets in all, or fewer, until each has some of each sample."""
        if not all(x.size for x in logs):
            return None
        low, high = max(x.min() for x in logs), min(x.max() for x in logs)
        if low > high:
            return None
        inside = [x[(x >= low) & (x <= high)] for x in logs]
        most = min(MOST, math.isqrt(min(x.size for x in inside)))
        for count in range(most, 1, -1):
            bins = cls(np.quantile(np.concatenate(inside), np.linspace(0, 1, count + 1)))
            if all(np.bincount(bins.place(x), minlength=count).min() >= FEWEST for x in inside):
                return bins
        return cls(np.array([low, high]))

    def place(self, x: np.ndarray) -> np.ndarray:
        """The number of each cost's bin, −1 outside them all."""
        found = np.searchsorted(self.edges, x, side="right") - 1
        outside = (x < self.edges[0]) | (x > self.edges[-1])
        return np.where(outside, -1, np.clip(found, 0, len(self.edges) - 2))

    def matched(self, logs: Sequence[np.ndarray]) -> list[np.ndarray] | None:
        """`weights` of samples [nets]; None where they can't be matched."""
        found = [w[0] for w in self.weights([x[None] for x in logs])]
        return found if all(np.isfinite(w).all() for w in found) else None

    def weights(self, logs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Weights of log costs [trials, nets] of each sample; NaN where a trial has no bin in
        common, or its mean log costs can't be made equal."""
        masks = [self.place(x)[..., None] == np.arange(len(self.edges) - 1) for x in logs]
        counts = [m.sum(1) for m in masks]  # [trials, bins]
        shared = np.logical_and.reduce([c > 0 for c in counts])
        with np.errstate(invalid="ignore"):
            share = shared / shared.sum(1, keepdims=True)
        each = [share / np.maximum(c, 1) for c in counts]
        found = [(m * e[:, None]).sum(2) for m, e in zip(masks, each, strict=True)]
        target = sum((w * x).sum(1) for w, x in zip(found, logs, strict=True)) / len(logs)
        tilted = [_tilt(x, w, target) for x, w in zip(logs, found, strict=True)]
        able = np.logical_and.reduce([ok for _, ok in tilted])[:, None]
        return [np.where(able, t, np.nan) for t, _ in tilted]


def _tilt(x: np.ndarray, w: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """w·exp(λx), normalised, with λ such that its mean of x is the target, by bisection; and
    whether a λ of moderate size does it, so that no net gets all the weight."""
    off = np.where(w > 0, x - target[:, None], 0)
    span = np.abs(off).max(1)
    most = 4 / np.where(span > 0, span, 1)  # Two nets' tilts differ by e⁸ at most.
    low, high = -most, most.copy()

    def tilted(rate: np.ndarray) -> np.ndarray:
        v = w * np.exp(off * rate[:, None])
        return v / v.sum(1, keepdims=True)

    for _ in range(45):
        middle = (low + high) / 2
        above = (tilted(middle) * off).sum(1) > 0
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    found = tilted((low + high) / 2)
    return found, np.abs((found * off).sum(1)) <= 1e-9 * span + 1e-12
