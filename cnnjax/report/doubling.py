"""What a doubling of training compute bought along each series, and how far the order holds.

A series' gain is the slope of its points' accuracy on log₂ of their training multiply-accumulates
by least squares: one contrast, whose interval is of the same making as every other (over seeds and
test examples, not over how well a line fits; the bend tells that). All gains lie within their
intervals at once with a chance of 95 % (Bonferroni: Holm's intervals promise that only of zero).

Ranks come from all differences between two gains, by Holm's procedure: a series ranks no higher
than after those that surely gain more, and no lower than before those that surely gain less, so all
rank intervals hold at once (Al Mohamad, Goeman & van Zwet 2022, "Simultaneous confidence intervals
for ranks with application to ranking institutions", Biometrics 78).
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np

from cnnjax.report import words
from cnnjax.report.points import SETTING, Row, Summary
from cnnjax.study import stats
from cnnjax.study.stats import Interval

LEVELS = 3  # Of compute; two are a difference, which stands among the comparisons.
APART = 1.1  # Times as much compute make another level.


@dataclasses.dataclass(frozen=True)
class Gain:
    """A series: `slope` is the gain of accuracy a doubling over `rows`, cheapest first; `ranks` the
    best and the worst rank that the differences leave it, none where it is alone. `bend` is the
    last doubling's gain less the first one's. `left_out` are its points at chance, to which a line
    on log compute does not apply."""

    series: str
    rows: tuple[Row, ...]
    slope: Interval
    bend: Interval
    ranks: tuple[int, int] | None = None
    left_out: tuple[Row, ...] = ()

    @property
    def verdict(self) -> str:
        return self.slope.verdict

    @property
    def rank(self) -> str:
        """`rank 1`, `ranks 2–3`."""
        if self.ranks is None:
            return ""
        best, worst = self.ranks
        return f"rank {best}" if best == worst else f"ranks {best}–{worst}"

    @property
    def span(self) -> float:
        """How many times the cheapest point's compute the dearest one took."""
        return cost(self.rows[-1]) / cost(self.rows[0])


def cost(row: Row) -> float | None:
    return row.measures["train_macs"]


def gains(s: Summary) -> tuple[Gain, ...]:
    """The series that spend compute at three levels or more, the largest gain first."""
    able, left_out = {}, {}
    for series in s.series if s.numeric else ():
        # With one seed nothing is told from chance, and so nothing is ranked.
        rows = [r for r in s.of(series) if s.terms(r) and s.score(r).known and cost(r)]
        sure = tuple(sorted((row for row in rows if not row.at_chance), key=cost))
        if _levels(sure) >= LEVELS and _one_task(sure):
            able[series] = sure
            left_out[series] = tuple(row for row in rows if row.at_chance)
    places = [[math.log2(cost(row)) for row in rows] for rows in able.values()]
    both = list(zip(able.values(), places, strict=True))
    lines = [_contrast(s, rows, slope_weights(x)) for rows, x in both]
    slopes = intervals(lines, s.spread)
    bends = stats.family([_contrast(s, rows, bend_weights(x)) for rows, x in both], s.spread)
    ranks = rank_intervals(lines, s.spread) if len(lines) > 1 else [None] * len(lines)
    found = [
        Gain(series, able[series], slope, bend, rank, left_out[series])
        for series, slope, bend, rank in zip(able, slopes, bends, ranks, strict=True)
    ]
    return tuple(sorted(found, key=lambda g: -g.slope.mean))


def intervals(several: Sequence[stats.Terms], common: stats.Spread) -> list[Interval]:
    """Of several contrasts; at least 95 % is the chance that all hold."""
    level = stats.simultaneous(0.95, len(several))
    return [stats.contrast(terms, common, level) for terms in several]


def slope_weights(x: Sequence[float]) -> list[float]:
    """Of values at x in their least-squares slope."""
    away = np.asarray(x, float) - np.mean(x)
    return list(away / (away @ away))


def bend_weights(x: Sequence[float]) -> list[float]:
    """Of values at increasing x in the slope between the last two less that between the first two,
    of the parabola by least squares."""
    x = np.asarray(x, float)
    second = np.linalg.pinv(np.stack([np.ones_like(x), x - x.mean(), (x - x.mean()) ** 2], 1))[2]
    between = (x[-1] + x[-2]) / 2 - (x[0] + x[1]) / 2
    return list(2 * between * second)


def rank_intervals(several: Sequence[stats.Terms], common: stats.Spread) -> list[tuple[int, int]]:
    """The best and the worst rank of each contrast among all, the largest having rank 1; at least
    95 % is the chance that all hold the true ranks."""
    pairs = list(itertools.combinations(range(len(several)), 2))
    less = [[*several[a], *((-w, x) for w, x in several[b])] for a, b in pairs]
    best, worst = [1] * len(several), [len(several)] * len(several)
    for (a, b), gap in zip(pairs, stats.family(less, common), strict=True):
        if gap.known and not gap.covers(0):
            above, below = (a, b) if gap.mean > 0 else (b, a)
            best[below] += 1
            worst[above] -= 1
    return list(zip(best, worst, strict=True))


def _contrast(s: Summary, rows: Sequence[Row], weights: Sequence[float]) -> stats.Terms:
    return [
        (w * share, sample)
        for w, row in zip(weights, rows, strict=True)
        for share, sample in s.terms(row)
    ]


def _levels(rows: Sequence[Row]) -> int:
    """How many of the rows, cheapest first, take visibly more compute than the level before."""
    levels, last = 0, 0.0
    for row in rows:
        if cost(row) > APART * last:
            levels, last = levels + 1, cost(row)
    return levels


def _one_task(rows: Sequence[Row]) -> bool:
    """Whether compute is what the rows differ in: not the number of images, nor weights that were
    there before."""
    sizes = {row.train_examples for row in rows}
    return len(sizes) == 1 and not any(r.source for row in rows for r in row.done)


def told(s: Summary, found: Sequence[Gain]) -> str:
    """`width +3.1 points [+2.2, +4.0] (rank 1), …`"""
    said = [_said(g) for g in found if g.verdict != "open"]
    unsure = [_said(g) for g in found if g.verdict == "open"]
    text = "; ".join(said)
    if unsure:
        none = "no evidence of a gain or a loss"
        text += f"; {none}: {'; '.join(unsure)}" if text else f"{none}: {'; '.join(unsure)}"
    return f"{s.shown_name} accuracy, per doubling of training MACs: {text}"


def notes(s: Summary, found: Sequence[Gain]) -> list[tuple[str, str]]:
    """(heading, sentence): how the gains come about, and where one figure does not tell all."""
    low, high = min(g.span for g in found), max(g.span for g in found)
    span = words.times(low) if high / low < 1.15 else f"{words.times(low)} to {words.times(high)}"
    text = (
        f"slopes of {s.shown_name} accuracy on log₂ of training MACs, over {span} of them; 95% "
        "intervals are of sampling, not of the line's fit"
    )
    if len(found) > 1:
        text += (
            ", corrected for the number of series; ranks by all differences between two gains, "
            "which hold together: the order itself is an estimate, and nothing was chosen by it"
        )
    said = [("Gains per doubling", text)]
    bent = [g for g in found if g.bend.known and not g.bend.covers(0)]
    for g in bent:
        first, last = ("last", "first") if g.bend.mean > 0 else ("first", "last")
        text = (
            f"the {first} doubling bought more than the {last}, by {_absolute(g.bend)}: its gain "
            "is a mean over the range"
        )
        said.append((f"Not one slope{f': {g.series}' if g.series else ''}", text))
    out = [f"{row.name} ({words.accuracy(s.score(row))})" for g in found for row in g.left_out]
    if out:
        said.append(("Left out of the gains", f"{words.listed(out)}, at chance"))
    ways = dict.fromkeys(row.series for row in s.rows if not row.point.axes.get(SETTING))
    none = [series for series in ways if series not in {g.series for g in found}]
    if none and s.of_compute:
        text = (
            f"{words.listed(none)}: fewer than {LEVELS} levels of compute with results above chance"
        )
        said.append(("Without a gain", text))
    return said


def _said(g: Gain) -> str:
    rank = f" ({g.rank})" if g.rank else ""
    return f"{g.series} {words.gap(g.slope)}{rank}".strip()


def _absolute(i: Interval) -> str:
    turned = i if i.mean > 0 else dataclasses.replace(i, mean=-i.mean, low=-i.high, high=-i.low)
    return words.gap(turned)
