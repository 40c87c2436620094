"""Which points are compared, and how: differences with intervals corrected for their number."""

import collections
import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence

from cnnjax.report import words
from cnnjax.report.points import SETTING, Row, Summary
from cnnjax.study import stats
from cnnjax.study.stats import Interval

TOLD = 60  # Of more comparisons the most telling are told and drawn.
VERDICTS = {
    "better": "",
    "worse": "",
    "open": "no evidence of a difference",
    "unknown": "too few seeds for an interval",
}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """`row` less `base`: a step along a series' axis, or one series less another at one place."""

    row: Row
    base: Row
    gap: Interval
    across: bool = False

    @property
    def series(self) -> str:
        return "" if self.across else self.row.series

    @property
    def label(self) -> str:
        """`5×5 − 3×3`, or `residual − plain` at its place."""
        if not self.across:
            return f"{self.row.label} − {self.base.label}"
        at = f" at {self.row.label}" if self.row.x is not None else ""
        return f"{self.row.series} − {self.base.series}{at}"

    @property
    def verdict(self) -> str:
        return self.gap.verdict

    @property
    def exploratory(self) -> bool:
        """Whether either point had seeds added after a look."""
        return self.row.exploratory or self.base.exploratory

    @property
    def cost(self) -> float | None:
        """How many times the base's MACs."""
        if not self.row.macs or not self.base.macs:
            return None
        return self.row.macs / self.base.macs

    @property
    def trained(self) -> float | None:
        """How many times the base's training MACs, on as many images: more data are more than
        compute."""
        pair = [row.measures["train_macs"] for row in (self.row, self.base)]
        if not all(pair) or self.row.train_examples != self.base.train_examples:
            return None
        return pair[0] / pair[1]

    @property
    def doubling(self) -> Interval | None:
        """What each doubling of training MACs bought along the axis (of MACs where the former
        aren't known); None where they differ by less than a tenth, and from or to a point at
        chance, which bought nothing yet."""
        if self.across or self.row.at_chance or self.base.at_chance:
            return None
        cost = self.trained or self.cost
        if cost is None or abs(math.log2(cost)) < math.log2(1.1):
            return None
        d = math.log2(cost)
        ends = (
            sorted(v / d for v in (self.gap.low, self.gap.high)) if self.gap.known else [None] * 2
        )
        return Interval(self.gap.mean / d, *ends, self.gap.n)


def compare(summary: Summary) -> list[Comparison]:
    """Every planned comparison that can be made so far, paired over test examples, with intervals
    corrected for their number."""
    pairs = [p for p in _pairs(summary) if summary.terms(p[0]) and summary.terms(p[1])]
    gaps = stats.family([summary.less(a, b) for a, b, _ in pairs], summary.spread)
    return [Comparison(a, b, gap, across) for (a, b, across), gap in zip(pairs, gaps, strict=True)]


def telling(comparisons: Sequence[Comparison], most: int = TOLD) -> list[Comparison]:
    """All of them, or of more than `most` those with the largest differences for the width of
    their intervals, in the order in which they stand."""

    def ratio(c: Comparison) -> float:
        half = (c.gap.high - c.gap.low) / 2 if c.gap.known else math.inf
        return abs(c.gap.mean) / half if half else math.inf

    kept = sorted(range(len(comparisons)), key=lambda i: -ratio(comparisons[i]))[:most]
    return [comparisons[i] for i in sorted(kept)]


def untold(comparisons: Sequence[Comparison]) -> list[tuple[str, str]]:
    """(head, text) of how many are not told one by one, and what came of all."""
    left = len(comparisons) - len(telling(comparisons))
    counts = collections.Counter(c.verdict for c in comparisons)
    every = words.listed([f"{counts[v]} {VERDICTS[v] or v}" for v in VERDICTS if counts[v]])
    text = f"the most telling are told, {left} are not; of all {len(comparisons)}: {every}"
    return [("Comparisons", text)] if left else []


def planned(summary: Summary) -> int:
    """How many comparisons the plan asks for, made or not."""
    return sum(1 for _ in _pairs(summary))


def _pairs(summary: Summary) -> Iterator[tuple[Row, Row, bool]]:
    """Along a numeric axis each place less the one before; among names, and among settings at one
    place, each less the first; then the later series less the first where they meet in different
    nets (where compute is the axis their gains per doubling are compared instead). The nets of
    samples are not compared one with another."""
    if summary.sampled:
        return
    for series in summary.series:
        rows = summary.of(series)
        onward = summary.numeric and not rows[0].point.axes.get(SETTING)
        for a, b in itertools.pairwise(rows):
            yield (b, a if onward else rows[0], False)
    if summary.of_compute:
        return
    first, *others = summary.series or [""]
    for series in others:
        for base, row in itertools.product(summary.of(first), summary.of(series)):
            if base.x == row.x and base.point.runs != row.point.runs:
                yield (row, base, True)
