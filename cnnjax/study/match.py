"""Equal budgets: the place along an axis at which a net costs what is asked, or the two around it.

Channels, blocks and pixels come in whole numbers, so a budget is rarely met to the last digit.
Where no place comes within the tolerance, the nearest on either side bracket the budget, both are
trained, and their accuracies are interpolated in the logarithm of the cost.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Collection, Sequence
from fractions import Fraction
from typing import Any

from cnnjax.errors import UserError

TOLERANCE = 0.01  # As a ratio of the budget.
NEAREST = 1.0  # The nearest place alone, up to twice the budget.
MOST = 64.0  # The largest factor on widths or depths.
FINE = 1 + 1e-4  # Factors nearer than this are bisected one by one.
MARGIN = Fraction(1, 10**6)


@dataclasses.dataclass(frozen=True)
class Part:
    """What was `made` at `place` along an axis, its `cost`, and its share in the interpolation; a
    part alone has all of it."""

    place: Any
    made: Any
    cost: float
    weight: float = 1.0


class Infeasible(UserError):
    """No place along the axis meets or brackets the budget; `nearest` is how near one comes."""

    def __init__(self, message: str, nearest: Part):
        super().__init__(message)
        self.nearest = nearest


def along(
    build: Callable[[Any], Any],
    places: Sequence[Any],
    cost: Callable[[Any], float],
    budget: float,
    tolerance: float = TOLERANCE,
    soon: bool = False,
) -> tuple[Part, ...]:
    """The place that costs within `tolerance` of the budget, or the two that bracket it.

    `build(place)` is what stands at a place, and `places` are in the order of its cost, which never
    falls; they are bisected, so few are built. `soon`: the first that is found within the tolerance
    does, as where every cost is a measurement; else the nearest is meant.

    Raises:
      Infeasible: all cost more, or all less.
    """
    made: dict[int, Part] = {}

    def at(i: int) -> Part:
        if i not in made:
            thing = build(places[i])
            made[i] = Part(places[i], thing, cost(thing))
        return made[i]

    low, high = 0, len(places) - 1
    for end, beyond in ((at(low), at(low).cost > budget), (at(high), at(high).cost < budget)):
        if beyond and not _meets(end, budget, tolerance):
            raise Infeasible(
                f"no place costs {budget:,.0f}: the nearest, {end.place}, costs {end.cost:,.0f}",
                end,
            )
    while high - low > 1:
        middle = (low + high) // 2
        if soon and _meets(at(middle), budget, tolerance):
            return (at(middle),)
        low, high = (middle, high) if at(middle).cost < budget else (low, middle)
    return between(at(low), at(high), budget, tolerance)


def between(below: Part, above: Part, budget: float, tolerance: float) -> tuple[Part, ...]:
    """The nearer of two where it meets the budget, else both with their shares."""
    near = min(below, above, key=lambda part: abs(math.log(part.cost / budget)))
    if _meets(near, budget, tolerance) or not below.cost < budget < above.cost:
        return (near,)
    share = math.log(budget / below.cost) / math.log(above.cost / below.cost)
    return (
        dataclasses.replace(below, weight=1 - share),
        dataclasses.replace(above, weight=share),
    )


def width(
    net: Any,
    cost: Callable[[Any], float],
    budget: float,
    tolerance: float = TOLERANCE,
    soon: bool = False,
) -> tuple[Part, ...]:
    """The net with all its widths times a factor that meets the budget, or the two that bracket it.

    The places are factors, one for each way in which the widths can round; so it is the nearest of
    all nets of those proportions. Where the cost falls somewhere as the net grows, as with groups
    that no longer divide its channels, it is the nearest of its neighbours, and another that is far
    may be nearer. `soon` is as in `along`.

    Raises:
      Infeasible: at the least width the net costs more, or at `MOST` times its own less.
    """
    from cnnjax.nets import vary

    sizes = vary.settings(net, "width")
    scaling = _Scaling("width", sizes, lambda factor: vary.width(net, factor), cost, soon)
    return scaling.solved(budget, tolerance)


def depth(
    net: Any,
    cost: Callable[[Any], float],
    budget: float,
    tolerance: float = TOLERANCE,
    soon: bool = False,
) -> tuple[Part, ...]:
    """As `width`, of the stages' blocks: each stage's times one factor, at least one.

    Raises:
      Infeasible: with a block a stage the net costs more, or with `MOST` times its own less.
    """
    from cnnjax.nets import vary

    blocks = tuple(stage.depth for stage in net.stages)

    def build(factor: float) -> Any:
        return vary.depth(net, tuple(max(1, round(n * factor)) for n in blocks))

    return _Scaling("depth", set(blocks), build, cost, soon).solved(budget, tolerance)


@dataclasses.dataclass(frozen=True)
class _Scaling:
    """An axis on which whole numbers, the `sizes`, are multiplied by one factor and rounded."""

    axis: str
    sizes: Collection[int]
    build: Callable[[float], Any]
    cost: Callable[[Any], float]
    soon: bool

    def solved(self, budget: float, tolerance: float) -> tuple[Part, ...]:
        """A bisection of the factor's logarithm down to a few places, then of those."""
        low, high = 1 / 1024, 1.0
        above = self._priced(high)
        while high < MOST and above.cost < budget:
            high *= 2
            above = self._priced(high)
        while high / low > FINE:
            middle = math.sqrt(low * high)
            part = self._priced(middle)
            if self.soon and _meets(part, budget, tolerance):
                return (part,)
            if part.cost < budget:
                low = middle
            else:
                high, above = middle, part
        places = factors(self.sizes, low, high)
        if above.cost == math.inf:  # At least one place stays, or its error is told.
            places = [p for p in places if self._priced(p).cost < math.inf] or places[:1]
        try:
            return along(self.build, places, self.cost, budget, tolerance, self.soon)
        except Infeasible as e:
            cost = f"{e.nearest.cost:,.0f}"
            told = f"no {self.axis} costs {budget:,.0f}: the nearest costs {cost}"
            raise Infeasible(told, e.nearest) from None

    def _priced(self, factor: float) -> Part:
        """The net at a factor; one that can't be, as too deep for its images, costs infinitely."""
        net = self.build(factor)
        try:
            return Part(factor, net, self.cost(net))
        except UserError:
            return Part(factor, net, math.inf)


def factors(sizes: Collection[int], low: float, high: float) -> list[float]:
    """A factor for each way in which the sizes times it can round, at least to 1: those of all
    factors from `low` to `high` and a little beyond, in order; 1 for the sizes as they are, else
    the middle of those that round alike. A factor at which sizes come to a half exactly is none:
    there halves go to the even number, some up and some down, in a way of that one factor alone."""
    # A little beyond the ends, since a size may round just there.
    first, last = Fraction(low) * (1 - MARGIN), Fraction(high) * (1 + MARGIN)
    half = Fraction(1, 2)
    found = {
        Fraction(2 * k + 1, 2 * size)
        for size in sizes
        for k in range(max(1, math.floor(size * first - half)), math.ceil(size * last + half) + 1)
    }
    cuts = sorted(found)
    below = max((cut for cut in cuts if cut <= first), default=first)
    above = min((cut for cut in cuts if cut >= last), default=last)
    ends = [below, *(cut for cut in cuts if first < cut < last), above]
    return [1.0 if a < 1 < b else float((a + b) / 2) for a, b in itertools.pairwise(ends)]


def _meets(part: Part, budget: float, tolerance: float) -> bool:
    return abs(part.cost / budget - 1) <= tolerance
