"""Each point at its own best: which trials there are, which is chosen, how far a grid grows."""

import csv
import dataclasses
import io
import itertools
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnjax import report
from cnnjax.cli.main import main
from cnnjax.errors import UserError
from cnnjax.report import markdown, table, tables
from cnnjax.report.charts.training import rates
from cnnjax.report.findings import report as told
from cnnjax.report.provenance import provenance
from cnnjax.study import experiment as study
from cnnjax.study import tuning
from cnnjax.study.plan import Point, describe
from cnnjax.study.progress import Progress
from cnnjax.study.records import read_plan
from cnnjax.study.run import TUNING_SEED, Run
from cnnjax.study.tuning import Search, Trial, further
from cnnjax.train.recipe import Recipe
from tests import synthetic_results as synthetic
from tests.test_executors import Always, conductor, made, toys
from tests.tiny import small_net, trials, write_dataset

FOLDER = Path(__file__).parent.parent / "experiments"
BOTH = ("learning_rate", "weight_decay")
RUN = Run(small_net())


def grid(rates, decays):
    return Search(dict(zip(BOTH, (rates, decays), strict=True)), BOTH).trials()


def done(accuracy, loss=1.0, test=None):
    metrics = {"val_accuracy": accuracy, "val_loss": loss, "test_accuracy": test}
    return {"status": "done", "metrics": metrics}


def carried_out(point, judge):
    """Records of all its tuning runs, carried out as soon as they are known."""
    records = {}
    while new := [run for run in point.tuning(records) if run.key not in records]:
        records |= {run.key: judge(run) for run in new}
    return records


# Which trials there are


def test_keys_of_runs_are_those_of_before_there_were_trials():
    (trial,) = trials(0.2)
    keys = [RUN.key, RUN.at(trial, TUNING_SEED, test=False).key, RUN.at(trial, 3).key]
    assert keys == ["ea18f644f37ee364", "6a3cb5bbc6b24128", "61fa8c067cd37005"]
    both = RUN.at(Trial((*trial.values, ("weight_decay", Recipe().weight_decay))), 3)
    assert both.key == RUN.at(trial, 3).key
    assert both.config() == RUN.at(trial, 3).config()
    assert both.heading.endswith("· rate 0.2 · decay 0.0005 · seed 3")


def test_the_trials_are_the_product_of_the_grids():
    found = grid((0.2, 0.1, 0.2), (0.0, 1e-3))
    assert [t.values for t in found] == [
        (("learning_rate", rate), ("weight_decay", decay))
        for rate in (0.1, 0.2)
        for decay in (0.0, 1e-3)
    ]
    own = dataclasses.replace(RUN, grid=(3.0, 1.0))
    search = Search({"learning_rate": (0.1,), "weight_decay": (0.0, 1e-3)}, BOTH)
    assert {t["learning_rate"] for t in own.trials(search)} == {1.0, 3.0}
    assert len(own.trials(search)) == 4
    fixed = Search({"learning_rate": (0.4, 0.1, 0.2)}, chosen=())
    assert RUN.trials(fixed) == trials(0.2)  # The middle one.


def test_every_trial_runs_at_the_same_seeds_that_no_replicate_has():
    point = Point(RUN, trials(0.1, 0.2), 4, tune_seeds=3)
    runs = point.tuning({})
    assert [(r.recipe.learning_rate, r.seed - TUNING_SEED) for r in runs] == [
        (rate, seed) for rate in (0.1, 0.2) for seed in range(3)
    ]
    assert not any(r.test for r in runs)
    assert not {r.seed for r in runs} & {r.seed for r in point.replicates(*trials(0.1))}
    assert runs[1].heading.endswith("· rate 0.1 · tuning, seed 1")


# Which is chosen


accuracies = st.lists(st.floats(0, 1), min_size=6, max_size=6)


@given(accuracies, st.lists(st.floats(0, 1), min_size=6, max_size=6), st.data())
def test_the_choice_is_by_mean_validation_accuracy_and_by_no_test_accuracy(val, test, data):
    point = Point(RUN, trials(0.1, 0.2, 0.3), 2, tune_seeds=2)
    runs = point.tuning({})
    records = {r.key: done(v, test=t) for r, v, t in zip(runs, val, test, strict=True)}
    best, _ = point.choose(records)
    means = {t: sum(val[2 * i : 2 * i + 2]) / 2 for i, t in enumerate(point.trials)}
    assert means[best] == max(means.values())
    others = data.draw(st.permutations(test))
    swapped = {r.key: done(v, test=t) for r, v, t in zip(runs, val, others, strict=True)}
    swapped |= {r.key: done(0.0, test=1.0) for t in trials(0.1) for r in point.replicates(t)}
    assert point.choose(swapped) == point.choose(records)


@pytest.mark.parametrize("status", ["diverged", "failed", "out_of_memory"])
def test_a_trial_that_broke_at_one_seed_is_worse_than_any_that_ended_well(status):
    point = Point(RUN, trials(0.1, 0.2), 2, tune_seeds=2)
    a, b, c, d = (r.key for r in point.tuning({}))
    records = {a: done(0.1), b: done(0.1), c: done(0.9), d: {"status": status, "metrics": {}}}
    assert point.choose(records)[0] == trials(0.1)[0]
    assert point.choose(records | {d: done(0.9)})[0] == trials(0.2)[0]
    assert point.choose({k: records[k] for k in (a, b, c)}) == (None, [])  # One is still to run.


def test_equal_means_are_told_apart_by_the_loss():
    point = Point(RUN, trials(0.1, 0.2), 2, tune_seeds=2)
    records = [done(0.5, 3), done(0.5, 2), done(0.4, 1), done(0.6, 1)]
    found = point.choose({r.key: x for r, x in zip(point.tuning({}), records, strict=True)})
    assert found[0] == trials(0.2)[0]


def test_the_point_says_all_that_was_chosen_and_at_which_edge():
    point = Point(RUN, grid((0.1, 0.2, 0.4), (0.0, 1e-4, 1e-3)), 2)

    def judge(run):
        r = run.recipe
        return done(1 - abs(r.learning_rate - 0.2) - abs(r.weight_decay - at))

    at = 1e-3
    said = describe(point, carried_out(point, judge))
    assert said["chosen"] == {"learning_rate": 0.2, "weight_decay": 1e-3}
    assert said["learning_rate"] == 0.2
    assert said["notes"] == ["weight decay 0.001 is at the grid's edge"]
    assert len(said["tune"]) == 9 and len(said["runs"]) == 2
    at = 0.0  # Nothing lies below it.
    assert describe(point, carried_out(point, judge))["notes"] == []


# How far a grid grows


@given(st.lists(st.floats(1e-4, 10), min_size=2, max_size=5, unique=True), st.booleans())
def test_a_further_value_lies_beyond_the_edge_by_the_ratio_of_the_last_two(values, low):
    values = sorted(values)
    edge, neighbour = (values[0], values[1]) if low else (values[-1], values[-2])
    v = further(values, edge)
    if v is None:  # Closer together than the digits that are shown.
        assert edge / neighbour == pytest.approx(1, rel=1e-5)
    else:
        assert (v < edge) if low else (v > edge)
        assert v / edge == pytest.approx(edge / neighbour, rel=1e-5)
        assert float(f"{v:g}") == v


def test_an_extension_is_the_run_of_a_wider_grid():
    assert further((0.1, 0.2), 0.1) == 0.05
    assert further((0.1, 0.2, 0.4), 0.4) == 0.8
    assert further((0.0, 0.3), 0.3) is None  # No ratio.


def peaked(peak):
    """Validation accuracy falls with the distance from a rate, on a logarithmic scale."""
    return lambda run: done(1 / (1 + abs(math.log(run.recipe.learning_rate / peak))))


@pytest.mark.parametrize(
    ("peak", "extend", "tried", "notes"),
    [
        (0.2, 3, (), []),
        (0.4, 0, (), ["learning rate 0.4 is at the grid's edge"]),
        (0.4, 3, (0.8,), ["tried up to 0.8, beyond its grid: 1 trial more than at points whose"]),
        (1.6, 3, (0.8, 1.6, 3.2), ["up to 3.2, beyond its grid: 3 trials more than at points"]),
        (9.9, 2, (0.8, 1.6), ["learning rate 1.6 is at the grid's edge", "up to 1.6, beyond"]),
        (0.05, 5, (0.05, 0.025), ["learning rate was tried down to 0.025, beyond its grid: 2"]),
    ],
)
def test_a_grid_grows_until_the_best_stands_within(peak, extend, tried, notes):
    point = Point(RUN, trials(0.1, 0.2, 0.4), 2, extend=extend)
    records = carried_out(point, peaked(peak))
    assert point.tried(records)[3:] == list(trials(*tried))
    best, said = point.choose(records)
    rates = [t["learning_rate"] for t in point.tried(records)]
    assert best["learning_rate"] == min(rates, key=lambda r: abs(math.log(r / peak)))
    assert len(said) == len(notes)
    assert all(part in whole for part, whole in zip(notes, said, strict=True))


def test_further_trials_follow_from_the_records_one_at_a_time():
    point = Point(RUN, trials(0.1, 0.2), 3, tune_seeds=2, extend=4)
    records, handed_out = {}, []
    while new := [run for run in point.tuning(records) if run.key not in records]:
        handed_out.append({run.recipe.learning_rate for run in new})
        assert len(new) == 2 * len(handed_out[-1]) and not any(r.test for r in new)
        assert point.choose(records) == (None, []) and describe(point, records)["runs"] == []
        for run in new:  # With a part of them nothing more is known.
            assert len(point.tuning(records)) == len(point.tuning({})) + 2 * (len(handed_out) - 1)
            records[run.key] = peaked(0.9)(run)
    assert handed_out == [{0.1, 0.2}, {0.4}, {0.8}, {1.6}]
    again = dataclasses.replace(point)  # Another launch, from the same records.
    assert describe(again, dict(reversed(records.items()))) == describe(point, records)
    assert set(describe(point, records)["tune"]) == set(records)


def test_each_field_grows_alone_from_the_best_so_far():
    point = Point(RUN, grid((0.1, 0.2), (1e-3, 1e-2)), 2, extend=1)

    def judge(run):
        r = run.recipe
        return done(0.1 + 0.1 * min(r.learning_rate, 0.4) + min(r.weight_decay, 0.1))

    more = point.tried(carried_out(point, judge))[4:]
    assert [tuple(v for _, v in t.values) for t in more] == [(0.4, 0.01), (0.4, 0.1)]
    _, notes = point.choose(carried_out(point, judge))
    assert len(notes) == 4  # Both still at the edge, and both with a trial more.


def test_a_grid_never_leaves_the_fields_range():
    point = Point(RUN, trials(100.0, 300.0), 2, extend=9)
    records = carried_out(point, lambda run: done(run.recipe.learning_rate / 1000))
    assert [t["learning_rate"] for t in point.tried(records)] == [100.0, 300.0, 900.0]
    assert "learning rate 900 is at the grid's edge" in point.choose(records)[1]


def test_where_all_diverge_lower_rates_are_tried_and_where_all_fail_nothing_is():
    point = Point(RUN, trials(0.2, 0.4), 2, extend=3)

    def judge(run):
        rate = run.recipe.learning_rate
        return done(0.5) if rate <= 0.05 else {"status": "diverged", "metrics": {}}

    records = carried_out(point, judge)
    assert [t["learning_rate"] for t in point.tried(records)] == [0.2, 0.4, 0.1, 0.05, 0.025]
    assert point.choose(records)[0] == trials(0.05)[0]  # What is no better is not taken further.
    failed = carried_out(point, lambda run: {"status": "failed", "metrics": {}})
    assert len(failed) == 2 and point.choose(failed)[0] == trials(0.2)[0]


def test_a_conductor_hands_further_trials_out_and_names_them_in_the_plan(tmp_path_factory):
    folder = made(tmp_path_factory)

    class Rising(Always):
        def write(self, run, status, **more):
            super().write(run, status, **more)
            record = self.folder.read_record(run.key)
            record["metrics"] = {"val_accuracy": min(run.rate, 0.8), "val_loss": run.rate}
            self.folder.write_record(run.key, record)

    points = toys(2, 2, 2, tune_seeds=2, extend=5)
    first, said = conductor(folder, Rising(folder, "done", 3), points), io.StringIO()
    assert len(first.waiting()) == 12
    first.conduct(Progress({run.key: 1.0 for run in first.waiting()}, 12, stream=said))
    assert first.waiting() == []
    lines = said.getvalue().splitlines()
    assert len(lines) == 24  # 0.4, 0.8 and 1.6 at two seeds, for two points.
    assert lines[-1].startswith("24/24 ") and lines[-1].endswith("nothing left")
    plan = folder.load().plan
    for point, listed in zip(points, plan.points, strict=True):
        assert listed.chosen == {"learning_rate": 0.8}
        assert set(listed.tune) == {run.key for run in point.tuning(first.records)}
        assert len(listed.tune) == 10 and len(listed.runs) == 2
    again = conductor(folder, Rising(folder, "done"), toys(2, 2, 2, tune_seeds=2, extend=5))
    assert again.waiting() == []
    assert again._described() == first._described()


# What the flags say


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "tiny.npz")


def points(data, *argv, name="width"):
    flags = [f"--dataset={data}", "--net=tests.tiny:small_net", "--widths=1", *argv]
    return study.asked(study.load(name, FOLDER, flags))[0]


def values_of(point):
    return tuning.tried(point.trials)


def test_what_is_tuned_is_what_the_flags_say(data):
    (point,) = points(data, "--learning_rates=0.1,0.2")
    assert values_of(point) == {"learning_rate": [0.1, 0.2]}
    assert (point.tune_seeds, point.extend) == (1, 0)
    (point,) = points(data, "--tune=weight_decay,learning_rate", "--learning_rates=0.1,0.2",
                      "--weight_decays=0,1e-3", "--tune_seeds=3", "--extend_grid=2")  # fmt: skip
    assert values_of(point) == {"learning_rate": [0.1, 0.2], "weight_decay": [0.0, 1e-3]}
    assert (len(point.trials), point.tune_seeds, point.extend) == (4, 3, 2)
    (point,) = points(data, "--tune=weight_decay", "--learning_rate=0.3")
    assert values_of(point) == {"learning_rate": [0.3], "weight_decay": [1e-4, 5e-4, 2e-3]}
    (point,) = points(data, "--learning_rate=0.3", "--weight_decay=0.01")
    assert point.trials == trials(0.3) and point.tuning({}) == []
    assert point.run.recipe.weight_decay == 0.01
    (point,) = points(data, "--tune=")
    assert len(point.trials) == 1 and point.tuning({}) == []


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--tune=learning_rat", "unknown field to tune 'learning_rat': did you mean 'learning_rat"),
        ("--tune=weight_decay --weight_decay=0.1",
         "--weight_decay=0.1 fixes what --tune=weight_decay is to choose: leave one of them out"),
        ("--tune=learning_rate,weight_decay --learning_rate=0.1",
         "--learning_rate=0.1 fixes what --tune=learning_rate,weight_decay is to choose"),
        ("--weight_decays=0.1,0.2",
         "--weight_decays is a grid to choose from: add weight_decay to --tune, or give --weight_"),
        ("--tune= --learning_rates=0.1,0.2", "--learning_rates is a grid to choose from: add lear"),
        ("--tune=learning_rate --recipe=imagenet", "--recipe=imagenet has one learning rate: give "
         "--learning_rates=A,B,C to choose from"),
        ("--tune=weight_decay --weight_decays=0,99", "weight_decay: 99.0 is out of range"),
        ("--tune_seeds=0", "flag --tune_seeds=0"),
        ("--extend_grid=-1", "flag --extend_grid=-1"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_line(data, argv, message):
    with pytest.raises(UserError) as e:
        points(data, *argv.split())
    assert message in str(e.value) and "\n" not in str(e.value)


def test_the_plan_tells_the_trials_in_words(data, capsys, tmp_path):
    argv = ["--experiment=width", f"--dataset={data}", "--net=tests.tiny:small_net", "--widths=1,2",
            "--dry_run", f"--results={tmp_path}", "--seeds=2",
            "--learning_rates=0.1,0.2,0.4"]  # fmt: skip
    assert main(argv, FOLDER) == 0
    assert "each at the best on validation of 3 trials: the rates 0.1, 0.2, 0.4; then 2 seeds" in (
        capsys.readouterr().out
    )
    argv += ["--tune=learning_rate,weight_decay", "--tune_seeds=2", "--extend_grid=1"]
    assert main(argv, FOLDER) == 0
    said = capsys.readouterr().out
    assert (
        "each at the best on validation of 9 trials: the rates 0.1, 0.2, 0.4, "
        "the weight decays 0.0001, 0.0005, 0.002, at 2 seeds each, and up to 1 beyond a grid's "
        "edge; then 2 seeds"
    ) in said
    assert "40 runs to train" in said


# From flags to the report


@pytest.fixture
def tuned(tmp_path):
    """A study with planted records whose tuning runs differ in rate, decay and seed: a function of
    what `spoil` makes of them, that gives the report."""

    def write(spoil=lambda record, rate, decay, seed: record):
        folder = synthetic.write(tmp_path / "train", "train", seeds=2)
        data = folder.read_study()
        (point,) = data["plans"][-1]["points"]
        point |= {"tune": [], "chosen": {"learning_rate": 0.2, "weight_decay": 1e-3}}
        point["learning_rate"] = 0.2
        for rate, decay, seed in itertools.product((0.1, 0.2, 0.4), (1e-3, 1e-4), range(2)):
            key = synthetic.key(rate, decay, seed)
            record, *_ = synthetic.run("train", key, "tune", "vgg4_slim", {}, None, 1e6, 0.8,
                                       rate, seed)  # fmt: skip
            record["config"]["recipe"]["weight_decay"] = decay
            record["measures"]["train_macs"] = {"value": 7, "unit": "MACs"}
            record["metrics"]["val_accuracy"] = rate + 100 * decay + seed / 10
            folder.write_record(key, spoil(record, rate, decay, seed))
            point["tune"].append(key)
        folder.write_study(data)
        return told(folder.load())

    return write


def test_the_rates_are_shown_at_the_best_of_what_else_was_tuned(tuned):
    (row,) = tuned().summary.rows
    assert dict(row.rates) == pytest.approx({0.1: 0.25, 0.2: 0.35, 0.4: 0.55})
    chart = rates(tuned().summary)
    assert "each at the best weight decay tried with it" in chart.caption

    def spoil(record, rate, decay, seed):
        broke = {"status": "diverged", "metrics": {}, "error": "not finite"}
        return record | broke if (decay, seed) == (1e-3, 1) else record

    found = tuned(spoil)
    (row,) = found.summary.rows
    assert dict(row.rates) == pytest.approx({0.1: 0.16, 0.2: 0.26, 0.4: 0.46})  # The other decay.
    assert "vgg4_slim, learning rate 0.1, weight decay 0.001" in {f.name for f in found.failures}
    assert "to choose learning rates and weight decays" in dict(provenance(found))["Runs"]


def test_the_edge_is_told_field_by_field(tuned):
    found = tuned()
    assert found.summary.rows[0].at_edge == ("weight_decay",)
    edges = [f for f in found.findings if "grid's edge" in f.head]
    assert [(f.head, f.text) for f in edges] == [
        ("Weight decay at the grid's edge", "vgg4_slim (0.001): a wider grid may do better")
    ]
    assert "decay at the edge" in tables.section(found)
    assert "rate at the edge" not in tables.section(found)


def test_what_tuning_took_is_counted_as_far_as_it_was_measured(tuned):
    assert tuned().summary.rows[0].tune_macs == 12 * 7

    def spoil(record, rate, decay, seed):
        record = record | ({"status": "diverged"} if rate == 0.4 else {})
        failed = {"status": "failed", "measures": {}, "error": "no matter"}
        return record | failed if (rate, decay) == (0.1, 1e-4) else record

    found = tuned(spoil)
    assert found.summary.rows[0].tune_macs == 10 * 7
    rows = table.rows(found.study)
    assert {row["tune_macs"] for row in rows if row["role"] == "replicate"} == {70}
    assert {row["tune_macs"] for row in rows if row["role"] == "tune"} == {None}
    assert table.columns(found.study)[-3:] == ["quick", "tune_macs", "weight_decay"]


def test_nothing_is_said_of_tuning_where_there_was_none(tmp_path):
    found = told(synthetic.write(tmp_path / "train", "train", tune=False).load())
    assert found.summary.rows[0].tune_macs is None and found.summary.rows[0].at_edge == ()
    assert table.columns(found.study)[-1] == "quick"
    assert "tuning MACs" not in tables.section(found) + markdown.write(found)


@pytest.mark.parametrize("chosen", [None, 3, [], {"learning_rate": "x", "weight_decay": [1]}])
def test_what_others_say_was_chosen_is_trusted_for_nothing(chosen):
    point = {"runs": [], "axes": {}, "chosen": chosen, "learning_rate": 0.1}
    (read,) = read_plan({"points": [point]}).points
    assert (read.chosen, read.learning_rate) == ({}, 0.1)


def test_a_study_that_tunes_two_fields_from_flags_to_report(data, tmp_path):
    argv = ["--experiment=width", f"--dataset={data}", "--net=tests.tiny:least_net", "--widths=1",
            f"--results={tmp_path}", "--seeds=2", "--learning_rates=0.01,0.05", "--epochs=1",
            "--batch_size=16", "--tune=learning_rate,weight_decay", "--weight_decays=1e-4,1e-2",
            "--tune_seeds=2", "--devices=1", "--extend_grid=1"]  # fmt: skip
    assert main(argv, FOLDER) == 0
    folder = tmp_path / "width"
    point = json.loads((folder / "study.json").read_text())["plans"][-1]["points"][0]
    assert set(point["chosen"]) == set(BOTH)

    rows = list(csv.DictReader((folder / "table.csv").read_text().splitlines()))
    tuned = [row for row in rows if row["role"] == "tune"]
    replicates = [row for row in rows if row["role"] == "replicate"]
    assert {row["key"] for row in tuned} == set(point["tune"]) and len(tuned) >= 8
    cost = sum(float(row["train_macs"]) for row in tuned)
    assert [float(row["tune_macs"]) for row in replicates] == [cost, cost]
    assert {row["tune_macs"] for row in tuned} == {""}
    assert {float(row["weight_decay"]) for row in replicates} == {point["chosen"]["weight_decay"]}
    assert "tuning MACs" in (folder / "report.md").read_text()
    page = (folder / "dashboard.html").read_text()
    assert "tuning MACs" in page and ">weight decay<" in page
    before = {p: p.read_bytes() for p in folder.glob("runs/*/record.json")}
    assert main(argv, FOLDER) == 0  # Nothing is trained again.
    assert {p: p.read_bytes() for p in folder.glob("runs/*/record.json")} == before
    report.write(folder)
    assert list(csv.DictReader((folder / "table.csv").read_text().splitlines())) == rows
