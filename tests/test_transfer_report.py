"""A transfer study on planted records: compute to scratch's accuracy, told, drawn and tabled."""

import csv
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnjax.report import answer, transfer, write
from cnnjax.report.charts import every
from cnnjax.report.findings import report
from cnnjax.study.results import Folder
from tests import synthetic_results as synthetic

# Validation accuracy an epoch, by way; epochs cost 100, 10 and 80 units of 10⁹ MACs.
CURVES = {
    "scratch": (0.2, 0.3, 0.4, 0.5, 0.5, 0.45),
    "probe": (0.4, 0.5, 0.5, 0.5, 0.5, 0.5),
    "full": (0.45, 0.49, 0.6, 0.7, 0.7, 0.7),
}
COST = {"scratch": 100e9, "scratch: other": 100e9, "probe": 10e9, "full": 80e9}
SIZES = (500, 2000)


def plant(path, known=True, curves=CURVES, sizes=SIZES, seeds=2):
    """A study of three ways at two sizes; the probe of the larger never comes to its goal."""
    folder = Folder(path)
    folder.create({
        "experiment": "transfer", "question": "What does pre-training buy?",
        "x": {"axis": "examples", "label": "training images"}, "series": "way",
        "axes": ["way", "examples"],
    })  # fmt: skip
    points = []
    for way in curves:
        for size in sizes:
            keys = [synthetic.key(way, size, seed) for seed in range(seeds)]
            place = {"way": way, "examples": size}
            for seed, key in enumerate(keys):
                record, _, _ = synthetic.run(
                    "transfer", key, "replicate", "tiny", place, size, 5e6, 0.3, 0.1, seed
                )
                epochs = len(curves[way])
                record["measures"]["train_macs"]["value"] = COST[way] * epochs
                if way == "scratch: other":
                    record["metrics"]["val_accuracy"] += 0.01
                if not way.startswith("scratch"):
                    record["pretraining"] = {"source": "weights.pth", "digest": "0" * 64}
                    if known:
                        record["measures"]["pretrain_macs"] = {"value": int(1e12), "unit": "MACs"}
                folder.write_record(key, record | {"epochs_done": epochs})
                for epoch, v in enumerate(curves[way], 1):
                    short = 0.1 if (way, size) == ("probe", 2000) else 0.0
                    folder.append_curve(key, {
                        "epoch": epoch, "step": 10 * epoch, "val_accuracy": v - short,
                        "train_macs": COST[way] * epoch,
                    })  # fmt: skip
            points.append({"net": "tiny", "axes": place, "learning_rate": 0.1, "runs": keys,
                           "seeds": seeds})  # fmt: skip
    folder.add_plan({"time": synthetic.TIME.format(0), "command": "python launch.py",
                     "points": points})  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = plant(tmp_path_factory.mktemp("transfer") / "transfer")
    write(folder.path)
    return folder


def test_the_compute_to_scratchs_best_is_read_off_the_curves(study):
    found = {(r.row.series, r.row.x): r for r in transfer.reached(report(study.load()).summary)}
    assert found["scratch", 500].macs == (4 * 100e9,) * 2  # Its best, when first reached.
    assert found["probe", 500].macs == (2 * 10e9,) * 2
    assert found["full", 500].macs == (3 * 80e9,) * 2
    assert found["probe", 500].share.mean == pytest.approx(20 / 400)
    assert found["probe", 500].whole_share == pytest.approx(1020 / 400)
    assert found["scratch", 500].whole_share is None
    assert found["probe", 2000].macs == ()
    assert found["probe", 2000].tried == 2


def test_of_several_from_scratch_the_best_on_validation_is_the_goal(tmp_path):
    other = {"scratch: other": (0.5, 0.62)}
    folder = plant(tmp_path / "transfer", curves=CURVES | other, sizes=(500,))
    found = {r.row.series: r for r in transfer.reached(report(folder.load()).summary)}
    assert found["scratch: other"].row is found["scratch: other"].base is found["full"].base
    assert found["full"].macs == (4 * 80e9,) * 2
    assert found["full"].scratch == (2 * 100e9,) * 2
    assert found["scratch"].macs == ()


def test_it_is_told_with_and_without_the_pre_training(study):
    told = [f.text for f in report(study.load()).findings if f.head.startswith("Compute that")]
    assert told[0] == (
        "to scratch examples 500's best validation accuracy (400 G MACs): probe 0.05× [0.05×, "
        "0.05×] of the training MACs, 2.5× with the pre-training counted; full 0.60× [0.60×, "
        "0.60×] of the training MACs, 3.1× with the pre-training counted"
    )
    assert "probe never came there" in told[1]
    assert "Compute that pre-training saves" in answer(study.path, width=200)
    differences = [f.text for f in report(study.load()).findings if " − " in f.text]
    assert any("for 0.10× the training MACs" in text for text in differences)
    assert not any("at the same MACs" in text for text in differences)


def test_it_is_drawn_and_tabled(study):
    page = (study.path / "dashboard.html").read_text()
    for text in ("Accuracy against training compute", "pre-training counted", "weights.pth",
                 "Training compute to the accuracy of scratch", "not reached",
                 "pre-training MACs", "Accuracy along training images"):  # fmt: skip
        assert text in page
    assert "Accuracy against compute" not in page  # An image costs the same at every point.
    markdown = (study.path / "report.md").read_text()
    assert re.search(r"\| probe examples 500 .*\| 60.0 G \| 1.00 T \| 20.0 G \| 2 \|", markdown)
    rows = list(csv.DictReader((study.path / "table.csv").read_text().splitlines()))
    assert list(rows[0])[-2:] == ["pretrained", "pretrain_macs"]
    by_way = {row["way"]: (row["pretrained"], row["pretrain_macs"]) for row in rows}
    assert by_way["probe"] == ("weights.pth", "1000000000000")
    assert by_way["scratch"] == ("", "")


def test_an_unknown_cost_of_pre_training_is_left_out(tmp_path):
    folder = plant(tmp_path / "transfer", known=False)
    told = report(folder.load())
    assert not any("counted" in f.text for f in told.findings)
    (chart,) = [c for c in every(told, []) if c.name == "transfer"]
    assert len(chart.views) == 1
    assert "is not known (--pretrain_macs)" in chart.caption


def test_without_scratch_nothing_is_compared_with_it(tmp_path):
    curves = {k: v for k, v in CURVES.items() if k != "scratch"}
    told = report(plant(tmp_path / "transfer", curves=curves).load())
    assert transfer.reached(told.summary) == []
    assert transfer.told(told.summary) == []
    assert [c.name for c in every(told, []) if c.name in ("transfer", "to_scratch")] == ["transfer"]


def test_a_study_from_nothing_knows_no_transfer(tmp_path):
    folder = synthetic.write(tmp_path / "depth", "depth", seeds=2)
    told = report(folder.load())
    assert not transfer.used(told.summary)
    assert transfer.columns(told.summary) == []
    write(folder.path)
    assert "pretrain" not in (folder.path / "table.csv").read_text()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_goal_costs_no_less(values, a, b):
    rows = [{"train_macs": 10.0 * i, "val_accuracy": v} for i, v in enumerate(values, 1)]
    low, high = (transfer.macs_to(rows, goal) for goal in sorted((a, b)))
    if high is not None:
        assert low <= high <= 10 * len(values)
    top, macs = transfer.best(rows)
    assert transfer.macs_to(rows, top) == macs
    assert top == max(values)


@pytest.mark.parametrize("bad", [None, 3, [], {"source": 3}, {"source": "<script>" * 200}])
def test_a_record_that_names_its_weights_badly_stays_text(tmp_path, bad):
    folder = plant(tmp_path / "transfer", sizes=(500,), seeds=1)
    for path in (folder.path / "runs").iterdir():
        data = json.loads((path / "record.json").read_text())
        if data.get("pretraining"):
            (path / "record.json").write_text(json.dumps(data | {"pretraining": bad}))
    write(folder.path)
    assert "<script><script>" not in (folder.path / "dashboard.html").read_text()
