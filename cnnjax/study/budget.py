"""Equal compute: the width at which a net costs what another does."""

import math
from collections.abc import Callable
from typing import Any

from cnnjax.errors import UserError


def match_width(
    build: Callable[[float], Any], cost: Callable[[Any], int], budget: int
) -> tuple[Any, float]:
    """The net `build(factor)` whose cost is nearest to `budget` in ratio, and that ratio.

    `build` scales the widths by a factor and rounds them, so the cost never falls as the factor
    grows; the two nets on either side of the budget are found by bisection.

    Raises:
      UserError: no width comes within a factor of 2 of the budget.
    """
    low, high = 1 / 1024, 1.0
    while cost(build(high)) < budget and high < 1024:
        high *= 2
    while high / low > 1 + 1e-4:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if cost(build(middle)) < budget else (low, middle)
    nets = [build(low), build(high)]
    best = min(nets, key=lambda net: abs(math.log(cost(net) / budget)))
    ratio = cost(best) / budget
    if not 0.5 <= ratio <= 2:
        raise UserError(
            f"no width costs about {budget:,}: the nearest costs {cost(best):,}; "
            "leave this point out or give the study another budget"
        )
    return best, ratio
