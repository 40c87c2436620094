"""dashboard.html: one file that answers the study's question and opens anywhere, offline."""

import contextlib
import functools
import html
import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np

from cnnjax.data import cache
from cnnjax.errors import UserError
from cnnjax.report import bill, design, drawer, explorer, packed, page, tables, theme, words
from cnnjax.report.charts.parts import LINKED, Chart, Key
from cnnjax.report.findings import Finding, Report
from cnnjax.report.provenance import provenance

MARKS = {"better": "▲", "worse": "▼", "open": "≈", "unknown": "?"}
SIZE = 2_850_000  # Characters of the file that pictures may fill up; styles and scripts beside.
LISTENED = 4000  # Characters of a chart's description.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    # Vega compiles its expressions; ours hold no text from records.
    "script-src 'unsafe-inline' 'unsafe-eval'"
)


def write(r: Report, charts: Sequence[Chart]) -> str:
    """The whole page."""
    e = html.escape
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{e(POLICY)}">
<title>{e(r.study.experiment)}: {e(r.study.question)}</title>
<link rel="icon" href="data:,">
<style>{theme.css()}{page.style()}</style>
</head>
<body>
{content(r, charts)}
<script>{bundle()}</script>
<script>{page.script()}</script>
</body>
</html>
"""


def content(r: Report, charts: Sequence[Chart], now: str | None = None) -> str:
    """`<main>` and the charts' data; a server gives what goes on `now`, in place of a progress, and
    the nets' pictures when they are asked for."""
    found = explorer.data(r.summary)
    body = [_header(r, now), _findings(r), _failures(r), figures(charts), explorer.section(found)]
    body += [tables.section(r), _bill(r), _provenance(r)]
    drawn = data(charts, found)
    room = SIZE - len(bundle()) - len(drawn) - sum(map(len, body)) if now is None else SIZE
    body.append(drawer.templates(r, now is None, room))
    inside = "\n".join(body)
    return f"<main>\n{inside}\n</main>\n{drawn}"


def _header(r: Report, now: str | None) -> str:
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
    if now is not None:
        parts.append(now)
    elif r.progress:
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
    details = [f for f in r.findings if f.tone == "detail"]
    right, more = (
        "".join(f"<dt>{html.escape(f.head)}</dt><dd>{html.escape(f.text)}</dd>" for f in some)
        for some in (notes, details)
    )
    if more:  # Of a study that solves for its nets there are many.
        number = words.count(len(details), "note")
        right += f"<dt>The points</dt><dd><details{' open' * (len(details) < 4)}>"
        right += f"<summary>{number} on how they were made</summary><dl>{more}</dl></details></dd>"
    left = f"<div>{left}</div>" if left else ""
    parts.append(f'<div class="found">{left}<dl>{right}</dl></div></section>')
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


def figures(charts: Sequence[Chart]) -> str:
    """The charts' places, with their words."""
    return f'<section class="charts" aria-label="Charts">{"".join(map(_figure, charts))}</section>'


def _figure(c: Chart) -> str:
    e = html.escape
    alt = e(_short(c.alt), quote=True)
    views = "".join(
        f'<div class="view" id="{e(c.name)}-{i}" role="img" aria-label="{alt}"></div>'
        for i in range(len(c.views))
    )
    keys = "".join(f"<li>{_swatch(k)}{e(k.label)}</li>" for k in c.legend)
    return (
        f'<figure data-name="{e(c.name)}"{" class=wide" if c.wide else ""}><h3>{e(c.title)}</h3>'
        f"<figcaption>{e(c.caption)}</figcaption>"
        + (f'<ul class="legend">{keys}</ul>' if keys else "")
        + f'<div class="views{" stacked" if c.columns == 1 else ""}" '
        f'style="--n:{min(len(c.views), c.columns)}">{views}</div></figure>'
    )


def _short(alt: str) -> str:
    """A description that can be listened to: its first figures, where there are many."""
    told = alt[:LISTENED].rpartition("; ")[0] or alt[:LISTENED]
    return alt if len(alt) <= LISTENED else f"{told}; and more, which “Save as CSV” has"


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


def _bill(r: Report) -> str:
    """What the time went to as a bar, and the table of it."""
    told = bill.table(r.study)
    if told is None:
        return ""
    spent = bill.shares(r.study)
    hues = theme.categories(len(spent))
    said = [f"{what} {words.duration(seconds)}" for what, seconds in spent]
    bar = "".join(
        f'<span style="flex-grow:{seconds:.4g};background:{hue}" title="{text}"></span>'
        for (_, seconds), hue, text in zip(spent, hues, said, strict=True)
    )
    keys = "".join(
        f"<li>{_swatch(Key(text, hue, 'square'))}{text}</li>"
        for hue, text in zip(hues, said, strict=True)
    )
    return (
        f"<section><h2>{told.title}</h2>"
        f'<div class="spent" role="img" aria-label="{"; ".join(said)}">{bar}</div>'
        f'<ul class="legend">{keys}</ul>{tables.sortable(told.head, told.rows)}'
        f'<p class="quiet">{html.escape(told.note)}.</p></section>'
    )


def _provenance(r: Report) -> str:
    items = []
    for what, value in [*design.told(r.summary), *provenance(r)]:
        text = html.escape(value)
        text = f"<code>{text}</code>" if what == "Command" else text
        items.append(f"<dt>{what}</dt><dd>{text}</dd>")
    told = f'<dl class="provenance">{"".join(items)}</dl>'
    return f"<section><h2>How it was done, and where</h2>{told}</section>"


def _bold(text: str) -> str:
    """Escaped text with its accuracies and differences set strong."""
    return re.sub(r"([+−]?\d+(?:\.\d+)?(?:%| points))", r"<strong>\1</strong>", html.escape(text))


def data(charts: Sequence[Chart], explored: Mapping[str, Any] = explorer.NOTHING) -> str:
    """The element with the charts' data: JSON that can't end it."""
    text = packed.text({
        "config": theme.config(),
        "palette": theme.palette(dark=False),  # Of what is saved.
        "shapes": {name: _PATHS[name] for name in theme.SHAPES},
        "linked": LINKED,
        **packed.pack({f"{c.name}-{i}": view for c in charts for i, view in enumerate(c.views)}),
        "explorer": explored,
    })  # fmt: skip
    return f'<script type="application/json" id="chart-data">{text}</script>'


@functools.cache
def bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script. It takes seconds to put together and is the
    same every time, so it is kept where it can be."""
    with contextlib.suppress(UserError):
        path = cache.folder() / f"vega-{metadata.version('vl-convert-python')}.npz"
        if found := cache.read_arrays(path):
            return found["script"].tobytes().decode()
        cache.write_arrays(path, {"script": np.frombuffer(_bundled().encode(), np.uint8)})
    return _bundled()


@functools.cache
def _bundled() -> str:
    import vl_convert

    return vl_convert.javascript_bundle().replace("</script", "<\\/script")
