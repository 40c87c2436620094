"""A table that the reader sorts and filters: its rows as HTML, or as columns where they are many,
of which the page makes those that it shows."""

import html
from collections.abc import Iterable, Sequence
from typing import Any

from cnnjax.report import packed

MANY = 500  # Rows.
Cell = tuple[str, Any]  # What is shown, and what it is sorted by.


def sortable(
    head: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    points: Sequence[str] = (),
    opens: int | None = None,
    filtered: str = "",
) -> str:
    """A table whose columns the reader sorts; cells are (shown, to sort by), text to the left.

    `points` are the ids of the points that each row is of, by which it is picked; the cell in the
    column `opens` opens that net's drawer; what is `filtered` by typing has that name.
    """
    rows = list(rows)
    points = points or [""] * len(rows)
    text = [any(isinstance(row[i][1], str) and row[i][1] for row in rows) for i in range(len(head))]
    heads = "".join(
        f'<th scope="col"{_tag(of)}><button type="button">{html.escape(h)}</button></th>'
        for h, of in zip(head, text, strict=True)
    )
    many = len(rows) > MANY
    lines = "" if many else _lines(rows, points, text, opens)
    table = (
        '<div class="scroll" tabindex="0" role="region" aria-label="Table">'
        f'<table class="sortable"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )
    more = _packed(rows, points, text, opens) if many else ""
    if not filtered or len(rows) <= 3:
        return table + more
    return f'<div class="tabled">{_filter(filtered)}{table}{more}</div>'


def _tag(text: bool) -> str:
    return ' class="text"' if text else ""


def _key(shown: str, key: Any) -> str | None:
    """What is sorted by, where that is not what is shown."""
    key = "" if key is None else str(key)
    return key if key != shown else None


def _lines(
    rows: Sequence[Sequence[Cell]], points: Sequence[str], text: Sequence[bool], opens: int | None
) -> str:
    def cell(i: int, point: str, shown: str, key: object) -> str:
        by = _key(shown, key)
        sort = "" if by is None else f' data-sort="{html.escape(by)}"'
        told = html.escape(shown)
        if i == opens:
            told = f'<button type="button" class="net" data-net="{point}">{told}</button>'
        return f"<td{_tag(text[i])}{sort}>{told}</td>"

    return "".join(
        (f'<tr data-point="{point}">' if point else "<tr>")
        + "".join(cell(i, point, *c) for i, c in enumerate(row))
        + "</tr>"
        for point, row in zip(points, rows, strict=True)
    )


def _packed(
    rows: Sequence[Sequence[Cell]], points: Sequence[str], text: Sequence[bool], opens: int | None
) -> str:
    """The rows as data, and the place of the button that shows more of them."""
    columns = []
    for i, of in enumerate(text):
        shown = [row[i][0] for row in rows]
        by = [_key(*row[i]) for row in rows]
        keys = {} if not any(k is not None for k in by) else {"keys": packed.column(_numbers(by))}
        columns.append({"shown": packed.column(shown), "text": of, **keys})
    data = {"columns": columns, "points": packed.column(points), "opens": opens}
    return (
        f'<script type="application/json" class="rows">{packed.text(data)}</script>'
        '<p class="more quiet" hidden><output></output> <button type="button"></button></p>'
    )


def _numbers(keys: Sequence[str | None]) -> list[float | str | None]:
    """Keys as numbers, which take less room, where all of them are."""
    try:
        return [float(k) if k else k for k in keys]
    except ValueError:
        return list(keys)


def _filter(name: str) -> str:
    return (
        f'<label class="filter"><span>Filter {name}</span><input type="search" '
        'placeholder="words, or test>0.7 macs<2e6" autocomplete="off" spellcheck="false">'
        "<output></output></label>"
    )
