"""Weighted sums of points' means, over seeds and test examples: the one form of every comparison.

A point's mean, a difference, a net interpolated between two, a slope along an axis are all
Σ weight · mean, so one rule gives their intervals. Seeds and test examples are crossed: each net is
tested on the same images. Of the two-way layout the variance of a mean is
(MS_seeds + MS_examples − MS_both) / cells (Searle, Casella & McCulloch 1992, "Variance Components",
§4.3); examples made from one original count together. Without predictions the interval is over
seeds alone.

Seeds are few and examples many, so the two parts differ in their degrees of freedom. Their squared
half widths are added, t²·variance each, which never covers less than it promises (Banerjee 1961,
Sankhyā A 23). One Satterthwaite t for the sum does: at three seeds, where most of the variance is
the seeds', 92 % in place of 95 and 97.3 in place of the 99.5 that a correction for ten asks for.

From twenty seeds on the bootstrap takes its place (`bootstrap.py`).

Several contrasts are corrected as Holm (1979) does: the smallest p value is held against α/m, the
next against α/(m − 1), until one fails. An interval's level is that of its step (Ludbrook 2000), so
that it leaves out zero exactly where Holm's procedure finds a difference.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from cnnjax.study.stats import bootstrap
from cnnjax.study.stats.intervals import Interval, Spread, quantile
from cnnjax.study.stats.samples import Sample, Terms, by_original, crossed, merged

Bounds = Callable[[float], tuple[float, float]]


def contrast(terms: Terms, common: Spread | None = None, level: float = 0.95) -> Interval:
    """Σ weight · mean with its interval; `n` is the smallest number of seeds. What cancels (a point
    less itself) is exactly zero.

    Raises:
      ValueError: there are no terms, or a sample without values.
    """
    return _estimate(terms, common).interval(level)


def family(
    several: Sequence[Terms],
    common: Spread | None = None,
    level: float = 0.95,
    against: Sequence[float] | None = None,
) -> list[Interval]:
    """The intervals of several contrasts, corrected for their number: at most `1 − level` is the
    chance that any leaves out zero, or its value of `against`, where that is the truth."""
    found = [_estimate(terms, common) for terms in several]
    truths = against or [0.0] * len(found)
    p = [e.p(v) for e, v in zip(found, truths, strict=True)]
    order = sorted(range(len(found)), key=lambda i: p[i])
    m, levels, step = len(found), {}, 0
    for place, i in enumerate(order):
        if place == step and found[i].differs(1 - (1 - level) / (m - place), truths[i]):
            step += 1
        levels[i] = 1 - (1 - level) / (m - min(place, step, m - 1))
    return [found[i].interval(levels[i]) for i in range(m)]


@dataclasses.dataclass(frozen=True)
class _Estimate:
    """A contrast's value, and its bounds at a level; none where seeds are too few."""

    mean: float
    n: int
    bounds: Bounds | None = None

    def interval(self, level: float) -> Interval:
        low, high = self.bounds(level) if self.bounds else (None, None)
        return Interval(self.mean, low, high, self.n)

    def differs(self, level: float, truth: float) -> bool:
        """Whether the interval leaves out what may be the truth."""
        return self.bounds is not None and not self.interval(level).covers(truth)

    def p(self, truth: float) -> float:
        """One less the level at which the interval just reaches the truth, down to 1e-15."""
        low, high = -15.0, 0.0  # Its decimal logarithm.
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (low, middle) if self.differs(1 - 10**middle, truth) else (middle, high)
        return 10**high


def _estimate(terms: Terms, common: Spread | None) -> _Estimate:
    if not terms or not all(sample.values for _, sample in terms):
        raise ValueError("a contrast of no values")
    n = min(len(sample.values) for _, sample in terms)
    terms = merged(terms)
    mean = math.fsum(w * sample.mean for w, sample in terms)
    if n < 2:
        return _Estimate(mean, n)
    bounds = bootstrap.bounds(terms) if n >= bootstrap.LEAST else _by_t(terms, common)
    return _Estimate(mean, n, lambda level: tuple(mean + v for v in bounds(level)))


def _by_t(terms: Terms, common: Spread | None) -> Bounds:
    """How far the bounds stand from the estimate, by t quantiles."""
    seeds, df = _over_seeds(terms, common)
    both, examples, clusters = _over_examples(terms)
    rest = max(examples - both, 0.0)

    def ends(level: float) -> tuple[float, float]:
        t, z = quantile(level, df), quantile(level, clusters)
        # Never less than either source alone: the variance of both is an estimate too.
        half = math.sqrt(max(t**2 * seeds + z**2 * rest, z**2 * examples))
        return -half, half

    return ends


def _over_seeds(terms: Terms, common: Spread | None) -> tuple[float, float]:
    """The seeds' variance and its degrees of freedom: the common spread's, else Welch's."""
    if common is not None and common.shared:
        return common.sd**2 * sum(w**2 / len(sample.values) for w, sample in terms), common.df
    parts = [(w**2 * float(np.var(s.values, ddof=1)) / len(s.values), s.values) for w, s in terms]
    total, squares = sum(v for v, _ in parts), sum(v**2 / (len(a) - 1) for v, a in parts)
    return total, total**2 / squares if squares else math.inf


def _over_examples(terms: Terms) -> tuple[float, float, float]:
    """What of the seeds' variance is in that of the examples too, the examples' variance and its
    degrees of freedom; zeros where it isn't known which examples were got right."""
    if not crossed(terms):
        return 0.0, 0.0, math.inf
    scores = [(w, _centred(sample)) for w, sample in terms]
    size, clusters = terms[0][1].right.shape[1], scores[0][1].shape[1]
    if clusters < 2:
        return 0.0, 0.0, math.inf
    mean = sum(w * s.mean(0) for w, s in scores)
    grow = clusters / (clusters - 1) / size**2
    both = 0.0
    for w, s in scores:
        rest = s - s.mean(0)
        both += w**2 * float((rest**2).sum()) / (len(s) - 1) / len(s) * grow
    return both, float((mean**2).sum()) * grow, clusters - 1


def _centred(sample: Sample) -> np.ndarray:
    """`by_original` less each seed's own mean, which is the seeds' part."""
    found = by_original(sample)
    if sample.originals is None:
        sizes = np.ones(found.shape[1])
    else:
        sizes = np.unique(sample.originals, return_counts=True)[1].astype(float)
    return found - found.sum(1, keepdims=True) * sizes / sizes.sum()
