"""How many steps each point took to a goal of the study's, such as a training error."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

from cnnjax.report import words
from cnnjax.report.points import Row, Summary
from cnnjax.study import stats
from cnnjax.study.stats import Interval


@dataclasses.dataclass(frozen=True)
class Reached:
    """One row's steps to the goal: those of the seeds that got there, out of `tried`."""

    row: Row
    steps: tuple[float, ...]
    tried: int

    @property
    def typical(self) -> Interval | None:
        """The geometric mean with its 95 % t interval on logarithms; None if no seed got there."""
        if not self.steps:
            return None
        i = stats.mean([math.log(s) for s in self.steps])
        ends = (math.exp(i.low), math.exp(i.high)) if i.known else (None, None)
        return Interval(math.exp(i.mean), *ends, i.n)


def reached(s: Summary) -> list[Reached]:
    """Every row that was trained; none where the study has no goal."""
    if s.study.plan.goal is None:
        return []
    metric, value = s.study.plan.goal
    found = []
    for row in s.rows:
        times = [steps_to(s.study.curves.get(r.key, []), metric, value) for r in row.done]
        steps = tuple(t for t in times if t is not None)
        found.append(Reached(row, steps, len(row.done) + len(row.bad)))
    return [r for r in found if r.tried]


def steps_to(
    curve: Sequence[Mapping[str, float | None]], metric: str, value: float
) -> float | None:
    """Steps at which the metric first stands at the value, on straight lines between epochs; an
    epoch's own training accuracy is its mean and so counts for the epoch's middle."""
    places = [(p["step"], p[metric]) for p in curve if p.get("step") and p.get(metric) is not None]
    if metric == "train_accuracy":
        ends = [0, *(step for step, _ in places)]
        middles = [(a + b) / 2 for a, b in itertools.pairwise(ends)]
        places = [(m, v) for m, (_, v) in zip(middles, places, strict=True)]
    before = None
    for step, v in places:
        if v >= value:
            if before is None or before[1] >= value:
                return float(step)
            share = (value - before[1]) / (v - before[1])
            return float(before[0] + share * (step - before[0]))
        before = (step, v)
    return None


def name(s: Summary) -> str:
    """The goal in words: `25% training error`."""
    metric, value = s.study.plan.goal
    split = {"train_accuracy": "training", "val_accuracy": "validation"}[metric]
    return f"{100 * (1 - value):.3g}% {split} error"


def told(s: Summary) -> str:
    """A sentence: the quickest, and how many times as many steps the others took."""
    rows = reached(s)
    there = sorted((r for r in rows if r.typical), key=lambda r: r.typical.mean)
    if not rows:
        return ""
    if not there:
        return f"no point came to {name(s)}"
    if any(not r.typical.known for r in there):
        each = [f"{r.row.name} in {steps(r)}" for r in rows if r.typical]
        return f"to {name(s)}: {'; '.join(each)} (1 seed: too few for an interval or an order)"
    best = there[0]
    text = f"{best.row.name} came to {name(s)} first, in {steps(best)}"
    others = [
        f"{r.row.name} took {words.times(r.typical.mean / best.typical.mean)} as many"
        for r in there[1:]
    ]
    text += "".join(f"; {other}" for other in others)
    never = [r.row.name for r in rows if not r.steps]
    some = [f"{r.row.name} ({len(r.steps)} of {r.tried} seeds)" for r in there
            if len(r.steps) < r.tried]  # fmt: skip
    text += f"; never: {words.listed(never)}" if never else ""
    text += f"; not every seed: {words.listed(some)}" if some else ""
    return text


def steps(r: Reached) -> str:
    """`320 steps [290, 350]`"""
    i = r.typical
    ends = f" [{i.low:,.0f}, {i.high:,.0f}]" if i.known else ""
    return f"{i.mean:,.0f} steps{ends}"
