"""What a study cost, against sums that are known; how it was made, and what would change it."""

import dataclasses

import pytest

from cnnjax.report import bill, dashboard, design, doubts, markdown
from cnnjax.train.peaks import peak
from tests.synthetic_results import write
from tests.test_report import told


def costed(record, number):
    """Round figures: 100 MACs in 2 s of training, 1 s of compiling, 5 s in all."""
    record["measures"]["train_macs"] = {"value": 100, "unit": "MACs"}
    record["timings"] = {"train_seconds": 2, "compile_seconds": 1, "total_seconds": 5}
    return record


def parts(found):
    return {p.name: p for p in bill.parts(found.study)}


def test_every_run_is_on_the_bill_once_under_what_it_was_for(tmp_path):
    def spoil(record, number):
        costed(record, number)
        if record["role"] == "replicate" and record["seed"] == 1:
            record["status"], record["error"] = "diverged", "not finite"
        return record

    found = told(write(tmp_path, "depth", seeds=3, spoil=spoil))
    runs = len(found.study.records)
    assert (tmp_path / "runs").is_dir() and runs == 8 * (3 + 3)
    by = parts(found)
    assert {n: p.runs for n, p in by.items()} == {
        "replicates": 16, "tuning": 24, "ended badly": 8, "all": runs}  # fmt: skip
    for name, p in by.items():
        assert (p.macs, p.train, p.compiling, p.rest, p.seconds) == (
            100 * p.runs, 2 * p.runs, p.runs, 2 * p.runs, 5 * p.runs), name  # fmt: skip
        assert p.speed == 50
        assert p.utilisation is None
    assert sum(seconds for _, seconds in bill.shares(found.study)) == pytest.approx(5 * runs)


def test_utilisation_is_two_flops_a_mac_over_what_the_devices_could_do(tmp_path):
    def spoil(record, number):
        costed(record, number)
        record["measures"]["train_macs"]["value"] = 1e12
        record["hardware"] |= {"kind": "gpu", "peak_flops": 2 * 10e12}  # Two of 10 TFLOP/s.
        return record

    found = told(write(tmp_path, "train", seeds=2, spoil=spoil))
    assert parts(found)["all"].utilisation == pytest.approx(2 * 1e12 / (2 * 20e12))
    table = bill.table(found.study)
    assert "of the peak" in table.head
    assert dict(zip(table.head, table.rows[-1], strict=True))["of the peak"][0] == "5.0%"
    assert "no peak is known" not in table.note


@pytest.mark.parametrize("bad", ["fast", -1, None, True, 0])
def test_one_run_on_a_device_of_no_known_peak_leaves_it_untold(tmp_path, bad):
    def spoil(record, number):
        costed(record, number)
        record["hardware"]["peak_flops"] = bad if number == 1 else 1e12
        return record

    found = told(write(tmp_path, "train", seeds=2, spoil=spoil))
    assert parts(found)["all"].utilisation is None


def test_a_device_in_the_table_of_peaks_is_recorded_with_all_its_fellows():
    from cnnjax.study import environment

    class Device:
        device_kind, platform = "NVIDIA H100 80GB HBM3", "gpu"

    class Devices:
        count = 4

        class mesh:
            class devices:
                flat = (Device(),)

        def convolutions(self):
            return None if Device.platform == "gpu" else "native"

    found = environment.hardware(Devices())
    assert found["peak_flops"] == 4 * peak(Device.device_kind).flops
    assert "convolutions" not in found
    Device.device_kind = Device.platform = "cpu"
    found = environment.hardware(Devices())
    assert "peak_flops" not in found and found["convolutions"] == "native"


def test_what_others_pre_training_took_is_named_and_left_out(tmp_path):
    def spoil(record, number):
        costed(record, number)
        record["measures"]["pretrain_macs"] = {"value": 5e15, "unit": "MACs"}
        record["pretraining"] = {"source": "somebody's <b>weights</b>"}
        return record

    found = told(write(tmp_path, "train", seeds=2, spoil=spoil))
    assert "not in it: 5.00 P MACs that pre-training somebody's" in bill.note(found.study)
    assert parts(found)["all"].macs == 500
    page = dashboard.write(found, [])
    assert "somebody&#x27;s &lt;b&gt;" in page.split("<h2>The bill</h2>")[1].split("</section>")[0]


def test_nothing_done_costs_nothing(tmp_path):
    found = told(write(tmp_path, "train", done=0))
    assert bill.parts(found.study) == []
    assert bill.table(found.study) is None
    assert "The bill" not in markdown.write(found) + dashboard.write(found, [])


def test_the_design_says_what_was_varied_trained_tuned_and_replicated(tmp_path):
    def spoil(record, number):
        record["config"]["recipe"] |= {
            "batch_size": 32, "optimizer": {"type": "SGD", "momentum": 0.9, "nesterov": True},
            "flip": True, "cutout": 0, "randaugment": {"type": "Off"}, "dtype": "float32",
            "weight_decay": 5e-4,
        }  # fmt: skip
        return record

    found = told(write(tmp_path, "filter_size", seeds=3, spoil=spoil))
    said = dict(design.told(found.summary))
    assert said["Varied"] == "series: fixed width, equal MACs; kernel size (pixels): 1, 3, 5, 7"
    assert said["Trained"] == (
        "12 epochs, batches of 32, SGD (momentum 0.9, nesterov), flip, weight decay 0.0005"
    )
    assert said["Tuned"].endswith("of 3 runs, whose seeds are their own: learning rate 0.05, 0.1, "
                                  "0.2")  # fmt: skip
    assert said["Replicated"].startswith("3 fresh seeds a point; ")
    text = markdown.write(found)
    assert "## How it was done" in text
    assert "- Trained: 12 epochs, batches of 32, SGD" in text


@pytest.mark.parametrize("recipe", [None, 7, [], {"type": {}}, {"optimizer": ["x"], "epochs": "a"}])
def test_a_recipe_that_is_none_says_nothing(tmp_path, recipe):
    def spoil(record, number):
        record["config"]["recipe"] = recipe
        return record

    found = told(write(tmp_path, "train", seeds=2, spoil=spoil, tune=False))
    assert "Trained" not in dict(design.told(found.summary))


def test_undecided_differences_are_what_would_change_the_conclusion(tmp_path):
    found = told(write(tmp_path, "filter_size", seeds=3))
    undecided = [c for c in found.comparisons if c.verdict == "open"]
    assert 0 < len(undecided) < len(found.comparisons)
    ((head, text),) = doubts.undecided(found.comparisons)
    assert head == f"{len(undecided)} of {len(found.comparisons)} differences undecided"
    assert all(c.label in text for c in undecided)
    none = [dataclasses.replace(c, gap=found.comparisons[0].gap) for c in found.comparisons
            if found.comparisons[0].verdict != "open"]  # fmt: skip
    assert none and doubts.undecided(none) == []
    assert "## What would change the conclusion" in markdown.write(found)


def test_how_far_a_study_is_and_its_banners_stand_against_its_conclusion(tmp_path):
    found = told(write(tmp_path, "depth", seeds=2, done=0.9, quick=True))
    texts = [text for _, text in doubts.changing(found.summary, found.comparisons, found.banners,
                                                 found.progress)]  # fmt: skip
    assert texts[0].startswith("A quick look, not evidence")
    assert texts[1] == found.progress != ""
