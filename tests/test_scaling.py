"""Speed on several devices: what is measured, what is refused, and what is said of it."""

import dataclasses

import pytest

from cnnjax.data import Dataset
from cnnjax.errors import UserError
from cnnjax.report import answer, scaling, write
from cnnjax.report.charts import every
from cnnjax.report.findings import report
from cnnjax.study.results import Folder
from cnnjax.train.devices import Devices, local
from cnnjax.train.recipe import Recipe
from cnnjax.train.scaling import Scaling
from tests import synthetic_results as synthetic
from tests.tiny import least_net, small_net

SMALL = Scaling(Recipe(batch_size=16), Dataset("noise:8:3:48"), 2, seconds=0.1)


def test_a_training_is_timed_on_as_many_devices_as_asked():
    (reading,) = SMALL.readings(least_net(), (8, 8, 3), local())
    found = reading.measures
    assert set(found) <= set(SMALL.units)
    assert found["images_per_second_per_device"] == found["images_per_second"] / 2
    assert found["step_ms"] == pytest.approx(1e3 * 16 / found["images_per_second"])
    low, high = (found[f"images_per_second_{q}"] for q in ("q1", "q3"))
    assert 0 < low <= found["images_per_second"] <= high
    assert "utilisation" not in found  # A CPU's peak is not known.


def test_it_stops_when_asked():
    assert list(SMALL.readings(small_net(), (8, 8, 3), local(), stop=lambda: True)) == []


@pytest.mark.parametrize(
    ("asked", "batch", "message"),
    [
        (16, 16, "devices: 16 are asked for and there are 8 (on a CPU, --cpu_devices=N simul"),
        (3, 16, "batch_size: 16 does not divide among 3 devices; try 15"),
        (2, 64, "batch_size: 64 is more than the 48 training images there are"),
    ],
)
def test_what_the_devices_cannot_do_is_refused(asked, batch, message):
    instrument = dataclasses.replace(SMALL, devices=asked, recipe=Recipe(batch_size=batch))
    with pytest.raises(UserError) as refused:
        instrument.check(local())
    assert message in str(refused.value)


def test_several_processes_use_all_their_devices(monkeypatch):
    monkeypatch.setattr(Devices, "processes", 2)
    with pytest.raises(UserError, match="several processes use all of theirs: write --devices=8"):
        SMALL.check(local())


def plant(path, kind="gpu"):
    """Weak and strong scaling on 1 and 4 devices: perfect, and at half."""
    folder = Folder(path)
    folder.create({
        "experiment": "scaling", "question": "How does speed grow?",
        "x": {"axis": "devices", "label": "devices"}, "series": "regime",
        "axes": ["regime", "devices"],
    })  # fmt: skip
    points = []
    for regime, rates in (("weak", {1: 100.0, 4: 400.0}), ("strong", {1: 100.0, 4: 200.0})):
        for count, rate in rates.items():
            key = synthetic.key(regime, count, 0)
            place = {"regime": regime, "devices": count}
            record, _, _ = synthetic.run(
                "scaling", key, "probe", "tiny", place, count, 5e6, 0.3, 0.1, 0
            )
            measured = {
                "images_per_second": rate, "images_per_second_per_device": rate / count,
                "input_wait_share": 0.3 if regime == "strong" and count == 4 else 0.0,
            }  # fmt: skip
            record["measures"] |= {k: {"value": v, "unit": ""} for k, v in measured.items()}
            hardware = record["hardware"] | {"kind": kind}
            record |= {"measured": list(measured), "metrics": {}, "hardware": hardware}
            folder.write_record(key, record)
            points.append({"net": "tiny", "axes": place, "runs": [key], "seeds": 1})
    folder.add_plan({"time": synthetic.TIME.format(0), "command": "python launch.py",
                     "points": points})  # fmt: skip
    return folder


def test_efficiency_is_over_the_fewest_devices_of_the_regime(tmp_path):
    s = report(plant(tmp_path / "scaling").load()).summary
    found = {(r.series, r.x): scaling.efficiency(s, r) for r in scaling.measured(s)}
    assert found == {("weak", 1): 1, ("weak", 4): 1, ("strong", 1): 1, ("strong", 4): 0.5}


def test_it_is_told_drawn_and_tabled(tmp_path):
    folder = plant(tmp_path / "scaling")
    write(folder.path)
    told = report(folder.load())
    said = {f.head: f.text for f in told.findings}
    assert said["strong scaling"] == (
        "2.0× the images a second on 4 devices against 1 (100 → 200), an efficiency of 50.0%"
    )
    assert (
        "devices waited 30.0% of the time: give more --data_workers"
        in (said["Input is the bottleneck"])
    )
    assert "No evidence of speed" not in said
    (chart,) = [c for c in every(told, []) if c.name == "scaling"]
    assert len(chart.views) == 2
    assert "efficiency" in answer(folder.path, width=200)
    assert "Training speed on several devices" in (folder.path / "dashboard.html").read_text()


def test_simulated_devices_are_no_evidence(tmp_path):
    told = report(plant(tmp_path / "scaling", "cpu").load())
    assert "No evidence of speed" in {f.head for f in told.findings}
