"""What nets take on a machine: images a second, and compilation."""

import itertools
from collections.abc import Sequence
from typing import Any

from cnnjax.report import scaling, theme, words
from cnnjax.report.charts.latency import DOT
from cnnjax.report.charts.parts import (
    Chart,
    Key,
    Spec,
    colour,
    layer,
    log_axis,
    name_axis,
    tooltip,
    view,
)
from cnnjax.report.points import Row, Summary


def rates(s: Summary) -> Chart | None:
    """Images a second, inference and training, a row a net."""
    keys = (Key("inference", theme.var("c0")), Key("training", theme.var("c1")))
    names = ("images_per_second", "train_images_per_second")
    rows = [row for row in s.rows if any(row.readings.get(name) for name in names)]
    rows = sorted(rows, key=lambda row: -(row.readings.get(names[1]) or 0))
    data = [
        _part(row, row.readings[name], key.label, f"{words.si(row.readings[name])} images/s")
        for row in rows
        for name, key in zip(names, keys, strict=True)
        if row.readings.get(name)
    ]
    if not data or scaling.used(s):
        return None
    x = log_axis([d["value"] for d in data], "images a second (log scale)")
    return Chart(
        name="rates",
        title="Images a second",
        caption="Inference of a batch, and training steps; sorted by training.",
        alt="Images a second: " + "; ".join(f"{d['name']}, {d['of']}: {d['told']}" for d in data),
        views=(_dots(rows, data, keys, x),),
        legend=keys,
    )


def compiling(s: Summary) -> Chart | None:
    """Seconds to compile, a row a net."""
    keys = (Key("inference", theme.var("c0")), Key("training step", theme.var("c1")))
    names = ("inference_compile_seconds", "train_step_compile_seconds")
    rows = [row for row in s.rows if any(row.readings.get(name) for name in names)]
    rows = sorted(rows, key=lambda row: row.readings.get(names[1]) or 0)
    data = [
        _part(row, row.readings[name], key.label, f"{words.si(row.readings[name])} s")
        for row in rows
        for name, key in zip(names, keys, strict=True)
        if row.readings.get(name)
    ]
    if not data:
        return None
    x = {"type": "quantitative", "scale": {"zero": True, "nice": False},
         "axis": {"title": "seconds", "format": "~s"}}  # fmt: skip
    return Chart(
        name="compiling",
        title="Time to compile",
        caption="Tracing included, nothing taken from a cache.",
        alt="Seconds to compile: "
        + "; ".join(f"{d['name']}, {d['of']}: {d['told']}" for d in data),
        views=(_dots(rows, data, keys, x),),
        legend=keys,
    )


def _dots(rows: Sequence[Row], data: list[dict], keys: tuple[Key, ...], x: Spec) -> Spec:
    """Two dots a net with a bar between."""
    y = name_axis("name", [row.name for row in rows])
    links = [
        {"name": name, "value": min(values), "end": max(values)}
        for name, some in itertools.groupby(data, key=lambda d: d["name"])
        if (values := [d["value"] for d in some])
    ]
    link = {"type": "rule", "strokeWidth": 5, "opacity": 0.35, "strokeCap": "round"}
    tips = tooltip(name="net", of="of", told="measured")
    x = {"field": "value", **x}
    layers = [
        layer(links, link, y=y, x=x, x2={"field": "end"}),
        layer(data, DOT, y=y, x=x, color=colour("of", keys), tooltip=tips),
    ]
    return view(layers, max(24 * len(rows), 60))


def _part(row: Row, v: float, of: str, told: str) -> dict[str, Any]:
    return {"name": row.name, "value": v, "of": of, "told": told, "point": row.id}
