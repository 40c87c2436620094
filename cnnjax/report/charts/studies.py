"""Several studies in one picture: accuracy against compute, a colour a study."""

from collections.abc import Mapping

from cnnjax.report import theme, words
from cnnjax.report.charts.accuracy import INTERVAL, MEAN
from cnnjax.report.charts.parts import (
    Chart,
    Key,
    above_chance,
    colour,
    layer,
    legend,
    log_axis,
    shape,
    share_axis,
    share_domain,
    tooltip,
    view,
)
from cnnjax.report.points import Summary

TIP = {"study": "study", "name": "point", "accuracy": "accuracy", "cost": "MACs", "n": "seeds"}


def compute(summaries: Mapping[str, Summary]) -> Chart | None:
    """Accuracy on test images (validation where nothing was tested) against MACs an image."""
    rows = [
        (name, s, row)
        for name, s in summaries.items()
        for row in above_chance([row for row in s.rows if s.score(row) and row.macs])
    ]
    if not rows:
        return None
    names = list(summaries)
    looks = zip(names, theme.categories(len(names)), theme.shapes(len(names)), strict=True)
    keys = [Key(*look) for look in looks]
    data = []
    for name, s, row in rows:
        low, high = words.clipped(s.score(row))
        data.append({
            "study": name, "name": row.name, "macs": row.macs, "cost": words.si(row.macs),
            "mean": s.score(row).mean, "low": low, "high": high, "n": row.seeds,
            "accuracy": f"{words.accuracy(s.score(row))} {s.shown_name}",
        })  # fmt: skip
    domain = share_domain([d[k] for d in data for k in ("low", "high")], None)
    shown = words.listed(list(dict.fromkeys(s.shown_name for _, s, _ in rows)))
    costs = [d["macs"] for d in data]
    x = {"field": "macs", **log_axis(costs, "MACs per image (multiply-accumulates, log scale)")}
    y = {"field": "mean", **share_axis(domain, f"{shown} accuracy")}
    look = {"color": colour("study", keys), "shape": shape("study", keys)}
    ends = {"y": y | {"field": "low"}, "y2": {"field": "high"}}
    layers = [
        layer(data, INTERVAL, x=x, **ends, color=look["color"]),
        layer(data, MEAN, x=x, y=y, **look, tooltip=tooltip(**TIP)),
    ]
    return Chart(
        name="studies",
        title="Accuracy against compute",
        caption="Means over seeds with 95% intervals; points no better than guessing left out.",
        alt=f"{shown} accuracy against MACs of {words.listed(names)}: the table has the figures.",
        views=(view(layers, 380),),
        legend=legend(keys),
        wide=True,
    )
