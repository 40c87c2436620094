"""Studies that measured and trained nothing: their table and findings."""

from types import ModuleType

from cnnjax.report import scaling, speed, versus
from cnnjax.report.points import Summary
from cnnjax.report.speed import Column


def columns(s: Summary) -> list[Column]:
    """The table's columns."""
    return _kind(s).columns(s)


def told(s: Summary) -> list[tuple[str, str, str]]:
    """(head, text, tone) of each finding."""
    return _kind(s).told(s)


def _kind(s: Summary) -> ModuleType:
    return next((kind for kind in (scaling, versus) if kind.used(s)), speed)
