"""Solvers of equal budgets agree with trying everything."""

import contextlib
import functools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cnnjax import compute, nets
from cnnjax.errors import UserError
from cnnjax.nets import vary
from cnnjax.study import match
from cnnjax.study.match import Infeasible, Part
from tests import zoo
from tests.tiny import small_net

SHAPE = (32, 32, 3)
MEASURES = ("macs", "params", "activations")
# Of each way in which widths are made: plain, residual, depthwise, of hidden layers.
QUICK = ("vgg4_slim", "resnet20", "mobilenet_v1", "lenet5")


def small(name, axis):
    """The net with few channels, and few blocks: as small as its kind comes."""
    net = nets.get(name, 3, SHAPE)
    blocks = [stage.depth for stage in net.stages]
    most = {"width": 1, "depth": 3}[axis]
    net = vary.depth(net, tuple(max(1, round(n * min(1, most / max(blocks)))) for n in blocks))
    return vary.width(net, 5 / max(vary.settings(net, "width")))


def kinds(axis):
    """A name for each small net that there is: those that have every part of any between them are
    quick or slow, the rest is for `-m every`."""
    made = {}
    for name in (*QUICK, *sorted(zoo.NAMES, key=zoo.blocks)):
        made.setdefault(small(name, axis), name)
    few = zoo.covering((name, net) for net, name in made.items())

    def marks(name):
        return () if name in QUICK else zoo.SLOW if name in few else zoo.EVERY

    return [pytest.param(name, axis, marks=marks(name)) for name in made.values()]


def tried(costs, budget, tolerance=match.TOLERANCE):
    """The costs of the parts that should be found, by trying all places."""
    if budget < min(costs) or budget > max(costs):
        near = min(costs, key=lambda c: abs(math.log(c / budget)))
        return (near,) if abs(near / budget - 1) <= tolerance else None
    near = min(costs, key=lambda c: abs(math.log(c / budget)))
    if abs(near / budget - 1) <= tolerance:
        return (near,)
    return max(c for c in costs if c < budget), min(c for c in costs if c > budget)


def found(solve):
    try:
        return solve()
    except Infeasible:
        return None


@given(
    st.lists(st.integers(1, 10**6), min_size=1, max_size=40).map(sorted),
    st.floats(0.5, 2e6),
    st.sampled_from([0.001, 0.01, 0.3]),
)
def test_the_places_found_are_those_of_trying_all(costs, budget, tolerance):
    looked = []

    def build(place):
        looked.append(place)
        return costs[place]

    def solve():
        return match.along(build, range(len(costs)), float, budget, tolerance)

    parts = found(solve)
    expected = tried(costs, budget, tolerance)
    assert (parts and tuple(p.cost for p in parts)) == expected
    assert len(looked) <= 2 + math.ceil(math.log2(len(costs))) + 1
    if parts:
        assert math.fsum(p.weight for p in parts) == pytest.approx(1)
        mean = math.fsum(p.weight * math.log(p.cost) for p in parts)
        if len(parts) == 2:  # In the logarithm, the two together cost the budget.
            assert mean == pytest.approx(math.log(budget))


def test_shares_by_hand():
    below, above = Part(1, "a", 100.0), Part(2, "b", 1600.0)
    a, b = match.between(below, above, 200.0, 0.01)
    assert (a.weight, b.weight) == pytest.approx((0.75, 0.25))
    assert match.between(below, above, 1590.0, 0.01) == (above,)
    assert match.between(below, above, 1590.0, 0.001)[1].weight < 1


def test_the_first_that_is_near_enough_does_where_costs_are_dear():
    looked = []
    (part,) = match.along(
        lambda i: looked.append(i) or i, range(1, 1001), float, 480.0, 0.1, soon=True
    )
    assert (part.place, len(looked)) == (500, 3)


@settings(max_examples=30)
@example({1, 2, 3}, 1.5, 2.0)  # Some of the sizes come to a half.
@given(st.sets(st.integers(1, 40), min_size=1, max_size=4), st.floats(0.01, 3), st.floats(1.01, 3))
def test_a_factor_for_each_way_to_round_and_no_other(sizes, low, ratio):
    def rounded(factor):
        return tuple(max(1, round(size * factor)) for size in sorted(sizes))

    ways = [rounded(f) for f in match.factors(sizes, low, low * ratio)]
    assert len(set(ways)) == len(ways)
    assert ways == sorted(ways)
    some = [low * ratio**share for share in np.linspace(0, 1, 500)]
    dense = {rounded(f) for f in some if not any(size * f % 1 == 0.5 for size in sizes)}
    assert dense <= set(ways)
    if low < 1 < low * ratio:
        assert 1.0 in match.factors(sizes, low, low * ratio)


def table(name, axis):
    """A small net, and each that the axis can make of it up to twice its size, with its costs."""
    net = small(name, axis)
    if axis == "width":
        legal = [vary.width(net, f) for f in match.factors(vary.settings(net, "width"), 0.01, 2)]
    else:
        blocks = [stage.depth for stage in net.stages]
        legal = [
            vary.depth(net, tuple(max(1, round(n * f)) for n in blocks))
            for f in match.factors(set(blocks), 0.01, 1.5)
        ]
    costs = {}
    for x in dict.fromkeys(legal):
        with contextlib.suppress(UserError):  # Too deep for its images.
            costs[x] = [compute.total(x, SHAPE, m) for m in MEASURES]
    return net, costs


@pytest.mark.parametrize("name, axis", [*kinds("width"), *kinds("depth")])
def test_a_net_solved_is_the_nearest_there_is(name, axis):
    net, costs = table(name, axis)
    solve = {"width": match.width, "depth": match.depth}[axis]
    for i, measure in enumerate(MEASURES):
        every = [c[i] for c in costs.values()]
        most = costs[max(costs, key=lambda x: costs[x][i])][i]

        def cost(x, i=i, measure=measure):
            return costs[x][i] if x in costs else compute.total(x, SHAPE, measure)

        for budget in np.geomspace(min(every), most, 7)[:-1]:
            parts = found(lambda cost=cost, budget=budget: solve(net, cost, float(budget)))
            prices = parts and tuple(p.cost for p in parts)
            if every == sorted(every):
                assert prices == tried(every, budget), (measure, budget)
                continue
            # Costs fall somewhere (groups, or layers that leave less to a dense one): neighbours.
            if parts and len(parts) == 2:
                places = [list(costs).index(p.made) for p in parts]
                assert places[1] == places[0] + 1
                assert prices[0] < budget < prices[1]


def test_proportions_stay():
    net = small_net()
    (part, *_) = match.width(net, functools.partial(macs), 4 * macs(net))
    assert part.made == vary.width(net, part.place)
    deep = vary.depth(net, (2, 4))
    (part,) = match.depth(deep, lambda n: sum(s.depth for s in n.stages), 12)
    assert [s.depth for s in part.made.stages] == [4, 8]


def macs(net):
    return compute.total(net, (8, 8, 1), "macs")


def test_the_nearest_alone_where_one_is_wanted():
    net = small_net()
    parts = match.width(net, macs, 2.2 * macs(net), match.NEAREST)
    assert len(parts) == 1
    assert parts[0].weight == 1


def test_what_no_net_costs_is_said_with_the_nearest():
    net = small_net()
    with pytest.raises(Infeasible, match="no width costs 10: the nearest costs 1,099") as e:
        match.width(net, lambda n: 1099 if n == vary.width(net, 0.001) else 2000, 10)
    assert e.value.nearest.made == vary.width(net, 0.001)
    with pytest.raises(Infeasible, match="no depth costs 1,000: the nearest costs 128"):
        match.depth(net, lambda n: sum(s.depth for s in n.stages), 1000)
    with pytest.raises(Infeasible, match="no place costs 10: the nearest, 3, costs 30"):
        match.along(lambda p: 10 * p, [3, 4], float, 10)


def test_a_net_that_cannot_be_is_no_place():
    def cost(net):
        if net.stages[0].depth > 3:
            raise UserError("too deep")
        return sum(s.depth for s in net.stages)

    net = vary.depth(small_net(), (2, 2))
    assert [p.cost for p in match.depth(net, cost, 6)] == [6]
    with pytest.raises(Infeasible, match="no depth costs 12: the nearest costs 6"):
        match.depth(net, cost, 12)


def test_one_measure_is_that_of_all():
    net = small_net()
    everything = compute.measure(net, (8, 8, 1))
    assert {m: compute.total(net, (8, 8, 1), m) for m in everything} == everything
    with pytest.raises(UserError, match="unknown measure 'mac': did you mean 'macs'"):
        compute.total(net, (8, 8, 1), "mac")
