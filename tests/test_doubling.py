"""The gain of a doubling: what is solved, what is planted and found again, and how it is told."""

import dataclasses
import hashlib
import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnjax import report
from cnnjax.report import answers, charts, doubling, findings
from cnnjax.study import stats
from cnnjax.study.results import Folder
from cnnjax.study.stats import Sample
from tests import synthetic_results as synthetic

# ---- planted results

SPENT = {"width": 0.03, "depth": 0.005, "kernel": 0.0, "length": 0.05}  # Gain a doubling.
BASE = 2e6
FACTORS = (0.5, 1.0, 2.0, 4.0)


def planted(slopes=SPENT, bend=0.0, settings=(("dilation 2", -0.06), ("activation gelu", 0.0))):
    """(series, compute, MACs, share of the training, accuracy, setting) of each point."""
    rows = []
    for series, slope in slopes.items():
        for x in FACTORS:
            doublings = math.log2(x)
            macs, share = (BASE, x) if series == "length" else (BASE * x, 1.0)
            rows.append((series, x, macs, share, 0.6 + slope * doublings + bend * doublings**2, ""))
    if settings:
        rows.append(("equal MACs", 1.0, BASE, 1.0, 0.6, "base"))
    return [*rows, *(("equal MACs", 1.0, BASE, 1.0, 0.6 + d, name) for name, d in settings)]


def write(path, rows, seeds=5, spoil=None):
    """A study in which each point's seeds are drawn about its planted accuracy."""
    folder = Folder(path)
    folder.create({
        "experiment": "doubling", "question": "What does a doubling of compute buy?",
        "x": {"axis": "compute", "label": "compute (× the base)"}, "series": "axis",
        "axes": ["axis", "compute", "setting"],
    })  # fmt: skip
    points, written = [], set()
    for series, x, macs, share, truth, setting in rows:
        place = {"axis": series, "compute": x} | ({"setting": setting} if setting else {})
        same = "" if setting == "base" else setting
        keys = [_key(macs, share, truth, same, seed) for seed in range(seeds)]
        points.append({"net": "net", "axes": place, "runs": keys, "seeds": seeds})
        for seed, key in enumerate(keys):
            if key in written:
                continue
            written.add(key)
            record, curve, _ = synthetic.run(
                "doubling", key, "replicate", "net", place, None, macs, truth, 0.1, seed
            )
            record["measures"]["train_macs"]["value"] = int(3 * macs * share * 6000 * 12)
            record["measures"]["receptive_field"]["value"] = 104
            record["steps_done"] = 552
            if spoil:
                spoil(record)
            folder.write_record(key, record)
            for row in curve:
                folder.append_curve(key, row)
    folder.add_plan({"time": synthetic.TIME.format(0), "flags": {}, "points": points,
                     "command": "python launch.py --experiment=doubling"})  # fmt: skip
    return folder


def _key(*parts):
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    return findings.report(write(tmp_path_factory.mktemp("doubling"), planted(), seeds=6).load())


# ---- weights


places = st.lists(st.integers(-30, 30), min_size=3, max_size=6, unique=True).map(
    lambda several: [v / 10 for v in several]
)


@given(places, st.floats(-1, 1), st.floats(-1, 1))
def test_the_weights_give_the_slope_of_a_line_whatever_its_height(x, height, slope):
    y = height + slope * np.asarray(x)
    assert np.dot(doubling.slope_weights(x), y) == pytest.approx(slope, abs=1e-9)
    assert np.dot(doubling.bend_weights(sorted(x)), height + slope * np.sort(x)) == pytest.approx(
        0, abs=1e-6
    )


@given(places, st.floats(-1, 1))
def test_the_bend_of_a_parabola_is_its_last_slope_less_its_first(x, curve):
    x = np.sort(x)
    y = curve * x**2
    slopes = np.diff(y) / np.diff(x)
    assert np.dot(doubling.bend_weights(x), y) == pytest.approx(slopes[-1] - slopes[0], abs=1e-5)


# ---- coverage


def _drawn(rng, truths, seeds=4, sd=0.01):
    """Terms of each series' slope, the base's sample shared by all, and the common spread."""
    x = [-1.0, 0.0, 1.0, 2.0]
    weights = doubling.slope_weights(x)

    def sample(mean):
        return Sample(tuple(rng.normal(mean, sd, seeds)))

    base = sample(0.6)
    series = [[base if v == 0 else sample(0.6 + t * v) for v in x] for t in truths]
    unique = {id(s): s.values for row in series for s in row}
    return [list(zip(weights, row, strict=True)) for row in series], stats.spread(
        list(unique.values())
    )


def _held(draws, truths):
    """How often all slopes' intervals, and all rank intervals, hold the truth; and how wide ranks
    are on average."""
    rng = np.random.default_rng(7)
    slopes = ranks = 0
    wide = []
    for _ in range(draws):
        terms, common = _drawn(rng, truths)
        found = doubling.intervals(terms, common)
        slopes += all(i.covers(t) for i, t in zip(found, truths, strict=True))
        several = doubling.rank_intervals(terms, common)
        # Of equals any of the ranks that they share is true.
        above = [sum(other > t for other in truths) for t in truths]
        below = [sum(other < t for other in truths) for t in truths]
        ranks += all(
            low <= 1 + a and high >= len(truths) - b
            for (low, high), a, b in zip(several, above, below, strict=True)
        )
        wide.append(np.mean([high - low for low, high in several]))
    return slopes / draws, ranks / draws, float(np.mean(wide))


@pytest.mark.parametrize(
    "truths", [(0.03, 0.03, 0.03, 0.03), (0.05, 0.03, 0.02, 0.0, 0.0), (0.02, 0.018, 0.016, 0.0)]
)
def test_intervals_on_gains_and_on_ranks_hold_what_they_promise(truths):
    slopes, ranks, wide = _held(400, truths)
    error = math.sqrt(0.05 * 0.95 / 400)
    assert slopes >= 0.95 - 2 * error
    assert ranks >= 0.95 - 2 * error
    assert wide <= len(truths) - 1


def test_gains_far_apart_leave_one_rank_each_and_equal_ones_all():
    rng = np.random.default_rng(3)
    terms, common = _drawn(rng, (0.0, 0.2, 0.1), sd=0.002)
    assert doubling.rank_intervals(terms, common) == [(3, 3), (1, 1), (2, 2)]
    terms, common = _drawn(rng, (0.1, 0.1, 0.1), sd=0.002)
    assert set(doubling.rank_intervals(terms, common)) == {(1, 3)}


def test_one_seed_leaves_all_ranks_open():
    terms, common = _drawn(np.random.default_rng(0), (0.0, 0.5), seeds=1)
    assert doubling.rank_intervals(terms, common) == [(1, 2), (1, 2)]


# ---- from results


def test_planted_gains_are_found_in_their_order(told):
    found = {g.series: g for g in told.gains}
    assert [g.series for g in told.gains][:2] == ["length", "width"]
    assert set(found) == set(SPENT)  # What stands at the base's MACs has no gain.
    for series, slope in SPENT.items():
        assert found[series].slope.covers(slope)
        assert found[series].span == pytest.approx(8)
        assert found[series].ranks[0] <= found[series].ranks[1]
    assert found["kernel"].verdict == "open"
    assert found["length"].ranks == (1, 1)


def test_the_slope_is_the_least_squares_line_through_the_points(told):
    for gain in told.gains:
        x = [math.log2(row.measures["train_macs"]) for row in gain.rows]
        y = [told.summary.score(row).mean for row in gain.rows]
        assert gain.slope.mean == pytest.approx(np.polyfit(x, y, 1)[0])


def test_the_base_stands_in_every_series_with_the_same_runs(told):
    bases = {row.point.runs for row in told.summary.rows if row.x == 1 and row.macs == BASE}
    assert len(bases) == 3  # The base, and the two settings at its compute.
    samples = {
        id(sample)
        for row in told.summary.rows
        if row.x == 1 and not row.label.startswith(("dil", "act"))
        for _, sample in told.summary.terms(row)
    }
    assert len(samples) == 1


def test_the_lead_tells_gains_with_intervals_and_ranks_and_what_has_no_evidence(told):
    lead = told.findings[0]
    assert lead.tone == "lead"
    length = next(g for g in told.gains if g.series == "length")
    assert f"length {report.words.gap(length.slope)} (rank 1)" in lead.text
    sure, unsure = lead.text.split("no evidence of a gain or a loss: ")
    assert "kernel" in unsure
    assert "kernel" not in sure
    notes = {f.head: f.text for f in told.findings}
    assert "the order itself is an estimate" in notes["Gains per doubling"]
    assert not any(head.startswith("Not one slope") for head in notes)


def test_steps_are_told_per_doubling_of_training_compute(told):
    length = next(g for g in told.gains if g.series == "length")
    single = answers.steps(length, told.comparisons)
    assert [c.label for c in single] == ["1× − 0.5×", "2× − 1×", "4× − 2×"]
    assert all(c.cost == pytest.approx(1) and c.trained == pytest.approx(2) for c in single)
    assert all(c.doubling.mean == pytest.approx(c.gap.mean) for c in single)
    said = [f.text for f in told.findings if f.head == "length"]
    assert all("for 2.0× the training MACs" in text for text in said)


def test_axes_of_compute_are_not_compared_place_by_place(told):
    assert not any(c.across for c in told.comparisons)


def test_settings_at_equal_compute_are_each_held_against_the_base(told):
    found = [c for c in told.comparisons if c.series == "equal MACs"]
    assert [c.label for c in found] == ["dilation 2 − base", "activation gelu − base"]
    assert [c.verdict for c in found] == ["worse", "open"]
    table = told.tables[1]
    assert table.title == "At equal MACs"
    names, gaps, _, fields, times = zip(*table.rows, strict=True)
    assert [n for n, _ in names] == ["base", "dilation 2", "activation gelu"]
    assert gaps[1][0] == report.words.gap(found[0].gap)
    assert {shown for shown, _ in fields} == {"104×104"}
    assert times[0][1] == pytest.approx(1000 * (4 + BASE / 1e6) / 552)


def test_the_answer_stands_in_the_report_the_terminal_and_the_page(told):
    folder = told.study.path
    report.write(folder)
    markdown, page = (folder / "report.md").read_text(), (folder / "dashboard.html").read_text()
    answer = report.answer(folder)
    for text in (markdown, page, answer):
        assert "What a doubling of compute buys" in text
        assert "At equal MACs" in text
        assert "rank 1" in text


def test_the_chart_has_a_row_a_series_in_the_order_of_gain(told):
    drawn = {c.name: c for c in charts.every(told, [])}
    assert "doublings" not in drawn  # Each step, for which the rings stand.
    rows = next(
        layer["data"]["values"]
        for layer in drawn["doubling"].views[0]["layer"]
        if layer["mark"]["type"] == "rule" and "x2" in layer["encoding"]
    )
    assert [row["name"].split(",")[0] for row in rows] == [g.series for g in told.gains]
    along = json.dumps(drawn["axis"].views)
    assert "width" in along
    assert "dilation" not in along  # It stands at one place of the axis.


def test_a_gain_that_falls_off_is_said_to_be_no_one_slope(tmp_path):
    r = findings.report(write(tmp_path, planted({"width": 0.06}, bend=-0.02), seeds=8).load())
    assert [g.ranks for g in r.gains] == [None]
    said = [f for f in r.findings if f.head == "Not one slope: width"]
    assert "the first doubling bought more than the last" in said[0].text
    assert "rank" not in r.findings[0].text


def test_points_at_chance_are_left_out_and_told(tmp_path):
    rows = [r if r[:2] != ("width", 0.5) else (*r[:4], 0.1, "") for r in planted({"width": 0.03})]
    r = findings.report(write(tmp_path, rows).load())
    assert [row.label for row in r.gains[0].rows] == ["1×", "2×", "4×"]
    assert r.gains[0].slope.covers(0.03)
    said = {f.head: f.text for f in r.findings}
    assert "width 0.5×" in said["Left out of the gains"]


def test_an_axis_that_is_mostly_at_chance_has_no_gain_and_that_is_told(tmp_path):
    rows = [
        r if r[0] != "kernel" or r[1] == 1 else (*r[:4], 0.1, "")
        for r in planted({"width": 0.03, "kernel": 0.0})
    ]
    r = findings.report(write(tmp_path, rows).load())
    assert [g.series for g in r.gains] == ["width"]
    said = {f.head: f.text for f in r.findings}
    assert said["Without a gain"].startswith("kernel: fewer than 3 levels")


def test_more_images_are_no_doubling_of_compute(tmp_path):
    def spoil(record):
        record["data"]["train_examples"] = int(record["measures"]["macs"]["value"] / 100)

    r = findings.report(write(tmp_path, planted({"width": 0.03}), spoil=spoil).load())
    assert not r.gains
    assert all(c.trained is None for c in r.comparisons if c.series == "width")


def test_two_levels_are_a_difference_and_no_slope(tmp_path):
    rows = [r for r in planted({"width": 0.03}) if r[1] in (1.0, 2.0)]
    assert not findings.report(write(tmp_path, rows).load()).gains


def test_laws_are_over_the_compute_that_is_spent(tmp_path):
    r = findings.report(write(tmp_path, planted()).load())
    assert [(law.series, law.measure) for law in r.laws] == [(x, "train_macs") for x in SPENT]


def test_single_seeds_rank_no_axis(tmp_path):
    r = findings.report(write(tmp_path, planted(), seeds=1).load())
    assert r.gains == ()
    assert not any("doubling" in f.head for f in r.findings)


def test_a_study_of_one_numeric_axis_has_its_gain_too(tmp_path):
    study = synthetic.write(tmp_path, "filter_size").load()
    r = findings.report(study)
    assert [g.series for g in r.gains] == ["fixed width"]
    assert [row.label for row in r.gains[0].left_out] == ["1×1"]


def test_a_point_that_brackets_its_compute_enters_with_both_nets(tmp_path):
    folder = write(tmp_path, planted({"width": 0.03}, settings=()))
    study = folder.load()
    plan = study.plan
    low, high = (next(p for p in plan.points if p.axes["compute"] == x) for x in (0.5, 1.0))
    both = [
        dataclasses.replace(p, axes={"axis": "width", "compute": 0.7}, weight=0.5)
        for p in (low, high)
    ]
    rest = tuple(p for p in plan.points if p.axes["compute"] != 0.5)
    study.plans[-1] = dataclasses.replace(plan, points=(*both, *rest))
    gain = findings.report(study).gains[0]
    assert doubling.cost(gain.rows[0]) == pytest.approx(3 * BASE * math.sqrt(0.5) * 6000 * 12)
    assert gain.span == pytest.approx(4 * math.sqrt(2))
    assert gain.rows[0].seeds == 5  # Of each net.


def test_pairs_of_series_share_the_base_and_gain_by_it():
    """The base's seeds move both slopes alike; they cancel as far as its weights are equal."""
    terms, common = _drawn(np.random.default_rng(1), (0.02, 0.01))
    less = [*terms[0], *((-w, x) for w, x in terms[1])]
    apart = sum(w**2 for w, _ in itertools.chain(*terms))
    both = stats.contrast(less, common)
    half = (both.high - both.low) / 2 / stats.intervals.quantile(0.95, common.df)
    base = doubling.slope_weights([-1.0, 0.0, 1.0, 2.0])[1]
    expected = common.sd * math.sqrt((apart - 2 * base**2) / 4)
    assert half == pytest.approx(expected)
