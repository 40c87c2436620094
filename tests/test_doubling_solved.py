"""Where along each axis a net costs a multiple of what it does."""

import dataclasses
import itertools
import math
import types

import pytest

from cnnjax import compute
from cnnjax.data import Dataset, check
from cnnjax.errors import UserError
from cnnjax.nets import vary
from cnnjax.nets.blocks import Plain, Residual
from cnnjax.nets.net import Head, Net, Stage
from cnnjax.nets.pools import Pool
from cnnjax.nets.shortcuts import PadShortcut
from cnnjax.study import doubling, match
from cnnjax.study.plan import Missing
from cnnjax.study.setting import Setting
from cnnjax.train.cost import training_macs
from cnnjax.train.recipe import make_recipe
from tests.tiny import trials, write_dataset

NET = Net(
    stem=Stage(Plain(8), pool=Pool()),
    stages=tuple(
        Stage(Residual(f, shortcut=PadShortcut()), depth=2, stride=s) for f, s in ((8, 1), (16, 2))
    ),
    head=Head(3),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    data = Dataset(write_dataset(tmp_path_factory.mktemp("data") / "tiny.npz", side=16))
    recipe = make_recipe(epochs=4, batch_size=16)
    setting = Setting("net", data, recipe, tuple(check(data).info.image_shape), 3)
    return doubling.Base(setting, lambda shape: NET)


def cost(run, trains):
    shape = run.image_shape
    if trains:
        return training_macs(run.net, run.recipe, shape, check(run.dataset).train)
    return compute.measure(run.net, shape)["macs"]


@pytest.mark.parametrize("name", doubling.AXES)
def test_every_axis_meets_or_brackets_each_multiple(base, name):
    trains = name == "length"
    budget = cost(base.run(base.spot), trains)
    for factor in (0.5, 2.0, 4.0):
        found = list(doubling.series(base, name, [factor]))
        assert all(dict(run.axes) == {"axis": name, "compute": factor} for run in found)
        assert sum(run.weight for run in found) == pytest.approx(1)
        costs = [cost(run, trains) for run in found]
        if len(found) == 1:
            assert costs[0] == pytest.approx(factor * budget, rel=doubling.TOLERANCE)
        else:
            mean = sum(r.weight * math.log(c) for r, c in zip(found, costs, strict=True))
            assert math.exp(mean) == pytest.approx(factor * budget)
        for run, c in zip(found, costs, strict=True):
            assert f"{c / budget:.2f}× the base's" in run.notes[0]
            assert ("of the mean" in run.notes[0]) == (len(found) == 2)


@pytest.mark.parametrize("name", doubling.AXES)
def test_only_its_own_axis_moves(base, name):
    (run, *_) = doubling.series(base, name, [2.0])
    same = base.run(base.spot)
    moved = {f for f in ("net", "dataset", "recipe") if getattr(run, f) != getattr(same, f)}
    assert moved == {{"resolution": "dataset", "length": "recipe"}.get(name, "net")}


def test_the_base_is_the_same_run_in_every_series(base):
    runs = [run for name in doubling.AXES for run in doubling.series(base, name, [1.0])]
    runs += [next(doubling.equal(base, {"dilation": (2,)}))]
    assert len({run.at(*trials(0.1), 0).key for run in runs}) == 1
    assert runs[0].key == base.setting.run(NET).key


@pytest.mark.parametrize("name", ["depth", "kernel", "resolution", "width"])
def test_places_stand_in_the_order_of_their_cost_and_hold_the_base(base, name):
    axis = doubling.AXES[name]
    places = axis.places(base, 1.0)
    some = places[:: max(1, len(places) // 25)]
    costs = [axis.cost(axis.build(base, place)) for place in some]
    assert costs == sorted(costs)
    nets = [axis.build(base, place) for place in places]
    assert len(set(nets)) == len(nets)
    assert name == "resolution" or base.spot in nets


def test_depth_grows_in_the_proportion_of_the_base():
    net = vary.depth(NET, (1, 3))
    there = types.SimpleNamespace(spot=types.SimpleNamespace(net=net))
    places = doubling.AXES["depth"].places(there, 2.0)
    assert places[0] == (1, 1)
    assert {(1, 3), (2, 6), (3, 9)} <= set(places)
    assert all(sum(b) - sum(a) == 1 for a, b in itertools.pairwise(places))


def test_a_filter_sees_more_than_padding_from_every_unit_of_its_map(base):
    places = doubling.AXES["kernel"].places(base, 1.0)
    assert places[-1] == (11, 7)  # Maps of 8 and 4 pixels.


def test_out_of_reach_is_a_missing_point_with_the_nearest(base):
    (missing,) = doubling.series(base, "kernel", [1000.0])
    assert isinstance(missing, Missing)
    assert missing.reason.startswith("kernel: no place costs")
    assert "the nearest, (11, 7), costs" in missing.reason
    axis = doubling.AXES["kernel"]
    with pytest.raises(match.Infeasible, match="no place costs"):
        doubling.solve(base, axis, 1000.0)


def test_an_axis_that_moves_nothing_is_a_missing_point(base):
    bare = Net(stages=(Stage(Plain(4)),), head=Head(3))
    there = dataclasses.replace(base, make=lambda shape: bare)
    runs = list(doubling.equal(there, {"pooling": ("avg",), "dilation": (2,)}))
    assert "nothing that the axis pooling could change" in runs[1].reason
    assert dict(runs[2].axes)["setting"] == "dilation 2"


def test_an_unknown_axis_is_named(base):
    with pytest.raises(UserError, match=r"axis.*widht.*width"):
        list(doubling.series(base, "widht", [2.0]))


def test_settings_at_equal_compute_cost_what_the_base_does(base):
    tried = {"dilation": (1, 2), "activation": ("gelu",), "pooling": ("avg", "max", "stride")}
    first, *others = doubling.equal(base, tried)
    assert dict(first.axes) == {"axis": "equal MACs", "compute": 1.0, "setting": "base"}
    names = [dict(x.axes)["setting"] for x in others]
    # What leaves the base as it is has no point of its own.
    assert names == ["dilation 2", "activation gelu", "pooling avg", "pooling stride"]
    runs = [x for x in others if not isinstance(x, Missing)]
    assert {cost(run, False) for run in runs} == {cost(first, False)}
    assert "× the base's MACs" in others[-1].reason
    assert not list(doubling.equal(base, {}))
