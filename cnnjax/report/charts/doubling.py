"""What a doubling of compute bought: a row a series, the largest gain first."""

from collections.abc import Sequence

from cnnjax.report import doubling, theme, words
from cnnjax.report.answers import steps
from cnnjax.report.charts.accuracy import INTERVAL, MEAN
from cnnjax.report.charts.differences import VERDICT_NAMES, VERDICTS
from cnnjax.report.charts.parts import Chart, colour, layer, name_axis, tooltip, view
from cnnjax.report.comparisons import Comparison
from cnnjax.report.doubling import Gain
from cnnjax.report.points import Summary

STEP = {"type": "point", "size": 55, "filled": False, "strokeWidth": 1.5, "opacity": 0.75}


def gains(s: Summary, found: Sequence[Gain], comparisons: Sequence[Comparison]) -> Chart | None:
    """Gains per doubling with intervals and ranks, and each single step's gain as a ring."""
    if not found:
        return None
    data, single = [], []
    for g in found:
        name = ", ".join(filter(None, [g.series or s.study.x_axis, g.rank]))
        ends = (g.slope.low, g.slope.high) if g.slope.known else (g.slope.mean, g.slope.mean)
        data.append({
            "name": name, "mean": 100 * g.slope.mean, "low": 100 * ends[0], "high": 100 * ends[1],
            "verdict": VERDICT_NAMES[g.verdict], "told": words.gap(g.slope), "rank": g.rank or "–",
        })  # fmt: skip
        single += [
            {"name": name, "mean": 100 * c.doubling.mean, "step": c.label,
             "told": words.gap(c.doubling)}
            for c in steps(g, comparisons)
        ]  # fmt: skip
    ends = [0.0, *(d[k] for d in data for k in ("low", "high")), *(d["mean"] for d in single)]
    air = 0.05 * (max(ends) - min(ends)) or 1.0
    x = {
        "field": "mean", "type": "quantitative",
        "scale": {"domain": [min(ends) - air, max(ends) + air], "nice": False},
        "axis": {"title": "points per doubling of training MACs", "format": "+~r", "grid": True,
                 "domain": False, "tickCount": 6},
    }  # fmt: skip
    y = name_axis("name", [d["name"] for d in data])
    hue = colour("verdict", VERDICTS)
    zero = {"type": "rule", "color": theme.var("ink"), "opacity": 0.6}
    layers = [
        layer([{"mean": 0}], zero, x=x),
        layer(single, STEP | {"color": theme.var("muted")}, y=y, x=x,
              tooltip=tooltip(step="step", told="gain a doubling")),
        layer(data, INTERVAL | {"strokeWidth": 4, "opacity": 0.6}, y=y, color=hue,
              x=x | {"field": "low"}, x2={"field": "high"}),
        layer(data, MEAN | {"size": 120}, y=y, x=x, color=hue,
              tooltip=tooltip(name="series", told="gain a doubling", rank="rank")),
    ]  # fmt: skip
    ranked = (
        " Ranks are those that the differences between gains leave open; all hold together."
        if len(found) > 1
        else ""
    )
    return Chart(
        name="doubling",
        title="What a doubling of compute buys",
        caption=f"Gain in {s.shown_name} accuracy per doubling of training MACs, with 95% "
        f"intervals; rings are single steps.{ranked}",
        alt=doubling.told(s, found),
        views=(view(layers, 36 * len(data)),),
        legend=VERDICTS,
        wide=len(found) > 1,
    )
