"""Accuracy by object size and receptive field, and training times against MACs."""

import pytest

from cnnjax.report import breakdown, speed
from cnnjax.report.charts import latency, sizes
from tests.synthetic_results import write
from tests.test_report import told


def charted(found):
    made = [sizes.fields(found.summary, b) for b in breakdown.breakdowns(found.summary, [])]
    return [chart for chart in made if chart]


def data(chart, kind="point"):
    return [
        d
        for view in chart.views
        for layer in view["layer"]
        if layer["mark"]["type"] == kind
        for d in layer["data"]["values"]
    ]


def test_larger_objects_are_seen_better_across_fields_as_planted(tmp_path):
    (chart,) = charted(told(write(tmp_path, "filter_size", seeds=3)))  # Clutter is no size.
    assert [view["title"] for view in chart.views] == ["fixed width", "equal MACs"]
    found = data(chart)
    assert {d["field"] for d in found} == {
        29,
        45,
        61,
    }  # 8 a pixel of the kernel and 5, above chance.
    for series in ("fixed width", "equal MACs"):
        for field in (29, 45, 61):
            bins = [d["mean"] for d in found if (d["series"], d["field"]) == (series, field)]
            assert bins == sorted(bins) and len(bins) == 3
    assert "receptive field" in chart.alt


def test_nets_that_share_a_field_have_no_line_along_it(tmp_path):
    assert charted(told(write(tmp_path, "dilation", seeds=2))) == []  # All 61: named filters.


def timed(slope):
    """Records whose training takes MACs to the power of `slope`, and a tenth more each seed."""

    def spoil(record, number):
        record["config"]["recipe"]["batch_size"] = 50
        record["steps_done"] = 40
        macs = record["measures"]["macs"]["value"]
        record["timings"]["train_seconds"] = 1e-6 * macs**slope * (1 + 0.1 * record["seed"])
        return record

    return spoil


@pytest.mark.parametrize("slope", [0.5, 1.0])
def test_the_planted_slope_of_training_time_is_found(tmp_path, slope):
    found = told(write(tmp_path, "depth", seeds=3, spoil=timed(slope)))
    chart = latency.training(found.summary)
    assert f"slope {slope:.2f}" in chart.caption and "(Spearman) 1.00 over 8 nets" in chart.caption
    first = min(data(chart, "circle"), key=lambda d: d["cost"])
    one = 1000 * 1e-6 * 6e6**slope / (40 * 50)
    assert (first["low"], first["mean"], first["high"]) == pytest.approx(
        (one, 1.1 * one, 1.2 * one)
    )


def test_too_few_nets_or_equal_ones_have_no_such_chart(tmp_path):
    assert latency.training(told(write(tmp_path / "a", "train", seeds=3)).summary) is None
    assert speed.through([]) is None

    def same(record, number):
        record["measures"]["macs"]["value"] = 7
        return timed(1.0)(record, number)

    found = told(write(tmp_path / "b", "depth", seeds=2, spoil=same))
    assert latency.training(found.summary) is None
