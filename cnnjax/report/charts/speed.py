"""What nets take on a machine: latency against their cost, images a second, compilation."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

from cnnjax.report import scaling, speed, theme, words
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

HEIGHT, WIDTH = 420, 980  # Pixels for which labels are laid out.
LETTER, LINE = 6.4, 14  # Pixels of a label's letter and line.
SPREAD = {"type": "rule", "strokeWidth": 2}
DOT = {"type": "circle", "size": 70, "opacity": 1}
QUARTILES = "Dots are medians, lines quartiles of repeated calls; both axes are logarithmic."
Box = tuple[float, float, float, float]  # Left, top, right, bottom.


def latency(s: Summary, cost: str) -> Chart | None:
    """One image's latency against a cost, with the line of least squares."""
    title = speed.COSTS[cost]
    rows = [row for row in s.rows if row.readings.get(cost) and row.readings.get(speed.LATENCY)]
    if len(rows) < 2:
        return None
    data = [_datum(row, "latency", row.readings[cost]) for row in rows]
    x = {"field": "cost", **log_axis([d["cost"] for d in data], f"{title} per image (log scale)")}
    ends = [d[end] for d in data for end in ("low", "high")]
    y = {"field": "mean", **log_axis(ends, "latency of one image, ms (log scale)", "~g")}
    y["axis"]["tickCount"] = 2 * len(y["axis"]["values"])  # Fewer, and Vega leaves some blank.
    law = speed.law(s, cost)
    line = []
    if law:
        across = [d["cost"] for d in data]
        line = [{"cost": v, "mean": law.expected(v)} for v in (min(across), max(across))]
    tips = tooltip(name="net", told="latency", costs=title)
    labels = _labels(data, x["scale"]["domain"], y["scale"]["domain"])
    dash = {"type": "line", "strokeDash": [4, 4], "color": theme.var("strong"), "strokeWidth": 1.5,
            "clip": True}  # fmt: skip
    blue = {"color": theme.var("c0")}
    layers = [
        layer(line, dash, x=x, y=y),
        layer(data, SPREAD | blue, x=x, y=y | {"field": "low"}, y2={"field": "high"}),
        layer(data, DOT | blue, x=x, y=y, tooltip=tips),
        *(
            layer(
                [d for d in labels if d["align"] == align],
                {"type": "text", "align": align, "baseline": "middle"},
                x=x | {"field": "right"}, y=y | {"field": "height"}, text={"field": "name"},
            )
            for align in ("left", "center", "right")
        ),
    ]  # fmt: skip
    said = ""
    if law:
        said = (
            f" Dashed: least squares through the logarithms (slope {law.slope:.2f}). Rank "
            f"correlation (Spearman) {law.rank:.2f} over {len(law.rows)} nets."
        )
    return Chart(
        name=f"latency-{cost}",
        title=f"Latency against {title}",
        caption=QUARTILES + said,
        alt=f"Latency against {title}. "
        + "; ".join(f"{d['name']}: {d['told']} at {d['costs']}" for d in data),
        views=(view(layers, HEIGHT),),
        wide=True,
    )


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


def _datum(row: Row, program: str, cost: float) -> dict[str, Any]:
    median, low, high = (row.readings.get(f"{program}_{n}") for n in ("ms", "q1_ms", "q3_ms"))
    return {
        "name": row.name, "cost": cost, "costs": words.si(cost), "mean": median, "point": row.id,
        "low": low or median, "high": high or median, "told": speed.timed(row, program),
    }  # fmt: skip


def _labels(data: list[dict], x: Sequence[float], y: Sequence[float]) -> list[dict]:
    """Each name where it covers no dot and no other name, nearest its own dot; those of a crowd
    that find no such place are left to the tooltips."""

    def share(v: float, ends: Sequence[float]) -> float:
        return math.log(v / ends[0]) / math.log(ends[1] / ends[0])

    def down(d: dict, name: str) -> float:
        return HEIGHT * (1 - share(d[name], y))

    places = [(WIDTH * share(d["cost"], x), down(d, "mean")) for d in data]
    taken: list[Box] = [
        (at - 5, min(up - 5, down(d, "high")), at + 5, max(up + 5, down(d, "low")))
        for d, (at, up) in zip(data, places, strict=True)
    ]
    found = []
    # The outermost first: they have room, and are those that one asks for.
    middle = [sum(v) / len(v) for v in zip(*places, strict=True)]
    order = sorted(range(len(data)), key=lambda i: -math.dist(places[i], middle))
    for i in order:
        wide = LETTER * len(data[i]["name"])
        for dx, dy, align in _around():
            left = places[i][0] + dx - {"left": 0, "center": wide / 2, "right": wide}[align]
            top = places[i][1] + dy - LINE / 2
            box = (left, top, left + wide, top + LINE)
            inside = left > 0 and box[2] < WIDTH + 40 and top > 0 and box[3] < HEIGHT
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                at = (left + {"left": 0, "center": wide / 2, "right": wide}[align]) / WIDTH
                up = 1 - (top + LINE / 2) / HEIGHT
                found.append({
                    "name": data[i]["name"], "align": align,
                    "right": x[0] * (x[1] / x[0]) ** at, "height": y[0] * (y[1] / y[0]) ** up,
                })  # fmt: skip
                break
    return found


def _around() -> list[tuple[float, float, str]]:
    """Offsets from a dot, the nearest first."""
    found: list[tuple[float, float, str]] = [(9, 0, "left"), (-9, 0, "right")]
    for far in (12, 22):
        found += [(8, -far, "left"), (8, far, "left"), (-8, -far, "right"), (-8, far, "right")]
        found += [(0, -far - 2, "center"), (0, far + 2, "center")]
    return found


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
