"""Tables that answer a study's question: gains per doubling, ranked, what equal MACs bought, what
came of claims, design spaces.

The dashboard, report.md and the terminal lay out the same cells.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from cnnjax.report import space, verdicts, words
from cnnjax.report.claims import Verdict
from cnnjax.report.comparisons import Comparison
from cnnjax.report.doubling import Gain, cost
from cnnjax.report.points import SAME_COST, SETTING, Row, Summary
from cnnjax.report.space import Space

Cell = tuple[str, Any]  # Shown, and to sort by.


@dataclasses.dataclass(frozen=True)
class Table:
    """A title, a note without its full stop, and cells under a head. `brief`: narrow enough for the
    terminal."""

    title: str
    note: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    brief: bool = True


def tables(
    s: Summary,
    gains: Sequence[Gain],
    comparisons: Sequence[Comparison],
    judged: Sequence[Verdict],
    spaces: Sequence[Space],
) -> tuple[Table, ...]:
    """Those for which there is something to tell."""
    found = (
        _ranked(s, gains, comparisons),
        _equal(s, comparisons),
        _texts("Every claim", _CLAIMS, verdicts.HEAD, verdicts.table(judged), brief=False),
        _texts("Spaces", _SPACES, space.HEAD, space.table(spaces)),
    )
    return tuple(table for table in found if table is not None)


_CLAIMS = "intervals are at 95%, corrected for the number of a claim's contrasts"
_SPACES = "validation errors over the nets of each space"


def _texts(
    title: str, note: str, head: tuple[str, ...], rows: Sequence[Sequence[str]], brief: bool = True
) -> Table | None:
    cells = tuple(tuple((c, c) for c in row) for row in rows)
    return Table(title, note, head, cells, brief) if cells else None


def steps(gain: Gain, comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The series' single steps whose compute differs, cheapest first."""
    inside = {id(row) for row in gain.rows}
    found = [
        c
        for c in comparisons
        if not c.across and c.doubling is not None and {id(c.row), id(c.base)} <= inside
    ]
    return sorted(found, key=lambda c: cost(c.row))


def _ranked(s: Summary, gains: Sequence[Gain], comparisons: Sequence[Comparison]) -> Table | None:
    if len(gains) < 2:  # One alone is a sentence.
        return None
    rows = []
    for g in gains:
        single = ", ".join(words.signed(c.doubling.mean) for c in steps(g, comparisons))
        span = f"{words.si(cost(g.rows[0]))} to {words.si(cost(g.rows[-1]))}"
        rows.append((
            (g.series or "the study", g.series),
            (words.gap(g.slope), g.slope.mean),
            (g.rank or "–", g.ranks and g.ranks[0]),
            (single, single),
            (span, g.span),
        ))  # fmt: skip
    return Table(
        "What a doubling of compute buys",
        f"{s.shown_name} accuracy per doubling of training MACs: the slope over all points of a "
        "series with its 95% interval, then each step for itself",
        (s.study.series or "series", "gain a doubling", "rank", "step by step", "training MACs"),
        tuple(rows),
    )


def equal(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Settings that leave MACs alone, each less the first of them."""
    return [
        c
        for c in comparisons
        if not c.across
        and c.row.point.axes.get(SETTING)
        and c.cost is not None
        and abs(c.cost - 1) < SAME_COST
    ]


def _equal(s: Summary, comparisons: Sequence[Comparison]) -> Table | None:
    found = equal(comparisons)
    if not found:
        return None
    base = found[0].base
    rows = [(base, ("–", None)), *((c.row, (words.gap(c.gap), c.gap.mean)) for c in found)]
    return Table(
        "At equal MACs",
        f"difference in {s.shown_name} accuracy to {base.label}, with 95% intervals corrected for "
        "the number of differences; a training step's time as measured in these trainings",
        ("setting", "difference", f"{s.shown_name} accuracy", "receptive field", "a step"),
        tuple(
            (
                (row.label, row.label),
                gap,
                (words.accuracy(s.score(row)), s.score(row).mean),
                (words.pixels(row.measures["receptive_field"]), row.measures["receptive_field"]),
                ("–", None) if (ms := step(row)) is None else (f"{ms:.3g} ms", ms),
            )
            for row, gap in rows
        ),
    )


def step(row: Row) -> float | None:
    """Measured milliseconds of training a step, the mean over the row's runs."""
    known = [
        1000 * seconds / r.steps_done
        for r in row.done
        if (seconds := r.timings.get("train_seconds")) and r.steps_done > 0
    ]
    return sum(known) / len(known) if known else None
