"""Accuracy by the size of the object and the net's receptive field: why a larger filter helps."""

from cnnjax.report import theme, words
from cnnjax.report.breakdown import Breakdown
from cnnjax.report.charts.accuracy import INTERVAL, MEAN
from cnnjax.report.charts.parts import (
    Chart,
    Key,
    Spec,
    above_chance,
    chance_rule,
    colour,
    layer,
    log_axis,
    share_axis,
    share_domain,
    tooltip,
    view,
)
from cnnjax.report.points import Summary, distinct

SIZES = ("scale", "size", "object size")  # What datasets call the side of an object, in pixels.
HEIGHT = 280


def fields(s: Summary, b: Breakdown) -> Chart | None:
    """A line a bin of sizes across the receptive fields, a view a series whose points differ in
    them, each from each."""
    if b.name not in SIZES:
        return None
    keys = tuple(
        Key(f"{name} pixels", hue, "line")
        for name, hue in zip(b.bins, theme.steps(len(b.bins)), strict=True)
    )
    rows = above_chance([row for row in s.rows if row.measures["receptive_field"]])
    data = [
        {
            "series": row.series, "label": row.label, "point": row.id, "bin": key.label,
            "field": row.measures["receptive_field"],
            "told": words.pixels(row.measures["receptive_field"]), "mean": i.mean,
            "low": words.clipped(i)[0], "high": words.clipped(i)[1], "accuracy": words.accuracy(i),
        }
        for row in rows
        for key, i in zip(keys, b.cells.get(row.id, [None] * len(keys)), strict=True)
        if i is not None
    ]  # fmt: skip
    by = {series: [d for d in data if d["series"] == series] for series in s.series}
    by = {name: some for name, some in by.items() if _along(some)}
    shown = [d for some in by.values() for d in some]
    if not shown:
        return None
    domain = share_domain([d[end] for d in shown for end in ("low", "high")], s.chance)
    x = log_axis([d["field"] for d in shown], "receptive field (pixels, log scale)", "~g")
    views = [_view(some, name, keys, domain, x, s.chance) for name, some in by.items()]
    once = {row.id for row in distinct(rows)}
    told = [f"{d['bin']} at {d['told']}: {d['accuracy']}" for d in shown if d["point"] in once]
    return Chart(
        name="fields-by-size",
        title="What a wider field does for objects of each size",
        caption="Test accuracy by the side of the object against the receptive field of the last "
        "map, with 95% intervals. Where the lines draw apart a wider field serves some sizes more "
        "than others; other things than the field may change along them.",
        alt="Test accuracy by object size and receptive field. " + words.listed(told),
        views=tuple(views),
        legend=keys,
        wide=len(views) > 1,
    )


def _along(data: list[dict]) -> bool:
    places = {d["point"]: d["field"] for d in data}
    return len(places) == len(set(places.values())) > 1


def _view(
    data: list[dict], title: str, keys: tuple[Key, ...], domain: tuple[float, float], x: Spec,
    chance: float | None,
) -> Spec:  # fmt: skip
    x = {"field": "field", **x}
    y = {"field": "mean", **share_axis(domain, "test accuracy")}
    hue = colour("bin", keys)
    tips = tooltip(label="point", bin="object", told="receptive field", accuracy="accuracy")
    layers = [
        *chance_rule(chance, domain),
        layer(data, {"type": "line", "strokeWidth": 2}, x=x, y=y, color=hue),
        layer(data, INTERVAL, x=x, y=y | {"field": "low"}, y2={"field": "high"}, color=hue),
        layer(data, MEAN | {"size": 60}, x=x, y=y, color=hue, tooltip=tips),
    ]
    return view(layers, HEIGHT, title)
