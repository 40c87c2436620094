"""What an axis of a design space may be drawn from, and how the command line says it.

    three: kernel=3, width=0.5..2; mixed: kernel=1|3|5|7 per stage, width=0.5..2

Spaces stand between `;`, each a name, `:` and its ranges with commas between. `a|b|c` are choices;
`low..high` are whole numbers, or width factors spread evenly on a logarithmic scale; `per stage`
draws a value a stage, otherwise one value holds for all.
"""

import dataclasses
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from cnnjax.errors import UserError, unknown

WHOLE = ("kernel", "dilation", "groups", "depth", "stride", "output_stride")  # Of `nets.vary.AXES`.
FACTORS = ("width",)
EVERYWHERE = "output_stride"  # The one axis that has no value a stage.
UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
EXAMPLE = "--spaces='three: kernel=3; mixed: kernel=1|3|5 per stage, width=0.5..2'"


@dataclasses.dataclass(frozen=True)
class Choices:
    """One of the values, each as often."""

    values: tuple[Any, ...]

    def draw(self, rng: np.random.Generator) -> Any:
        return self.values[rng.integers(len(self.values))]

    @property
    def extremes(self) -> tuple[Any, ...]:
        """Values of which all are legal only if every draw is."""
        return self.values


@dataclasses.dataclass(frozen=True)
class Integers:
    """A whole number from low to high, both included, each as often."""

    low: int
    high: int

    def draw(self, rng: np.random.Generator) -> int:
        return int(rng.integers(self.low, self.high, endpoint=True))

    @property
    def extremes(self) -> tuple[int, ...]:
        return self.low, self.high


@dataclasses.dataclass(frozen=True)
class LogUniform:
    """A number from low to high whose logarithm is uniform, as RegNet's widths are drawn
    (Radosavovic et al. 2020, §3.2), to three digits, so that its text is the number."""

    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> float:
        v = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return min(max(float(f"{v:.3g}"), self.low), self.high)

    @property
    def extremes(self) -> tuple[float, ...]:
        return self.low, self.high


@dataclasses.dataclass(frozen=True)
class Axis:
    """An axis of `nets.vary` with its range; `per_stage`: a value a stage, drawn independently."""

    name: str
    range: Choices | Integers | LogUniform
    per_stage: bool = False


@dataclasses.dataclass(frozen=True)
class Space:
    """A set of nets: a base net with each axis somewhere in its range."""

    name: str
    axes: tuple[Axis, ...]


@dataclasses.dataclass(frozen=True)
class Bounds:
    """What a measure of the net may come to, both ends included; `text` is how they were given."""

    measure: str
    low: float = 0.0
    high: float = math.inf
    text: str = ""

    def hold(self, value: float) -> bool:
        return self.low <= value <= self.high


def spaces(text: str) -> tuple[Space, ...]:
    """Read `name: axis=range, …; name: …`.

    Raises:
      UserError: what can't be read, with the place, or an unknown axis with the nearest.
    """
    found = tuple(_space(part) for part in _split(text, ";") if part.strip())
    if not found:
        raise UserError(f"--spaces names no space: write {EXAMPLE}")
    names = [space.name for space in found]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"--spaces names the space {name!r} twice: rename one")
    return found


def bounds(measure: str, text: str | None) -> Bounds | None:
    """Read `500k..2M`, `..2M` or `500k..`; None where nothing is given.

    Raises:
      UserError: no such range, or one whose low end is above its high end.
    """
    if not text:
        return None
    ends = [end.strip() for end in text.split("..")]
    how = f"write --{measure}=LOW..HIGH such as 500k..2M, either end may be left out"
    if len(ends) != 2 or not any(ends):
        raise UserError(f"can't read --{measure}={text}: {how}")
    low, high = (_amount(end) if end else None for end in ends)
    if (ends[0] and low is None) or (ends[1] and high is None):
        raise UserError(f"can't read --{measure}={text}: {how}")
    found = Bounds(measure, low or 0.0, math.inf if high is None else high, text)
    if found.low > found.high:
        raise UserError(f"--{measure}={text}: its low end is above its high end")
    return found


def _amount(text: str) -> float | None:
    match = re.fullmatch(r"(\d+\.?\d*(?:e\d+)?)\s*([kMGT]?)", text)
    return float(match[1]) * UNITS[match[2]] if match else None


def _space(text: str) -> Space:
    name, colon, rest = (part.strip() for part in text.partition(":"))
    if not colon or not name or "=" in name:
        raise UserError(f"can't read the space {text.strip()!r}: write {EXAMPLE}")
    axes = tuple(_axis(name, part.strip()) for part in _split(rest, ",") if part.strip())
    if not axes:
        raise UserError(f"the space {name!r} has no ranges: write {EXAMPLE}")
    names = [axis.name for axis in axes]
    for axis in names:
        if names.count(axis) > 1:
            raise UserError(f"the space {name!r} gives {axis} twice: keep one")
    return Space(name, axes)


def _axis(space: str, text: str) -> Axis:
    from cnnjax.nets.vary import AXES

    axis, equals, value = (part.strip() for part in text.partition("="))
    if equals and axis not in AXES:
        raise unknown(f"axis of the space {space!r}:", axis, AXES)
    value, per_stage = _per_stage(value)
    if not equals or not value:
        raise UserError(f"can't read {text!r} of the space {space!r}: write axis=range, "
                        "a range as 3, 1|3|5 or 1..4")  # fmt: skip
    if per_stage and axis == EVERYWHERE:
        raise UserError(f"{axis} of the space {space!r} is of the whole net: leave out “per stage”")
    try:
        return Axis(axis, _range(axis, value), per_stage)
    except ValueError as e:
        raise UserError(f"{axis}={value} of the space {space!r}: {e}") from None


def _per_stage(value: str) -> tuple[str, bool]:
    match = re.fullmatch(r"(.*\S)\s+per\s+stage", value)
    return (match[1], True) if match else (value, False)


def _range(axis: str, text: str) -> Choices | Integers | LogUniform:
    """Raises ValueError where the text is no range of that axis."""
    if axis not in (*WHOLE, *FACTORS):
        if ".." in text:
            raise ValueError("its values are words: write a|b")
        return Choices(tuple(_several(text)))
    kind, word = (int, "whole numbers") if axis in WHOLE else (float, "numbers")
    low, dots, high = text.partition("..")
    try:
        if not dots:
            return Choices(tuple(kind(x) for x in _several(text)))
        ends = kind(low), kind(high)
    except ValueError:
        raise ValueError(f"its values are {word}: write 1|3|5 or 1..4") from None
    if ends[0] > ends[1]:
        raise ValueError("its low end is above its high end")
    if kind is int:
        return Integers(*ends)
    if not ends[0] > 0 or not math.isfinite(ends[1]):
        raise ValueError("factors are above 0")
    return LogUniform(*ends)


def _several(text: str) -> list[str]:
    found = [x.strip() for x in text.split("|")]
    if not all(found):
        raise ValueError("a choice is empty: write a|b")
    return found


def _split(text: str, mark: str) -> Iterator[str]:
    """The parts between the marks that stand outside brackets."""
    depth, start = 0, 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if c == mark and depth == 0:
            yield text[start:i]
            start = i + 1
    yield text[start:]
