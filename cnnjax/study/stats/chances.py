"""How sure a place on the front is: the share of redrawn studies in which it stands there.

Below twenty seeds a point's true mean is drawn as mean + error · t, with the pooled spread where
the points share one (one draw of the spread then scales them all), else with its own; from twenty
on its seeds are drawn anew (Efron & Tibshirani 1993, "An Introduction to the Bootstrap", §6). A
point that stands in several rows is drawn once, so that it never beats itself.
"""

from collections.abc import Sequence

import numpy as np

from cnnjax.study.stats.bootstrap import LEAST
from cnnjax.study.stats.intervals import Spread
from cnnjax.study.stats.samples import Sample, Terms, merged

DRAWS = 2000


def front_chances(
    costs: Sequence[float | None],
    gains: Sequence[Terms],
    common: Spread | None = None,
    tolerance: float = 0.0,
) -> list[float | None]:
    """For each place the share of draws in which it is on the front of costs and gains, as `front`
    decides; None for a place without cost or gain, and for all while one has too few seeds."""
    known = [i for i, (c, t) in enumerate(zip(costs, gains, strict=True)) if c is not None and t]
    samples = {id(s): s for i in known for _, s in gains[i]}
    found: list[float | None] = [None] * len(costs)
    if any(len(s.values) < 2 for s in samples.values()):
        return found
    rng = np.random.default_rng(0)
    scale = _scale(rng, common.df) if common is not None and common.shared else None
    drawn = {i: _draw(rng, s, common, scale) for i, s in samples.items()}
    means = [sum(w * drawn[id(s)] for w, s in merged(gains[i])) for i in known]
    table = np.array(means, float).reshape(len(known), DRAWS)
    cost = np.array([costs[i] for i in known], float)
    # The best of all that cost no more, over the places in the order of their costs.
    order = np.argsort(cost, kind="stable")
    best = np.maximum.accumulate(table[order], axis=0)
    near = np.searchsorted(cost[order], cost * (1 + tolerance), side="right")
    below = np.searchsorted(cost[order], cost, side="left")
    for at, i in enumerate(known):
        beaten = best[near[at] - 1] > table[at]
        if below[at]:
            beaten |= best[below[at] - 1] == table[at]
        found[i] = float(1 - beaten.mean())
    return found


def _draw(rng: np.random.Generator, s: Sample, common: Spread | None, scale) -> np.ndarray:
    v = np.asarray(s.values, float)
    if v.size >= LEAST:
        return v[rng.integers(0, v.size, (DRAWS, v.size))].mean(1)
    own = float(v.std(ddof=1)) if scale is None else common.sd
    sd = own * (_scale(rng, v.size - 1) if scale is None else scale)
    return v.mean() + sd / np.sqrt(v.size) * rng.standard_normal(DRAWS)


def _scale(rng: np.random.Generator, df: float) -> np.ndarray:
    """What makes a normal draw one of t."""
    return np.sqrt(df / rng.chisquare(df, DRAWS))
