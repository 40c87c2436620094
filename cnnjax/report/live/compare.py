"""Several studies side by side: what each found, and all their points in one chart and table."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from cnnjax.report import dashboard, words
from cnnjax.report.charts import studies
from cnnjax.report.findings import Report
from cnnjax.report.live import index
from cnnjax.report.points import Row, Summary
from cnnjax.report.sortable import sortable

TITLE = "Studies compared"
HEAD = ("study", "series", "point", "test", "validation", "train", "seeds", "MACs", "params",
        "activations", "receptive field", "training MACs", "learning rate", "dataset")  # fmt: skip


def content(told: Mapping[str, Report | str]) -> str:
    """The comparison of the studies by name; of one that has no report, the reason."""
    reports = {name: r for name, r in told.items() if isinstance(r, Report)}
    chart = studies.compute({name: r.summary for name, r in reports.items()})
    charts = [chart] if chart else []
    rows = [_cells(name, r.summary, row) for name, r in reports.items() for row in r.summary.rows]
    inside = [
        f"<header><h1>{TITLE}</h1></header>",
        *(f'<p class="banner" role="note">{html.escape(b)}</p>' for b in _banners(reports)),
        '<section class="compared" aria-label="Findings">',
        *(_study(name, r) for name, r in told.items()),
        "</section>",
        dashboard.figures(charts),
        f"<section><h2>Every point</h2>{sortable(HEAD, rows)}</section>",
    ]
    text = "\n".join(inside)
    return f"<main>\n{text}\n</main>\n{dashboard.data(charts)}"


def _study(name: str, r: Report | str) -> str:
    e = html.escape
    head = f'<article><h2><a href="{e(index.link(name))}">{e(name)}</a></h2>'
    if isinstance(r, str):
        return f'{head}<p class="banner">{e(r)}</p></article>'
    leads = [f for f in r.findings if f.tone == "lead"]
    told = "".join(f'<p class="lead"><b>{e(f.head)}</b>{e(f.text)}</p>' for f in leads)
    banners = "".join(f'<p class="banner" role="note">{e(b)}</p>' for b in r.banners)
    going = f'<p class="quiet">{e(r.progress)}</p>' if r.progress else ""
    return f"{head}<p>{e(r.study.question)}</p>{banners}{going}{told}</article>"


def _banners(reports: Mapping[str, Report]) -> list[str]:
    """Why accuracies of one study may say nothing about another's."""
    told = []
    for what, of in (("datasets", "dataset"), ("revisions of the source", "revision")):
        values = {
            name: sorted({str(getattr(run, of) or "unknown") for run in _done(r)})
            for name, r in reports.items()
        }
        values = {name: found for name, found in values.items() if found}
        if len({tuple(found) for found in values.values()}) > 1:
            parts = [f"{name}: {', '.join(found)}" for name, found in values.items()]
            told.append(f"The studies differ in {what}: {'; '.join(parts)}.")
    return told


def _done(r: Report) -> list[Any]:
    return [run for row in r.summary.rows for run in row.done]


def _cells(name: str, s: Summary, row: Row) -> Sequence[tuple[str, Any]]:
    m = row.measures
    scores = [row.scores.get(split) for split in ("test", "val", "train")]
    data = ", ".join(dict.fromkeys(run.dataset for run in row.done))
    return [
        (name, name),
        (row.series, row.series),
        (row.label, row.x if s.numeric else row.label),
        *((words.accuracy(i), i and i.mean) for i in scores),
        (str(row.seeds), row.seeds),
        *((words.si(m[k]), m[k]) for k in ("macs", "params", "activations")),
        (words.pixels(m["receptive_field"]), m["receptive_field"]),
        (words.si(m["train_macs"]), m["train_macs"]),
        ("–" if row.rate is None else f"{row.rate:g}", row.rate),
        (data, data),
    ]
