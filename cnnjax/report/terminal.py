"""The closing answer in the terminal: a row a point, then what the differences say."""

from collections.abc import Sequence

from cnnjax.report import measured, words
from cnnjax.report.answers import Table
from cnnjax.report.findings import Report
from cnnjax.report.points import Row, Summary

BAR = 20  # Characters of a full bar.
COLOURS = {"lead": "1", "better": "32", "worse": "31", "warn": "33", "quiet": "2"}
REASONS = 8  # Failed runs told one by one; the dashboard has them all.


def answer(r: Report, colour: bool = False, width: int = 80) -> str:
    """The answer as lines no wider than `width` columns (tables excepted)."""
    s = r.summary
    paint = _painter(colour)
    lines = [paint(_plain(r.study.question), "lead")]
    lines += [paint(line, "warn") for b in r.banners for line in _wrap(b, width)]
    if r.progress:
        lines += [paint(r.progress, "warn")]
    if not s.sampled:  # So many nets are told by their spaces.
        lines += ["", *(_measured if s.probed else _table)(s, paint)]
    for table in r.tables if s.sampled else ():
        lines += _answer(table, paint)
    lines += [""]
    for finding in r.findings:
        told = f"{finding.head}: {finding.text}" if finding.head else finding.text
        lines += [paint(line, finding.tone) for line in _wrap(told, width)]
    for table in () if s.sampled else r.tables:
        lines += _answer(table, paint) if table.brief else []
    if r.failures:
        lines += ["", f"{words.count(len(r.failures), 'run')} ended badly:"]
        for f in r.failures[:REASONS]:
            lines += _wrap(f"{f.name}: {f.status}, {f.reason}", width, first="  ", rest="    ")
        if len(r.failures) > REASONS:
            lines += [f"  and {len(r.failures) - REASONS} more, in the dashboard"]
    if r.study.warnings:
        lines += ["", f"{words.count(len(r.study.warnings), 'file')} could not be read:"]
        lines += [f"  {_plain(w)[: width - 2]}" for w in r.study.warnings[:REASONS]]
    if r.next:
        lines += ["", f"next: {_plain(r.next)}"]
    return "\n".join(lines) + "\n"


def _table(s: Summary, paint) -> list[str]:
    rows = [row for series in s.series for row in s.of(series)]
    head = [s.study.series.replace("_", " ")] if s.study.series else []
    head += [s.study.x_label or "net", s.cost_name, f"{s.shown_name} accuracy", "n", ""]
    body = []
    for row in rows:
        score = s.score(row)
        cells = [row.series] if s.study.series else []
        cells += [row.label, words.si(s.cost(row)), words.accuracy(score)]
        cells += [_seeds(row, score.n if score else 0), bar(score.mean) if score else ""]
        body.append(cells)
    return _laid(head, body, {0, 1 if s.study.series else 0, len(head) - 1}, paint)


def _answer(table: Table, paint) -> list[str]:
    body = [[shown for shown, _ in row] for row in table.rows]
    return ["", paint(table.title, "lead"), *_laid(list(table.head), body, {0}, paint)]


def _measured(s: Summary, paint) -> list[str]:
    columns = [c for c in measured.columns(s) if c.short]
    body = [[c.text(row) for c in columns] for row in s.rows]
    return _laid([c.title for c in columns], body, {0}, paint)


def _laid(head: list[str], body: list[list[str]], left: set[int], paint) -> list[str]:
    """The columns numbered in `left` to the left, the others to the right."""
    head, *body = ([_plain(c) for c in cells] for cells in [head, *body])
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]

    def lay(cells: Sequence[str]) -> str:
        laid = [
            c.ljust(w) if i in left else c.rjust(w)
            for i, (c, w) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(laid).rstrip()

    return [paint(lay(head), "quiet"), *(lay(cells) for cells in body)]


def _seeds(row: Row, n: int) -> str:
    nets = len(row.terms["val"]) or 1  # Two where they bracket a budget, each with its runs.
    planned = max(row.point.seeds, len(row.point.runs) // nets)
    return str(n) if n == planned else f"{n} of {planned}"


def bar(share: float) -> str:
    """`▇▇▇▇▌   ` of a fixed width, to the eighth of a character."""
    eighths = round(max(0.0, min(share, 1.0)) * BAR * 8)
    full, part = divmod(eighths, 8)
    return "█" * full + ("" if not part else " ▏▎▍▌▋▊▉"[part])


def _wrap(text: str, width: int, first: str = "", rest: str = "  ") -> list[str]:
    import textwrap

    return textwrap.wrap(
        _plain(text), max(width, 40), initial_indent=first, subsequent_indent=rest,
        break_on_hyphens=False,
    )  # fmt: skip


def _plain(text: str) -> str:
    """Without control characters: a record's text must not move the reader's cursor."""
    return "".join(c if c.isprintable() else " " for c in text)


def _painter(colour: bool):
    def paint(text: str, tone: str) -> str:
        return f"\x1b[{COLOURS[tone]}m{text}\x1b[0m" if colour and tone in COLOURS else text

    return paint
