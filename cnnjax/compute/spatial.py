"""Which pixels a value sees.

A unit i of a map sees, along each image axis, the pixels i·stride + low … i·stride + high.
Windows (convolution, pooling, slices, pads) rewrite the three numbers; where branches meet, the
lower low and the higher high stand: the bounding box, exact through residual connections,
concatenation, dilation and even kernels (Araujo, Norris & Sim, "Computing receptive fields of
convolutional neural networks", Distill 2019). Boxes are not clipped to the image.

An axis ends where its positions are lost (global pooling, flattening) and keeps its last numbers.
An ended value that meets a map again (a squeeze-and-excitation gate, the statistics of a group
norm) sees the whole image: it is left out of the box, and the map is flagged `is_global`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Final, Literal

from cnnjax.errors import UserError

DATA: Final = "data"
PATTERN: Final = "pattern"


@dataclass(frozen=True)
class Axis:
    """One image axis of a value. `dim` is the array dimension it runs along, None once ended;
    `whole` where every unit of what follows sees all of it (a fully connected layer)."""

    dim: int | None
    stride: int = 1
    low: int = 0
    high: int = 0
    whole: bool = False

    @property
    def size(self) -> int:
        """Pixels between the first and the last that a unit sees, both included."""
        return self.high - self.low + 1

    def at(self, dim: int | None) -> "Axis":
        """The same axis along another dimension of the array, or ended."""
        return replace(self, dim=dim)

    def window(self, start: int, stride: int = 1, extent: int = 1) -> "Axis":
        """The axis of units i that cover the units i·stride + start … + extent − 1 of this one."""
        low = self.low + self.stride * start
        high = self.high + self.stride * (start + extent - 1)
        return Axis(self.dim, self.stride * stride, low, high, self.whole)

    def all(self, size: int) -> "Axis":
        """The ended axis of units that each see all `size` units of this one."""
        return replace(self.window(0, size, size), dim=None, whole=True)


@dataclass(frozen=True)
class Field:
    """What a value sees of the image: its rows, its columns, and whether a gate sees it all."""

    axes: tuple[Axis, Axis]
    is_global: bool = False

    @property
    def is_map(self) -> bool:
        """Whether the value still has both image axes."""
        return all(axis.dim is not None for axis in self.axes)

    @property
    def sizes(self) -> tuple[int, int]:
        """Height and width of the receptive field in pixels, unclipped."""
        return self.axes[0].size, self.axes[1].size

    def each(self, rule: Callable[[Axis], Axis]) -> "Field":
        """The field with `rule` applied to the axes that have not ended."""
        rows, columns = (axis if axis.dim is None else rule(axis) for axis in self.axes)
        return replace(self, axes=(rows, columns))


# What is known of a value: its field; or, where it holds nothing of the image, that it holds data
# (weights), or is a pattern counted out by the program, as the identity kernel is that extracts
# patches; None for plain constants.
State = Field | Literal["data", "pattern"] | None

IMAGE: Final = Field((Axis(1), Axis(2)))  # The input itself, NHWC.


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
    rows, columns = (_join_axes(x, y, shape, where) for x, y in pairs)
    return Field((rows, columns), a.is_global or b.is_global or gated)


def _join_axes(a: Axis, b: Axis, shape: Sequence[int], where: str) -> Axis:
    if a.dim is None and b.dim is None:
        return max(a, b, key=lambda axis: axis.size)
    if a.dim is None or b.dim is None:
        return b if a.dim is None else a
    if a.dim == b.dim and a.stride != b.stride and shape[a.dim] > 1:
        raise unfollowed(where, f"it joins maps of strides {a.stride} and {b.stride}")
    dim = a.dim if a.dim == b.dim else None
    return Axis(dim, max(a.stride, b.stride), min(a.low, b.low), max(a.high, b.high))


class Unfollowed(UserError, NotImplementedError):
    """A net of the user's own does what no rule here covers: told in a line, like a mistake."""


def unfollowed(primitive: str, why: str) -> Unfollowed:
    return Unfollowed(
        f"the receptive field can't be followed through the primitive {primitive!r}: {why}; "
        "give it a rule in cnnjax/compute/flow.py"
    )
