"""Images a second against devices, and how well they share."""

from cnnjax.report import scaling, theme, words
from cnnjax.report.charts.parts import (
    Chart,
    colour,
    layer,
    legend,
    log_axis,
    series_keys,
    tooltip,
    view,
)
from cnnjax.report.points import Summary

HEIGHT = 300


def devices(s: Summary) -> Chart | None:
    """Both regimes, with what perfect sharing would come to."""
    rows = scaling.measured(s)
    if len({row.x for row in rows}) < 2:
        return None
    data = [
        {
            "series": row.series,
            "name": row.name,
            "devices": row.x,
            "rate": row.readings[scaling.RATE],
            "efficiency": scaling.efficiency(s, row),
            "told": f"{words.si(row.readings[scaling.RATE])} images/s",
            "share": words.percent(scaling.efficiency(s, row)),
        }
        for row in rows
    ]
    keys = series_keys(s)
    counts = sorted({d["devices"] for d in data})
    first = {d["series"]: d for d in reversed(data) if d["devices"] == counts[0]}
    ideal = [
        {"series": name, "devices": n, "rate": d["rate"] * n / counts[0], "efficiency": 1.0}
        for name, d in first.items()
        for n in (counts[0], counts[-1])
    ]
    x = {"field": "devices", **log_axis(counts, "devices (log scale)", "d")}
    x["axis"]["values"] = counts
    dash = {"type": "line", "strokeDash": [4, 4], "color": theme.var("strong"), "strokeWidth": 1.2}
    tips = tooltip(name="point", told="measured", share="efficiency")

    def one(field: str, y: dict, title: str) -> dict:
        hue = colour("series", keys)
        y = {"field": field, **y}
        return view(
            [
                layer(ideal, dash, x=x, y=y, detail={"field": "series", "type": "nominal"}),
                layer(data, {"type": "line", "strokeWidth": 2}, x=x, y=y, color=hue),
                layer(data, {"type": "circle", "size": 70, "opacity": 1}, x=x, y=y, color=hue,
                      tooltip=tips),
            ],
            HEIGHT,
            title=title,
        )  # fmt: skip

    rates = [d["rate"] for d in [*data, *ideal]]
    top = max(1.0, *(d["efficiency"] for d in data))
    share = {"type": "quantitative", "scale": {"domain": [0, 1.05 * top], "nice": False},
             "axis": {"title": "efficiency", "format": ".0%"}}  # fmt: skip
    return Chart(
        name="scaling",
        title="Training speed on several devices",
        caption="Dashed: what perfect sharing would come to from the fewest devices on.",
        alt="; ".join(f"{d['name']}: {d['told']}, efficiency {d['share']}" for d in data),
        views=(
            one("rate", log_axis(rates, "images a second (log scale)"), "images a second"),
            one("efficiency", share, "efficiency"),
        ),
        legend=legend(keys),
        wide=True,
    )
