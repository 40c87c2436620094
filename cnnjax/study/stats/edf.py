"""Distributions of nets' errors: their empirical distribution functions, compared as drawn and at
matched complexity.

A design space is judged by the share of its nets below each error, not by its best net, and spaces
whose nets cost differently are compared with a weight on each net (Radosavovic, Johnson, Xie, Lo &
Dollár 2019, "On network design spaces for visual recognition", §3). Nets are the replicates here:
independent draws from their space.
"""

import dataclasses
import math
import warnings
from collections.abc import Sequence

import numpy as np

from cnnjax.study.stats import intervals
from cnnjax.study.stats.intervals import Interval, difference
from cnnjax.study.stats.matching import Bins, effective

ENOUGH = 20  # Nets a sample from which a bootstrap is trusted.
RESAMPLES = 999


@dataclasses.dataclass(frozen=True)
class Distance:
    """How sample `a` differs from `b`: `mean` and `median` are of a less b, `ks` is the largest gap
    between their distribution functions and `p` the chance of one as large where both samples are
    of one distribution (at matched complexity: of one at each complexity)."""

    mean: Interval
    median: Interval
    ks: float
    p: float


def edf(errors: Sequence[float], weights: Sequence[float] | None = None) -> list:
    """(error, share of the weight at or below it) at each distinct error, lowest first."""
    e, w = _pair(errors, weights)
    values, place = np.unique(e, return_inverse=True)
    shares = np.cumsum(np.bincount(place, w))
    return [(float(v), min(float(s), 1.0)) for v, s in zip(values, shares, strict=True)]


def band(errors: Sequence[float], weights: Sequence[float] | None = None, level: float = 0.95):
    """Half the height of a band about the EDF that holds the whole true one with chance `level`:
    √(ln(2/α) / 2n), Dvoretzky, Kiefer & Wolfowitz's with Massart's (1990) constant. Of weighted
    nets n is their effective number, and the band is approximate."""
    n = effective(_pair(errors, weights)[1])
    return math.sqrt(math.log(2 / (1 - level)) / (2 * n))


def quantile(errors: Sequence[float], share: float, weights: Sequence[float] | None = None):
    """The lowest error with at least so large a share of the weight at or below it."""
    return next(e for e, v in edf(errors, weights) if v >= share - 1e-12)


def median(errors: Sequence[float], weights: Sequence[float] | None = None) -> float:
    """The error that half of the weight lies below, and half above; between two, their mean."""
    e, w = _pair(errors, weights)
    return float(_medians(e[None], w[None])[0])


def distance(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Distance:
    """Two samples as drawn: Welch's interval of the means, percentiles of the bootstrap for the
    medians where both have 20 nets, the Kolmogorov–Smirnov test of the distributions.

    Raises:
      ValueError: a sample is empty.
    """
    from scipy import stats

    x, y = np.asarray(a, float), np.asarray(b, float)
    if not x.size or not y.size:
        raise ValueError("the distance of no values")
    with warnings.catch_warnings():
        # Where rounding defeats the exact p value SciPy takes the asymptotic one, and says so.
        warnings.simplefilter("ignore", RuntimeWarning)
        test = stats.ks_2samp(x, y)
    halves = Interval(median(x) - median(y), None, None, min(x.size, y.size))
    if halves.n >= ENOUGH:
        rng = np.random.default_rng(0)
        draws = [v[rng.integers(v.size, size=(RESAMPLES, v.size))] for v in (x, y)]
        gaps = np.subtract(*(_medians(d, np.full(d.shape, 1 / d.shape[1])) for d in draws))
        halves = _percentiles(halves.mean, gaps, halves.n, level)
    return Distance(
        difference(x, y, None, level), halves, float(test.statistic), float(test.pvalue)
    )


def matched_distance(
    a: Sequence[float],
    b: Sequence[float],
    costs: tuple[Sequence[float], Sequence[float]],
    level: float = 0.95,
) -> Distance | None:
    """Two samples at matched cost; None where too few nets have costs in common for that.

    From 20 nets each on the mean's interval is Student's with the bootstrap's standard error, nets
    drawn and matched anew; below that it is Welch's on the weighted errors, which errs to caution.
    `p` is of a permutation test: nets of one bin of cost change places between the samples.
    """
    errors = [np.asarray(v, float) for v in (a, b)]
    logs = [np.log(np.asarray(c, float)) for c in costs]
    bins = Bins.common(logs)
    weights = bins and bins.matched(logs)
    if weights is None:
        return None
    used = [w > 0 for w in weights]
    n = min(int(u.sum()) for u in used)
    sums = [float(w @ e) for w, e in zip(weights, errors, strict=True)]
    gap = sums[0] - sums[1]
    middles = median(errors[0], weights[0]) - median(errors[1], weights[1])
    mean, halves = _welch(errors, weights, gap, n, level), Interval(middles, None, None, n)
    rng = np.random.default_rng(0)
    if n >= ENOUGH:
        drawn = [rng.integers(len(e), size=(RESAMPLES, len(e))) for e in errors]
        again = bins.weights([x[i] for x, i in zip(logs, drawn, strict=True)])
        able = np.isfinite(again[0]).all(1)
        again = [w[able] for w in again]
        picked = [e[i[able]] for e, i in zip(errors, drawn, strict=True)]
        means = [(w * e).sum(1) for w, e in zip(again, picked, strict=True)]
        df = min(effective(w) for w in weights) - 1
        error = float((means[0] - means[1]).std(ddof=1)) * math.sqrt(1 + 1 / df)
        half = intervals.quantile(level, df) * error
        mean = Interval(gap, gap - half, gap + half, n)
        held = [_medians(e, w) for w, e in zip(again, picked, strict=True)]
        halves = _percentiles(middles, held[0] - held[1], n, level)
    ks = float(_ks(errors, [w[None] for w in weights])[0])
    return Distance(mean, halves, ks, _permuted(errors, logs, bins, ks, rng))


def _permuted(errors, logs, bins: Bins, ks: float, rng: np.random.Generator) -> float:
    """The share of relabellings within bins of cost whose gap is as large, this one counted."""
    pooled, cost = np.concatenate(errors), np.concatenate(logs)
    place = bins.place(cost)
    own = np.repeat([0, 1], [len(e) for e in errors])
    # A random order within each bin: nets sorted by (bin, chance) take the places of their bin.
    places = np.argsort(place, kind="stable")
    shuffled = np.lexsort((rng.random((RESAMPLES, place.size)), np.tile(place, (RESAMPLES, 1))))
    order = np.empty_like(shuffled)
    order[:, places] = shuffled
    split = [order[:, own == side] for side in (0, 1)]
    weights = bins.weights([cost[i] for i in split])
    gaps = _ks_rows([pooled[i] for i in split], weights)
    able = np.isfinite(gaps)  # Some orders can't be matched.
    return float((1 + (gaps[able] >= ks - 1e-12).sum()) / (1 + able.sum()))


def _welch(errors, weights, gap: float, n: int, level: float) -> Interval:
    """Welch's interval of weighted means; that of equal weights is the ordinary one."""
    parts = []
    for e, w in zip(errors, weights, strict=True):
        size = effective(w)
        if size < 1.5:
            return Interval(gap, None, None, n)
        v = float((w**2 * (e - w @ e) ** 2).sum()) * size / (size - 1)
        parts.append((v, size - 1))
    total = sum(v for v, _ in parts)
    df = total**2 / sum(v**2 / d for v, d in parts) if total else math.inf
    half = intervals.quantile(level, df) * math.sqrt(total)
    return Interval(gap, gap - half, gap + half, n)


def _ks(errors: Sequence[np.ndarray], weights: Sequence[np.ndarray]) -> np.ndarray:
    return _ks_rows([e[None] for e in errors], weights)


def _ks_rows(errors: Sequence[np.ndarray], weights: Sequence[np.ndarray]) -> np.ndarray:
    """The largest gap of two weighted EDFs a trial: errors and weights [trials, nets]."""
    e = np.concatenate(errors, 1)
    signed = np.concatenate([weights[0], -weights[1]], 1)
    order = np.argsort(e, 1)
    e = np.take_along_axis(e, order, 1)
    gaps = np.abs(np.cumsum(np.take_along_axis(signed, order, 1), 1))
    last = np.append(e[:, 1:] != e[:, :-1], np.ones((len(e), 1), bool), 1)  # Of equal errors.
    return np.where(last, gaps, 0).max(1)


def _medians(errors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted medians of errors [trials, nets]."""
    order = np.argsort(errors, 1)
    e, w = np.take_along_axis(errors, order, 1), np.take_along_axis(weights, order, 1)
    below = np.cumsum(w, 1)
    first = (below >= 0.5 - 1e-12).argmax(1)
    after = (below > 0.5 + 1e-12).argmax(1)
    rows = np.arange(len(e))
    return (e[rows, first] + e[rows, after]) / 2


def _percentiles(middle: float, draws: np.ndarray, n: int, level: float) -> Interval:
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(middle, float(low), float(high), n)


def _pair(errors: Sequence[float], weights: Sequence[float] | None) -> tuple:
    """Errors with their weights, scaled to add up to 1.

    Raises:
      ValueError: there are none.
    """
    e = np.asarray(errors, float)
    if not e.size:
        raise ValueError("the distribution of no values")
    w = np.ones(e.size) if weights is None else np.asarray(weights, float)
    return e, w / w.sum()
