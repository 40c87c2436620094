"""Figures as a reader wants them: few digits, signs and units, an interval where there is one."""

from collections.abc import Mapping

from cnnjax.study.figures import si as si
from cnnjax.study.figures import three
from cnnjax.study.records import Axis
from cnnjax.study.stats import Interval


def percent(v: float | None) -> str:
    """0.7951 → `79.5%`."""
    return "–" if v is None else f"{100 * v:.1f}%"


def chance(p: float) -> str:
    """0.983 → `98%`; never quite nought or all."""
    if 0.01 <= p <= 0.99:
        return f"{100 * p:.0f}%"
    return "under 1%" if p < 0.5 else "over 99%"


def accuracy(i: Interval | None) -> str:
    """`79.5% [78.9, 80.1]`; a bound beyond 0 or 100 % can't be true and is cut there."""
    if i is None:
        return "–"
    if not i.known:
        return percent(i.mean)
    low, high = clipped(i)
    return f"{percent(i.mean)} [{100 * low:.1f}, {100 * high:.1f}]"


def clipped(i: Interval) -> tuple[float, float]:
    """The bounds within what an accuracy can be; the mean twice where there are none."""
    if not i.known:
        return i.mean, i.mean
    return max(i.low, 0.0), min(i.high, 1.0)


def signed(v: float) -> str:
    """A fraction as points: 0.047 → `+4.7`, with a true minus sign."""
    text = f"{100 * v:+.1f}".replace("-", "−")
    return "0.0" if text[1:] == "0.0" else text


def gap(i: Interval) -> str:
    """`+4.7 points [+3.1, +6.3]`."""
    bounds = f" [{signed(i.low)}, {signed(i.high)}]" if i.known else ""
    return f"{signed(i.mean)} points{bounds}"


def times(ratio: float) -> str:
    """2.69 → `2.7×`."""
    return (
        f"{three(ratio) if ratio >= 100 else f'{ratio:.1f}' if ratio >= 0.95 else f'{ratio:.2f}'}×"
    )


def duration(seconds: float) -> str:
    """`42 s`, `3 min 20 s`, `2 h 05 min`."""
    s = round(seconds)
    if s < 60:
        return f"{s} s"
    if s < 3600:
        return f"{s // 60} min {s % 60:02d} s"
    return f"{s // 3600} h {s % 3600 // 60:02d} min"


def count(n: int, word: str) -> str:
    """`1 seed`, `5 seeds`."""
    return f"{n} {word}{'' if n == 1 else 's'}"


def listed(words: list[str], most: int = 40) -> str:
    """`a, b and c`; of more than `most` the first, and how many more there are."""
    if len(words) > most:
        words = [*words[:most], f"{len(words) - most} more"]
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def axis_value(v: Axis) -> str:
    """A place on an axis as text: 3.0 → `3`."""
    if isinstance(v, float) and v.is_integer() and abs(v) < 1e15:
        v = int(v)
    return "" if v is None else f"{v:g}" if isinstance(v, float) else str(v)


def place(axis: str | None, v: Axis) -> str:
    """A point's short name on its axis: `5×5`, `depth 20`, `3×3 dilated 2`."""
    if axis is None or v is None:
        return ""
    if isinstance(v, str):
        return v
    if axis == "kernel_size":
        return f"{axis_value(v)}×{axis_value(v)}"
    if axis == "compute":
        return f"{axis_value(v)}×"
    return f"{axis.replace('_', ' ')} {axis_value(v)}"


def order(v: Axis) -> tuple[int, float, str]:
    """Sorts numbers as numbers, before text."""
    if isinstance(v, int | float):
        return (0, float(v), "")
    return (1, 0.0, v or "")


def distinct(values: Mapping[str, str | None]) -> str:
    """`jax 0.10.2, flax 0.12.8`."""
    return ", ".join(f"{k} {v}" for k, v in values.items() if v)


def pixels(v: float | None) -> str:
    """A receptive field's side as a square: `23×23`; of two nets that bracket a budget it is
    between pixels."""
    side = "–" if v is None else axis_value(round(v, 1))
    return side if v is None else f"{side}×{side}"
