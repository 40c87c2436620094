"""Steps to the study's goal, a row a point."""

from cnnjax.report import goal, theme
from cnnjax.report.charts.accuracy import INTERVAL, MEAN
from cnnjax.report.charts.parts import (
    Chart,
    colour,
    layer,
    legend,
    log_axis,
    name_axis,
    series_keys,
    spaced,
    tooltip,
    view,
)
from cnnjax.report.points import Summary

SEED = {"type": "circle", "size": 16, "opacity": 0.45}


def steps(s: Summary) -> Chart | None:
    """Each seed's steps to the goal, and their geometric mean with its interval."""
    every = goal.reached(s)
    rows = spaced(every)
    there = [r for r in rows if r.typical]
    if not there:
        return None
    seeds = [
        {"name": r.row.name, "series": r.row.series, "steps": n, "point": r.row.id}
        for r in there
        for n in r.steps
    ]
    means = []
    for r in there:
        i = r.typical
        low, high = (i.low, i.high) if i.known else (i.mean, i.mean)
        means.append({"name": r.row.name, "series": r.row.series, "steps": i.mean, "low": low,
                      "high": high, "told": goal.steps(r), "point": r.row.id,
                      "seeds": f"{len(r.steps)} of {r.tried}"})  # fmt: skip
    names = [r.row.name for r in rows]
    values = [v for d in means for v in (d["low"], d["high"])] + [d["steps"] for d in seeds]
    keys = series_keys(s)
    x = log_axis(values, "training steps (log scale)", "~s")
    y, hue = name_axis("name", names), colour("series", keys)
    never = [{"name": r.row.name, "text": "not reached"} for r in rows if not r.steps]
    tips = tooltip(name="point", told="steps", seeds="seeds that reached it")
    layers = [
        layer(never, {"type": "text", "align": "left", "color": theme.var("muted")},
              y=y, x={"value": 6}, text={"field": "text"}),
        layer(seeds, SEED, y=y, x=x | {"field": "steps"}, color=hue),
        layer(means, INTERVAL, y=y, x=x | {"field": "low"}, x2={"field": "high"}, color=hue),
        layer(means, MEAN, y=y, x=x | {"field": "steps"}, color=hue, tooltip=tips),
    ]  # fmt: skip
    what = goal.name(s)
    return Chart(
        name="goal",
        title=f"Steps to {what}",
        caption="Small dots are seeds; the large one is their geometric mean with its 95% "
        "interval, over the seeds that came there."
        + (f" {len(rows)} points of {len(every)}, evenly along." if len(rows) < len(every) else ""),
        alt=goal.told(s),
        views=(view(layers, 30 * len(names)),),
        legend=legend(keys),
    )
