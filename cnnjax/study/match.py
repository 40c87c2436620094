"""Equal budgets: the place along an axis at which a net costs what is asked, or the two around it.

Channels, blocks and pixels come in whole numbers, so a budget is rarely met to the last digit.
Where no place comes within the tolerance, the nearest on either side bracket the budget, both are
trained, and their accuracies are interpolated in the logarithm of the cost.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from cnnjax.errors import UserError

TOLERANCE = 0.01  # As a ratio of the budget.


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
) -> tuple[Part, ...]:
    """The place that costs within `tolerance` of the budget, or the two that bracket it.

    `build(place)` is what stands at a place, and `places` are in the order of its cost, which never
    falls; they are bisected, so few are built.

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


def _meets(part: Part, budget: float, tolerance: float) -> bool:
    return abs(part.cost / budget - 1) <= tolerance
