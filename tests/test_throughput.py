"""The throughput study: which nets it asks for, and what its report says of planted times."""

import csv
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnjax import report
from cnnjax.cli.main import main
from cnnjax.errors import UserError
from cnnjax.report import speed
from cnnjax.report.charts import every
from cnnjax.report.findings import report as gather
from cnnjax.study import experiment, stats
from cnnjax.study.results import Folder
from tests import synthetic_results as synthetic
from tests.tiny import write_dataset

FOLDER = Path(__file__).parent.parent / "experiments"


def write(path, nets, spoil=lambda record: record, planned=()):
    """A study in which each net of {name: (macs, milliseconds)} was measured."""
    folder = Folder(path)
    folder.create({"experiment": "throughput", "question": "How fast?", "x": None, "series": None,
                   "axes": ["input"]})  # fmt: skip
    keys = {name: synthetic.key("throughput", name) for name in (*nets, *planned)}
    points = [{"net": name, "axes": {"input": "8×8×3"}, "notes": [], "learning_rate": None,
               "tune": [], "runs": [k], "seeds": 1} for name, k in keys.items()]  # fmt: skip
    command = "python launch.py --experiment=throughput"
    folder.add_plan({"time": synthetic.TIME.format(0), "command": command, "points": points})
    for name, (macs, ms) in nets.items():
        folder.write_record(keys[name], spoil(record(name, keys[name], macs, ms)))
    return folder


def record(name, key, macs, ms):
    base, _, _ = synthetic.run(
        "throughput", key, "probe", name, {"input": "8×8×3"}, None, macs, 0.5, 0.1, 0
    )
    measured = {
        "latency_ms": ms, "latency_q1_ms": 0.9 * ms, "latency_q3_ms": 1.2 * ms,
        "inference_ms": 6 * ms, "images_per_second": 8e3 / (6 * ms),
        "inference_compile_seconds": 2.0, "inference_temp_bytes": 5e6,
        "train_step_ms": 20 * ms, "train_images_per_second": 8e3 / (20 * ms),
        "train_step_compile_seconds": 9.0, "train_step_temp_bytes": 7e7,
    }  # fmt: skip
    base["measures"].pop("train_macs")
    base["measures"] |= {k: {"value": v, "unit": "ms"} for k, v in measured.items()}
    return base | {"metrics": {}, "timings": {"total_seconds": 20}, "data": {}, "dataset": "",
                   "measured": list(measured), "notes": [], "epochs_done": 0}  # fmt: skip


NETS = {f"net{i}": (10.0 ** (6 + i / 2), 2.0 * 10 ** (i / 2)) for i in range(6)}


def told(path):
    return gather(Folder(path).load())


def test_the_ranks_of_macs_and_times_are_told(tmp_path):
    write(tmp_path, NETS)
    lead = next(f for f in told(tmp_path).findings if f.tone == "lead")
    assert "MACs put the 6 nets in the order of their latencies" in lead.text
    assert "correlation of 1.00 (activations 1.00, parameters 1.00)" in lead.text
    summary = told(tmp_path).summary
    law = speed.law(summary)
    assert law.slope == pytest.approx(1, abs=1e-6)
    assert [ratio for ratio, _ in speed.off(summary)] == pytest.approx([1] * 6, abs=1e-3)


def test_a_net_slower_than_its_macs_suggest_is_named(tmp_path):
    write(tmp_path, NETS | {"odd": (10.0**7.25, 900.0)})
    found = told(tmp_path).findings
    lead = next(f for f in found if f.tone == "lead")
    assert "correlation of 0.7" in lead.text
    assert ". odd takes " in lead.text and "as long as its MACs suggest" in lead.text
    worse = [f.text for f in found if f.tone == "worse"]
    assert worse[0].startswith("odd takes ") and "900 ms [810, 1" in worse[0]
    assert (speed.off(told(tmp_path).summary)[0][1].name) == "odd"


def test_with_few_nets_there_is_no_verdict(tmp_path):
    write(tmp_path, dict(list(NETS.items())[:2]))
    lead = next(f for f in told(tmp_path).findings if f.tone == "lead")
    assert "an answer takes 4 nets" in lead.text and "correlation" not in lead.text


def test_before_anything_is_measured_the_report_stands(tmp_path):
    write(tmp_path, {}, planned=("net0",))
    report.write(tmp_path)
    assert "No result yet" in report.answer(tmp_path)


def test_charts_tables_and_words_carry_every_net(tmp_path):
    write(tmp_path, NETS, planned=("later",))
    report.write(tmp_path)
    page, text = (tmp_path / "dashboard.html").read_text(), (tmp_path / "report.md").read_text()
    answer = report.answer(tmp_path)
    for name, (_, ms) in NETS.items():
        assert name in page and name in text and name in answer
        assert speed.time(ms, 0.9 * ms, 1.2 * ms) in page
    names = [c.name for c in every(told(tmp_path), [])]
    assert names == ["latency-macs", "latency-activations", "rates", "compiling"]
    assert "accuracy" not in answer
    assert "validation" not in page.split("<script")[0]
    assert "70.0 MB" in page and "9 s" in page


def test_the_table_appends_what_was_measured_and_keeps_its_columns(tmp_path):
    write(tmp_path / "probes", NETS)
    synthetic.write(tmp_path / "runs", done=0.1, tune=False)
    for name in ("probes", "runs"):
        report.write(tmp_path / name)
    tables = {n: (tmp_path / n / "table.csv").read_text().splitlines() for n in ("probes", "runs")}
    head = tables["runs"][0].replace("series,kernel_size", "input").split(",")
    rows = list(csv.DictReader(tables["probes"]))
    assert list(rows[0])[: len(head)] == head
    assert list(rows[0])[len(head)] == "latency_ms"
    first = next(row for row in rows if row["net"] == "net0")
    assert float(first["latency_ms"]) == NETS["net0"][1]
    assert first["test_accuracy"] == first["learning_rate"] == first["train_macs"] == ""
    assert not any(name.endswith(("_ms", "_per_second")) for name in tables["runs"][0].split(","))


def test_a_net_that_broke_is_shown_with_what_it_had(tmp_path):
    def spoil(record):
        if record["net"] != "net5":
            return record
        kept = [m for m in record["measured"] if not m.startswith("train")]
        measures = {m: v for m, v in record["measures"].items() if not m.startswith("train_")}
        return record | {"status": "out_of_memory", "error": "out of memory with batch_size 8",
                         "measured": kept, "measures": measures,
                         "notes": ["inference not timed: it takes long"]}  # fmt: skip

    write(tmp_path, NETS, spoil)
    answer = report.answer(tmp_path)
    assert "1 run ended badly" in answer and "net5, measured: out of memory" in answer
    row = next(r for r in told(tmp_path).summary.rows if r.name == "net5")
    cells = {c.title: c.text(row) for c in speed.columns(told(tmp_path).summary)}
    assert cells["latency, 1 image"].startswith("632 ms")
    assert cells["training step"] == cells["training images/s"] == "–"
    assert cells["notes"] == "out of memory, inference not timed"
    assert "net5: inference not timed: it takes long" in answer.replace("\n  ", " ")


def test_no_label_covers_a_dot_or_another_label(tmp_path):
    crowd = {f"crowded_net_{i}": (1e9 * (1 + i / 50), 30.0 + i) for i in range(40)}
    write(tmp_path, NETS | crowd)
    chart = next(c for c in every(told(tmp_path), []) if c.name == "latency-macs")
    texts = [lay for lay in chart.views[0]["layer"] if lay["mark"]["type"] == "text"]
    shown = [d["name"] for lay in texts for d in lay["data"]["values"]]
    assert len(shown) == len(set(shown)) < len(NETS) + len(crowd)
    assert "net0" in shown  # Those apart from the crowd have room.


@pytest.mark.parametrize(
    ("ms", "said"), [(0.0713, "0.0713 ms"), (12.4, "12.4 ms"), (999.9, "1.00 s"), (None, "–")]
)
def test_times_are_said_in_words(ms, said):
    assert speed.time(ms) == said


@given(st.lists(st.tuples(st.integers(-99, 99), st.integers(-99, 99)), min_size=2, max_size=30))
def test_rank_correlation_is_of_the_order_alone(pairs):
    from scipy.stats import spearmanr

    a, b = zip(*pairs, strict=True)
    found = stats.rank_correlation(a, b)
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert found is None
        return
    assert found == pytest.approx(spearmanr(a, b).statistic, abs=1e-9)
    assert stats.rank_correlation([math.exp(x / 10) for x in a], b) == pytest.approx(found)
    assert stats.rank_correlation([-x for x in a], b) == pytest.approx(-found)


def test_a_rank_correlation_is_of_pairs():
    with pytest.raises(ValueError, match="of pairs"):
        stats.rank_correlation([1, 2], [1, 2, 3])


# Which nets


def probes(*argv):
    found = experiment.load("throughput", FOLDER, argv)
    return [point.run for point in experiment.asked(found)[0]]


def test_nets_come_as_their_papers_have_them(capsys):
    lenet, resnet = probes("--nets=lenet5,resnet20")
    assert (lenet.image_shape, lenet.net.head.classes) == ((32, 32, 1), 10)
    assert (resnet.image_shape, resnet.net.head.classes) == ((32, 32, 3), 10)
    assert [p.label for p in probes("--net=resnet20")] == ["resnet20"]


def test_images_may_be_of_a_size_or_of_a_dataset(tmp_path):
    data = write_dataset(tmp_path / "tiny.npz", side=12)
    (sized,) = probes("--nets=resnet20", "--image_size=48")
    assert sized.image_shape == (48, 48, 3)
    (fed,) = probes("--nets=resnet20", f"--dataset={data}")
    assert (fed.image_shape, fed.net.head.classes) == ((12, 12, 1), 3)


def test_a_net_named_that_does_not_fit_is_an_error_and_one_of_the_list_is_left_out(monkeypatch):
    with pytest.raises(UserError, match="vgg11|input|image"):
        probes("--nets=vgg11", "--image_size=8")
    found = experiment.load("throughput", FOLDER, ["--image_size=8"])
    monkeypatch.setattr(found.module, "FAMILIES", ("vgg11", "resnet20"))
    assert [p.run.label for p in experiment.asked(found)[0]] == ["resnet20"]


def test_an_unknown_net_is_answered_in_one_line(capsys):
    assert main(["--experiment=throughput", "--nets=resnet_50"], FOLDER) == 2
    assert "unknown net 'resnet_50': did you mean 'resnet50'?" in capsys.readouterr().err


def test_every_family_of_the_default_list_exists():
    from cnnjax import nets

    found = experiment.load("throughput", FOLDER, [])
    assert set(found.module.FAMILIES) <= set(nets.names())


def test_a_plan_measures_nothing(tmp_path, capsys):
    flags = ["--experiment=throughput", "--net=tests.tiny:least_net", f"--results={tmp_path}"]
    assert main([*flags, "--dry_run"], FOLDER) == 0
    assert "1 measurements to make" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
