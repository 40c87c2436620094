"""report.md: the study written up, for reading beside code."""

import html
import re
from collections.abc import Sequence

from cnnjax.report import (
    bill,
    design,
    doubts,
    fits,
    measured,
    space,
    transfer,
    tuning,
    words,
)
from cnnjax.report.answers import Table
from cnnjax.report.findings import Report
from cnnjax.report.plots import Picture
from cnnjax.report.points import Summary
from cnnjax.report.provenance import provenance

MARKS = {"better": "▲ ", "worse": "▼ ", "open": "≈ "}


def write(r: Report, pictures: Sequence[Picture] = ()) -> str:
    """The study written up; `pictures` are those beside it."""
    parts = [f"# {escape(r.study.question)}"]
    parts += [f"> **{escape(b)}**" for b in r.banners]
    if r.progress:
        parts.append(f"> {r.progress}")
    parts += ["## Findings", _findings(r)]
    parts += [text for table in r.tables for text in _table(table)]
    if told := design.told(r.summary):
        parts += ["## How it was done", _list(told)]
    parts += ["## Nets and what they cost", _points(r)]
    if notes := fits.missing(r.laws):
        parts += ["## Power laws", "\n".join(f"- {escape(note)}" for note in notes)]
    if doubtful := doubts.changing(r.summary, r.comparisons, r.banners, r.progress):
        parts += ["## What would change the conclusion", _list(doubtful)]
    if r.failures:
        lines = [
            f"- {escape(f.name)}: {f.status}, {escape(f.reason)} (`{f.key}`)" for f in r.failures
        ]
        parts += ["## Runs that ended badly", "\n".join(lines)]
    if pictures:
        parts.append("## Figures")
    for plot in pictures:
        parts += [f"### {escape(plot.title)}", f"![{escape(plot.alt)}]({plot.path})"]
        parts += [escape(plot.caption)]
    if r.study.warnings:
        lines = [f"- {escape(w)}" for w in r.study.warnings]
        parts += ["## Files that could not be read", "\n".join(lines)]
    if spent := bill.table(r.study):
        parts += _table(spent)
    parts += ["## Provenance", _list(provenance(r))]
    if r.next:
        parts += ["## Next", _code(r.next)]
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> list[str]:
    lines = [f"| {' | '.join(escape(shown) for shown, _ in row)} |" for row in table.rows]
    return [f"## {escape(table.title)}", f"{escape(table.note)}.",
            "\n".join([*_head(table.head), *lines])]  # fmt: skip


def _list(told: Sequence[tuple[str, str]]) -> str:
    lines = [f"{escape(head)}: {escape(text)}" if head else escape(text) for head, text in told]
    return "\n".join(f"- {line}" for line in lines)


def _findings(r: Report) -> str:
    lines = []
    for f in r.findings:
        head = f"**{escape(f.head)}**: " if f.head else ""
        lines.append(f"- {MARKS.get(f.tone, '')}{head}{escape(f.text)}")
    return "\n".join(lines)


def _points(r: Report) -> str:
    s = r.summary
    if s.probed:
        return _measured(s)
    head = [s.study.x_label or "net", "params", "MACs", "activations", "receptive field"]
    more = [*transfer.columns(s), *tuning.columns(s.rows), *space.columns(s)]
    head += ["train", "validation", "test", *(title for title, _ in more), "seeds"]
    lines = _head(head)
    for series in s.series:
        for row in s.of(series):
            m = row.measures
            name = f"{row.name} (exploratory)" if row.exploratory else row.name
            cells = [name, *(words.si(m[k]) for k in ("params", "macs", "activations"))]
            cells += [words.pixels(m["receptive_field"])]
            cells += [words.accuracy(row.scores[k]) for k in ("train", "val", "test")]
            cells += [cell(row)[0] for _, cell in more]
            lines.append(f"| {' | '.join(map(escape, [*cells, str(row.seeds)]))} |")
    return "\n".join(lines)


def _measured(s: Summary) -> str:
    columns = measured.columns(s)
    rows = [" | ".join(escape(c.text(row)) for c in columns) for row in s.rows]
    return "\n".join([*_head([c.title for c in columns]), *(f"| {row} |" for row in rows)])


def _head(titles: Sequence[str]) -> list[str]:
    return [
        f"| {' | '.join(map(escape, titles))} |",
        "|" + " --- |" + " ---: |" * (len(titles) - 1),
    ]


def escape(text: str) -> str:
    """Text that Markdown and HTML take as nothing but text."""
    text = " ".join(str(text).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", text)


def lead(report: str) -> str:
    """The first finding of a written report as plain text; none where it has none."""
    lines = report.partition("\n## Findings\n")[2].lstrip().splitlines()
    if not lines or not lines[0].startswith("- "):
        return ""
    text = re.sub(r"\\(.)|\*\*", r"\1", lines[0][2:])
    return html.unescape(text)


def _code(text: str) -> str:
    return "```\n" + text.replace("```", "") + "\n```"
