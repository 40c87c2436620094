"""A net's drawer: one point of the study, opened from its row; its pictures, layers and answers.

Each drawer stands in the page as a `<template>`, which costs nothing until it is opened. The file
stays small: pictures only of the nets on the front and the next best, layers while there is room,
and of the rest what they cost. A server gives each in full by `html(report, row, pictures=True)`.
"""

import html as _html
from collections.abc import Iterable

from cnnjax.report import words
from cnnjax.report.drawer import answers, diagram, flow, layers, pictures
from cnnjax.report.findings import Report
from cnnjax.report.points import Row, Summary
from cnnjax.study.results import Folder

__all__ = ["html", "shown", "templates"]

MOST = 20  # Nets with pictures in the file.
PICTURES, LAYERS, COSTS = 1_500_000, 250_000, 100_000  # Characters for each kind of drawer.
_NOTE = (
    '<p class="quiet">This file keeps the pictures of the nets on the front and the next best: '
    "<code>python launch.py --dashboard</code> shows them of every net.</p>"
)
_NONE = f'<header><h2 id="net-name"></h2></header>{_NOTE}'  # The page's script names it.


def templates(r: Report, pictures: bool = True, room: int = PICTURES + LAYERS + COSTS) -> str:
    """The drawers of rows as `<template id="net-…">`, by the row's number in the summary, and
    `net-none` for rows of which there is no room even for the costs.

    `data-part` says what it holds: `all`, else `layers`, `costs` or `none`, where a server has
    more; a page that has a server needs no pictures before they are asked for. All together have
    about `room` characters.
    """
    found, left = {}, {"all": PICTURES, "layers": LAYERS, "costs": COSTS}
    room = max(room, PICTURES // 2)  # A large file may grow by that much.
    first = shown(r.summary) if pictures else []
    rest = [i for i in range(len(r.summary.rows)) if i not in first]
    for i in (*first, *rest):
        for part in ("all", "layers", "costs") if i in first else ("layers", "costs"):
            text = _drawer(r, r.summary.rows[i], part) if left[part] else ""
            left[part] -= len(text)
            if left[part] > 0 and len(text) < room:
                room -= len(text)
                found[i] = f'<template id="net-{i}" data-part="{part}">{text}</template>'
                break
            left[part] = 0  # The first that does not fit is the last to be made.
    none = f'<template id="net-none" data-part="none">{_NONE}</template>'
    return "".join([*(found[i] for i in sorted(found)), none])


def shown(s: Summary) -> list[int]:
    """The numbers of the rows with pictures in the file: those on the front, then the best of the
    others by validation."""
    rest = [i for i, row in enumerate(s.rows) if i not in s.front and row.done]
    means = {i: s.rows[i].scores["val"] for i in rest}
    best = sorted(rest, key=lambda i: -(means[i].mean if means[i] else -1))
    return [*s.front, *best][:MOST]


def html(r: Report, row: Row, pictures: bool) -> str:
    """What the drawer of a row shows, with pictures and answers or only costs and layers."""
    return _drawer(r, row, "all" if pictures else "layers")


def _drawer(r: Report, row: Row, part: str) -> str:
    parts = [_head(r, row), _costs(r.summary, row)]
    if part != "costs" and row.done:
        parts.append(diagram.draw(row.done[0].layers))
    if part == "all":
        parts += _seen(r.summary, row)
    elif row.done:
        parts.append(_NOTE)
    if part != "costs" and row.done:
        parts.append(layers.table(row.done[0].layers))
    return "".join(parts)


def _head(r: Report, row: Row) -> str:
    told = [row.point.net, *dict.fromkeys(run.dataset for run in row.done)]
    if row.point.weight < 1:
        told.append("one of two nets that bracket the budget; the figures are interpolated")
    told += row.point.notes
    return (
        f'<header><p class="kicker">{_html.escape(r.study.experiment)}</p>'
        f'<h2 id="net-name">{_html.escape(row.name)}</h2>'
        f'<p class="meta">{_html.escape(" · ".join(filter(None, told)))}</p></header>'
    )


def _costs(s: Summary, row: Row) -> str:
    m = row.measures
    told = [
        ("test accuracy", words.accuracy(row.scores["test"])),
        ("validation accuracy", words.accuracy(row.scores["val"])),
        ("training accuracy", words.accuracy(row.scores["train"])),
        ("seeds", str(row.seeds) if row.done else ""),
        ("MACs", words.si(m["macs"])),
        ("params", words.si(m["params"])),
        ("activations", words.si(m["activations"])),
        ("receptive field", words.pixels(m["receptive_field"])),
        ("training MACs", words.si(m["train_macs"])),
        ("learning rate", "" if row.rate is None else f"{row.rate:g}"),
    ]
    items = "".join(
        f"<div><dt>{name}</dt><dd>{_figure(v)}</dd></div>" for name, v in told if v not in ("", "–")
    )
    ended = "" if row.done else '<p class="quiet">No run of this point has finished.</p>'
    return f'<dl class="costs">{items}</dl>{ended}'


def _figure(v: str) -> str:
    """A figure, its interval below it."""
    mean, bracket, rest = _html.escape(v).partition(" [")
    return mean + (f"<small>[{rest}</small>" if bracket else "")


def _seen(s: Summary, row: Row) -> Iterable[str]:
    """Pictures of the first replicate that has some, and how all of them answered."""
    folder = Folder(s.study.path)
    kept = next(filter(None, (pictures.read(folder, run.key) for run in row.done)), None)
    if kept:
        yield pictures.sections(kept)
    yield next(filter(None, (flow.draw(folder, run.key) for run in row.done)), "")
    yield answers.sections(folder, [run.key for run in row.done], kept)
