"""Weighted sums of points' means, over seeds and test examples: the one form of every comparison.

A point's mean, a difference, a net interpolated between two, a slope along an axis are all
Σ weight · mean, so one rule gives their intervals. Seeds and test examples are crossed: each net is
tested on the same images. Of the two-way layout the variance of a mean is
(MS_seeds + MS_examples − MS_both) / cells (Searle, Casella & McCulloch 1992, "Variance Components",
§4.3), with Satterthwaite's degrees of freedom; examples made from one original count together.
Without predictions the interval is over seeds alone.

Several contrasts are corrected as Holm (1979) does: the smallest p value is held against α/m, the
next against α/(m − 1), until one fails. An interval's level is that of its step (Ludbrook 2000), so
that it leaves out zero exactly where Holm's procedure finds a difference.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from cnnjax.study.stats.intervals import Interval, Spread, quantile


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


def contrast(terms: Terms, common: Spread | None = None, level: float = 0.95) -> Interval:
    """Σ weight · mean with its interval; `n` is the smallest number of seeds.

    Raises:
      ValueError: there are no terms, or a sample without values.
    """
    return _interval(_moments(terms, common), level)


def family(
    several: Sequence[Terms],
    common: Spread | None = None,
    level: float = 0.95,
    against: Sequence[float] | None = None,
) -> list[Interval]:
    """The intervals of several contrasts, corrected for their number: at most `1 − level` is the
    chance that any leaves out zero, or its value of `against`, where that is the truth."""
    moments = [_moments(terms, common) for terms in several]
    tested = [m.less(v) for m, v in zip(moments, against or [0.0] * len(moments), strict=True)]
    order = sorted(range(len(moments)), key=lambda i: tested[i].p)
    m, levels, step = len(moments), {}, 0
    for place, i in enumerate(order):
        if place == step and tested[i].p <= (1 - level) / (m - place):
            step += 1
        levels[i] = 1 - (1 - level) / (m - min(place, step, m - 1))
    return [_interval(moments[i], levels[i]) for i in range(m)]


@dataclasses.dataclass(frozen=True)
class _Moments:
    """An estimate, its standard error and degrees of freedom; no error where seeds are too few."""

    estimate: float
    error: float | None
    df: float
    n: int

    def less(self, v: float) -> "_Moments":
        return dataclasses.replace(self, estimate=self.estimate - v)

    @property
    def p(self) -> float:
        """Two-sided, of a true value of zero."""
        from scipy import special

        if self.error is None:
            return 1.0
        if self.error == 0:
            return 0.0 if self.estimate else 1.0
        t = -abs(self.estimate) / self.error
        return 2 * float(special.ndtr(t) if math.isinf(self.df) else special.stdtr(self.df, t))


def _interval(m: _Moments, level: float) -> Interval:
    if m.error is None:
        return Interval(m.estimate, None, None, m.n)
    half = quantile(level, m.df) * m.error
    return Interval(m.estimate, m.estimate - half, m.estimate + half, m.n)


def _moments(terms: Terms, common: Spread | None) -> _Moments:
    terms = _merged(terms)
    if not terms or not all(sample.values for _, sample in terms):
        raise ValueError("a contrast of no values")
    estimate = math.fsum(w * sample.mean for w, sample in terms)
    n = min(len(sample.values) for _, sample in terms)
    if n < 2:
        return _Moments(estimate, None, math.inf, n)
    parts = _over_seeds(terms, common)
    both, examples, df = _over_examples(terms)
    seeds = sum(v for v, _ in parts)
    # Never less than either source alone: the variance of both is an estimate too.
    total = max(seeds + examples - both, seeds, examples)
    squares = sum(v**2 / d for v, d in [*parts, (examples, df)] if v)
    # Satterthwaite's, with the sum in place of the total where the latter was cut.
    return _Moments(estimate, math.sqrt(total), total**2 / squares if squares else math.inf, n)


def _merged(terms: Terms) -> list[tuple[float, Sample]]:
    """A sample that stands in several terms once, with the sum of its weights."""
    weights: dict[int, float] = {}
    samples = {id(sample): sample for _, sample in terms}
    for weight, sample in terms:
        weights[id(sample)] = weights.get(id(sample), 0.0) + weight
    return [(w, samples[i]) for i, w in weights.items() if w]


def _over_seeds(terms: Terms, common: Spread | None) -> list[tuple[float, float]]:
    """(variance, degrees of freedom) of the independent parts."""
    if common is not None and common.shared:
        share = sum(w**2 / len(sample.values) for w, sample in terms)
        return [(common.sd**2 * share, common.df)]
    found = []
    for w, sample in terms:
        v = np.asarray(sample.values)
        found.append((w**2 * float(v.var(ddof=1)) / v.size, v.size - 1))
    return found


def _over_examples(terms: Terms) -> tuple[float, float, float]:
    """What of the seeds' variance is in that of the examples too, the examples' variance and its
    degrees of freedom; zeros where it isn't known which examples were got right."""
    first = terms[0][1]
    if first.right is None or not all(_alike(first, sample) for _, sample in terms):
        return 0.0, 0.0, 1.0
    scores = [(w, _by_original(sample)) for w, sample in terms]
    size, clusters = first.right.shape[1], scores[0][1].shape[1]
    if clusters < 2:
        return 0.0, 0.0, 1.0
    mean = sum(w * s.mean(0) for w, s in scores)
    grow = clusters / (clusters - 1) / size**2
    both = 0.0
    for w, s in scores:
        rest = s - s.mean(0)
        both += w**2 * float((rest**2).sum()) / (len(s) - 1) / len(s) * grow
    return both, float((mean**2).sum()) * grow, clusters - 1


def _alike(a: Sample, b: Sample) -> bool:
    """Whether both were tested on the same examples."""
    if a is b:
        return True
    if b.right is None or a.right.shape[1] != b.right.shape[1]:
        return False
    if a.originals is None or b.originals is None:
        return a.originals is b.originals
    return np.array_equal(a.originals, b.originals)


def _by_original(sample: Sample) -> np.ndarray:
    """Right answers less their seed's mean, summed over the examples of each original, float
    [seeds, originals]."""
    right = sample.right.astype(float)
    right -= right.mean(1, keepdims=True)
    if sample.originals is None:
        return right
    _, place = np.unique(sample.originals, return_inverse=True)
    found = np.zeros((len(right), place.max() + 1))
    for row, values in zip(found, right, strict=True):
        row[:] = np.bincount(place, values)
    return found
