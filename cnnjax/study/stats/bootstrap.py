"""Bootstrap over seeds and test examples, from twenty seeds on.

Seeds and examples are drawn anew each for itself, with replacement, examples by the original that
they were made from (the pigeonhole bootstrap: Owen 2007, Ann. Appl. Stat. 1; it counts what seeds
and examples share more than once and so errs to caution). Percentiles of few values are too close:
at 3 and 5 seeds those of a mean cover 75 and 84 % in place of 95. From twenty on they are widened
as t quantiles are over normal ones (the expanded percentile interval: Hesterberg 2015, Am. Stat.
69); on each side the draws' outer 2.5 % give the scale, so that a skewed spread stays skewed, and
the t quantile the level.

What it brings, on planted truth at twenty seeds (tests/test_stats_bootstrap.py): where seeds are
normal, nothing. It covers 97 to 99 % over seeds and examples where the t interval covers 95, and is
6 to 32 % wider; over seeds alone both cover 95 % at the same width. Where seeds are skewed
(exponential) it covers 91.5 % and the t interval 90.9.
"""

import functools
from collections.abc import Callable

import numpy as np

from cnnjax.study.stats.intervals import quantile
from cnnjax.study.stats.samples import Sample, Terms, by_original, crossed

LEAST = 20  # Seeds.
DRAWS = 2000


def bounds(terms: Terms) -> Callable[[float], tuple[float, float]]:
    """How far the bounds of Σ weight · mean stand from it, as a function of the level."""
    n = min((len(sample.values) for _, sample in terms), default=LEAST)
    found = deviations(terms)
    outer = np.quantile(found, (0.025, 0.975)) / quantile(0.95, np.inf)
    low, high = min(float(outer[0]), 0.0), max(float(outer[1]), 0.0)

    def ends(level: float) -> tuple[float, float]:
        wide = np.sqrt(n / (n - 1)) * quantile(level, n - 1)
        return low * wide, high * wide

    return ends


def deviations(terms: Terms) -> np.ndarray:
    """Of each draw Σ weight · mean less that of the data, float [DRAWS]; the same every time."""
    if not terms:
        return np.zeros(DRAWS)
    both = crossed(terms)
    found = np.zeros(DRAWS)
    for place, (w, sample) in enumerate(terms):
        n = len(sample.values)
        by_seed = _redrawn(sample) if both else (np.asarray(sample.values) - sample.mean)[:, None]
        found += w / n * (by_seed * _counts(place, n)).sum(0)
    return found


@functools.lru_cache(maxsize=64)  # A point stands in several contrasts.
def _redrawn(sample: Sample) -> np.ndarray:
    """Each seed's accuracy less the sample's, over the examples of each draw, [seeds, DRAWS]."""
    right = by_original(sample).astype(np.float32) / sample.right.shape[1]
    return right @ _counts(-1, right.shape[1])


@functools.lru_cache(maxsize=64)  # Examples are the same for all points, and a draw's cost.
def _counts(stream: int, n: int) -> np.ndarray:
    """How often each of n is drawn, float [n, DRAWS]; `stream` tells independent ones apart."""
    rng = np.random.default_rng([stream + 1, n])
    drawn = rng.integers(0, n, (DRAWS, n)) + n * np.arange(DRAWS)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=n * DRAWS).reshape(DRAWS, n)
    return np.ascontiguousarray(counts.T, np.float32)
