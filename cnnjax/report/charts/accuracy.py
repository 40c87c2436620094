"""Accuracy against compute, and along the study's axis."""

import collections
import math
from collections.abc import Sequence

from cnnjax.report import theme, words
from cnnjax.report.charts.labels import labels
from cnnjax.report.charts.parts import (
    CROWD,
    Chart,
    Key,
    Spec,
    above_chance,
    chance_rule,
    few,
    layer,
    legend,
    log_axis,
    name_axis,
    scores,
    seeds_told,
    series_keys,
    shape,
    share_axis,
    share_domain,
    tooltip,
    view,
    x_axis,
)
from cnnjax.report.charts.parts import colour as colour_by
from cnnjax.report.fits import Law
from cnnjax.report.points import SETTING, Row, Summary

TIP = {"name": "point", "accuracy": "accuracy", "cost": "MACs", "n": "seeds"}
SEED = {"type": "circle", "size": 16, "opacity": 0.45}
MEAN = {"type": "point", "filled": True, "size": 90, "opacity": 1}
NAMED = CROWD  # Labels that a chart has room for.
INTERVAL = {"type": "rule", "strokeWidth": 2}


def pareto(s: Summary, laws: Sequence[Law] = ()) -> Chart | None:
    """Accuracy against MACs with the front, and the power laws that the errors follow."""
    rows = [row for row in s.rows if s.score(row) and s.cost(row)]
    if len({row.point.runs for row in rows}) < 2:
        return None
    keys = series_keys(s)
    domain = _domain(s)
    drawn = [law for law in laws if law.found and law.measure == s.costs]
    costs = [s.cost(row) for row in rows]
    shift = _aside(rows, 0.008 * max(math.log10(max(costs) / min(costs)), 0.5))
    data = [
        scores(row, s.score(row), s.shown_name)
        | {
            "at": s.cost(row) * 10**d,
            "place": f"{row.label} {s.cost(row)}",
            "macs": s.cost(row),
            "cost": words.si(s.cost(row)),
            "sure": words.chance(sure) if (sure := s.sure(row)) is not None else "–",
        }
        for row, d in zip(rows, shift, strict=True)
    ]
    # Of samples and crowds the nets on the front alone are named, the others by their tooltips.
    every = not s.sampled and len(rows) <= NAMED
    named = [d for d in data if every or d["point"] in s.front][:NAMED]
    seeds = [
        {"series": row.series, "at": datum["at"], "mean": v, "point": row.id}
        for row, datum in zip(rows, data, strict=True)
        for v in row.values(s.shown)
    ]
    front = [
        scores(row, s.score(row), "") | {"macs": s.cost(row)}
        for row in (s.rows[i] for i in s.front)
        if s.score(row)
    ]
    whose = "of the training" if s.of_compute else "per image"
    x = {"field": "at", **log_axis(costs, f"MACs {whose} (multiply-accumulates, log scale)")}
    y = {"field": "mean", **share_axis(domain, f"{s.shown_name} accuracy")}
    look = {"color": colour_by("series", keys), "shape": shape("series", keys)}
    height = 340
    ends = {"y": y | {"field": "low"}, "y2": {"field": "high"}}
    layers = [
        layer(front, {"type": "line", "color": theme.var("strong"), "opacity": 0.45,
                      "strokeWidth": 7, "strokeCap": "round", "strokeJoin": "round"},
              x=x | {"field": "macs"}, y=y, order={"field": "macs"}),
        *_curves(drawn, domain, x, y, look["color"]),
        *chance_rule(s.chance, domain, edge=not _off(data, domain)),
        layer(_on(few(seeds), domain), SEED, x=x, y=y, color=look["color"]),
        layer(_on(data, domain), INTERVAL, x=x, **ends, color=look["color"]),
        layer(_on(data, domain), MEAN, x=x, y=y, **look,
              tooltip=tooltip(**TIP, sure="on the Pareto front")),
        *_beyond(data, domain, "y", x=x, color=look["color"]),
        layer(labels(_on(named, domain), domain, height),
              {"type": "text", "align": "left", "dx": 10},
              x=x, y=y | {"field": "height"}, text={"field": "label"}),
    ]  # fmt: skip
    chosen = " Grey band: the Pareto front, selected on validation means." if len(front) > 1 else ""
    chosen += " Dashed: the power law of the error, with its 95% band." if drawn else ""
    return Chart(
        name="compute",
        title="Accuracy against compute",
        caption=f"Means over seeds with 95% intervals; {seeds_told(s)}.{chosen}"
        f"{_edge(s, data, domain)}",
        alt=f"{s.shown_name} accuracy against MACs. " + _told(s, rows),
        views=(view(layers, height),),
        legend=legend(keys),
        wide=True,
    )


def _curves(
    laws: Sequence[Law], domain: tuple[float, float], x: Spec, y: Spec, hue: Spec
) -> list[Spec | None]:
    """The fitted curves and their bands, as far as the axis shows them."""
    low, high = domain
    data = [
        {"series": law.series, "at": cost, "mean": 1 - error,
         "low": max(1 - above, low), "high": min(1 - below, high)}
        for law in laws
        for cost, error, below, above in law.fit.points
        if low <= 1 - error <= high
    ]  # fmt: skip
    ends = {"y": y | {"field": "low"}, "y2": {"field": "high"}}
    return [
        layer(data, {"type": "area", "opacity": 0.12}, x=x, **ends, color=hue),
        layer(data, {"type": "line", "strokeWidth": 1.5, "strokeDash": [5, 4]},
              x=x, y=y, color=hue),
    ]  # fmt: skip


def along(s: Summary) -> Chart | None:
    """Accuracy along the study's axis, a line a series; names stand beside each other's rows."""
    rows = [row for row in s.rows if s.score(row) and row.x is not None]
    rows = [row for row in rows if not row.point.axes.get(SETTING)]  # They stand at one place.
    if len({row.label for row in rows}) < 2:
        return None
    there = {row.series for row in rows}
    keys = tuple(key for key in series_keys(s) if key.label in there)
    every = rows
    if not s.numeric:
        rows = _best(rows)
    most = f" The best {len(rows)} of {len(every)} on validation." if len(rows) < len(every) else ""
    spec = (_along_numbers if s.numeric else _along_names)(s, rows, keys)
    return Chart(
        name="axis",
        title=f"Accuracy along {s.study.x_label or s.study.x_axis}",
        caption=f"Means over seeds with 95% intervals; {seeds_told(s)}."
        + _edge(s, [{"mean": s.score(row).mean} for row in rows], _domain(s))
        + most,
        alt=f"{s.shown_name} accuracy along {s.study.x_label}. " + _told(s, rows),
        views=(spec,),
        legend=legend(keys),
        wide=s.of_compute,
    )


def _best(rows: list[Row]) -> list[Row]:
    """The rows; of more names than one reads the best on validation."""
    means = [row.scores["val"].mean if row.scores["val"] else -math.inf for row in rows]
    kept = sorted(range(len(rows)), key=lambda i: -means[i])[:CROWD]
    return [rows[i] for i in sorted(kept)]


def _along_numbers(s: Summary, rows: list[Row], keys: tuple[Key, ...]) -> Spec:
    domain = _domain(s)
    x = {"field": "at", **x_axis(s, rows)}
    low, high = x["scale"]["domain"]
    wide = high / low if x["scale"]["type"] == "log" else high - low
    order = {key.label: i - (len(keys) - 1) / 2 for i, key in enumerate(keys)}
    data, seeds = [], []
    for row in rows:
        step = 0.012 * order[row.series]
        at = row.x * wide**step if x["scale"]["type"] == "log" else row.x + step * wide
        data.append(scores(row, s.score(row), s.shown_name) | {"at": at})
        seeds += [
            {"series": row.series, "at": at, "mean": v, "point": row.id}
            for v in row.values(s.shown)
        ]
    y = {"field": "mean", **share_axis(domain, f"{s.shown_name} accuracy")}
    look = {"color": colour_by("series", keys), "shape": shape("series", keys)}
    ends = {"y": y | {"field": "low"}, "y2": {"field": "high"}}
    on = _on(data, domain)
    layers = [
        *chance_rule(s.chance, domain, edge=not _off(data, domain)),
        layer(on, {"type": "line", "strokeWidth": 2}, x=x, y=y, color=look["color"]),
        layer(_on(few(seeds), domain), SEED, x=x, y=y, color=look["color"]),
        layer(on, INTERVAL, x=x, **ends, color=look["color"]),
        layer(on, MEAN, x=x, y=y, **look, tooltip=tooltip(**TIP)),
        *_beyond(data, domain, "y", x=x, color=look["color"]),
    ]
    return view(layers, 280)


def _along_names(s: Summary, rows: list[Row], keys: tuple[Key, ...]) -> Spec:
    """A row a name, accuracy to the right: names of any length stay legible."""
    data = [scores(row, s.score(row), s.shown_name) for row in rows]
    seeds = [
        {"series": r.series, "label": r.label, "mean": v, "point": r.id}
        for r in rows
        for v in r.values(s.shown)
    ]
    domain = _domain(s)
    names = list(dict.fromkeys(row.label for row in rows))
    x = {"field": "mean", **share_axis(domain, f"{s.shown_name} accuracy", tickCount=5)}
    y = name_axis("label", names)
    aside = {"yOffset": {"field": "series"}} if len(keys) > 1 else {}
    look = {"color": colour_by("series", keys), **aside}
    ends = {"x": x | {"field": "low"}, "x2": {"field": "high"}}
    layers = [
        *chance_rule(s.chance, domain, "x"),
        layer(_on(seeds, domain), SEED, y=y, x=x, **look),
        layer(_on(data, domain), INTERVAL, y=y, **ends, **look),
        layer(
            _on(data, domain),
            MEAN,
            y=y,
            x=x,
            shape=shape("series", keys),
            tooltip=tooltip(**TIP),
            **look,
        ),
        *_beyond(data, domain, "x", y=y, **look),
    ]
    return view(layers, max(28 * len(names) * max(1, len(keys) * 0.7), 60))


def _domain(s: Summary) -> tuple[float, float]:
    rows = above_chance([row for row in s.rows if s.score(row)])
    values = [v for row in rows for v in row.values(s.shown)]
    ends = [e for row in rows for e in words.clipped(s.score(row))]
    return share_domain([*values, *ends], s.chance)


def _beyond(data: list[dict], domain: tuple[float, float], axis: str, **where: Spec) -> list[Spec]:
    """Points below the axis as hollow triangles at its edge, each place named once."""
    off = [d | {"told": f"{d['label']} at chance"} for d in _off(data, domain)]
    y = axis == "y"
    named = {d.get("place", d["label"]): d for d in off}.values()
    edge = {"y": {"value": "height"}} if y else {"x": {"value": 0}}
    mark = {"type": "point", "shape": "triangle-down" if y else "triangle-left", "size": 70}
    text = {"type": "text", "fontSize": 11, "color": theme.var("muted"), "align": "left", "dx": 11}
    place = {k: v for k, v in where.items() if k in ("x", "y")}
    return [
        layer(off, mark | {"filled": False, "strokeWidth": 2},
              **where, **edge, tooltip=tooltip(**TIP)),
        layer(named, text | ({"dy": -9} if y else {}), **place, **edge, text={"field": "told"}),
    ]  # fmt: skip


def _aside(rows: list[Row], step: float) -> list[float]:
    """How far to move points that stand in several series, so that each can be seen."""
    seen: dict[tuple[str, ...], int] = {}
    total = collections.Counter(row.point.runs for row in rows)
    moves = []
    for row in rows:
        i = seen[row.point.runs] = seen.get(row.point.runs, -1) + 1
        moves.append(step * (2 * i - total[row.point.runs] + 1))
    return moves


def _on(data: list[dict], domain: tuple[float, float]) -> list[dict]:
    return [d for d in data if d["mean"] >= domain[0]]


def _off(data: list[dict], domain: tuple[float, float]) -> list[dict]:
    return [d for d in data if d["mean"] < domain[0]]


def _edge(s: Summary, data: list[dict], domain: tuple[float, float]) -> str:
    if s.chance is None or s.chance >= domain[0]:
        return ""
    chance = f"{100 * s.chance:.3g}%"
    if _off(data, domain):
        return f" Hollow triangles: points at chance ({chance}), below the axis."
    return f" Chance is {chance}, below the axis."


def _told(s: Summary, rows: list[Row]) -> str:
    return "; ".join(
        f"{row.name}: {words.accuracy(s.score(row))} at {words.si(row.macs)}" for row in rows
    )
