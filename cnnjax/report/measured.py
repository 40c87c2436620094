"""Studies that measured and trained nothing: their table and findings."""

from cnnjax.report import scaling, speed
from cnnjax.report.points import Summary
from cnnjax.report.speed import Column


def columns(s: Summary) -> list[Column]:
    """The table's columns."""
    return scaling.columns(s) if scaling.used(s) else speed.columns(s)


def told(s: Summary) -> list[tuple[str, str, str]]:
    """(head, text, tone) of each finding."""
    return scaling.told(s) if scaling.used(s) else speed.told(s)
