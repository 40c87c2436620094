"""Which pixels a value sees.

A unit i of a map sees, along each image axis, some of the pixels i·stride + low … i·stride + high.
Windows (convolution, pooling, slices, pads) rewrite these; where branches meet, what any of them
sees is seen: exact through residual connections, concatenation, dilation and even kernels (Araujo,
Norris & Sim, "Computing receptive fields of convolutional neural networks", Distill 2019). Boxes
are not clipped to the image.

An axis ends where its positions are lost (global pooling, flattening) and keeps its last numbers.
An ended value that meets a map again (a squeeze-and-excitation gate, the statistics of a group
norm) sees the whole image: it is left out of the box, and the map is flagged `is_global`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import Final, Literal

from cnnjax.errors import UserError

DATA: Final = "data"
PATTERN: Final = "pattern"


@dataclass(frozen=True)
class Axis:
    """One image axis of a value. `dim` is the array dimension it runs along, None once ended;
    bit j of `pixels` says whether pixel low + j is seen, the first and the last always;
    `whole` where every unit of what follows sees all of it (a fully connected layer)."""

    dim: int | None
    stride: int = 1
    low: int = 0
    pixels: int = 1
    whole: bool = False

    @property
    def size(self) -> int:
        """Pixels from the first to the last that a unit sees, both included."""
        return self.pixels.bit_length()

    @property
    def high(self) -> int:
        """The last pixel that unit 0 sees."""
        return self.low + self.size - 1

    def at(self, dim: int | None) -> "Axis":
        """The same axis along another dimension of the array, or ended."""
        return replace(self, dim=dim)

    def window(self, start: int, stride: int = 1, taps: int = 1, apart: int = 1) -> "Axis":
        """The axis of units i that see the units i·stride + start + {0, apart, …} of this one."""
        low = self.low + self.stride * start
        shifts = (self.stride * apart * tap for tap in range(taps))
        pixels = reduce(int.__or__, (self.pixels << shift for shift in shifts))
        return Axis(self.dim, self.stride * stride, low, pixels, self.whole)

    def all(self, size: int) -> "Axis":
        """The ended axis of units that each see all `size` units of this one."""
        return replace(self.window(0, size, size), dim=None, whole=True)

    def covers(self, other: "Axis") -> bool:
        """Whether this one sees every pixel that the other sees."""
        behind = other.low - self.low
        return behind >= 0 and not (other.pixels << behind) & ~self.pixels


Part = tuple[Axis, Axis]  # The pixels of a grid: rows that are seen, and columns in each of them.
MOST_PARTS: Final = 64


@dataclass(frozen=True)
class Field:
    """What a value sees of the image: the pixels of all parts, and whether a gate sees it all.

    Parts differ in their pixels only. There is one wherever one branch sees all that the others
    see, and never more than `MOST_PARTS`: beyond, they become the grid of all their rows and
    columns.
    """

    parts: tuple[Part, ...]
    is_global: bool = False

    @cached_property
    def axes(self) -> Part:
        """The rows and the columns of which something is seen."""
        rows, columns = (reduce(_both, axes) for axes in zip(*self.parts, strict=True))
        return rows, columns

    @property
    def is_map(self) -> bool:
        """Whether the value still has both image axes."""
        return all(axis.dim is not None for axis in self.axes)

    @property
    def sizes(self) -> tuple[int, int]:
        """Height and width of the receptive field in pixels, unclipped."""
        return self.axes[0].size, self.axes[1].size

    @property
    def count(self) -> int:
        """How many pixels of the box are seen."""
        first = self.axes[0].low
        grids = [
            (r.pixels << r.low - first, c.pixels << c.low - self.axes[1].low) for r, c in self.parts
        ]
        seen = (
            reduce(int.__or__, (columns for rows, columns in grids if rows >> i & 1), 0)
            for i in range(self.sizes[0])
        )
        return sum(columns.bit_count() for columns in seen)

    def each(self, rule: Callable[[Axis], Axis]) -> "Field":
        """The field with `rule` applied to the axes that have not ended."""

        def change(axis: Axis) -> Axis:
            return axis if axis.dim is None else rule(axis)

        return replace(self, parts=tuple((change(r), change(c)) for r, c in self.parts))


# What is known of a value: its field; or, where it holds nothing of the image, that it holds data
# (weights), or is a pattern counted out by the program, as the identity kernel is that extracts
# patches; None for plain constants.
State = Field | Literal["data", "pattern"] | None

IMAGE: Final = Field(((Axis(1), Axis(2)),))  # The input itself, NHWC.


def join(states: Sequence[State], shape: Sequence[int], where: str) -> State:
    """The state of a value of `shape` that sees all that the given ones see."""
    fields = [s for s in states if isinstance(s, Field)]
    if not fields:
        return origin(states)
    return reduce(lambda a, b: _join_fields(a, b, shape, where), fields)


def origin(states: Sequence[State]) -> State:
    """The state of what is computed from values that hold nothing of the image."""
    return next((kind for kind in (DATA, PATTERN) if kind in states), None)


def unstack(state: State) -> State:
    """The state of a slice along dimension 0, as a scan takes them."""
    return _shift(state, -1)


def stack(state: State) -> State:
    """The state of such slices stacked along a new dimension 0."""
    return _shift(state, 1)


def _shift(state: State, by: int) -> State:
    if not isinstance(state, Field):
        return state
    return state.each(lambda a: a.at(a.dim + by if a.dim + by >= 0 else None))


def _join_fields(a: Field, b: Field, shape: Sequence[int], where: str) -> Field:
    pairs = list(zip(a.axes, b.axes, strict=True))
    gated = any((x.dim is None) != (y.dim is None) for x, y in pairs)
    rows, columns = joined = [_join_axes(x, y, shape, where) for x, y in pairs]
    sources = [_sources(x, y) for x, y in pairs]
    if sources[0] == sources[1]:
        found = [
            part for f, counts in zip((a, b), sources[0], strict=True) if counts for part in f.parts
        ]
        parts = _fewest([tuple(map(_framed, part, joined)) for part in found])
    else:
        parts = [(rows, columns)]
    return Field(
        tuple(parts) if len(parts) <= MOST_PARTS else ((rows, columns),),
        a.is_global or b.is_global or gated,
    )


def _sources(a: Axis, b: Axis) -> tuple[bool, bool]:
    """Which of the two the joined axis sees: maps before what has ended, else the larger."""
    if a.dim is None and b.dim is None:
        return a.size >= b.size, a.size < b.size
    return a.dim is not None, b.dim is not None


def _join_axes(a: Axis, b: Axis, shape: Sequence[int], where: str) -> Axis:
    if not all(sources := _sources(a, b)):
        return a if sources[0] else b
    if a.dim == b.dim and a.stride != b.stride and shape[a.dim] > 1:
        raise unfollowed(where, f"it joins maps of strides {a.stride} and {b.stride}")
    dim = a.dim if a.dim == b.dim else None
    return replace(_both(a, b), dim=dim, stride=max(a.stride, b.stride))


def _both(a: Axis, b: Axis) -> Axis:
    """`a` with the pixels of `b` too."""
    low = min(a.low, b.low)
    return replace(a, low=low, pixels=a.pixels << a.low - low | b.pixels << b.low - low)


def _framed(axis: Axis, frame: Axis) -> Axis:
    """The axis along the dimension and at the stride of `frame`."""
    return replace(axis, dim=frame.dim, stride=frame.stride)


def _fewest(parts: Sequence[Part]) -> list[Part]:
    """The parts without those that another one covers."""
    parts = list(dict.fromkeys(parts))

    def covered(part: Part) -> bool:
        return any(all(map(Axis.covers, other, part)) for other in parts if other is not part)

    return [part for part in parts if not covered(part)]


class Unfollowed(UserError, NotImplementedError):
    """A net of the user's own does what no rule here covers: told in a line, like a mistake."""


def unfollowed(primitive: str, why: str) -> Unfollowed:
    return Unfollowed(
        f"the receptive field can't be followed through the primitive {primitive!r}: {why}; "
        "give it a rule in cnnjax/compute/flow.py"
    )
