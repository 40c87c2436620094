"""The report: planted truth is found, hostile records stay text, the page stands alone."""

import csv
import dataclasses
import html.parser
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnjax import report
from cnnjax.errors import UserError
from cnnjax.report import (
    breakdown,
    charts,
    comparisons,
    dashboard,
    findings,
    gather,
    terminal,
    words,
)
from cnnjax.report.charts import parts
from cnnjax.study.stats import Interval
from tests.synthetic_results import STUDIES, key, write

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`|*_\x1b[31m\u2028"


def told(folder):
    return findings.report(folder.load())


def sentences(found):
    return [f"{f.head}: {f.text}" for f in found.findings]


def one(found, head):
    (finding,) = [f for f in found.findings if f.head == head]
    return finding.text


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """One of each kind, written and reported once; tests only read them."""
    made = {name: write(tmp_path_factory.mktemp(name), name) for name in STUDIES}
    for folder in made.values():
        report.write(folder.path)
    return made


class Page(html.parser.HTMLParser):
    """What a browser would make of the page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.data, self.text, self._open = [], "", "", []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        tag, attrs = self._open[-1] if self._open else ("", {})
        if attrs.get("id") == "chart-data":
            self.data += data
        elif tag not in ("script", "style"):
            self.text += data


def unpacked(data):
    """The charts with rows in place of references to columns."""

    def column(packed):
        return packed if isinstance(packed, list) else [packed["of"][i] for i in packed["at"]]

    def whole(part):
        if isinstance(part, list):
            return [whole(v) for v in part]
        if not isinstance(part, dict):
            return part
        if "packed" not in part:
            return {k: whole(v) for k, v in part.items()}
        fields = {f: column(data["columns"][i]) for f, i in data["sets"][part["packed"]].items()}
        values = zip(*fields.values(), strict=True)
        return {"values": [dict(zip(fields, row, strict=True)) for row in values]}

    return whole(data["charts"])


def page(folder):
    return Page((folder.path / "dashboard.html").read_text())


# Findings: planted truth


def test_planted_differences_are_told_as_planted(studies):
    verdicts = {(c.series, c.label): c.verdict for c in told(studies["filter_size"]).comparisons}
    assert verdicts["fixed width", "3×3 − 1×1"] == "better"
    assert verdicts["fixed width", "5×5 − 3×3"] == "better"
    assert verdicts["fixed width", "7×7 − 5×5"] == "open"
    assert verdicts["equal MACs", "7×7 − 5×5"] == "worse"
    assert verdicts["", "equal MACs − fixed width at 7×7"] == "worse"
    assert ("", "equal MACs − fixed width at 3×3") not in verdicts  # The same runs.


def test_every_interval_holds_its_planted_difference(studies):
    truths = {
        (name, series, x): truth
        for name in ("filter_size", "depth")
        for series, row in zip(STUDIES[name]["series"], STUDIES[name]["points"], strict=True)
        for x, _, truth in row
    }
    for name in ("filter_size", "depth"):
        for c in told(studies[name]).comparisons:
            gap = truths[name, c.row.series, c.row.x] - truths[name, c.base.series, c.base.x]
            assert c.gap.covers(gap), c.label


def test_the_sentences_of_a_study(studies):
    found = told(studies["filter_size"])
    best = one(found, "Best on validation")
    assert re.match(r"fixed width 7×7: 7\d\.\d% \[.*\] test accuracy \(5 seeds\) at 15.1 M", best)
    assert "5.2× the MACs of fixed width 3×3" in best
    assert "No evidence that it beats fixed width 5×5, which costs 1.9× less" in best
    steps = [f.text for f in found.findings if f.head == "equal MACs"]
    pattern = (
        r"5×5 − 3×3 = −1\.\d points \[−3\.\d, \+0\.\d\] at the same MACs: no evidence of a dif"
    )
    assert any(re.match(pattern, s) for s in steps)
    assert one(found, "Differences").startswith("9, corrected for their number (Holm)")
    assert "fixed width 1×1" in one(found, "At chance")
    assert "no better than guessing (10%)" in one(found, "At chance")
    assert "equal MACs 7×7 (+" in one(found, "Still improving")
    assert "5 seeds a point" in one(found, "Seeds")


def test_a_study_of_one_net_answers_with_its_accuracy(studies):
    found = told(studies["train"])
    assert found.findings[0].head == "vgg4_slim"
    assert re.match(r"\d\d\.\d% \[.*\] test accuracy \(5 seeds\) at 40.8 M", found.findings[0].text)
    assert not found.comparisons


def test_names_are_compared_with_the_first_numbers_with_the_one_before(studies):
    names = [c.label for c in told(studies["dilation"]).comparisons]
    assert names == [f"{x} − 3×3" for x in ("3×3 dilated 2", "3×3 dilated 3", "5×5", "7×7")]
    steps = [c.label for c in told(studies["depth"]).comparisons if c.series == "plain"]
    assert steps == ["depth 14 − depth 8", "depth 20 − depth 14", "depth 32 − depth 20"]


def test_a_doubling_is_the_gap_over_its_doublings(studies):
    for c in told(studies["depth"]).comparisons:
        if c.across:
            assert c.doubling is None
        else:
            assert c.doubling.mean * comparisons.math.log2(c.cost) == pytest.approx(c.gap.mean)
            assert c.doubling.covers(0) == c.gap.covers(0)


def test_the_front_is_chosen_on_validation_without_chance_or_all_but_equal_cost(studies, tmp_path):
    s = told(studies["filter_size"]).summary
    assert [s.rows[i].name for i in s.front if s.rows[i].series == "fixed width"] == [
        "fixed width 3×3", "fixed width 5×5", "fixed width 7×7",
    ]  # fmt: skip

    def swap(record, number):
        metrics = record["metrics"]
        if record["role"] == "replicate" and record["axes"].get("kernel_size") == 7:
            metrics["val_accuracy"] = 0.2  # Better on test, worse on validation: off the front.
        return record

    s = told(write(tmp_path, spoil=swap)).summary
    assert not [s.rows[i] for i in s.front if s.rows[i].x == 7]


def test_one_seed_gives_no_interval_and_asks_for_more(tmp_path):
    found = told(write(tmp_path, "depth", seeds=1))
    assert {c.verdict for c in found.comparisons} == {"unknown"}
    assert "1 seed: too few for an interval" in found.findings[0].text
    assert "too few for intervals" in one(found, "Seeds")
    assert found.next == "python launch.py --experiment=depth --seeds=5"


def test_a_quick_look_says_so_and_asks_for_the_study(tmp_path):
    folder = write(tmp_path, quick=True)
    data = folder.read_study()
    data["plans"][0]["command"] = "python launch.py --experiment=filter_size --quick --seeds=2"
    folder.write_study(data)
    found = told(folder)
    assert found.banners == ("A quick look, not evidence: too little training to decide anything.",)
    assert found.next == "python launch.py --experiment=filter_size --seeds=2"


def test_runs_that_differ_in_source_hardware_or_software_are_marked(tmp_path):
    def spoil(record, number):
        if number % 2:
            record["revision"] = "9a8b7c6+changes"
            record["hardware"] = {"devices": "1 × gpu", "cores": 16}
            record["versions"]["jax"] = "0.12"
        return record

    banners = " ".join(told(write(tmp_path, "train", spoil=spoil)).banners)
    assert "differ in revisions of the source: 4f2c1ab (4 runs); 9a8b7c6+changes (4" in banners
    assert "differ in hardware: 1 × gpu, 16 cores (4 runs); 2 × cpu, 2 cores (4" in banners
    assert "differ in software: jax 0.10.2 (4 runs); jax 0.12 (4 runs)." in banners


def test_an_incomplete_study_shows_how_far_it_is(tmp_path):
    found = told(write(tmp_path, done=0.8))
    assert (found.finished, found.planned) == (45, 56)
    assert found.progress.startswith("45 of 56 runs done")
    assert found.next == "python launch.py --experiment=filter_size"


def test_replicates_without_keys_count_by_their_number_once(tmp_path):
    folder = write(tmp_path, done=0.2)
    data = folder.read_study()
    for point in data["plans"][0]["points"]:
        point |= {"runs": [], "learning_rate": None}
    folder.write_study(data)
    assert told(folder).planned == 56


def test_before_any_test_accuracy_validation_is_shown(tmp_path):
    def spoil(record, number):
        record["metrics"]["test_accuracy"] = None
        return record

    found = told(write(tmp_path, "train", spoil=spoil))
    assert "validation accuracy" in found.findings[0].text


def test_nothing_finished(tmp_path):
    found = told(write(tmp_path, done=0))
    assert sentences(found) == ["No result yet: no run of this plan has finished"]


def test_failures_are_listed_with_reasons_and_the_means_say_so(tmp_path):
    def spoil(record, number):
        if record["role"] == "replicate" and record["seed"] == 2:
            record |= {"status": "diverged", "error": "the loss was not finite", "metrics": {}}
        if record["role"] == "tune" and number == 0:
            record |= {"status": "out_of_memory", "error": None, "metrics": {}}
        return record

    found = told(write(tmp_path, "train", spoil=spoil))
    assert [(f.name, f.status, f.reason) for f in found.failures] == [
        ("vgg4_slim, seed 2", "diverged", "the loss was not finite"),
        ("vgg4_slim, learning rate 0.05", "out of memory", "no reason given"),
    ]
    assert "vgg4_slim (1 of 5) ended badly" in one(found, "Seeds that broke")
    assert not found.progress


@pytest.mark.parametrize(("rate", "edge"), [(0.05, True), (0.1, False), (0.2, True)])
def test_a_rate_at_the_grids_edge_is_flagged_once(tmp_path, rate, edge):
    folder = write(tmp_path, "train")
    data = folder.read_study()
    (point,) = data["plans"][0]["points"]
    point["learning_rate"] = rate
    folder.write_study(data)
    assert any("grid's edge" in s for s in sentences(told(folder))) == edge
    point["notes"] = ["learning rate is at the grid's edge"]
    folder.write_study(data)
    assert sum("grid's edge" in s for s in sentences(told(folder))) == 1


def test_notes_matches_and_adapted_nets_are_told(tmp_path):
    def spoil(record, number):
        record["adapted"] = True
        record["data"]["notes"] = ["labels are noisy"]
        return record

    folder = write(tmp_path, "train", spoil=spoil)
    data = folder.read_study()
    data["plans"][0]["points"][0] |= {"notes": ["halved"], "failed_match": "no width fits"}
    folder.write_study(data)
    lines = sentences(told(folder))
    assert "vgg4_slim (adapted): halved" in lines
    assert "vgg4_slim (adapted): no match: no width fits" in lines
    assert "Data: labels are noisy" in lines
    assert lines[0].startswith("vgg4_slim (adapted): ")


curve = st.lists(st.floats(0, 1), min_size=0, max_size=30)


@given(curve)
def test_still_improving_is_the_rise_over_the_last_fifth(values):
    rows = [{"epoch": i + 1, "val_accuracy": v} for i, v in enumerate(values)]
    rise = gather._rise([rows, rows])
    fifth = max(1, round(len(values) / 5))
    if len(values) < 1 + fifth:
        assert rise is None
    else:
        assert rise == pytest.approx(values[-1] - values[-1 - fifth], abs=1e-12)


def test_what_names_an_original_is_no_breakdown():
    assert breakdown._identifies(np.arange(497.0))
    assert not breakdown._identifies(np.arange(12.0).repeat(40))
    assert not breakdown._identifies(np.linspace(0, 1, 497))


def test_a_line_of_given_slope_rises_by_what_it_gains_in_a_fifth():
    rows = [{"epoch": e, "val_accuracy": 0.01 * e} for e in range(1, 51)]
    assert gather._rise([rows]) == pytest.approx(0.1)


def test_more_epochs_are_advised_when_nothing_is_undecided(studies):
    assert told(studies["dilation"]).next in (
        "python launch.py --experiment=dilation --epochs=24",
        "python launch.py --experiment=dilation --seeds=10",
    )
    assert told(studies["filter_size"]).next.endswith("--seeds=10")


def test_the_callers_advice_comes_first(studies):
    path = studies["train"].path
    assert report.answer(path, advice="python launch.py --experiment=depth").endswith(
        "next: python launch.py --experiment=depth\n"
    )


# By what examples carry


def test_planted_effects_of_scale_and_clutter_are_found(studies):
    summary = told(studies["filter_size"]).summary
    warnings = []
    scale, clutter = breakdown.breakdowns(summary, warnings)
    assert not warnings
    assert (scale.name, len(scale.bins)) == ("scale", 3)
    assert (clutter.name, clutter.bins) == ("clutter", ("4", "5", "6", "7", "8"))
    for place, row in enumerate(summary.rows):
        small, _, large = scale.cells[place]
        if not row.at_chance:
            assert large.low > small.high
            assert clutter.cells[place][0].mean > clutter.cells[place][-1].mean


def test_bins_hold_every_example_once(studies):
    values = breakdown.np.linspace(0, 1, 100)
    edges = breakdown._edges(values, [values])
    inside = sum(((values >= a) & (values <= b)).astype(int) for a, b in edges)
    assert inside.tolist() == [1] * 100


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not really"])
def test_damaged_predictions_are_named_and_the_rest_shown(tmp_path, content):
    folder = write(tmp_path, "train")
    k = next(iter(folder.load().plan.points[0].runs))
    (folder.run_dir(k) / "predictions.npz").write_bytes(content)
    report.write(tmp_path)
    assert "predictions.npz can't be read" in page(folder).text
    assert "by-scale-0" in (tmp_path / "dashboard.html").read_text()


def test_arrays_that_do_not_fit_are_named(tmp_path):
    folder = write(tmp_path, "train")
    k = next(iter(folder.load().plan.points[0].runs))
    np = breakdown.np
    folder.write_predictions(k, label=np.zeros(3), logits=np.zeros((3, 2)), extra_scale=np.ones(4))
    warnings = []
    breakdown.breakdowns(told(folder).summary, warnings)
    assert len(warnings) == 1
    assert "do not fit together" in warnings[0]


# table.csv


def test_the_table_has_the_contracts_columns_and_a_row_a_run(studies):
    folder = studies["filter_size"]
    with (folder.path / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert ",".join(rows[0]) == (
        "experiment,key,status,dataset,net,series,kernel_size,seed,params,macs,activations,"
        "receptive_field,train_macs,train_accuracy,val_accuracy,test_accuracy,train_seconds,"
        "role,learning_rate,quick,tune_macs"
    )
    assert {row["key"] for row in rows} == set(folder.load().records)
    assert len(rows) == 56
    assert {row["series"] for row in rows if row["kernel_size"] == "3"} == {
        "fixed width; equal MACs"
    }
    assert all(row["test_accuracy"] == "" for row in rows if row["role"] == "tune")
    shown = folder.load().records[rows[0]["key"]]
    assert float(rows[0]["val_accuracy"]) == shown.metrics["val_accuracy"]


def test_rows_stand_in_order_and_writing_twice_changes_nothing(studies):
    folder = studies["depth"]
    with (folder.path / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    ranks = [(r["series"], float(r["depth"]), r["role"], float(r["learning_rate"]),
              int(r["seed"])) for r in rows]  # fmt: skip
    assert ranks == sorted(ranks)
    names = ("table.csv", "report.md", "dashboard.html")
    before = [(folder.path / name).read_bytes() for name in names]
    report.write(folder.path)
    assert [(folder.path / name).read_bytes() for name in names] == before


def test_runs_of_older_plans_stay_in_the_table_and_leave_the_report(tmp_path):
    folder = write(tmp_path, "train")
    folder.add_plan({"points": [], "command": "another"})
    report.write(tmp_path)
    assert (tmp_path / "table.csv").read_text().count("\n") == 9
    assert "No result yet" in (tmp_path / "report.md").read_text()


def test_a_cell_is_no_formula(tmp_path):
    def spoil(record, number):
        return record | {"net": '=HYPERLINK("http://x")', "dataset": "a,b\n"}

    folder = write(tmp_path, "train", spoil=spoil)
    report.write(folder.path)
    with (tmp_path / "table.csv").open(newline="") as file:
        (first, *_) = csv.DictReader(file)
    assert first["net"].startswith("'=")
    assert first["dataset"] == "a,b\n"


# The page


@pytest.mark.parametrize("name", STUDIES)
def test_the_page_stands_alone(studies, name):
    found = page(studies[name])
    for tag, attrs in found.tags:
        assert tag not in ("iframe", "object", "embed", "base", "form")
        for attribute in ("src", "href", "srcset", "action"):
            assert (attrs.get(attribute) or "data:").startswith("data:"), (tag, attrs)
    policy = next(a["content"] for t, a in found.tags if a.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert not re.search(r"url\(|@import", (report.dashboard.page.style()))


@pytest.mark.parametrize("name", STUDIES)
def test_every_chart_has_its_place_its_words_and_a_valid_specification(studies, name):
    import vl_convert

    found = page(studies[name])
    data = json.loads(found.data)
    views = {a["id"]: a for t, a in found.tags if a.get("class") == "view"}
    assert list(views) == list(data["charts"])
    assert all(a["role"] == "img" and len(a["aria-label"]) > 20 for a in views.values())
    for spec in unpacked(data).values():
        vl_convert.vegalite_to_vega(json.dumps(spec | {"config": data["config"]}))


def test_the_charts_answer_in_order(studies):
    def names(name):
        return [c.name for c in charts.every(told(studies[name]), [])]

    assert names("filter_size") == [
        "compute", "axis", "differences", "doubling", "gap", "curves", "rates",
    ]  # fmt: skip
    assert names("train") == ["gap", "curves", "rates"]


def test_a_point_in_two_series_is_drawn_in_both_and_kept_apart(studies):
    (compute, *_) = charts.every(told(studies["filter_size"]), [])
    layers = [part["data"]["values"] for part in compute.views[0]["layer"]]
    (means,) = [v for v in layers if v and "place" in v[0] and v[0]["mean"] > 0.5 and len(v) == 6
                and {d["series"] for d in v} == {"fixed width", "equal MACs"}][:1]  # fmt: skip
    threes = [d for d in means if d["label"] == "3×3"]
    assert {d["series"] for d in threes} == {"fixed width", "equal MACs"}
    assert threes[0]["macs"] == threes[1]["macs"]
    assert threes[0]["at"] != threes[1]["at"]


def test_the_findings_stand_on_top_in_the_page_and_in_the_other_two(studies):
    folder = studies["filter_size"]
    text = page(folder).text
    assert text.index("Best on validation") < text.index("Accuracy against compute")
    assert "How it was done, and where" in text
    assert "python launch.py --experiment=filter_size" in text
    answer = " ".join(report.answer(folder.path).split())
    shown = " ".join((folder.path / "report.md").read_text().replace("\\", "").split())
    for finding in told(folder).findings:
        told_ = " ".join(finding.text.split())
        assert told_ in " ".join(text.split())
        assert told_ in answer
        assert told_ in shown


def test_hostile_records_stay_text(tmp_path):
    def spoil(record, number):
        if number == 1:
            record |= {"status": "failed"}
        return record | {
            "net": EVIL, "error": EVIL, "revision": EVIL, "dataset": EVIL,
            "hardware": {"devices": EVIL}, "versions": {EVIL: EVIL},
            "layers": [{"layer": EVIL, "kind": EVIL, "output": [EVIL], "params": EVIL}],
            "data": {"classes": EVIL, "train_examples": EVIL, "notes": [EVIL]},
        }  # fmt: skip

    folder = write(tmp_path, "dilation", spoil=spoil)
    data = folder.read_study()
    data |= {"question": EVIL, "x": {"axis": EVIL, "label": EVIL}, "series": EVIL, "axes": [EVIL]}
    for i, point in enumerate(data["plans"][0]["points"]):
        point |= {"net": EVIL, "notes": [EVIL], "axes": {EVIL: f"{EVIL}{i}"}}
    data["plans"][0] |= {"command": EVIL, "time": EVIL}
    folder.write_study(data)
    report.write(tmp_path)
    found = page(folder)
    assert [t for t, _ in found.tags].count("script") == 3
    assert not [t for t, a in found.tags if t == "img" or any(n.startswith("on") for n in a)]
    assert EVIL.split("\x1b")[0] in found.text
    assert json.loads(found.data)["charts"]
    markdown = (tmp_path / "report.md").read_text()
    assert "<script" not in re.sub(r"```.*?```", "", markdown, flags=re.S)
    assert "\x1b" not in report.answer(tmp_path)


json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=5), x, max_size=3),
    max_leaves=6,
)
FIELDS = ["metrics", "measures", "config", "axes", "layers", "data", "hardware", "seed", "timings"]
NAMES = ["test_accuracy", "val_accuracy", "macs", "learning_rate", "classes", "output", "devices"]


@settings(max_examples=30)
@given(st.dictionaries(st.sampled_from(FIELDS),
                       json_data | st.dictionaries(st.sampled_from(NAMES), json_data)))  # fmt: skip
def test_no_record_stops_the_report(tmp_path_factory, changes):
    def spoil(record, number):
        return record if number % 3 else record | changes

    path = tmp_path_factory.mktemp("any")
    write(path, "train", seeds=2, spoil=spoil)
    report.write(path)
    assert report.answer(path)


def test_unreadable_files_are_named_on_the_page(tmp_path):
    folder = write(tmp_path, "train")
    (folder.run_dir(key("x")).mkdir(), (folder.run_dir(key("x")) / "record.json").write_text("{"))
    report.write(tmp_path)
    for text in (page(folder).text, (tmp_path / "report.md").read_text(), report.answer(tmp_path)):
        assert f"runs/{key('x')}/record.json" in text


def test_no_study(tmp_path):
    with pytest.raises(UserError, match=r"has no study\.json: run the experiment first"):
        report.write(tmp_path)
    with pytest.raises(UserError, match=r"has no study\.json: run the experiment first"):
        report.answer(tmp_path)


def test_pictures_are_drawn_and_stand_in_the_report(tmp_path):
    folder = write(tmp_path, "train", seeds=2)
    report.write(folder.path, plots=True)
    names = [p.name for p in (tmp_path / "plots").iterdir()]
    assert {"gap.png", "curves.png", "rates.png"} <= set(names)
    assert (tmp_path / "plots" / "gap.png").read_bytes().startswith(b"\x89PNG")
    assert "](plots/curves.svg)" in (tmp_path / "report.md").read_text()
    assert "<svg" in (tmp_path / "plots" / "curves.svg").read_text()
    assert "var(--" not in json.dumps(
        [report.plots.picture(c) for c in charts.every(told(folder), [])]
    )


# The terminal


def test_the_answer_keeps_to_its_width_and_colours_only_when_asked(studies):
    folder = studies["filter_size"]
    plain = report.answer(folder.path, width=72)
    after = plain.split("\n\n")[2]
    assert all(len(line) <= 72 for line in after.splitlines())
    assert "\x1b" not in plain
    coloured = report.answer(folder.path, color=True, width=72)
    assert re.sub(r"\x1b\[\d*m", "", coloured) == plain != coloured
    assert re.search(r"equal MACs +5×5 +2\.95 M +7\d\.\d% \[7\d\.\d, 7\d\.\d\] +5 +█", plain)


@given(st.floats(-1, 2))
def test_a_bar_grows_with_its_share(share):
    assert len(terminal.bar(share)) <= terminal.BAR
    assert len(terminal.bar(share)) >= len(terminal.bar(share - 0.1))


# Words and parts


@pytest.mark.parametrize(
    ("v", "text"),
    [(None, "–"), (0, "0"), (7, "7"), (999, "999"), (999.7, "1.00 k"), (480e3, "480 k"),
     (15.1e6, "15.1 M"), (4.089e9, "4.09 G"), (1e12, "1.00 T")],
)  # fmt: skip
def test_si(v, text):
    assert words.si(v) == text


@pytest.mark.parametrize(
    ("v", "text"), [(0.047, "+4.7"), (-0.006, "−0.6"), (0.0001, "0.0"), (-0.0001, "0.0")]
)
def test_signed(v, text):
    assert words.signed(v) == text


def test_words():
    assert words.accuracy(Interval(0.7951, 0.7861, 0.8042, 5)) == "79.5% [78.6, 80.4]"
    assert words.accuracy(Interval(0.99, 0.97, 1.01, 3)) == "99.0% [97.0, 100.0]"
    assert words.accuracy(Interval(0.5, None, None, 1)) == "50.0%"
    assert words.gap(Interval(-0.006, -0.021, 0.009, 5)) == "−0.6 points [−2.1, +0.9]"
    assert [words.duration(s) for s in (42, 200, 7500)] == ["42 s", "3 min 20 s", "2 h 05 min"]
    assert words.place("kernel_size", 5) == "5×5"
    assert words.place("depth", 20.0) == "depth 20"
    assert words.place("filter", "3×3 dilated 2") == "3×3 dilated 2"
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    assert (words.listed(["a"]), words.listed([])) == ("a", "")
    assert sorted([10, "b", 9, "a"], key=words.order) == [9, 10, "a", "b"]


@given(st.lists(st.floats(0.2, 1), min_size=1), st.sampled_from([None, 0.1]))
def test_a_domain_holds_its_values_and_stays_within_what_can_be(values, chance):
    low, high = parts.share_domain(values, chance)
    assert 0 <= low < high <= 1
    assert low <= min(values) <= max(values) <= high


@given(st.lists(st.floats(1e-6, 1e12), min_size=1, max_size=8))
def test_a_log_axis_holds_its_values_and_its_ticks(values):
    axis = parts.log_axis(values, "x")
    low, high = axis["scale"]["domain"]
    assert low < min(values) <= max(values) < high
    assert all(low <= t <= high for t in axis["axis"]["values"])


places = st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1)), min_size=1, max_size=8)


@given(places)
def test_labels_near_each_other_stand_apart(data):
    heights = charts.labels.apart(data, near=0.5, least=0.1)
    for i, (x, y) in enumerate(data):
        assert heights[i] >= y
        for j in range(i):
            if abs(x - data[j][0]) < 0.5:
                assert abs(heights[i] - heights[j]) >= 0.1 - 1e-9


def test_reading_results_needs_no_jax():
    code = "import sys, cnnjax.report; print({'jax', 'scipy', 'vl_convert'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_findings_are_values(studies):
    found = told(studies["train"])
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.next = ""


def test_the_charts_script_is_put_together_once_a_machine(tmp_path, monkeypatch):
    made = []

    def bundled():
        made.append("one")
        return "vega </script> é"

    def anew():
        for kept in (dashboard.bundle, dashboard._bundled):
            kept.cache_clear()
        return dashboard.bundle()

    monkeypatch.setattr("vl_convert.javascript_bundle", bundled)
    monkeypatch.setenv("CNNJAX_CACHE", str(tmp_path / "kept"))
    try:
        assert anew() == anew() == "vega <\\/script> é" and len(made) == 1
        (file,) = (tmp_path / "kept").iterdir()
        file.write_bytes(file.read_bytes()[:-40])  # Damaged.
        assert anew() == anew() == "vega <\\/script> é" and len(made) == 2
        (tmp_path / "file").touch()  # No folder can be made there.
        monkeypatch.setenv("CNNJAX_CACHE", str(tmp_path / "file"))
        assert anew() == "vega <\\/script> é" and len(made) == 3
    finally:
        monkeypatch.undo()
        anew()
