"""What the charts are made of: Vega-Lite specifications as plain data.

Text from records stands only in data values and titles, never in an expression. Data that carry
`point`, a row's id, are linked: what is picked in one view stands out in all.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cnnjax.report import theme, words
from cnnjax.report.points import SETTING, Row, Summary
from cnnjax.study.stats import Interval

Spec = dict[str, Any]
CROWD = theme.CROWD
DOTS = 2000  # More single seeds are a grey cloud over their means.

PICKED = {"name": "picked", "value": None}  # What the page's script sets: {id: true}, or null.
# When a mark is as opaque as it is, and what share of that it has else.
LINKED = {"test": "!picked || picked[datum.point] || picked[datum.other]", "faint": 0.12}


@dataclasses.dataclass(frozen=True)
class Key:
    """One entry of a legend: a colour with a shape, `line` or `ring`."""

    label: str
    colour: str
    shape: str = "circle"


@dataclasses.dataclass(frozen=True)
class Chart:
    """A chart with the words it needs; several `views` are small multiples of one scale.

    `alt` says what the chart shows to who can't see it; `wide` charts take a whole row, their
    views side by side in up to so many `columns`.
    """

    name: str
    title: str
    caption: str
    alt: str
    views: tuple[Spec, ...]
    legend: tuple[Key, ...] = ()
    wide: bool = False
    columns: int = 3


def view(
    layers: Sequence[Spec | None], height: int, title: str = "", width: int | str = "container"
) -> Spec:
    """Layers over each other, as wide as the page gives where no width in pixels is given."""
    kept = [_linked(layer) for layer in layers if layer is not None]
    dots = [layer for layer in kept if _dots(layer)]
    if dots:  # The last are the most telling: means, over the seeds.
        dots[-1]["params"] = [{"name": "brush", "select": {"type": "interval"}}]
    return {"width": width, "height": height} | ({"title": title} if title else {}) | {
        "params": [PICKED], "layer": kept
    }  # fmt: skip


def _linked(layer: Spec) -> Spec:
    """The layer fainter where other points are picked. A line is linked if it is one point's: if
    its data are told apart by it."""
    mark, encoding = layer["mark"], layer["encoding"]
    whole = mark["type"] in ("line", "area") and "detail" not in encoding
    own = mark.get("opacity", 1)
    if whole or not own or "opacity" in encoding or "point" not in layer["data"]["values"][0]:
        return layer
    faint = {"value": LINKED["faint"] * own}
    condition = {"condition": {"test": LINKED["test"], "value": own}, **faint}
    return layer | {"encoding": encoding | {"opacity": condition}}


def still(view: Spec) -> Spec:
    """The view for paper, where nothing is picked."""
    layers = [
        {k: v for k, v in layer.items() if k != "params"}
        | {"encoding": {c: _alone(e) for c, e in layer["encoding"].items()}}
        for layer in view["layer"]
    ]
    return {k: v for k, v in view.items() if k != "params"} | {"layer": layers}


def _alone(channel: Any) -> Any:
    linked = isinstance(channel, dict) and "condition" in channel
    return {"value": channel["condition"]["value"]} if linked else channel


def _dots(layer: Spec) -> bool:
    """Whether they can be brushed: linked points with a place on the plane."""
    there = layer["mark"]["type"] in ("point", "circle") and {"x", "y"} <= set(layer["encoding"])
    fields = there and all("field" in layer["encoding"][c] for c in ("x", "y"))
    return bool(fields) and "point" in layer["data"]["values"][0]


def layer(values: Iterable[Mapping[str, Any]], mark: Spec, **encoding: Any) -> Spec | None:
    """One layer over its own data; none where there is no data."""
    data = list(values)
    return {"data": {"values": data}, "mark": mark, "encoding": encoding} if data else None


def share_axis(domain: tuple[float, float], title: str, **more: Any) -> Spec:
    """A quantitative axis in percent over a fixed domain, so that views compare."""
    digits = 0 if domain[1] - domain[0] > 0.06 else 1
    return {
        "type": "quantitative",
        "scale": {"domain": list(domain), "nice": False, "zero": False},
        "axis": {"format": f".{digits}%", "title": title, **more},
    }


def share_domain(values: Iterable[float | None], chance: float | None) -> tuple[float, float]:
    """From the lowest to the highest with some air; down to chance where that is near."""
    kept = [v for v in values if v is not None]
    low, high = (min(kept), max(kept)) if kept else (0.0, 1.0)
    if chance is not None and low - chance < 0.5 * max(high - low, 0.02):
        low, high = min(low, chance), max(high, chance)
    air = max(0.06 * (high - low), 0.005)
    return max(0.0, low - air), min(1.0, high + air)


def above_chance(rows: Sequence[Row]) -> list[Row]:
    """The rows that learned something, all if none did: controls at chance would else set the
    scale and flatten everything."""
    return [row for row in rows if not row.at_chance] or list(rows)


def spaced(rows: Sequence[Any], most: int = CROWD) -> list[Any]:
    """All of them, or of more than `most` so many evenly along their order, from end to end."""
    if len(rows) <= most:
        return list(rows)
    return [rows[round(i * (len(rows) - 1) / (most - 1))] for i in range(most)]


def few(seeds: list[dict]) -> list[dict]:
    """The single seeds' dots, none where they are too many."""
    return seeds if len(seeds) <= DOTS else []


def seeds_told(summary: Summary) -> str:
    """What a caption says of the seeds' dots."""
    total = sum(len(row.values(summary.shown)) for row in summary.rows)
    return "small dots are single seeds" if total <= DOTS else "single seeds are in table.csv"


def x_axis(summary: Summary, rows: Sequence[Row]) -> Spec:
    """The study's numeric axis: the rows' places are the ticks; logarithmic over a wide span."""
    places = sorted({float(row.x) for row in rows})
    low, high = places[0], places[-1]
    log = low > 0 and high / low >= 8
    air = 0.06 * (high - low) or 1.0
    wide = math.exp(0.06 * math.log(high / low)) if log else 1
    domain = [low / wide, high * wide] if log else [low - air, high + air]
    ticks = {"values": places} if len(places) <= CROWD else {"tickCount": 8}
    return {
        "type": "quantitative",
        "scale": {"type": "log" if log else "linear", "domain": domain, "nice": False}
        | ({} if log else {"zero": False}),
        "axis": {**ticks, "format": "~r" if high < 1e4 else "~s",
                 "title": summary.study.x_label, "labelOverlap": "greedy"},
    }  # fmt: skip


def log_axis(values: Sequence[float], title: str, formatted: str = "~s") -> Spec:
    """A logarithmic axis with ticks at 1, 2 and 5 (more or fewer as the span asks)."""
    low, high = min(values), max(values)
    air = max(0.07 * math.log10(high / low), 0.08)
    domain = (low / 10**air, high * 10**air)
    powers = range(math.floor(math.log10(domain[0])), math.ceil(math.log10(domain[1])) + 1)
    digits = (1, 2, 5) if domain[1] / domain[0] < 3000 else (1,)
    digits = (1, 2, 3, 5, 7) if domain[1] / domain[0] < 10 else digits
    ticks = [d * 10.0**p for p in powers for d in digits if domain[0] <= d * 10.0**p <= domain[1]]
    return {
        "type": "quantitative",
        "scale": {"type": "log", "domain": list(domain), "nice": False},
        "axis": {"values": ticks, "format": formatted, "title": title, "labelOverlap": "greedy"},
    }


def name_axis(field: str, names: list[str]) -> Spec:
    """Rows by name in the given order."""
    return {
        "field": field,
        "type": "nominal",
        "scale": {"domain": names},
        "axis": {"title": None, "labelLimit": 170, "labelColor": theme.var("ink")},
    }


def colour(field: str, keys: Sequence[Key]) -> Spec:
    return {
        "field": field,
        "type": "nominal",
        "scale": {"domain": [k.label for k in keys], "range": [k.colour for k in keys]},
        "legend": None,  # The page has its own, which wraps; pictures get Vega's.
    }


def shape(field: str, keys: Sequence[Key]) -> Spec:
    return {
        "field": field,
        "type": "nominal",
        "scale": {"domain": [k.label for k in keys], "range": [k.shape for k in keys]},
        "legend": None,
    }


def series_keys(summary: Summary) -> tuple[Key, ...]:
    """A colour and a shape a series."""
    names = summary.series
    looks = zip(names, theme.categories(len(names)), theme.shapes(len(names)), strict=True)
    return tuple(Key(*look) for look in looks)


def place_keys(summary: Summary) -> tuple[Key, ...]:
    """A colour a place on the axis: steps where the axis is numeric, but for settings, which all
    stand at one place."""
    rows = sorted(summary.rows, key=lambda r: words.order(r.x)) if summary.numeric else summary.rows
    stepped = [row for row in rows if summary.numeric and not row.point.axes.get(SETTING)]
    names = list(dict.fromkeys(row.label for row in stepped))
    others = [n for n in dict.fromkeys(row.label for row in rows) if n not in names]
    colours = [*theme.steps(len(names)), *theme.categories(len(others))]
    return tuple(Key(n, c, "line") for n, c in zip([*names, *others], colours, strict=True))


def legend(keys: Sequence[Key]) -> tuple[Key, ...]:
    """No legend for a single thing; of a crowd some entries along its steps."""
    some = spaced(keys, theme.STEPS) if len(keys) > CROWD else keys
    return tuple(some) if len(keys) > 1 else ()


def scores(row: Row, i: Interval, split: str) -> dict[str, Any]:
    """A mean as a datum with its interval and its tooltip's text."""
    low, high = words.clipped(i)
    return {
        "series": row.series, "label": row.label, "name": row.name, "mean": i.mean,
        "low": low, "high": high, "accuracy": words.accuracy(i), "split": split, "n": i.n,
        "point": row.id,
        "macs": row.macs, "cost": words.si(row.macs),
    }  # fmt: skip


def tooltip(**fields: str) -> list[Spec]:
    """`tooltip(name="point")`: the field under a title; all of them are text already."""
    return [{"field": f, "type": "nominal", "title": t} for f, t in fields.items()]


def chance_rule(
    chance: float | None, domain: tuple[float, float], axis: str = "y", edge: bool = False
) -> list[Spec]:
    """A dashed line where guessing stands, named at its end; if it lies below the axis, at the
    edge where one is wanted."""
    if chance is None or chance > domain[1] or (chance < domain[0] and not edge):
        return []
    here = {"field": "at", "type": "quantitative"}
    beyond = ("↓" if axis == "y" else "←") if chance < domain[0] else ""
    name = f"chance {100 * chance:.3g}% {beyond}".strip()
    values = [{"at": max(chance, domain[0]), "text": name}]
    rule = {"type": "rule", "strokeDash": [3, 4], "color": theme.var("strong")}
    text = {"type": "text", "color": theme.var("muted"), "fontSize": 11}
    if axis == "y":
        where = {"y": here, "x": {"value": "width"}}
        text |= {"align": "right", "dy": -7 if beyond else 9}
    else:
        where = {"x": here, "y": {"value": 0}}
        text |= {"align": "left", "dx": 5, "baseline": "top"}
    return [
        layer(values, rule, **{axis: here}),
        layer(values, text, **where, text={"field": "text"}),
    ]
