"""Accuracy against compute, along the study's axis, and on training images against test."""

import math
from collections.abc import Mapping

from cnnjax.report import theme, words
from cnnjax.report.charts.parts import (
    Chart,
    Key,
    Spec,
    apart,
    chance_rule,
    layer,
    legend,
    log_axis,
    scores,
    series_keys,
    shape,
    share_axis,
    share_domain,
    tooltip,
    view,
    x_axis,
)
from cnnjax.report.charts.parts import colour as colour_by
from cnnjax.report.points import Row, Summary

TIP = {"name": "point", "accuracy": "accuracy", "cost": "MACs", "n": "seeds"}
SEED = {"type": "circle", "size": 16, "opacity": 0.45}
MEAN = {"type": "point", "filled": True, "size": 90, "opacity": 1}
INTERVAL = {"type": "rule", "strokeWidth": 2}


def pareto(s: Summary) -> Chart | None:
    """Accuracy against MACs with the front."""
    rows = [row for row in s.rows if s.score(row) and row.macs]
    if len({row.point.runs for row in rows}) < 2:
        return None
    keys = series_keys(s)
    domain = _domain(s)
    costs = [row.macs for row in rows]
    shift = _aside(rows, 0.008 * max(math.log10(max(costs) / min(costs)), 0.5))
    data = [scores(row, s.score(row), s.shown_name) | {"at": row.macs * 10**d}
            for row, d in zip(rows, shift, strict=True)]  # fmt: skip
    seeds = [
        {"series": row.series, "at": datum["at"], "mean": v}
        for row, datum in zip(rows, data, strict=True)
        for v in _seeds(s, row)
    ]
    front = [scores(s.rows[i], s.score(s.rows[i]), "") for i in s.front if s.score(s.rows[i])]
    x = {"field": "at", **log_axis(costs, "MACs per image (multiply-accumulates, log scale)")}
    y = {"field": "mean", **share_axis(domain, f"{s.shown_name} accuracy")}
    look = {"color": colour_by("series", keys), "shape": shape("series", keys)}
    height = 340
    ends = {"y": y | {"field": "low"}, "y2": {"field": "high"}}
    layers = [
        layer(front, {"type": "line", "color": theme.var("strong"), "opacity": 0.45,
                      "strokeWidth": 7, "strokeCap": "round", "strokeJoin": "round"},
              x=x | {"field": "macs"}, y=y, order={"field": "macs"}),
        *chance_rule(s.chance, domain),
        layer(seeds, SEED, x=x, y=y, color=look["color"]),
        layer(data, INTERVAL, x=x, **ends, color=look["color"]),
        layer(data, MEAN, x=x, y=y, **look, tooltip=tooltip(**TIP)),
        layer(_labels(data, domain, height), {"type": "text", "align": "left", "dx": 10},
              x=x, y=y | {"field": "height"}, text={"field": "label"}),
    ]  # fmt: skip
    chosen = " Grey band: the Pareto front, selected on validation means." if len(front) > 1 else ""
    return Chart(
        name="compute",
        title="Accuracy against compute",
        caption=f"Means over seeds with 95% intervals; small dots are single seeds.{chosen}"
        f"{_below(s, domain)}",
        alt=f"{s.shown_name} accuracy against MACs. " + _told(s, rows),
        views=(view(layers, height),),
        legend=legend(keys),
        wide=True,
    )


def along(s: Summary) -> Chart | None:
    """Accuracy along the study's axis, a line a series; names stand beside each other's rows."""
    rows = [row for row in s.rows if s.score(row) and row.x is not None]
    if len({row.label for row in rows}) < 2:
        return None
    keys = series_keys(s)
    spec = (_along_numbers if s.numeric else _along_names)(s, rows, keys)
    return Chart(
        name="axis",
        title=f"Accuracy along {s.study.x_label or s.study.x_axis}",
        caption="Means over seeds with 95% intervals; small dots are single seeds.",
        alt=f"{s.shown_name} accuracy along {s.study.x_label}. " + _told(s, rows),
        views=(spec,),
        legend=legend(keys),
    )


def _along_numbers(s: Summary, rows: list[Row], keys: tuple[Key, ...]) -> Spec:
    domain = _domain(s)
    x = {"field": "at", **x_axis(s)}
    low, high = x["scale"]["domain"]
    wide = high / low if x["scale"]["type"] == "log" else high - low
    order = {key.label: i - (len(keys) - 1) / 2 for i, key in enumerate(keys)}
    data, seeds = [], []
    for row in rows:
        step = 0.012 * order[row.series]
        at = row.x * wide**step if x["scale"]["type"] == "log" else row.x + step * wide
        data.append(scores(row, s.score(row), s.shown_name) | {"at": at})
        seeds += [{"series": row.series, "at": at, "mean": v} for v in _seeds(s, row)]
    y = {"field": "mean", **share_axis(domain, f"{s.shown_name} accuracy")}
    look = {"color": colour_by("series", keys), "shape": shape("series", keys)}
    ends = {"y": y | {"field": "low"}, "y2": {"field": "high"}}
    layers = [
        *chance_rule(s.chance, domain),
        layer(data, {"type": "line", "strokeWidth": 2}, x=x, y=y, color=look["color"]),
        layer(seeds, SEED, x=x, y=y, color=look["color"]),
        layer(data, INTERVAL, x=x, **ends, color=look["color"]),
        layer(data, MEAN, x=x, y=y, **look, tooltip=tooltip(**TIP)),
    ]
    return view(layers, 280)


def _along_names(s: Summary, rows: list[Row], keys: tuple[Key, ...]) -> Spec:
    """A row a name, accuracy to the right: names of any length stay legible."""
    data = [scores(row, s.score(row), s.shown_name) for row in rows]
    seeds = [{"series": r.series, "label": r.label, "mean": v} for r in rows for v in _seeds(s, r)]
    domain = _domain(s)
    names = list(dict.fromkeys(row.label for row in rows))
    x = {"field": "mean", **share_axis(domain, f"{s.shown_name} accuracy", tickCount=5)}
    y = name_axis("label", names)
    aside = {"yOffset": {"field": "series"}} if len(keys) > 1 else {}
    look = {"color": colour_by("series", keys), **aside}
    ends = {"x": x | {"field": "low"}, "x2": {"field": "high"}}
    layers = [
        *chance_rule(s.chance, domain, "x"),
        layer(seeds, SEED, y=y, x=x, **look),
        layer(data, INTERVAL, y=y, **ends, **look),
        layer(data, MEAN, y=y, x=x, shape=shape("series", keys), tooltip=tooltip(**TIP), **look),
    ]
    return view(layers, max(28 * len(names) * max(1, len(keys) * 0.7), 60))


def name_axis(field: str, names: list[str]) -> Spec:
    """Rows by name in the given order."""
    return {
        "field": field,
        "type": "nominal",
        "scale": {"domain": names},
        "axis": {"title": None, "labelLimit": 170, "labelColor": theme.var("ink")},
    }


def training_gap(s: Summary) -> Chart | None:
    """Training against test accuracy, a row a point."""
    rows = [row for row in _unique(s) if s.score(row) and row.scores["train"]]
    if not rows:
        return None
    keys = (Key("train", theme.var("strong")), Key(s.shown_name, theme.var("c0")))
    data = [
        scores(row, row.scores[split], name) | {"split": name, "row": _short(s, row)}
        for row in rows
        for split, name in (("train", "train"), (s.shown, s.shown_name))
    ]
    lines = [
        {"row": _short(s, row), "low": s.score(row).mean, "high": row.scores["train"].mean}
        for row in rows
    ]
    domain = share_domain([d[k] for d in data for k in ("low", "high")], None)
    x = {"field": "mean", **share_axis(domain, "accuracy")}
    y = name_axis("row", [_short(s, row) for row in rows])
    ends = {"x": x | {"field": "low"}, "x2": {"field": "high"}}
    link = {"type": "rule", "strokeWidth": 5, "opacity": 0.35, "strokeCap": "round"}
    tips = tooltip(name="point", split="on", accuracy="accuracy")
    layers = [
        layer(lines, link, y=y, **ends),
        layer(data, INTERVAL, y=y, **ends, color=colour_by("split", keys)),
        layer(data, MEAN, y=y, x=x, color=colour_by("split", keys), tooltip=tips),
    ]
    return Chart(
        name="gap",
        title=f"Training against {s.shown_name}",
        caption="On clean training images, without augmentation; the bar between is the gap.",
        alt=f"Accuracy on training and on {s.shown_name} images: "
        + "; ".join(f"{d['row']}, {d['split']} {d['accuracy']}" for d in data),
        views=(view(layers, max(26 * len(rows), 60)),),
        legend=legend(keys),
    )  # fmt: skip


def _unique(s: Summary) -> list[Row]:
    """Rows along the series; a point in two series once."""
    rows = [row for series in s.series for row in s.of(series)]
    return list({row.point.runs: row for row in reversed(rows)}.values())[::-1]


def _short(s: Summary, row: Row) -> str:
    return row.name if len(s.series) > 1 else row.label


def _domain(s: Summary) -> tuple[float, float]:
    values = [v for row in s.rows for v in _seeds(s, row)]
    ends = [e for row in s.rows if s.score(row) for e in words.clipped(s.score(row))]
    return share_domain([*values, *ends], s.chance)


def _seeds(s: Summary, row: Row) -> list[float]:
    name = f"{s.shown}_accuracy"
    return [v for r in row.done if (v := r.metrics.get(name)) is not None]


def _aside(rows: list[Row], step: float) -> list[float]:
    """How far to move points that stand in several series, so that each can be seen."""
    seen: dict[tuple[str, ...], int] = {}
    total = {row.point.runs: sum(r.point.runs == row.point.runs for r in rows) for row in rows}
    moves = []
    for row in rows:
        i = seen[row.point.runs] = seen.get(row.point.runs, -1) + 1
        moves.append(step * (2 * i - total[row.point.runs] + 1))
    return moves


def _labels(data: list[Mapping], domain: tuple[float, float], height: int) -> list[dict]:
    """One label a place, moved apart where they would overlap."""
    once = list({(d["label"], d["macs"]): d for d in data}.values())
    places = [(math.log10(d["at"]), d["mean"]) for d in once]
    span = (domain[1] - domain[0]) or 1
    width = max(x for x, _ in places) - min(x for x, _ in places)
    heights = apart(places, 0.08 * width + 1e-9, 14 * span / height)
    return [{**d, "height": h} for d, h in zip(once, heights, strict=True)]


def _below(s: Summary, domain: tuple[float, float]) -> str:
    if s.chance is None or domain[0] <= s.chance:
        return ""
    return f" Chance is {100 * s.chance:.3g}%, below the axis."


def _told(s: Summary, rows: list[Row]) -> str:
    return "; ".join(
        f"{row.name}: {words.accuracy(s.score(row))} at {words.si(row.macs)}" for row in rows
    )
