"""Power laws of error against compute: error = floor + scale · cost^(−exponent).

Fitted by least squares to the logarithm of each replicate's error (as Hestness et al. 2017 and
Kaplan et al. 2020 fit theirs). Few levels over a short span fit any smooth curve, so there is a fit
only from six levels over one and a half decades on. The floor stands in it only where it fits
better by an F test at 5 %. Whether the law holds is told by the lack-of-fit F test: the levels'
means about the curve against the replicates about their means (Draper & Smith 1998, "Applied
Regression Analysis", §2.1). Intervals are by t on the residuals; with a floor they are profiled,
since the exponent is far from normal there (Bates & Watts 1988, "Nonlinear Regression", §6.1).
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from cnnjax.study.stats.intervals import Interval, quantile

LEVELS, DECADES = 6, 1.5


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """A power law with 95 % intervals. `lack` is the p value of the lack of fit, None without
    replicates; `floor` is None where none is needed. `points` are (cost, error, low, high) along
    the curve, the bounds its 95 % band."""

    exponent: Interval
    scale: float
    floor: Interval | None
    lack: float | None
    levels: int
    decades: float
    points: tuple[tuple[float, float, float, float], ...]


@dataclasses.dataclass(frozen=True)
class NoFit:
    """Why there is none."""

    reason: str


def power_law(costs: Sequence[float], errors: Sequence[Sequence[float]]) -> Fit | NoFit:
    """Fit the errors (fractions, the replicates of each level) against the levels' costs; levels of
    equal cost are one.

    Raises:
      ValueError: costs and errors differ in number.
    """
    groups: dict[float, list[float]] = {}
    for cost, values in zip(costs, errors, strict=True):
        groups.setdefault(float(cost), []).extend(values)
    kept = {c: v for c, v in sorted(groups.items()) if c > 0 and v}
    decades = math.log10(max(kept) / min(kept)) if kept else 0.0
    if len(kept) < LEVELS or decades < DECADES:
        few = f"{len(kept)} level{'' if len(kept) == 1 else 's'} over {decades:.1f} decades"
        return NoFit(f"{few}; six over {DECADES} are needed")
    if any(e <= 0 for v in kept.values() for e in v):
        return NoFit("an error of zero has no logarithm")
    # About the middle of the costs, where the scale and the exponent are independent.
    middle = float(np.mean([math.log(c) for c in kept]))
    x = np.concatenate([np.full(len(v), math.log(c) - middle) for c, v in kept.items()])
    y = np.log(np.concatenate(list(kept.values())))
    if y.std() < 1e-12:
        return NoFit("all errors are equal")
    plain, curved = _line(x, y), _floored(x, y)
    law = curved if _better(plain, curved, len(y)) else plain
    lack = _lack(law, kept, len(y))
    intervals = _intervals(law, x, y)
    return Fit(
        exponent=intervals[0],
        scale=math.exp(law.a + law.b * middle),
        floor=intervals[1],
        lack=lack,
        levels=len(kept),
        decades=decades,
        points=_band(law, x, y, middle),
    )


@dataclasses.dataclass(frozen=True)
class _Law:
    """log error = log(floor + exp(a − b·x)), what it leaves, and how many figures it has."""

    a: float
    b: float
    floor: float
    rest: float
    figures: int

    def at(self, x: np.ndarray) -> np.ndarray:
        return np.log(self.floor + np.exp(np.clip(self.a - self.b * x, -700, 700)))


def _line(x: np.ndarray, y: np.ndarray) -> _Law:
    b = -float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())
    a = float(y.mean() + b * x.mean())
    return _Law(a, b, 0.0, float(((y - a + b * x) ** 2).sum()), 2)


def _floored(
    x: np.ndarray,
    y: np.ndarray,
    b: float | None = None,
    floor: float | None = None,
    near: _Law | None = None,
) -> _Law:
    """The best law with a floor; `b` or `floor` may be held, and `near` is where to begin. The
    floor lies between zero and the smallest error."""
    from scipy import optimize

    least = math.exp(float(y.min()))

    def law(v: np.ndarray) -> _Law:
        rest = [float(u) for u in v]
        a = rest.pop(0)
        at = b if b is not None else rest.pop(0)
        c = floor if floor is not None else least / (1 + math.exp(-min(max(rest.pop(0), -40), 40)))
        return _Law(a, at, c, 0.0, 3)

    best = None
    for share in (0.05, 0.5, 0.9) if near is None else (near.floor / least,):
        start = near or _line(x, np.log(np.maximum(np.exp(y) - share * least, 0.02 * np.exp(y))))
        share = min(max(share, 1e-6), 1 - 1e-6)
        first = [start.a, *([start.b] if b is None else [])]
        first += [math.log(share / (1 - share))] if floor is None else []
        found = optimize.least_squares(lambda v: law(v).at(x) - y, first, method="lm")
        if best is None or found.cost < best.cost:
            best = found
    return dataclasses.replace(law(best.x), rest=2 * float(best.cost))


def _better(plain: _Law, curved: _Law, n: int) -> bool:
    """Whether the floor earns its place, by F at 5 %."""
    if curved.rest <= 0:
        return False
    f = (plain.rest - curved.rest) / (curved.rest / (n - curved.figures))
    return _tail(1, n - curved.figures, f) < 0.05


def _lack(law: _Law, groups: dict[float, list[float]], n: int) -> float | None:
    logs = [np.log(v) for v in groups.values()]
    pure = sum(float(((v - v.mean()) ** 2).sum()) for v in logs)
    df, over = n - len(groups), len(groups) - law.figures
    if df < 1 or pure <= 0:
        return None
    return _tail(over, df, max(law.rest - pure, 0.0) / over / (pure / df))


def _tail(a: int, b: int, f: float) -> float:
    from scipy import special

    return float(special.fdtrc(a, b, max(f, 0.0)))


def _intervals(law: _Law, x: np.ndarray, y: np.ndarray) -> tuple[Interval, Interval | None]:
    """Of the exponent and the floor."""
    n = len(y)
    df = n - law.figures
    bound = quantile(0.95, df)
    if law.figures == 2:
        half = bound * math.sqrt(law.rest / df / float(((x - x.mean()) ** 2).sum()))
        return Interval(law.b, law.b - half, law.b + half, n), None
    allowed = law.rest * (1 + bound**2 / df)
    least = math.exp(float(y.min()))

    def beyond(**held: float) -> bool:
        return _floored(x, y, near=law, **held).rest > allowed

    low, high = (_edge(lambda v: beyond(b=v), law.b, end) for end in (-5.0, 5.0))
    ends = [_edge(lambda v: beyond(floor=v), law.floor, end) for end in (0.0, least * (1 - 1e-6))]
    return Interval(law.b, low, high, n), Interval(law.floor, *ends, n)


def _edge(beyond, inside: float, outside: float) -> float:
    """Where, going from inside to outside, the residuals grow too large; the end if nowhere."""
    if not beyond(outside):
        return outside
    for _ in range(14):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if beyond(middle) else (middle, outside)
    return (inside + outside) / 2


def _band(law: _Law, x: np.ndarray, y: np.ndarray, middle: float) -> tuple:
    """(cost, error, low, high) at 25 costs; the band is the delta method's on log error."""
    df = len(y) - law.figures
    at = np.linspace(x.min(), x.max(), 25)

    def slopes(z: np.ndarray) -> np.ndarray:
        power, error = np.exp(law.a - law.b * z), np.exp(law.at(z))
        columns = [power / error, -z * power / error, 1 / error][: law.figures]
        return np.stack(columns, 1)

    spread = np.linalg.pinv(slopes(x).T @ slopes(x)) * law.rest / df
    error = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", slopes(at), spread, slopes(at)), 0))
    half = quantile(0.95, df) * error
    mean = law.at(at)
    columns = (np.exp(at + middle), np.exp(mean), np.exp(mean - half), np.exp(mean + half))
    return tuple(tuple(map(float, row)) for row in zip(*columns, strict=True))
