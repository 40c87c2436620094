"""How far seeds carry: intervals of means and of differences, and what could be detected.

Replicates differ in their seed alone and are taken as independent draws from a normal
distribution. With few seeds a point's own standard deviation is itself a guess (at three seeds it
is off by half as often as not), so where the points do not visibly differ in spread they share
one: `spread` pools when the Brown–Forsythe test (Levene's with medians, J. Am. Stat. Assoc. 69,
1974) does not reject equal spreads at 5 %. Otherwise each point uses its own, and differences are
Welch's. No interval without two seeds.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean (or a difference of means) of `n` values; no bounds where none can be given."""

    mean: float
    low: float | None
    high: float | None
    n: int

    @property
    def known(self) -> bool:
        return self.low is not None

    @property
    def verdict(self) -> str:
        """Against zero: `better`, `worse`, `open` where it can't be told, `unknown` without
        bounds."""
        if not self.known:
            return "unknown"
        if self.covers(0):
            return "open"
        return "better" if self.mean > 0 else "worse"

    def covers(self, value: float) -> bool:
        """Whether the bounds, if there are any, hold the value between them."""
        return self.low is not None and self.high is not None and self.low <= value <= self.high


@dataclasses.dataclass(frozen=True)
class Spread:
    """The seeds' standard deviation over several points.

    `sd` is pooled with `df` degrees of freedom; `shared` says whether the points may use it in
    place of their own; `p` is the Brown–Forsythe test's, None where it can't be done.
    """

    sd: float | None
    df: int
    shared: bool
    p: float | None


def spread(groups: Sequence[Sequence[float]]) -> Spread:
    """The points' common standard deviation; groups of one value add nothing."""
    groups = [np.asarray(g, float) for g in groups if len(g) > 1]
    df = sum(len(g) - 1 for g in groups)
    if not df:
        return Spread(None, 0, False, None)
    sd = math.sqrt(sum(float(((g - g.mean()) ** 2).sum()) for g in groups) / df)
    p = _brown_forsythe(groups)
    return Spread(sd, df, len(groups) > 1 and (p is None or p >= 0.05), p)


def mean(values: Sequence[float], common: Spread | None = None, level: float = 0.95) -> Interval:
    """The mean with its t interval, by the common spread where that is shared.

    Raises:
      ValueError: there are no values.
    """
    v = np.asarray(values, float)
    if not v.size:
        raise ValueError("the mean of no values")
    if v.size < 2:
        return Interval(float(v.mean()), None, None, 1)
    sd, df = _sd(v, common)
    half = quantile(level, df) * sd / math.sqrt(v.size)
    return Interval(float(v.mean()), float(v.mean()) - half, float(v.mean()) + half, v.size)


def difference(
    a: Sequence[float], b: Sequence[float], common: Spread | None = None, level: float = 0.95
) -> Interval:
    """mean(a) − mean(b) with its t interval: by the common spread where shared, else Welch's.

    `n` is the smaller count. Several differences that should hold together want
    `level=simultaneous(0.95, how_many)`.

    Raises:
      ValueError: a or b is empty.
    """
    x, y = np.asarray(a, float), np.asarray(b, float)
    if not x.size or not y.size:
        raise ValueError("the difference of no values")
    gap, n = float(x.mean() - y.mean()), int(min(x.size, y.size))
    if n < 2:
        return Interval(gap, None, None, n)
    if common is not None and common.shared:
        error, df = common.sd * math.sqrt(1 / x.size + 1 / y.size), common.df
    else:
        vx, vy = x.var(ddof=1) / x.size, y.var(ddof=1) / y.size
        error = math.sqrt(vx + vy)
        df = (vx + vy) ** 2 / (vx**2 / (x.size - 1) + vy**2 / (y.size - 1)) if error else math.inf
    half = quantile(level, df) * error
    return Interval(gap, gap - half, gap + half, n)


def simultaneous(level: float, comparisons: int) -> float:
    """Bonferroni: the level of each of several intervals that shall all hold at `level`."""
    return 1 - (1 - level) / max(comparisons, 1)


def detectable(
    n: int, sd: float = 1.0, df: float | None = None, power: float = 0.8, level: float = 0.95
) -> float:
    """The smallest true difference between two points of `n` seeds each that a t test finds with
    `power`; in units of `sd`. `df` is the spread's (2n − 2 when it comes from the two alone).

    Raises:
      ValueError: fewer than two seeds.
    """
    from scipy import special

    if n < 2:
        raise ValueError("one seed detects nothing")
    df = 2 * n - 2 if df is None else df
    bound = quantile(level, df)
    low, high = 0.0, 10 * bound  # In standard errors of the difference.
    for _ in range(50):
        middle = (low + high) / 2
        # The chance to reject on the other side is below 1e-4 here and left out.
        found = 1 - special.nctdtr(df, middle, bound) >= power
        low, high = (low, middle) if found else (middle, high)
    return high * math.sqrt(2 / n) * sd


def _sd(v: np.ndarray, common: Spread | None) -> tuple[float, float]:
    if common is not None and common.shared:
        return common.sd, common.df
    return float(v.std(ddof=1)), v.size - 1


def quantile(level: float, df: float) -> float:
    """The two-sided t quantile."""
    from scipy import special

    # As scipy.stats.t.ppf, but lighter to import and to call.
    if math.isinf(df):
        return float(special.ndtri(0.5 + level / 2))
    return float(special.stdtrit(df, 0.5 + level / 2))


def _brown_forsythe(groups: Sequence[np.ndarray]) -> float | None:
    """The p value of equal spreads: one-way analysis of variance of |value − median|."""
    from scipy import special

    if len(groups) < 2:
        return None
    z = [np.abs(g - np.median(g)) for g in groups]
    # The ratio has no scale, but squares of tiny distances underflow: a power of two is exact.
    exponent = int(np.frexp(max(float(g.max()) for g in z))[1])
    z = [np.ldexp(g, -exponent) for g in z]
    n, k = sum(len(g) for g in z), len(z)
    grand = np.concatenate(z).mean()
    between = sum(len(g) * (g.mean() - grand) ** 2 for g in z) / (k - 1)
    within = sum(float(((g - g.mean()) ** 2).sum()) for g in z) / max(n - k, 1)
    if within == 0:  # Pairs have equal distances from their median: nothing can be said.
        return None
    return float(special.fdtrc(k - 1, n - k, between / within))
