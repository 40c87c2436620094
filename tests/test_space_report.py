"""The report of design spaces: planted truth, and nothing told net by net."""

import pytest

from cnnjax import report
from cnnjax.report import charts, findings, space
from tests.synthetic_results import STUDIES, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = write(tmp_path_factory.mktemp("spaces"), "design_space", seeds=1, tune=False)
    report.write(made.path)
    return made


@pytest.fixture(scope="module")
def told(folder):
    return findings.report(folder.load())


def texts(told, head):
    return [f.text for f in told.findings if f.head == head]


def planted(tmp_path, monkeypatch, points, **given):
    """A report of two spaces with those (number, MACs, accuracy)."""
    monkeypatch.setitem(STUDIES, "design_space", STUDIES["design_space"] | {"points": points})
    folder = write(tmp_path, "design_space", seeds=1, tune=False, **given)
    return findings.report(folder.load())


def test_nets_are_not_compared_step_by_step(told):
    assert told.summary.sampled
    assert told.comparisons == ()
    assert not any("#2 − #1" in f.text for f in told.findings)


def test_a_study_along_an_axis_is_no_sample(tmp_path):
    assert not findings.report(write(tmp_path, "filter_size").load()).summary.sampled


def test_errors_are_those_of_validation(told):
    for x in space.spaces(told.summary):
        assert x.errors == tuple(1 - row.scores["val"].mean for row in x.rows)
        assert x.best.scores["val"].mean == max(row.scores["val"].mean for row in x.rows)


def test_the_planted_difference_is_told_at_matched_macs(told):
    (gap,) = space.gaps(space.spaces(told.summary))
    means = [sum(p[2] for p in some) / len(some) for some in STUDIES["design_space"]["points"]]
    assert gap.drawn.mean.covers(means[0] - means[1])
    # 6 points at equal places about their middles, which lie log2(7/6) doublings apart.
    assert gap.matched.mean.covers(-0.06 + 0.05 * 0.222)
    assert space.verdict(gap.matched) == "better"
    (lead,) = texts(told, "Space wide")
    assert lead.startswith("median validation error 2")
    assert "at matched MACs its mean error is" in lead
    assert "lower than that of narrow (Kolmogorov–Smirnov p" in lead
    assert "no evidence" not in lead
    assert texts(told, "Space narrow")[0].endswith("(24 nets)")
    assert "points" in texts(told, "At matched MACs")[0]


def test_the_best_net_is_named_with_its_curse(told):
    (best,) = texts(told, "Best on validation")
    assert "winner's curse" in best
    assert "The lowest of 24 validation errors" in best
    (how,) = texts(told, "Distributions")
    assert "none is chosen on test" in how
    assert "All trained at the rate 0.1" in how
    assert "24 of 24 nets" in texts(told, "Still improving")[0]


def test_equal_spaces_show_no_evidence_and_want_more_nets(tmp_path, monkeypatch):
    points = STUDIES["design_space"]["points"][0]
    again = [(n, macs + 1, accuracy) for n, macs, accuracy in points]
    found = planted(tmp_path, monkeypatch, [points, again])
    assert texts(found, "Space wide")[0].endswith("no evidence of a difference")
    assert [f.tone for f in found.findings if f.head == "As drawn"] == ["open"]
    assert found.next.endswith("--count=48")


def test_spaces_that_are_told_apart_want_nothing_more(told):
    assert told.next == ""


def test_spaces_that_share_no_cost_are_compared_as_drawn_alone(tmp_path, monkeypatch):
    narrow, wide = STUDIES["design_space"]["points"]
    found = planted(tmp_path, monkeypatch, [narrow, [(n, 50 * m, a) for n, m, a in wide]])
    assert texts(found, "At matched MACs") == []
    assert "as drawn its mean error" in texts(found, "Space wide")[0]
    assert texts(found, "Matched MACs") == ["too few nets of wide cost as much as those of narrow"]
    assert len(charts.every(found, [])[0].views) == 1


def test_a_net_that_diverged_counts_as_one_that_guesses(tmp_path, monkeypatch):
    def spoil(record, number):
        return record | ({"status": "diverged", "metrics": {}} if number == 3 else {})

    points = STUDIES["design_space"]["points"]
    found = planted(tmp_path, monkeypatch, points, spoil=spoil)
    narrow = space.spaces(found.summary)[0]
    assert len(narrow.rows) == 24
    assert max(narrow.errors) == pytest.approx(0.9)
    assert texts(found, "Diverged") == ["narrow 1 of 24 nets: counted as nets that guess"]


def test_a_study_under_way_says_so(tmp_path, monkeypatch):
    points = STUDIES["design_space"]["points"]
    part = planted(tmp_path / "a", monkeypatch, points, done=0.75)
    assert "(12 nets of 24)" in texts(part, "Space wide")[0]
    none = planted(tmp_path / "b", monkeypatch, points, done=0.0)
    assert texts(none, "No result yet") == ["no run of this plan has finished"]


def test_the_charts_are_distributions_and_the_front(told):
    first, second = charts.every(told, [])
    assert (first.name, second.name) == ("distributions", "compute")
    assert len(first.views) == 2
    for view in first.views:
        lines = next(x for x in view["layer"] if x["mark"].get("strokeWidth") == 2.5)
        shares = [d["share"] for d in lines["data"]["values"] if d["series"] == "wide"]
        assert shares == sorted(shares)
        assert (shares[0], shares[-1]) == (0, 1)
    # Of 48 nets of a seed each none is on the front, and only those on it would be named.
    assert told.summary.front == ()
    texts = [x["data"]["values"] for x in second.views[0]["layer"] if "text" in x["encoding"]]
    assert [t["text"] for values in texts for t in values] == ["chance 10% ↓"]


def test_a_row_a_space_is_shown(folder):
    text = (folder.path / "report.md").read_text()
    assert "## Spaces" in text
    assert "| narrow | 24 |" in text
    said = report.answer(folder.path, width=100)
    assert [line.split()[:2] for line in said.splitlines()[2:6]] == [
        ["Spaces"],
        ["space", "nets"],
        ["narrow", "24"],
        ["wide", "24"],
    ]
    page = (folder.path / "dashboard.html").read_text()
    assert "<h2>Spaces</h2>" in page
    assert "How many nets do as well" in page


def test_several_comparisons_are_corrected_for_their_number(told):
    narrow, wide = space.spaces(told.summary)
    (alone,) = space.gaps([narrow, wide])
    both = space.gaps([narrow, wide, wide])
    assert both[0] == both[1]
    assert both[0].drawn.p == pytest.approx(2 * alone.drawn.p)
    assert both[0].drawn.mean.low < alone.drawn.mean.low
    assert both[0].matched.mean.high > alone.matched.mean.high
