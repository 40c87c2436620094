"""What pre-trained weights bought: training compute to the accuracy that training from scratch
came to, with and without what the weights had cost."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cnnjax.report import words
from cnnjax.report.points import Row, Summary
from cnnjax.study import stats
from cnnjax.study.stats import Interval

METRIC = "val_accuracy"


@dataclasses.dataclass(frozen=True)
class Reached:
    """One row's multiply-accumulates to the best validation accuracy that training from scratch
    came to on the same images, seed by seed, and what scratch took: those of the seeds that got
    there, out of `tried`. `before` is what the weights cost, where that is known."""

    row: Row
    base: Row
    macs: tuple[float, ...]
    scratch: tuple[float, ...]
    tried: int
    before: float | None

    @property
    def typical(self) -> Interval | None:
        """The geometric mean with its 95 % t interval on logarithms; None if no seed got there."""
        return _geometric(self.macs)

    @property
    def share(self) -> Interval | None:
        """Of what scratch took, seed by seed."""
        return _geometric([a / b for a, b in zip(self.macs, self.scratch, strict=True)])

    @property
    def whole_share(self) -> float | None:
        """The same with the pre-training counted."""
        if self.before is None or not self.macs:
            return None
        shares = [(a + self.before) / b for a, b in zip(self.macs, self.scratch, strict=True)]
        return _geometric(shares).mean


def used(s: Summary) -> bool:
    """Whether any run started from weights."""
    return s.pretrained


def alone(s: Summary) -> bool:
    """Whether that is what the study is about: an image costs the same at every point."""
    return used(s) and len({row.macs for row in s.rows}) == 1


def sources(s: Summary) -> list[str]:
    """What the weights are called, each once."""
    return list(dict.fromkeys(r.source for row in s.rows for r in row.done if r.source))


def before(row: Row) -> float | None:
    """What the row's weights had cost: nothing from scratch, None where it is not known."""
    if not any(r.source for r in row.done):
        return 0.0
    known = [m for r in row.done if (m := r.measures.get("pretrain_macs")) is not None]
    return sum(known) / len(known) if known else None


def reached(s: Summary) -> list[Reached]:
    """Every row that has one from scratch beside it, on the same place of the axis: of several the
    one that is best on validation, which reaches its own best."""
    if not used(s):
        return []
    bases: dict[Any, Row] = {}
    for row in s.rows:
        if row.done and not any(r.source for r in row.done):
            bases[row.x] = max(bases.get(row.x, row), row, key=_validation)
    found = []
    for row in (row for series in s.series for row in s.of(series)):
        base = bases.get(row.x)
        if base is None or not row.done:
            continue
        goals = {r.seed: best(s.study.curves.get(r.key, [])) for r in base.done}
        pairs, tried = [], 0
        for r in row.done:
            if goal := goals.get(r.seed):
                tried += 1
                took = macs_to(s.study.curves.get(r.key, []), goal[0])
                pairs += [] if took is None else [(took, goal[1])]
        macs, scratch = zip(*pairs, strict=True) if pairs else ((), ())
        cost = None if row is base else before(row)
        found += [Reached(row, base, macs, scratch, tried, cost)] if tried else []
    return found


def _validation(row: Row) -> float:
    found = [v for r in row.done if (v := r.metrics.get(METRIC)) is not None]
    return sum(found) / len(found) if found else -math.inf


def best(curve: Sequence[Mapping[str, float | None]]) -> tuple[float, float] | None:
    """The best validation accuracy, and the multiply-accumulates that it took first."""
    places = _places(curve)
    if not places:
        return None
    top = max(v for _, v in places)
    return top, next(macs for macs, v in places if v == top)


def macs_to(curve: Sequence[Mapping[str, float | None]], goal: float) -> float | None:
    """Multiply-accumulates to the end of the first epoch that comes to the validation accuracy."""
    return next((macs for macs, v in _places(curve) if v >= goal), None)


def _places(curve: Sequence[Mapping[str, float | None]]) -> list[tuple[float, float]]:
    return [(p["train_macs"], p[METRIC]) for p in curve
            if p.get("train_macs") and p.get(METRIC) is not None]  # fmt: skip


def told(s: Summary) -> list[str]:
    """A sentence a place on the axis: what each way took of what scratch took."""
    rows = reached(s)
    found = []
    for base in (r for r in rows if r.row is r.base):
        others = [_said(r) for r in rows if r.base is base.row and r.row is not base.row]
        if others:
            goal = (
                f"{base.row.name}'s best validation accuracy ({words.si(base.typical.mean)} MACs)"
            )
            found.append(f"to {goal}: {'; '.join(others)}")
    return found


def _said(r: Reached) -> str:
    if not r.macs:
        return f"{r.row.series or r.row.name} never came there"
    text = f"{r.row.series or r.row.name} {share(r)} of the training MACs"
    if not r.share.known:
        text += " (1 seed: too few for an interval)"
    if r.whole_share is not None:
        text += f", {words.times(r.whole_share)} with the pre-training counted"
    return text if len(r.macs) == r.tried else f"{text} ({len(r.macs)} of {r.tried} seeds)"


def share(r: Reached) -> str:
    """`0.12× [0.08×, 0.19×]`"""
    i = r.share
    ends = f" [{words.times(i.low)}, {words.times(i.high)}]" if i.known else ""
    return f"{words.times(i.mean)}{ends}"


def cost(s: Summary, row: Row, base: Row) -> float | None:
    """How many times the base's training compute, in a study that is about that."""
    pair = [r.measures["train_macs"] for r in (row, base)]
    return pair[0] / pair[1] if alone(s) and all(pair) else None


def columns(s: Summary) -> list[tuple[str, Callable[[Row], tuple[str, float | None]]]]:
    """Titles, and of a row what to show and to sort by; none where no run started from weights."""
    if not used(s):
        return []
    known = {id(r.row): r for r in reached(s)}

    def shown(v: float | None) -> tuple[str, float | None]:
        return words.si(v), v

    def goal(row: Row) -> tuple[str, float | None]:
        r = known.get(id(row))
        return shown(r.typical.mean) if r and r.macs else ("never" if r else "–", None)

    return [
        ("training MACs", lambda row: shown(row.measures["train_macs"])),
        ("pre-training MACs", lambda row: shown(before(row))),
        ("MACs to scratch's best", goal),
    ]


def _geometric(values: Sequence[float]) -> Interval | None:
    if not values:
        return None
    i = stats.mean([math.log(v) for v in values])
    ends = (math.exp(i.low), math.exp(i.high)) if i.known else (None, None)
    return Interval(math.exp(i.mean), *ends, i.n)
