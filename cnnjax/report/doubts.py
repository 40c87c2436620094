"""What in the results themselves asks for doubt, and what would change the conclusion."""

from collections.abc import Sequence

from cnnjax.report import caution, words
from cnnjax.report.comparisons import Comparison
from cnnjax.report.points import Summary, distinct
from cnnjax.study.tuning import TUNABLE

MOST = 6  # Undecided differences told by name.
Told = list[tuple[str, str]]


def told(s: Summary) -> Told:
    """(head, text) of each."""
    return [*chance(s), *rising(s), *edges(s), *survivors(s)]


def chance(s: Summary) -> Told:
    """Points that guess."""
    rows = [row for row in s.rows if row.at_chance]
    names = words.listed([f"{row.name} ({words.accuracy(s.score(row))})" for row in rows])
    one = "is" if len(rows) == 1 else "are"
    text = f"{names} {one} no better than guessing ({100 * (s.chance or 0):.3g}%)"
    return [("At chance", text)] if rows else []


def rising(s: Summary) -> Told:
    """Points that had not come to their end."""
    rows = [row for row in distinct(s.rows) if row.rising]
    names = words.listed([f"{row.name} ({words.signed(row.rise)})" for row in rows])
    text = f"{names}: over 1 point gained in the last fifth of training; more epochs may reorder"
    return [("Still improving", text)] if rows else []


def edges(s: Summary) -> Told:
    """Points whose best trial was the last of its grid; those whose notes say so are left out."""
    rows = [row for row in distinct(s.rows) if row.at_edge]
    rows = [row for row in rows if not any("grid's edge" in note for note in row.point.notes)]
    found = []
    for field in dict.fromkeys(f for row in rows for f in row.at_edge):
        used = [
            (row, row.point.chosen.get(field, row.rate)) for row in rows if field in row.at_edge
        ]
        names = words.listed([f"{row.name} ({v:g})" for row, v in used])
        head = f"{TUNABLE[field].name.capitalize()} at the grid's edge"
        found.append((head, f"{names}: a wider grid may do better"))
    return found


def survivors(s: Summary) -> Told:
    """A mean over the runs that did not break flatters a net that often does."""
    rows = [row for row in distinct(s.rows) if row.bad]
    names = [f"{row.name} ({len(row.bad)} of {len(row.bad) + len(row.done)})" for row in rows]
    text = f"{words.listed(names)} ended badly: means and intervals are over the others alone"
    return [("Seeds that broke", text)] if rows else []


def undecided(comparisons: Sequence[Comparison]) -> Told:
    """The differences of which the intervals hold zero: any may come out either way."""
    found = [c for c in comparisons if c.verdict == "open"]
    if not found:
        return []
    named = [
        f"{c.series} {c.label}".strip() + f" ({words.gap(c.gap)})"
        for c in sorted(found, key=lambda c: -abs(c.gap.mean))
    ]
    rest = len(named) - MOST
    text = "; ".join(named[:MOST]) + (f"; and {rest} more" if rest > 0 else "")
    head = f"{len(found)} of {words.count(len(comparisons), 'difference')} undecided"
    return [(head, f"more seeds may decide either way: {text}")]


def changing(
    s: Summary, comparisons: Sequence[Comparison], banners: Sequence[str], progress: str
) -> Told:
    """What would change the conclusion."""
    found = [("", text) for text in (*banners, *([progress] if progress else []))]
    notes = [note for row in distinct(s.rows) for note in row.point.notes if "grid's edge" in note]
    if notes:  # Of points that were tuned: each has a note of its own among the findings.
        many = words.count(len(notes), "note")
        found.append(("At a grid's edge", f"{many} on points whose best trial was the last one"))
    cut = [("Seeds added after a look", caution.looked(s)), ("Stopped", caution.stopped(s))]
    return [*found, *undecided(comparisons), *told(s), *(c for c in cut if c[1])]
