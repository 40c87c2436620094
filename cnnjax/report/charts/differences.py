"""Differences with their intervals, what a doubling of compute bought, and for which images."""

from collections.abc import Sequence

from cnnjax.report import theme, words
from cnnjax.report.breakdown import Breakdown
from cnnjax.report.charts.accuracy import INTERVAL, MEAN
from cnnjax.report.charts.parts import (
    CROWD,
    Chart,
    Key,
    Spec,
    above_chance,
    chance_rule,
    colour,
    layer,
    name_axis,
    share_axis,
    share_domain,
    spaced,
    tooltip,
    view,
    x_axis,
)
from cnnjax.report.comparisons import Comparison, telling
from cnnjax.report.points import SETTING, Row, Summary
from cnnjax.study.stats import Interval

VERDICTS = (
    Key("better", theme.var("better")),
    Key("worse", theme.var("worse")),
    Key("no evidence", theme.var("muted")),
)
EXPLORATORY = " †"
LOOKED = " †: seeds were added after a look, so the interval is exploratory."
VERDICT_NAMES = {
    "better": "better",
    "worse": "worse",
    "open": "no evidence",
    "unknown": "no evidence",
}


def differences(s: Summary, comparisons: Sequence[Comparison]) -> Chart | None:
    """Every comparison with its interval, against the line of no difference."""
    told = [(c, c.gap) for c in telling(comparisons)]
    together = ", corrected for their number (Holm)" if len(told) > 1 else ""
    left = len(comparisons) - len(told)
    most = f" The {len(told)} most telling of {len(comparisons)}." if left else ""
    return _forest(
        "differences",
        "What each step changed",
        f"Difference in {s.shown_name} accuracy, in points, with 95% intervals{together}. "
        "An interval across the line is no evidence of a difference." + most + _looked(comparisons),
        "points",
        told,
    )


def doublings(comparisons: Sequence[Comparison]) -> Chart | None:
    """Points gained per doubling of training MACs, where they differ."""
    able = [c for c in comparisons if c.doubling is not None]
    told = [(c, c.doubling) for c in telling(able)]
    left = len(able) - len(told)
    most = f" Those of the {len(told)} most telling differences of {len(able)}." if left else ""
    return _forest(
        "doublings",
        "What each doubling of compute bought",
        "The same differences for each doubling of training MACs; steps at equal MACs and "
        "from or to points at chance are left out." + most + _looked(comparisons),
        "points per doubling of training MACs",
        told,
    )


def _looked(comparisons: Sequence[Comparison]) -> str:
    return LOOKED if any(c.exploratory for c in comparisons) else ""


def _forest(
    name: str, title: str, caption: str, unit: str, told: Sequence[tuple[Comparison, Interval]]
) -> Chart | None:
    if not told:
        return None
    data = [_datum(c, i) for c, i in told]
    sure = [d for d in data if not d["chance"]] or data
    ends = [0.0, *(d[k] for d in sure for k in ("low", "high"))]
    air = 0.05 * (max(ends) - min(ends)) or 1.0
    domain = [min(ends) - air, max(ends) + air]
    groups = list(dict.fromkeys(d["group"] for d in data))
    wide = 8 + 7 * max(len(d["label"]) for d in data)
    views = [
        _forest_view([d for d in data if d["group"] == g], g, unit if g == groups[-1] else "",
                     domain, min(wide, 170))
        for g in groups
    ]  # fmt: skip
    alt = "; ".join(f"{d['group']} {d['label']} {d['told']}" for d in data)
    return Chart(name, title, caption, f"{title}: {alt}", tuple(views), VERDICTS, columns=1)


def _datum(c: Comparison, i: Interval) -> dict:
    across = f"{c.row.series} − {c.base.series}"
    ends = (i.low, i.high) if i.known else (i.mean, i.mean)
    return {
        "group": across if c.across else c.series,
        "label": (c.row.label if c.across else c.label) + (EXPLORATORY if c.exploratory else ""),
        "mean": 100 * i.mean, "low": 100 * ends[0], "high": 100 * ends[1],
        "verdict": VERDICT_NAMES[c.verdict], "told": words.gap(i), "short": words.signed(i.mean),
        "chance": c.row.at_chance or c.base.at_chance, "point": c.row.id, "other": c.base.id,
    }  # fmt: skip


def _forest_view(data: list[dict], title: str, unit: str, domain: list[float], wide: int) -> Spec:
    """Rows about the line of no difference; `unit` names the axis of the last view alone."""
    x = {
        "field": "mean", "type": "quantitative",
        "scale": {"domain": domain, "nice": False},
        "axis": {"title": unit or None, "labels": bool(unit), "format": "+~r", "grid": True,
                 "domain": False, "tickCount": 6},
    }  # fmt: skip
    names = list(dict.fromkeys(d["label"] for d in data))
    y = name_axis("label", names)
    y["axis"] |= {"minExtent": wide, "maxExtent": wide}  # So that the views' lines of zero align.
    hue = colour("verdict", VERDICTS)
    on = [d for d in data if domain[0] <= d["mean"] <= domain[1]]
    zero = {"type": "rule", "color": theme.var("ink"), "opacity": 0.6}
    tips = tooltip(label="difference", told="interval", verdict="verdict")
    layers = [
        layer([{"mean": 0}], zero, x=x),
        layer(on, INTERVAL | {"strokeWidth": 3, "opacity": 0.55, "clip": True}, y=y, color=hue,
              x=x | {"field": "low"}, x2={"field": "high"}),
        layer(on, MEAN, y=y, x=x, color=hue, tooltip=tips),
        _beyond([d for d in data if d["mean"] > domain[1]], "▶", "right", "width", y, hue),
        _beyond([d for d in data if d["mean"] < domain[0]], "◀", "left", 0, y, hue),
    ]  # fmt: skip
    return view(layers, 26 * len(names), title)


def _beyond(
    data: list[dict], arrow: str, align: str, at: str | int, y: Spec, hue: Spec
) -> Spec | None:
    """Differences beyond the axis (from a point at chance, as a rule) as figures at its edge."""
    told = [d | {"edge": f"{d['short']} {arrow}" if at else f"{arrow} {d['short']}"} for d in data]
    mark = {"type": "text", "align": align, "fontSize": 12}
    return layer(told, mark, y=y, x={"value": at}, color=hue, text={"field": "edge"})


def breakdown(s: Summary, b: Breakdown) -> Chart | None:
    """Accuracy in each bin of what the examples carry, along the axis; a view a series."""
    keys = tuple(
        Key(name, hue, "line") for name, hue in zip(b.bins, theme.steps(len(b.bins)), strict=True)
    )
    rows = above_chance(s.rows)
    # Of a crowd some along each series show the way as well.
    kept = {row.id for name in s.series for row in spaced(_along(s, name, rows))}
    data = [
        {
            "series": s.rows[place].series, "label": s.rows[place].label, "x": s.rows[place].x,
            "point": s.rows[place].id,
            "bin": name, "mean": i.mean, "low": words.clipped(i)[0], "high": words.clipped(i)[1],
            "accuracy": words.accuracy(i),
        }
        for place, cells in b.cells.items()
        if place in kept
        and not (s.numeric and s.rows[place].point.axes.get(SETTING))  # They stand at one place.
        for name, i in zip(b.bins, cells, strict=True)
        if i is not None
    ]  # fmt: skip
    if not data:
        return None
    domain = share_domain([d[k] for d in data for k in ("low", "high")], s.chance)
    views = [
        _breakdown_view(s, [d for d in data if d["series"] == series], series, keys, domain)
        for series in s.series
        if any(d["series"] == series for d in data)
    ]
    told = [f"{d['label']} {d['series']} {b.name} {d['bin']}: {d['accuracy']}" for d in data]
    return Chart(
        name=f"by-{b.name.replace(' ', '-')}",
        title=f"Accuracy by {b.name}",
        caption=f"Test images split by their {b.name}; means over seeds with 95% intervals."
        + (" Points at chance are left out." if len(rows) < len(s.rows) else "")
        + (f" {CROWD} points of each series, evenly along it." if len(kept) < len(rows) else ""),
        alt=f"Test accuracy by {b.name}. " + "; ".join(told),
        views=tuple(views),
        legend=keys,
        wide=len(views) > 1,
    )


def _along(s: Summary, series: str, rows: Sequence[Row]) -> list[Row]:
    """The series' rows among those given, along the axis."""
    ids = {row.id for row in rows}
    return [row for row in s.of(series) if row.id in ids]


def _breakdown_view(s: Summary, data: list[dict], title: str, keys: tuple, domain: tuple) -> Spec:
    hue = colour("bin", keys)
    tips = tooltip(label="point", bin="images", accuracy="accuracy")
    if s.numeric and len(s.rows) > 1:
        x = {"field": "x", **x_axis(s, above_chance(s.rows))}
        y = {"field": "mean", **share_axis(domain, "test accuracy")}
        layers = [
            *chance_rule(s.chance, domain),
            layer(data, {"type": "line", "strokeWidth": 2}, x=x, y=y, color=hue),
            layer(data, INTERVAL, x=x, y=y | {"field": "low"}, y2={"field": "high"}, color=hue),
            layer(data, MEAN | {"size": 60}, x=x, y=y, color=hue, tooltip=tips),
        ]
        return view(layers, 240, title)
    single = len({d["label"] for d in data}) == 1
    names = list(dict.fromkeys(d["bin" if single else "label"] for d in data))
    y = name_axis("bin" if single else "label", names)
    x = {"field": "mean", **share_axis(domain, "test accuracy")}
    layers = [
        *chance_rule(s.chance, domain, "x"),
        layer(data, INTERVAL, y=y, x=x | {"field": "low"}, x2={"field": "high"}, color=hue),
        layer(data, MEAN | {"size": 70}, y=y, x=x, color=hue, tooltip=tips),
    ]
    return view(layers, max(30 * len(names), 60), title)
