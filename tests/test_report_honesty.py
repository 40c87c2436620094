"""What the report claims and what it does not: looks, choices, few seeds, chance, power laws."""

import dataclasses
import json
import re

import numpy as np
import pytest

from cnnjax import report
from cnnjax.report import charts, comparisons, findings, fits, gather, looks, tables
from tests import synthetic_results as synthetic
from tests.synthetic_results import write


def told(folder):
    return findings.report(folder.load())


def texts(found):
    return {f.head: f.text for f in found.findings}


def page(folder):
    report.write(folder.path)
    return (folder.path / "dashboard.html").read_text()


# Seeds added after a look


def with_earlier(folder, seeds, time, quick=False, between=None):
    """The folder as if its first two points had been asked for with fewer seeds before."""
    data = folder.read_study()
    (plan,) = data["plans"]
    earlier = json.loads(json.dumps(plan)) | {"time": time, "quick": quick}
    earlier["points"] = [p | {"runs": p["runs"][:seeds]} for p in earlier["points"][:2]]
    later = plan | {"time": "2026-11-22T18:00:00+00:00"}
    data["plans"] = [earlier, *(between(plan) if between else []), later]
    folder.write_study(data)
    return folder


BEFORE = "2026-11-22T17:00:00+00:00"


def exploratory(folder):
    return [row.name for row in told(folder).summary.rows if row.exploratory]


def test_seeds_added_after_a_look_are_named_and_marked(tmp_path):
    folder = with_earlier(write(tmp_path, "depth"), 3, BEFORE)
    found = told(folder)
    assert exploratory(folder) == ["plain depth 8", "plain depth 14"]
    said = texts(found)["Seeds added after a look"]
    assert said.startswith("plain depth 8 and plain depth 14: exploratory, since intervals hold")
    assert "exploratory</td>" in page(folder)
    assert "| plain depth 8 (exploratory) |" in (tmp_path / "report.md").read_text()
    chart = next(c for c in charts.every(found, []) if c.name == "differences")
    assert "†: seeds were added after a look" in chart.caption
    assert "depth 14 − depth 8 †" in chart.alt
    assert "depth 32 − depth 20 †" not in chart.alt


@pytest.mark.parametrize(
    ("seeds", "time", "more"),
    [(5, BEFORE, {}), (0, BEFORE, {}), (3, BEFORE, {"quick": True})],
)
def test_what_is_no_look(tmp_path, seeds, time, more):
    """The same seeds again, none, and a quick look at them."""
    assert exploratory(with_earlier(write(tmp_path, "depth"), seeds, time, **more)) == []


def test_a_plan_that_was_interrupted_before_a_run_had_ended_is_no_look(tmp_path):
    def spoil(record, number):
        return record | {"finished": "2026-11-22T18:30:00+00:00"}

    folder = with_earlier(write(tmp_path, "depth", spoil=spoil), 3, BEFORE)
    assert exploratory(folder) == []


def test_asking_once_more_for_the_same_seeds_is_no_look(tmp_path):
    """Interrupted at once, asked with more seeds, and that asked again when all had ended."""

    def spoil(record, number):
        return record | {"finished": "2026-11-22T17:30:00+00:00"}

    def between(plan):
        return [plan | {"time": "2026-11-22T17:10:00+00:00"}]

    folder = with_earlier(write(tmp_path, "depth", spoil=spoil), 3, BEFORE, between=between)
    assert exploratory(folder) == []

    def late(plan):
        return [plan | {"time": "2026-11-22T17:40:00+00:00"}]

    data = folder.read_study()
    folder.write_study({**data, "plans": data["plans"][-1:]})
    assert len(exploratory(with_earlier(folder, 3, BEFORE, between=late))) == 2


@pytest.mark.parametrize("time", ["", "yesterday", "2026-11-22T16:59:00"])
def test_times_that_cannot_be_read_or_have_no_zone(tmp_path, time):
    def spoil(record, number):
        return record | {"finished": time}

    assert len(exploratory(with_earlier(write(tmp_path, "depth", spoil=spoil), 3, time))) == 2


def test_a_plan_of_other_nets_is_no_look(tmp_path):
    folder = with_earlier(write(tmp_path, "depth"), 3, BEFORE)
    data = folder.read_study()
    for point in data["plans"][0]["points"]:
        point["net"] = "another"
    folder.write_study(data)
    assert exploratory(folder) == []
    study = folder.load()
    assert not any(looks.added(study, point) for point in study.plan.points)


# Choices


def test_nothing_is_chosen_by_test(tmp_path):
    """With the test accuracies of the points turned round every choice stays where it was."""
    before = told(write(tmp_path / "a", "depth")).summary
    means = {x: 0.9 - 0.01 * x for x in (8, 14, 20, 32)}

    def spoil(record, number):
        if record["metrics"]["test_accuracy"] is not None:
            record["metrics"]["test_accuracy"] = means[record["axes"]["depth"]]
        return record

    after = told(write(tmp_path / "b", "depth", spoil=spoil))
    assert after.summary.front == before.front
    assert after.summary.chances == before.chances
    first = told(write(tmp_path / "c", "depth")).findings[0].text.split(":")[0]
    assert after.findings[0].text.split(":")[0] == first
    gaps = [texts(f)["Largest gap to training"].split(",")[0] for f in (after,)]
    assert gaps == [
        texts(told(write(tmp_path / "d", "depth")))["Largest gap to training"].split(",")[0]
    ]


def test_the_winners_curse_is_named_and_measured(tmp_path):
    """Equal nets: the winner's validation flatters it, by what it is ahead of its test."""

    def spoil(record, number):
        metrics = record["metrics"]
        if metrics["test_accuracy"] is not None:
            best = record["axes"] == {"series": "residual", "depth": 32}
            metrics["test_accuracy"] = 0.70 + 0.001 * record["seed"]
            metrics["val_accuracy"] = metrics["test_accuracy"] + (0.03 if best else 0.01)
        return record

    said = texts(told(write(tmp_path, "depth", spoil=spoil)))["Chosen on validation"]
    assert said.startswith("residual depth 32: its validation accuracy is the highest of 8 and so")
    assert said.endswith("Validation less test: +3.0 points, +1.0 on average over the others")


def test_one_net_and_no_test_name_no_winner(tmp_path):
    assert "Chosen on validation" not in texts(told(write(tmp_path / "a", "train")))

    def spoil(record, number):
        record["metrics"]["test_accuracy"] = None
        return record

    said = texts(told(write(tmp_path / "b", "depth", spoil=spoil)))
    assert "Best on validation" in said
    assert "Chosen on validation" not in said


# Few seeds


def test_one_seed_ranks_nothing(tmp_path):
    folder = write(tmp_path, "filter_size", seeds=1)
    found = told(folder)
    said = texts(found)
    assert found.findings[0].head == "No ranking"
    for head in ("Best on validation", "Pareto front", "Largest gap to training", "Power law"):
        assert head not in said
    assert found.summary.front == ()
    assert {f.tone for f in found.findings} <= {"lead", "unknown", "note"}
    claims = " ".join(f.text for f in found.findings)
    assert not re.search(r"beats|worse|per doubling", claims)
    assert "on the front" not in tables.section(found)


def test_points_of_one_seed_stay_out_of_the_ranking_of_the_others(tmp_path):
    """In a study under way some points have but one seed."""

    def spoil(record, number):
        late = record["role"] == "replicate" and record["axes"].get("kernel_size") == 7
        return None if late and record["seed"] > 0 else record

    found = told(write(tmp_path, "filter_size", spoil=spoil))
    assert found.findings[0].text.startswith("fixed width 5×5")
    assert not [found.summary.rows[i] for i in found.summary.front if found.summary.rows[i].x == 7]


# Chance


def test_the_fronts_chances_are_told_in_words_table_and_chart(tmp_path):
    folder = write(tmp_path, "filter_size")
    found = told(folder)
    s = found.summary
    said = texts(found)["Pareto front"]
    assert re.match(r"fixed width 3×3 \((over )?\d+%, 2.90 M MACs\) → fixed width 5×5 \(", said)
    assert "how likely each is to belong there" in said
    text = page(folder)
    assert re.search(r"on the front \((over )?\d+%\)", text)
    (compute, *_) = charts.every(found, [])
    tips = json.dumps(compute.views)
    assert '"on the Pareto front"' in tips
    for row, chance in zip(s.rows, s.chances, strict=True):
        assert (chance is None) == row.at_chance
    assert all(s.chances[i] > 0.4 for i in s.front)


def test_points_at_chance_have_no_doubling(tmp_path):
    found = told(write(tmp_path, "filter_size"))
    bad = [c for c in found.comparisons if c.row.at_chance or c.base.at_chance]
    assert bad
    assert all(c.doubling is None for c in bad)
    assert any(c.doubling is not None for c in found.comparisons)
    alts = [c.alt for c in charts.every(found, []) if c.name in ("doubling", "doublings")]
    assert alts and not any("3×3 − 1×1" in alt for alt in alts)


def test_stopped_runs_are_told_and_in_no_mean(tmp_path):
    def spoil(record, number):
        if record["role"] == "replicate" and record["seed"] == 4:
            record |= {"status": "stopped", "epochs_done": 3}
        return record

    folder = write(tmp_path, "train", spoil=spoil)
    found = told(folder)
    said = texts(found)["Stopped"]
    assert said.startswith("vgg4_slim, seed 4 (after 3 epochs): in no mean; the same command goes")
    assert found.summary.rows[0].scores["test"].n == 4
    assert "Stopped: " in report.answer(folder.path)
    assert ",stopped," in (report.write(tmp_path), (tmp_path / "table.csv").read_text())[1]


# Power laws


@pytest.fixture
def long(monkeypatch):
    """A study over eight levels whose error falls as the compute's −0.2."""
    levels = [(d, 1e6 * 2.0**d, 1 - 6 * (1e6 * 2.0**d) ** -0.2) for d in range(1, 9)]
    levels = [(0, 0.9e6, 0.1), *levels]  # A control at chance.
    made = {"question": "?", "x": {"axis": "depth", "label": "depth"}, "series": None}
    monkeypatch.setitem(synthetic.STUDIES, "long", made | {"points": [levels]})
    return "long"


def test_a_planted_power_law_is_told_and_drawn(tmp_path, long):
    folder = write(tmp_path, long)
    found = told(folder)
    (law,) = found.laws
    assert law.fit.exponent.covers(0.2) or law.fit.floor is not None
    assert law.fit.levels == 8  # Without the control.
    said = texts(found)["Power law"]
    assert re.match(r"error falls as C\^−0\.\d\d \[−0\.\d\d, −0\.\d\d\]", said)
    assert "C in MACs, 8 levels over 2.1 decades; lack of fit p" in said
    compute = next(c for c in charts.every(found, []) if c.name == "compute")
    assert "Dashed: the power law of the error" in compute.caption
    (areas,) = [part for part in compute.views[0]["layer"] if part["mark"]["type"] == "area"]
    assert all(d["low"] <= d["mean"] <= d["high"] for d in areas["data"]["values"])
    assert "no fit" not in (page(folder), (tmp_path / "report.md").read_text())[1]


def test_too_few_levels_are_said_in_the_report_alone(tmp_path):
    folder = write(tmp_path, "depth")
    assert "Power law" not in texts(told(folder))
    assert "no fit" not in page(folder)
    text = (tmp_path / "report.md").read_text()
    assert "- plain: no fit: 4 levels over 0.7 decades; six over 1.5 are needed" in text


def test_the_training_compute_is_the_axis_where_an_image_costs_the_same(tmp_path):
    def spoil(record, number):
        record["measures"]["macs"]["value"] = 5_000_000
        return record

    found = told(write(tmp_path, "depth", spoil=spoil)).laws
    assert {law.measure for law in found} == {"train_macs"}
    names = told(write(tmp_path / "names", "dilation"))
    assert names.laws == ()


def test_a_law_that_does_not_hold_and_one_with_a_floor_in_words():
    made = fits.stats.Fit
    i = fits.stats.Interval
    points = ((1.0, 0.5, 0.4, 0.6),)
    fit = made(i(0.2, 0.1, 0.3, 9), 1.0, i(0.05, 0.02, 0.06, 9), 0.001, 7, 2.0, points)
    said = fits.told(fits.Law("wide", "macs", fit))
    assert said == (
        "wide: error falls as C^−0.20 [−0.30, −0.10] to a floor of 5.0% [2.0, 6.0], C in MACs, "
        "7 levels over 2.0 decades; lack of fit p below 0.01: the points do not follow it"
    )
    single = dataclasses.replace(fit, lack=None, floor=None)
    assert "one seed a level, so the fit can't be tested" in fits.told(
        fits.Law("", "train_macs", single)
    )


# What is asked for


def test_planned_comparisons_are_counted_before_any_run(tmp_path):
    assert comparisons.planned(gather.summarise(write(tmp_path, done=0).load())) == 9
    assert np.isclose(len(told(write(tmp_path / "b")).comparisons), 9)
