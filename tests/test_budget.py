"""--match, --train_macs and --train_seconds: every point of a study costs the budget."""

import csv
import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from cnnjax import compute
from cnnjax.cli.main import main
from cnnjax.errors import UserError
from cnnjax.nets import vary
from cnnjax.nets.net import Head
from cnnjax.report.gather import summarise
from cnnjax.study import budget
from cnnjax.study import experiment as study
from cnnjax.study import measured as measured_module
from cnnjax.study.match import TOLERANCE
from cnnjax.study.measured import Measured
from cnnjax.study.results import Folder
from cnnjax.train.cost import steps_for, training_macs
from cnnjax.train.devices import local
from cnnjax.train.recipe import FINE_TUNINGS, Progressive, Recipe
from cnnjax.train.speed import Speed, step_seconds
from tests.tiny import FLAGS, small_net, write_dataset

FOLDER = Path(__file__).parent.parent / "experiments"
NET = "--net=tests.tiny:small_net"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return f"--dataset={write_dataset(tmp_path_factory.mktemp('data') / 'tiny.npz', side=12)}"


@pytest.fixture
def asked(data):
    """The points and the missing ones of an experiment by its flags."""

    def ask(name, *argv, folder=None):
        given = [data, NET, "--batch_size=16", "--learning_rate=0.1", "--devices=1"]
        if name == "scaling":
            given.pop()
        return study.asked(study.load(name, FOLDER, [*given, *argv]), folder)

    return ask


def cost(point, measure="macs"):
    return compute.total(point.run.net, point.run.image_shape, measure)


# Which nets.


def test_the_default_study_keeps_its_runs():
    """The figures of the README are of these."""
    points, missing = study.asked(study.load("filter_size", FOLDER, []))
    assert [p.run.key for p in points] == [
        "2248011afa449d02", "d7016c4e94e9ffef", "28b03f4674398559", "87a8d3924836b5f3",
        "31513dfe0ab9f7e1", "d7016c4e94e9ffef", "76402a2f95aa34fe", "8e6f2265022d8d54",
    ]  # fmt: skip
    assert missing == []
    assert [p.run.notes for p in points[:4]] == [()] * 4
    assert points[5].run.notes == ("664 k MACs as it is",)
    assert points[7].run.notes == ("width × 0.414 to match 664 k MACs (+5.4%)",)


@pytest.mark.parametrize("measure", ["macs", "params", "activations", "train_macs"])
def test_points_of_a_study_cost_the_same(asked, measure):
    """A resolution costs more the larger it is: each is alone within 1 %, or two bracket it."""
    points, missing = asked("resolution", "--resolutions=8,12,16", f"--match={measure}")
    base = asked("resolution", "--resolutions=12")[0][0].run
    wanted = budget.Matching(measure, 0.0).of(base).budget
    assert missing == []
    places = {}
    for point in points:
        places.setdefault(dict(point.run.axes)["resolution"], []).append(point.run)
    for side, runs in places.items():
        costs = [budget.Matching(measure, wanted).cost(run) for run in runs]
        weights = [run.weight for run in runs]
        assert math.fsum(weights) == pytest.approx(1)
        if len(runs) == 1:
            assert abs(costs[0] / wanted - 1) <= TOLERANCE
        else:
            assert costs[0] < wanted < costs[1]
            assert np.dot(weights, np.log(costs)) == pytest.approx(np.log(wanted))
        assert all(run.image_shape == (side, side, 1) for run in runs)
        assert all(any("of tests.tiny:small_net" in n for n in run.notes) for run in runs)


@pytest.mark.parametrize(
    ("name", "argv", "moved"),
    [
        ("width", ["--widths=0.5,1"], {"width"}),
        ("width", ["--widths=2"], {"width"}),
        ("depth", ["--depths=1,2"], {"depth"}),
        ("dilation", ["--dilations=1,2", "--resolution=16"], {"depth"}),
        ("dilation", ["--dilations=1,2", "--ways=dilated,larger", "--resolution=16"], set()),
        ("stack", ["--sizes=3,5"], {"depth"}),
        ("resolution", ["--resolutions=8,12"], set()),
        ("connectivity", [], set()),
        ("activation", ["--activations=relu,tanh"], set()),
        ("train", ["--depth=2"], {"depth"}),
    ],
)
def test_what_a_study_moves_is_seen_in_its_nets(asked, name, argv, moved):
    points, _ = asked(name, *argv)
    assert budget.moved([p.run for p in points]) == moved


def test_two_axes_that_move_together_are_both_seen(asked):
    run = asked("train")[0][0].run
    larger = dataclasses.replace(run, net=vary.depth(vary.width(run.net, 2), 2))
    assert budget.moved([run, larger]) == {"width", "depth"}
    with pytest.raises(UserError, match="--match solves width or depth, and this study moves both"):
        budget.matched(budget.Matching("macs", 1e4), [run, larger], False)


def test_the_axis_that_a_study_moves_is_left_alone(asked):
    points, _ = asked("depth", "--depths=1,2", "--match=macs", "--width=1")
    assert {tuple(s.depth for s in p.run.net.stages) for p in points} == {(1, 1), (2, 2)}
    points, missing = asked("width", "--widths=0.5,1,4", "--match=params")
    widths = {f: vary.settings(vary.width(small_net(), f), "width") for f in (0.5, 1)}
    assert {dict(p.run.axes)["width"] for p in points} == {0.5, 1}
    assert all(
        vary.settings(p.run.net, "width") == widths[dict(p.run.axes)["width"]] for p in points
    )
    (place,) = missing
    assert place.name == "tests.tiny:small_net · width 4.0"
    assert place.reason.startswith("no depth costs 1.03 k parameters of tests.tiny:small_net: the ")
    assert place.reason.endswith("%)")


def test_depth_is_solved_where_no_width_can(asked):
    """At the least width a channel a layer costs more than the net deep as it is not."""
    run = asked("train")[0][0].run
    deep = dataclasses.replace(run, net=vary.depth(vary.width(run.net, 1e-9), 8))
    wanted = (
        budget.Matching("macs", 0.0)
        .of(run)
        .cost(dataclasses.replace(deep, net=vary.depth(deep.net, 3)))
    )
    (found,) = budget.Matching("macs", wanted).runs(deep, ("width", "depth"))
    assert [s.depth for s in found.net.stages] == [3, 3]
    assert found.notes[-1].startswith("depth × 0.375 to match")
    (none,) = budget.Matching("macs", 10.0).runs(deep, ("width", "depth"))
    assert none.reason.startswith("no width or depth costs 10 MACs: the nearest by depth costs ")


def test_a_study_with_a_series_at_equal_cost_takes_the_budget_there_alone(asked):
    points, _ = asked("pooling", "--kinds=max,stride")
    fixed = [p for p in points if dict(p.run.axes)["series"] == "fixed width"]
    assert len(points) == 4  # The nearest alone, however far.
    matched, _ = asked("pooling", "--kinds=max,stride", "--match=params", "--budget=2000")
    assert {dict(p.run.axes)["series"] for p in matched} == {"fixed width", "equal parameters"}
    again = [p for p in matched if dict(p.run.axes)["series"] == "fixed width"]
    assert [p.run.key for p in again] == [p.run.key for p in fixed]
    equal = [p for p in matched if p not in again]
    assert np.dot([p.run.weight for p in equal], [math.log(cost(p, "params")) for p in equal]) == (
        pytest.approx(2 * math.log(2000), rel=2e-3)
    )
    nets = ["--nets=tests.tiny:small_net", "--macs=30000"]
    (one,), _ = asked("lineage", *nets)
    assert 0.5 < cost(one) / 30000 < 2
    own, _ = asked("lineage", *nets, "--match=macs")  # Its own budget, met as --match means it.
    assert "30.0 k MACs (" in own[0].run.notes[-1]
    like, _ = asked("lineage", *nets, "--match=params")
    assert like[0].run.notes[-1].startswith("1.03 k parameters of tests.tiny:small_net as it is")


def test_a_net_without_either_axis_has_nothing_to_match_with(asked):
    run = asked("train")[0][0].run
    bare = dataclasses.replace(run, net=run.net.clone(stages=(), stem=None, head=Head(3)))
    (place,) = budget.Matching("params", 5.0).runs(bare, ("width", "depth"))
    assert place.reason.startswith("this net has nothing to match 5 parameters with")


# How long.


PHASED = {
    "plain": Recipe(batch_size=16),
    "growing": Recipe(batch_size=16, resolution_schedule=Progressive((8, 12, 16))),
    "shrinking": Recipe(batch_size=16, resolution_schedule=Progressive((12, 8))),
    "gradual": Recipe(batch_size=16, fine_tune=FINE_TUNINGS["gradual"](share=1.0, parts=3)),
    "probe": Recipe(batch_size=16, fine_tune=FINE_TUNINGS["probe"]()),
}


@pytest.mark.parametrize("recipe", PHASED.values(), ids=PHASED)
@pytest.mark.parametrize("examples", [48, 700])
def test_training_macs_are_met_to_half_a_step(recipe, examples):
    net, shape = small_net(), (12, 12, 1)

    def macs(steps):
        return training_macs(net, recipe.lasting(steps, examples), shape, examples)

    for wanted in np.geomspace(macs(1), macs(997), 9):
        steps = steps_for(net, recipe, shape, examples, wanted)
        off = abs(macs(steps) - wanted)
        assert all(off <= abs(macs(n) - wanted) for n in (max(1, steps - 1), steps + 1))
        largest = compute.train_step_macs(net, shape, 16)
        assert off <= largest / 2 or isinstance(recipe.resolution_schedule, Progressive)
    assert steps_for(net, recipe, shape, examples, macs(1) * 0.4) == 0
    with pytest.raises(UserError, match="train_macs: 1e.30 is more than 100,000 epochs cost"):
        steps_for(net, recipe, shape, examples, 1e30)


def test_each_point_trains_for_the_same_macs(asked):
    points, missing = asked("resolution", "--resolutions=8,12", "--train_macs=1e7")
    for point in points:
        run = point.run
        macs = training_macs(run.net, run.recipe, run.image_shape, 48)
        step = compute.train_step_macs(run.net, run.image_shape, 16)
        assert abs(macs - 1e7) <= step / 2
        assert run.recipe.epochs == -(-run.recipe.steps(48) // 3)
        assert run.notes[-1].endswith("epochs, for 10.0 M training MACs")
    assert missing == []
    points, missing = asked("resolution", "--resolutions=8,24", "--train_macs=6e5")
    assert [dict(p.run.axes) for p in points] == [{"resolution": 8}]
    assert [(m.name, m.reason) for m in missing] == [
        ("tests.tiny:small_net · resolution 24", "not one step fits into 600 k training MACs")
    ]


def test_steps_that_fill_their_epochs_are_the_run_of_those_epochs(asked):
    (epochs,), _ = asked("train", "--epochs=4")
    (steps,), _ = asked("train", "--max_steps=12")
    (part,), _ = asked("train", "--max_steps=11")
    assert steps.run.key == epochs.run.key != part.run.key
    assert (part.run.recipe.epochs, part.run.recipe.steps(48)) == (4, 11)


# Times.


@pytest.fixture
def stepping(monkeypatch):
    """Steps take their MACs in nanoseconds, told with the given spread; how often is noted."""
    calls, spread = [], [0.0]

    def timed(net, speed, shape, devices):
        calls.append(net)
        step = 1e-9 * compute.total(net, shape, "macs")
        return [step * (1 + spread[0] * i) for i in (-2, -1, 0, 1, 2)]

    monkeypatch.setattr(measured_module, "step_seconds", timed)
    return calls, spread


def test_a_step_is_timed():
    speed = Speed.of(Recipe(batch_size=16), 1.0)
    times = step_seconds(small_net(), speed, (8, 8, 1), local(count=1), repeats=2)
    assert len(times) == 2
    assert all(0 < t < 1 for t in times)


def test_times_are_measured_once_and_kept_with_the_study(asked, stepping, tmp_path):
    calls, _ = stepping
    flags = ("resolution", "--resolutions=8,12", "--train_seconds=0.001")
    folder = tmp_path / "results" / "resolution"
    points, _ = asked(*flags, folder=folder)
    assert len(calls) == 2
    for point in points:
        macs = compute.total(point.run.net, point.run.image_shape, "macs")
        assert point.run.recipe.steps(48) == round(1e6 / macs)
        assert "epochs, for 0.001 s at 0.0" in point.run.notes[-1]
    kept = json.loads((folder / "measured.json").read_text())["steps"]
    assert {(v["net"], v["batch_size"]) for v in kept.values()} == {("tests.tiny:small_net", 16)}
    again, _ = asked(*flags, folder=folder)
    assert len(calls) == 2
    assert [p.run.key for p in again] == [p.run.key for p in points]
    asked(*flags, "--batch_size=8", folder=folder)
    assert len(calls) == 4  # Other steps.
    Folder(folder).create({"experiment": "resolution", "question": "?"})  # It is the study's own.


def test_who_was_first_to_measure_is_believed(asked, stepping, tmp_path):
    run = asked("train")[0][0].run
    one, other = (Measured(tmp_path / "r", ("pmap", 1)) for _ in range(2))
    first = one.step(run)
    stepping[1][0] = 0.5
    other._known.clear()
    kept = tmp_path / "r" / "measured.json"
    text = kept.read_text()
    kept.unlink()
    real = Measured._read
    looks = iter(["", text])

    def read(self):  # The other launch writes between the look and the measurement.
        kept.write_text(next(looks) or '{"steps": {}}')
        return real(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Measured, "_read", read)
        assert other.step(run) == first


def test_latency_is_matched_within_5_percent_or_twice_its_spread(asked, stepping):
    calls, spread = stepping
    runs, _ = asked("resolution", "--resolutions=8,12,16", "--match=latency", "--budget=40e-6")
    assert len(calls) < 40
    by = {}
    for p in runs:
        by.setdefault(dict(p.run.axes)["resolution"], []).append(p.run)
    alone = [r[0] for r in by.values() if len(r) == 1]
    assert alone
    for run in alone:
        assert abs(1e-9 * compute.total(run.net, run.image_shape, "macs") / 40e-6 - 1) <= 0.05
        assert "to match 0.04 ms a step (" in run.notes[-1]
        assert run.notes[-1].endswith(", measured to 0%)")
    spread[0] = 0.1  # A fifth from quartile to quartile.
    loose, _ = asked("resolution", "--resolutions=8,12,16", "--match=latency", "--budget=40e-6")
    assert all(p.run.weight == 1 for p in loose)
    spread[0] = 0.0
    _, missing = asked("width", "--widths=1,8", "--match=latency", "--budget=20e-6")
    assert missing[0].reason.startswith("no depth costs 0.02 ms a step: the nearest costs ")


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "{}", '{"steps": []}', '{"steps": {"a": {"seconds": 1}}}',
     '{"steps": {"a": {"seconds": -1, "spread": 0}}}', '{"steps": {"a": 5}}'],
)  # fmt: skip
def test_a_damaged_file_of_times_is_refused(asked, stepping, tmp_path, content):
    (tmp_path / "measured.json").write_text(content)
    with pytest.raises(UserError, match=r"measured.json can't be read \(.*\): delete it, and the"):
        asked("train", "--train_seconds=0.01", folder=tmp_path)
    assert (tmp_path / "measured.json").read_text() == content


def test_what_cannot_be_timed_is_refused(asked, stepping, tmp_path, monkeypatch):
    def refused(message, name="train", *argv, **more):
        with pytest.raises(UserError, match=message):
            asked(name, "--train_seconds=0.01", *argv, **more)

    refused("--executor=local trains elsewhere", "train", "--executor=local")
    refused("its steps differ in time", "train", "--fine_tune=probe")
    refused("its steps differ in time", "train", "--fine_tune=gradual")
    refused("its steps differ", "train", "--resolution_schedule=progressive(sides=(8, 12))")
    (tmp_path / "diary.txt").write_text("dear")
    refused("is not a results folder and is left as it is", folder=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["diary.txt"]

    def large(*args):
        raise MemoryError("9 bytes needed, 1 free")

    monkeypatch.setattr(measured_module, "step_seconds", large)
    refused(r"a step can't be timed: out of memory \(9 bytes needed")


# Mistakes.


@pytest.mark.parametrize(
    ("name", "argv", "message"),
    [
        ("width", ["--budget=1e6"], "--budget says how much: say of what, such as --match=macs"),
        ("width", ["--match=macs", "--budget=0"], "--budget=0 is out of range: a number above 0"),
        ("width", ["--match=macs", "--budget=nan"], "--budget=nan is out of range"),
        ("width", ["--match=mac"], "flag --match=mac"),
        ("width", ["--match=train_macs", "--train_macs=1e7"], "for its length and --train_macs"),
        ("width", ["--match=train_macs", "--train_seconds=1"], "its length and --train_seconds"),
        ("width", ["--epochs=1", "--train_macs=1e7"], "--epochs and --train_macs each say how"),
        ("width", ["--max_steps=1", "--train_seconds=1"], "--max_steps and --train_seconds each"),
        ("width", ["--train_macs=-1"], "--train_macs=-1 is out of range: a number above 0"),
        ("width", ["--train_seconds=inf"], "--train_seconds=inf is out of range"),
        ("width", ["--match=macs", "--budget=1e5", "--widths=99", "--net=lenet5"], "no runs: no "),
        ("scaling", ["--match=macs"], "--match is for trainings, and this study only measures"),
        ("scaling", ["--train_macs=1e7"], "--train_macs is for trainings, and this study only"),
        ("scaling", ["--train_seconds=1"], "--train_seconds is for trainings, and this study"),
    ],
)
def test_a_mistake_is_said(asked, name, argv, message):
    with pytest.raises(UserError) as e:
        asked(name, *argv)
    assert message in str(e.value)


def test_weights_fit_one_net_alone(asked):
    run = dataclasses.replace(asked("train")[0][0].run, pretrained=object())
    matching = budget.Matching("macs", 0.0).of(run)
    assert matching.runs(run)[0].net == run.net
    with pytest.raises(UserError, match="starts from weights, which fit no other width or depth"):
        dataclasses.replace(matching, budget=9e3).runs(run)


# A study.


def test_a_bracketed_point_from_the_command_line_to_its_row(data, tmp_path, capsys):
    results = tmp_path / "results"
    flags = ["--experiment=resolution", data, NET, "--resolutions=8,12", "--match=macs"]
    flags += ["--budget=20000", f"--results={results}", *FLAGS]
    flags = [*(f for f in flags if "epochs" not in f and "seeds" not in f), "--seeds=2"]
    flags += ["--train_macs=4e6"]
    assert main([*flags, "--dry_run"], FOLDER) == 0
    plan = capsys.readouterr().out
    (resolved,) = [line for line in plan.splitlines() if "resolution 12: width × 0.9" in line]
    shares = [line.split()[2] for line in plan.splitlines() if line.startswith("tests.tiny:small")
              and "%  " in line]  # fmt: skip
    assert resolved
    assert shares[0] == "100%"
    assert [int(s[:-1]) for s in shares[1:]] == pytest.approx([54, 46])
    assert "the point's accuracy is interpolated between theirs by the shares" in plan

    assert main(flags, FOLDER) == 0
    folder = results / "resolution"
    assert (folder / "dashboard.html").stat().st_size > 1000
    assert "resolution 12" in (folder / "report.md").read_text()
    table = list(csv.DictReader((folder / "table.csv").read_text().splitlines()))
    assert len(table) == 6
    assert all(float(r["train_macs"]) == pytest.approx(4e6, rel=0.13) for r in table)
    found = summarise(Folder(folder).load())
    assert [row.x for row in found.rows] == [8, 12]
    parts = [p for p in Folder(folder).load().plan.points if p.axes["resolution"] == 12]
    accuracy = {r["key"]: float(r["test_accuracy"]) for r in table}
    by_hand = sum(p.weight * np.mean([accuracy[k] for k in p.runs]) for p in parts)
    row = found.rows[1]
    assert len(parts) == 2
    assert found.score(row).mean == pytest.approx(by_hand)
    assert row.macs == pytest.approx(20000, rel=1e-3)
    assert main(flags, FOLDER) == 0
    assert "nothing left to train" in capsys.readouterr().out


def test_a_longer_training_is_advised_in_the_unit_that_was_given():
    from cnnjax.report.advice import _longer

    assert _longer("launch.py --epochs=3 --x=1", 3) == "launch.py --x=1 --epochs=6"
    assert _longer("launch.py --train_macs=1e13 --x", 3) == ("launch.py --x --train_macs=2e+13")
    assert _longer("launch.py --max_steps 50", 3) == "launch.py --max_steps=100"
