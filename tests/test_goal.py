"""Steps to a study's goal: read off curves, told in words, drawn."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnjax.report import goal, write
from cnnjax.report.findings import report
from cnnjax.study.results import Folder
from tests import synthetic_results as synthetic


def curve(*values, metric="val_accuracy", per_epoch=100):
    return [{"step": per_epoch * i, metric: v} for i, v in enumerate(values, 1)]


def test_between_epochs_the_metric_runs_straight():
    assert goal.steps_to(curve(0.2, 0.4, 0.8), "val_accuracy", 0.6) == pytest.approx(250)
    assert goal.steps_to(curve(0.2, 0.4, 0.8), "val_accuracy", 0.4) == pytest.approx(200)


def test_a_training_accuracy_is_its_epochs_mean_and_counts_for_the_middle():
    rows = curve(0.2, 0.6, metric="train_accuracy")
    assert goal.steps_to(rows, "train_accuracy", 0.4) == pytest.approx(100)


def test_what_is_there_from_the_start_or_never():
    assert goal.steps_to(curve(0.9, 0.95), "val_accuracy", 0.5) == 100
    assert goal.steps_to(curve(0.1, 0.2), "val_accuracy", 0.5) is None
    assert goal.steps_to([], "val_accuracy", 0.5) is None


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0, 1), st.floats(0, 1)
)  # fmt: skip
def test_a_higher_goal_takes_no_fewer_steps(values, a, b):
    low, high = sorted((a, b))
    first, later = (goal.steps_to(curve(*values), "val_accuracy", v) for v in (low, high))
    if later is not None:
        assert first <= later <= 100 * len(values)


@pytest.fixture
def study(tmp_path):
    """Four rows whose seeds rise at known speeds: after 4, 2 and 1 epochs, and never."""
    folder = synthetic.write(tmp_path / "depth", "depth", seeds=3)
    data = folder.read_study()
    plan = data["plans"][-1]
    plan["points"] = plan["points"][:4]
    plan["goal"] = ["val_accuracy", 0.5]
    folder.write_study({**data, "plans": [plan]})
    for point, epochs in zip(plan["points"], (4, 2, 1, math.inf), strict=True):
        for key in point["runs"]:
            rows = [
                {"epoch": e, "step": 100 * e, "val_accuracy": 0.5 if e >= epochs else 0.1}
                for e in range(1, 7)
            ]
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (folder.run_dir(key) / "curve.jsonl").write_text(text)
    return folder.path


def test_the_ratio_of_steps_is_told_and_who_never_came(study):
    told = report(Folder(study).load())
    (said,) = [f.text for f in told.findings if f.head == "Fastest"]
    assert "to 50% validation error first, in 100 steps" in said
    assert "took 2.0× as many" in said
    assert "never: " in said


def test_the_steps_are_drawn(study):
    write(study)
    page = (study / "dashboard.html").read_text()
    assert "Steps to 50% validation error" in page
    assert "not reached" in page
    assert "50% validation error" in (study / "report.md").read_text()


@pytest.mark.parametrize("bad", [None, [], ["loss", 1], ["val_accuracy", "x"], {"a": 1}])
def test_a_goal_that_is_none_is_left_out(study, bad):
    folder = Folder(study)
    data = folder.read_study()
    plan = data["plans"][-1] | {"goal": bad}
    folder.write_study({**data, "plans": [plan]})
    assert folder.load().plan.goal is None
    assert goal.reached(report(folder.load()).summary) == []
