"""Numbers and texts out of files that anyone may have written: trusted for nothing."""

from collections.abc import Mapping
from typing import Any

_LONGEST = 2000  # Characters of one text; more is no name, note or error line of ours.

Axis = str | int | float | bool | None


def number(v: Any) -> float | None:
    """A number that can be one of ours (JSON's integers stay integers), else None."""
    if isinstance(v, bool) or not isinstance(v, int | float):
        return None
    return v if -1e30 < v < 1e30 else None


def find(data: Any, name: str, depth: int) -> float | None:
    """The first number under `name`, nearest the top first."""
    if not isinstance(data, Mapping) or depth == 0:
        return None
    if number(data.get(name)) is not None:
        return number(data[name])
    found = (find(v, name, depth - 1) for v in data.values())
    return next((v for v in found if v is not None), None)


def text(v: Any) -> str:
    """Text that can be encoded (JSON may hold half a surrogate pair), and not too much of it."""
    return v[:_LONGEST].encode("utf-8", "replace").decode() if isinstance(v, str) else ""


def line(v: Any) -> str:
    """Text on one line, and not too much of it; none where it is no text."""
    return " ".join(text(v).split())[:500]


def lines(v: Any) -> tuple[str, ...]:
    return tuple(filter(None, map(line, sequence(v))))


def integer(v: Any) -> int:
    return int(v) if number(v) is not None else 0


def mapping(v: Any) -> dict[str, Any]:
    return {text(k): x for k, x in v.items()} if isinstance(v, dict) else {}


def sequence(v: Any) -> list[Any]:
    return v if isinstance(v, list) else []


def numbers(v: Any) -> dict[str, float | None]:
    return {k: number(x) for k, x in mapping(v).items()}


def axes(v: Any) -> dict[str, Axis]:
    """Numbers, texts and truth values; anything else becomes text."""
    return {k: axis(x) for k, x in mapping(v).items()}


def axis(v: Any) -> Axis:
    if isinstance(v, bool) or v is None:
        return v
    if isinstance(v, str):
        return line(v)[:200]
    return number(v) if isinstance(v, int | float) else line(str(v))[:200]
