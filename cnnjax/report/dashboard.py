"""dashboard.html: one file that answers the study's question and opens anywhere, offline."""

import functools
import html
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from cnnjax.report import page, table, theme, words
from cnnjax.report.charts.parts import Chart, Key
from cnnjax.report.findings import Finding, Report
from cnnjax.report.points import Row
from cnnjax.report.provenance import provenance
from cnnjax.study import files

MARKS = {"better": "▲", "worse": "▼", "open": "≈", "unknown": "?"}
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    # Vega compiles its expressions; ours hold no text from records.
    "script-src 'unsafe-inline' 'unsafe-eval'"
)
LAYERS = 400  # Rows shown of one net.


def write(r: Report, charts: Sequence[Chart]) -> str:
    """The whole page."""
    e = html.escape
    body = "\n".join(
        [_header(r), _findings(r), _failures(r), _charts(charts), _points(r), _provenance(r)]
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{e(POLICY)}">
<title>{e(r.study.experiment)}: {e(r.study.question)}</title>
<link rel="icon" href="data:,">
<style>{theme.css()}{page.STYLE}</style>
</head>
<body>
<main>
{body}
</main>
<script type="application/json" id="chart-data">{_data(charts)}</script>
<script>{_bundle()}</script>
<script>{page.SCRIPT}</script>
</body>
</html>
"""


def _header(r: Report) -> str:
    e = html.escape
    runs = [run for row in r.summary.rows for run in row.done]
    told = [*dict.fromkeys(run.dataset for run in runs), r.study.plan.time[:10]]
    told += [] if r.progress else [f"{words.count(r.finished, 'run')}, all ended"]
    parts = [
        f'<header><p class="kicker">cnnjax · {e(r.study.experiment)}</p>',
        f"<h1>{e(r.study.question)}</h1>",
        f'<p class="meta">{e(" · ".join(filter(None, told)))}</p></header>',
    ]
    parts += [f'<p class="banner" role="note">{e(b)}</p>' for b in r.banners]
    if r.progress:
        parts.append(
            f'<div class="progress"><span>{e(r.progress)}</span>'
            f'<progress max="{r.planned}" value="{r.finished}" aria-label="{e(r.progress)}">'
            '</progress><span class="quiet">reload for more</span></div>'
        )
    return "\n".join(parts)


def _findings(r: Report) -> str:
    leads = [f for f in r.findings if f.tone == "lead"]
    told = [f for f in r.findings if f.tone in MARKS]
    notes = [f for f in r.findings if f.tone == "note"]
    parts = ['<section id="findings" aria-label="Findings">']
    parts += [f'<p class="lead"><b>{html.escape(f.head)}</b>{_bold(f.text)}</p>' for f in leads]
    left = _compared(told) + _next(r)
    right = "".join(f"<dt>{html.escape(f.head)}</dt><dd>{_bold(f.text)}</dd>" for f in notes)
    parts.append(f'<div class="found"><div>{left}</div><dl>{right}</dl></div></section>')
    return "\n".join(parts)


def _compared(told: Sequence[Finding]) -> str:
    parts = []
    for head in dict.fromkeys(f.head for f in told):
        if head:
            parts.append(f"<h3>{html.escape(head[:1].upper() + head[1:])}</h3>")
        elif len({f.head for f in told}) > 1:
            parts.append("<h3>Between series</h3>")
        items = [
            f'<li class="{f.tone}"><span aria-label="{f.tone}">{MARKS[f.tone]}</span>'
            f"<span>{_bold(f.text)}</span></li>"
            for f in told
            if f.head == head
        ]
        parts.append(f"<ul>{''.join(items)}</ul>")
    return "".join(parts)


def _next(r: Report) -> str:
    if not r.next:
        return ""
    return f'<div class="next"><h4>Worth running next</h4><pre>{html.escape(r.next)}</pre></div>'


def _failures(r: Report) -> str:
    parts = []
    if r.failures:
        items = "".join(
            f"<dt>{html.escape(f.name)}: {f.status}</dt>"
            f'<dd>{html.escape(f.reason)} <code class="quiet">{f.key}</code></dd>'
            for f in r.failures
        )
        head = f"{words.count(len(r.failures), 'run')} ended badly"
        parts.append(f"<section><h2>{head}</h2><dl>{items}</dl></section>")
    if r.study.warnings:
        items = "".join(f"<dd>{html.escape(w)}</dd>" for w in r.study.warnings)
        parts.append(f"<section><h2>Files that could not be read</h2><dl>{items}</dl></section>")
    return "\n".join(parts)


def _charts(charts: Sequence[Chart]) -> str:
    return f'<section class="charts" aria-label="Charts">{"".join(map(_figure, charts))}</section>'


def _figure(c: Chart) -> str:
    e = html.escape
    alt = e(c.alt, quote=True)
    views = "".join(
        f'<div class="view" id="{e(c.name)}-{i}" role="img" aria-label="{alt}"></div>'
        for i in range(len(c.views))
    )
    keys = "".join(f"<li>{_swatch(k)}{e(k.label)}</li>" for k in c.legend)
    return (
        f"<figure{' class=wide' if c.wide else ''}><h3>{e(c.title)}</h3>"
        f"<figcaption>{e(c.caption)}</figcaption>"
        + (f'<ul class="legend">{keys}</ul>' if keys else "")
        + f'<div class="views{" stacked" if c.stacked else ""}" '
        f'style="--n:{min(len(c.views), 3)}">{views}</div></figure>'
    )


_PATHS = {
    "circle": "M13 6a5 5 0 1 1-10 0a5 5 0 1 1 10 0z",
    "square": "M3.5 1.5h9v9h-9z",
    "triangle-up": "M8 1l5.5 10h-11z",
    "triangle-down": "M8 11L2.5 1h11z",
    "diamond": "M8 0l5 6l-5 6l-5-6z",
    "cross": "M6 1h4v3h3v4h-3v3h-4v-3h-3v-4h3z",
    "line": "M0 4.5h16v3h-16z",
}


def _swatch(k: Key) -> str:
    return (
        f'<svg viewBox="0 0 16 12" aria-hidden="true" style="fill:{k.colour}">'
        f'<path d="{_PATHS[k.shape]}"/></svg>'
    )


def _points(r: Report) -> str:
    s = r.summary
    head = [s.study.x_label or "net", "params", "MACs", "activations", "receptive field", "train"]
    head += ["validation", "test", "gap", "learning rate", "seeds", "notes"]
    head = [*([s.study.series] if s.study.series else []), *head]
    rows = [_point(r, row) for series in s.series for row in s.of(series)]
    columns = table.columns(s.study)
    raw = [[_raw(row[c]) for c in columns] for row in table.rows(s.study)]
    nets = {row.point.runs: row for row in s.rows if row.done and row.done[0].layers}
    layers = "".join(map(_layers, nets.values()))
    return (
        f'<section><h2>Every point</h2>{_table(head, rows)}'
        f"<details><summary>All {words.count(len(raw), 'run')}, one a row (as in table.csv)"
        f"</summary>{_table(columns, raw)}</details>{layers}</section>"
    )  # fmt: skip


def _point(r: Report, row: Row) -> list[tuple[str, Any]]:
    s, m = r.summary, row.measures
    score, train = s.score(row), row.scores["train"]
    ahead = train.mean - score.mean if score and train else None
    notes = [
        *(["on the front"] if any(s.rows[i] is row for i in s.front) else []),
        *(["at chance"] if row.at_chance else []),
        *(["still improving"] if row.rising else []),
        *(["rate at the edge"] if row.at_edge else []),
        *([f"{len(row.bad)} ended badly"] if row.bad else []),
    ]
    cells = [(row.series, row.series)] if s.study.series else []
    cells += [(row.label, row.x if s.numeric else row.label)]
    cells += [(words.si(m[k]), m[k]) for k in ("params", "macs", "activations")]
    cells += [(words.pixels(m["receptive_field"]), m["receptive_field"])]
    cells += [
        (words.accuracy(i), i and i.mean) for i in map(row.scores.get, ("train", "val", "test"))
    ]
    cells += [("–" if ahead is None else words.signed(ahead), ahead)]
    cells += [("–" if row.rate is None else f"{row.rate:g}", row.rate)]
    return [*cells, (str(len(row.done)), len(row.done)), (", ".join(notes), ", ".join(notes))]


def _raw(v: object) -> tuple[str, Any]:
    if isinstance(v, bool) or v is None:
        return ("yes" if v else "", "yes" if v else "")
    if isinstance(v, float):
        return (f"{v:.4g}" if abs(v) < 1e4 else f"{v:.0f}", v)
    return (str(v), v)


def _layers(row: Row) -> str:
    names = ("layer", "kind", "output", "params", "macs", "activations", "receptive_field")
    rows = [[_layer_cell(layer.get(n)) for n in names] for layer in row.done[0].layers[:LAYERS]]
    head = [n.replace("_", " ").replace("macs", "MACs") for n in names]
    title = html.escape(f"{row.name}, layer by layer")
    return f"<details><summary>{title}</summary>{_table(head, rows)}</details>"


def _layer_cell(v: object) -> tuple[str, Any]:
    if isinstance(v, list):
        return ("×".join(words.axis_value(x) for x in v[:6] if isinstance(x, int)), "")
    if isinstance(v, int | float):
        return (f"{v:,}".replace(",", "\u202f"), v)
    return (v[:200], v[:200]) if isinstance(v, str) else ("", "")


def _table(head: Sequence[str], rows: Iterable[Sequence[tuple[str, Any]]]) -> str:
    """A sortable table; cells are (shown, to sort by), text to the left."""
    rows = list(rows)
    text = [any(isinstance(row[i][1], str) and row[i][1] for row in rows) for i in range(len(head))]

    def tag(i: int) -> str:
        return ' class="text"' if text[i] else ""

    def cell(i: int, shown: str, key: object) -> str:
        key = "" if key is None else str(key)
        sort = f' data-sort="{html.escape(key)}"' if key != shown else ""
        return f"<td{tag(i)}{sort}>{html.escape(shown)}</td>"

    heads = "".join(
        f'<th scope="col"{tag(i)}><button type="button">{html.escape(h)}</button></th>'
        for i, h in enumerate(head)
    )
    lines = "".join(f"<tr>{''.join(cell(i, *c) for i, c in enumerate(row))}</tr>" for row in rows)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Table">'
        f'<table class="sortable"><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>'
    )


def _provenance(r: Report) -> str:
    items = "".join(
        f"<dt>{html.escape(k)}</dt><dd>{f'<code>{html.escape(v)}</code>' if k == 'Command' else html.escape(v)}</dd>"
        for k, v in provenance(r)
    )
    return f'<section><h2>Where this comes from</h2><dl class="provenance">{items}</dl></section>'


def _bold(text: str) -> str:
    """Escaped text with its accuracies and differences set strong."""
    return re.sub(r"([+−]?\d+(?:\.\d+)?(?:%| points))", r"<strong>\1</strong>", html.escape(text))


def _data(charts: Sequence[Chart]) -> str:
    """The charts' data as JSON that can't end its script element."""
    specs = {f"{c.name}-{i}": view for c in charts for i, view in enumerate(c.views)}
    data = files.plain({"config": theme.config(), "charts": specs})
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@functools.cache  # 0.9 MB that take a second to put together, the same every time.
def _bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    import vl_convert

    return vl_convert.javascript_bundle().replace("</script", "<\\/script")
