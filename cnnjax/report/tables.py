"""The dashboard's tables: a row a point, which opens its drawer, and a row a run; they sort."""

import html
from collections.abc import Callable, Sequence
from typing import Any

from cnnjax.report import measured, space, table, transfer, tuning, words
from cnnjax.report.findings import Report
from cnnjax.report.points import Row, Summary
from cnnjax.report.sortable import sortable
from cnnjax.study.tuning import TUNABLE

KEY = table.BEFORE.index("key")


def section(r: Report) -> str:
    """Tables of answers, the section with every point, and behind a fold every run."""
    s = r.summary
    head, rows = _measured(s) if s.probed else _trained(r)
    columns = table.columns(s.study)
    every = table.rows(s.study)
    raw = [[_raw(row[c]) for c in columns] for row in every]
    answers = "".join(
        f"<section><h2>{html.escape(t.title)}</h2>"
        f'<p class="quiet">{html.escape(t.note)}.</p>{sortable(t.head, t.rows)}</section>'
        for t in r.tables
    )
    named = 1 if s.study.series and not s.probed else 0
    order = s.rows if s.probed else [row for series in s.series for row in s.of(series)]
    points = sortable(head, rows, [str(row.id) for row in order], named, "points")
    runs = sortable(columns, raw, _points(s, [str(row[KEY][1]) for row in raw]), None, "runs")
    return (
        f'{answers}<section><h2>Every point</h2>{points}'
        f"<details><summary>All {words.count(len(raw), 'run')}, one a row (as in table.csv)"
        f"</summary>{runs}</details></section>"
    )  # fmt: skip


def _points(s: Summary, keys: Sequence[str]) -> list[str]:
    """Each run's points; tuning runs are of theirs too."""
    found: dict[str, list[str]] = {}
    for row in s.rows:
        for k in (*row.point.runs, *row.point.tune):
            found.setdefault(k, []).append(str(row.id))
    return [" ".join(found.get(k, [])) for k in keys]


def _measured(s: Summary) -> tuple[list[str], list[list[tuple[str, Any]]]]:
    """Head and rows of a study that trained nothing."""
    columns = measured.columns(s)
    return [c.title for c in columns], [[(c.text(r), c.value(r)) for c in columns] for r in s.rows]


def _trained(r: Report) -> tuple[list[str], list[list[tuple[str, Any]]]]:
    s = r.summary
    head = [s.study.series.replace("_", " ")] if s.study.series else []
    head += [s.study.x_label or "net", "test", "validation", "train", "gap", "seeds", "MACs"]
    head += ["params", "activations", "receptive field"]
    more = [*transfer.columns(s), *tuning.columns(s.rows), *tuning.chosen(s.study)]
    more += space.columns(s)
    head += [*(title for title, _ in more), "learning rate", "notes"]
    cells = [cell for _, cell in more]
    return head, [_point(r, row, cells) for series in s.series for row in s.of(series)]


def _point(
    r: Report, row: Row, more: Sequence[Callable[[Row], tuple[str, Any]]]
) -> list[tuple[str, Any]]:
    s, m = r.summary, row.measures
    score, train = s.score(row), row.scores["train"]
    ahead = train.mean - score.mean if score and train else None
    notes = [
        *_on_front(s, row),
        *(["exploratory"] if row.exploratory else []),
        *(["at chance"] if row.at_chance else []),
        *(["still improving"] if row.rising else []),
        *(f"{TUNABLE[f].short} at the edge" for f in row.at_edge),
        *([f"{len(row.bad)} ended badly"] if row.bad else []),
    ]
    cells = [(row.series, row.series)] if s.study.series else []
    cells += [(row.label, row.x if s.numeric else row.label)]
    cells += [
        (words.accuracy(i), i and i.mean) for i in map(row.scores.get, ("test", "val", "train"))
    ]
    cells += [("–" if ahead is None else words.signed(ahead), ahead)]
    cells += [(str(row.seeds), row.seeds)]
    cells += [(words.si(m[k]), m[k]) for k in ("macs", "params", "activations")]
    cells += [(words.pixels(m["receptive_field"]), m["receptive_field"])]
    cells += [cell(row) for cell in more]
    cells += [("–" if row.rate is None else f"{row.rate:g}", row.rate)]
    return [*cells, (", ".join(notes), ", ".join(notes))]


def _on_front(s: Summary, row: Row) -> list[str]:
    """`on the front (98%)`, or of a point off it how likely it is to belong there."""
    chance = s.sure(row)
    if row.id in s.front:
        return [f"on the front ({words.chance(chance)})" if chance is not None else "on the front"]
    return [f"{words.chance(chance)} to be on the front"] if (chance or 0) >= 0.05 else []


def _raw(v: object) -> tuple[str, Any]:
    if isinstance(v, bool) or v is None:
        return ("yes" if v else "", "yes" if v else "")
    if isinstance(v, float):
        return (f"{v:.4g}" if abs(v) < 1e4 else f"{v:.0f}", v)
    return (str(v), v)
