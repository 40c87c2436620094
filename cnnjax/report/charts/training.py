"""How training went: learning curves, learning rates, and the gap from training to test."""

import math

from cnnjax.report import theme, tuning, words
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
    legend,
    log_axis,
    name_axis,
    place_keys,
    scores,
    share_axis,
    share_domain,
    spaced,
    tooltip,
    view,
)
from cnnjax.report.points import RISING, Row, Summary, curve_means, distinct
from cnnjax.study.tuning import named

HEIGHT = 240
LINES = 30  # Of a crowd.


def curves(s: Summary) -> Chart | None:
    """Validation accuracy an epoch, a view a series; a study of one net shows training too."""
    keys = place_keys(s)
    both = len(s.rows) == 1
    if both:
        keys = (
            Key("validation", theme.var("c0"), "line"),
            Key("training", theme.var("c1"), "line"),
        )
    shown = _shown(s)
    crowd = len(shown) < len(s.rows)
    if crowd:
        labels = {row.label for row in shown}
        keys = tuple(key for key in keys if key.label in labels)
    lines = {row.id: _lines(s, row, both, seeds=not crowd) for row in shown}
    everything = [d["mean"] for some in lines.values() for part in some for d in part]
    if not everything:
        return None
    domain = share_domain(everything, s.chance)
    last = max(d["epoch"] for some in lines.values() for part in some for d in part)
    views = []
    for series in s.series:
        rows = [i for i in lines if s.rows[i].series == series]
        thin = [d for i in rows for d in lines[i][0]]
        bold = [d for i in rows for d in lines[i][1]]
        views.append(_curves_view(s, series, thin, bold, keys, domain, last))
    rising = [row.name for row in s.rows if row.rising]
    running = " Training accuracy is the running one, on augmented images." if both else ""
    return Chart(
        name="curves",
        title="Learning curves",
        caption="Validation accuracy by epoch: "
        + (
            f"means over seeds of {LINES} points of each series, evenly along it. "
            if crowd
            else "thin lines are seeds, bold ones their mean. "
        )
        + f"▲ still improving: over {100 * RISING:g} point gained in the last fifth of the epochs."
        f"{running}",
        alt="Learning curves. Still improving at the end: " + (words.listed(rising) or "none"),
        views=tuple(views),
        legend=legend(keys),
        wide=len(views) > 1,
    )


def _shown(s: Summary) -> list[Row]:
    """The rows with a line each; of a crowd some along each series."""
    if all(len(s.of(name)) <= CROWD for name in s.series):
        return list(s.rows)
    rows = {name: [row for row in s.of(name) if row.done] for name in s.series}
    return [row for some in rows.values() for row in spaced(some, LINES)]


def _lines(s: Summary, row: Row, both: bool, seeds: bool = True) -> tuple[list[dict], list[dict]]:
    """(thin, bold) data: every seed's curve, and their means with the mark at the end."""
    runs = [(r, s.study.curves.get(r.key, [])) for r in row.done]
    named = [("val_accuracy", "validation" if both else row.label)]
    named += [("train_accuracy", "training")] if both else []
    thin = [
        {"label": label, "key": f"{r.key}{label}", "epoch": p["epoch"], "mean": p[metric],
         "point": row.id}
        for r, curve in runs
        if seeds
        for p in curve
        for metric, label in named
        if p.get(metric) is not None
    ]  # fmt: skip
    bold = []
    for metric, label in named:
        means = curve_means([curve for _, curve in runs], metric)
        bold += [
            {"label": label, "epoch": e, "mean": v, "mark": "", "point": row.id} for e, v in means
        ]
        if bold and row.rising and metric == "val_accuracy":
            bold[-1]["mark"] = "▲"
    return thin, bold


def _curves_view(
    s: Summary, series: str, thin: list, bold: list, keys: tuple, domain: tuple, last: int
) -> Spec:
    x = {
        "field": "epoch", "type": "quantitative",
        "scale": {"domain": [0, last * 1.04], "nice": False},
        "axis": {"title": "epoch", "tickMinStep": 1, "tickCount": 6, "format": "d"},
    }  # fmt: skip
    y = {
        "field": "mean",
        **share_axis(domain, "validation accuracy" if len(s.rows) > 1 else "accuracy"),
    }
    hue = colour("label", keys)
    marked = [d for d in bold if d["mark"]]
    ends = [d | {"accuracy": words.percent(d["mean"])} for d in bold]
    tips = tooltip(label="point", epoch="epoch", accuracy="mean")
    layers = [
        *chance_rule(s.chance, domain),
        layer(thin, {"type": "line", "strokeWidth": 1, "opacity": 0.3},
              x=x, y=y, color=hue, detail={"field": "key"}),
        layer(bold, {"type": "line", "strokeWidth": 2.5}, x=x, y=y, color=hue,
              detail={"field": "point"}),
        layer(ends, {"type": "circle", "size": 60, "opacity": 0}, x=x, y=y, tooltip=tips),
        layer(marked, {"type": "text", "dy": -10, "fontSize": 11},
              x=x, y=y, color=hue, text={"field": "mark"}),
    ]  # fmt: skip
    return view(layers, HEIGHT, series)


def rates(s: Summary) -> Chart | None:
    """Validation accuracy of the tuning runs against the learning rate, a view a series."""
    rows = above_chance([row for row in _shown(s) if row.rates])
    if not rows:
        return None
    keys = place_keys(s)
    domain = share_domain([v for row in rows for _, v in row.rates], s.chance)
    tried = sorted({rate for row in rows for rate, _ in row.rates} | _diverged(s, rows))
    views = [
        _rates_view(s, series, [r for r in rows if r.series == series], keys, domain, tried)
        for series in s.series
        if any(r.series == series for r in rows)
    ]
    edges = [row.name for row in rows if tuning.RATE in row.at_edge]
    others = [f for f in tuning.tuned(s.study, [s.study.plan]) if f != tuning.RATE]
    best = f", each at the best {named(others)} tried with it" if others else ""
    return Chart(
        name="rates",
        title="Choosing the learning rate",
        caption=f"Validation accuracy of the tuning runs{best}; rings mark the rates used. "
        "“edge”: the best lies at the end of the grid. Crosses: training diverged.",
        alt="Accuracy against learning rate. Best at the grid's edge: "
        + (words.listed(edges) or "none"),
        views=tuple(views),
        legend=legend(keys),
        wide=len(views) > 1,
    )


def _rates_view(
    s: Summary, series: str, rows: list[Row], keys: tuple, domain: tuple, tried: list[float]
) -> Spec:
    data = [
        {"label": row.label, "rate": rate, "told": f"{rate:g}", "mean": v, "point": row.id,
         "accuracy": words.percent(v), "used": rate == row.rate,
         "mark": "edge" if tuning.RATE in row.at_edge and rate == row.rate else ""}
        for row in rows
        for rate, v in row.rates
    ]  # fmt: skip
    x = {"field": "rate", **log_axis(tried, "learning rate (log scale)", "~g")}
    x["axis"]["values"] = tried
    y = {"field": "mean", **share_axis(domain, "validation accuracy")}
    hue = colour("label", keys)
    used = [d for d in data if d["used"]]
    gone = [{"rate": rate, "mean": domain[0]} for rate in sorted(_diverged(s, rows))]
    tips = tooltip(label="point", told="learning rate", accuracy="accuracy")
    layers = [
        *chance_rule(s.chance, domain),
        layer(data, {"type": "line", "strokeWidth": 2}, x=x, y=y, color=hue,
              detail={"field": "point"}),
        layer(data, {"type": "circle", "size": 50, "opacity": 1},
              x=x, y=y, color=hue, tooltip=tips),
        layer(used, {"type": "point", "size": 190, "strokeWidth": 1.5}, x=x, y=y, color=hue),
        layer([d for d in used if d["mark"]], {"type": "text", "dy": -14, "fontSize": 11},
              x=x, y=y, color=hue, text={"field": "mark"}),
        layer(gone, {"type": "point", "shape": "cross", "angle": 45, "filled": True, "size": 60,
                     "color": theme.var("worse")}, x=x, y=y),
    ]  # fmt: skip
    return view(layers, HEIGHT, series)


def _diverged(s: Summary, rows: list[Row]) -> set[float]:
    tune = [t for row in rows for t in tuning.runs(s.study, row.point)]
    return {t.learning_rate for t in tune if t.status == "diverged" and (t.learning_rate or 0) > 0}


def training_gap(s: Summary) -> Chart | None:
    """Training against test accuracy, a row a point."""
    found = distinct(row for series in s.series for row in s.of(series))
    every = [row for row in above_chance(found) if s.score(row) and row.scores["train"]]
    if not every:
        return None
    rows = _widest(every)
    most = f" The {len(rows)} widest of {len(every)}, by validation." if rows != every else ""
    keys = (Key("train", theme.var("muted")), Key(s.shown_name, theme.var("c0")))
    data = [
        scores(row, row.scores[split], name) | {"split": name, "row": _short(s, row)}
        for row in rows
        for split, name in (("train", "train"), (s.shown, s.shown_name))
    ]
    lines = [
        {"row": _short(s, row), "low": s.score(row).mean, "high": row.scores["train"].mean,
         "point": row.id}
        for row in rows
    ]  # fmt: skip
    domain = share_domain([d[k] for d in data for k in ("low", "high")], None)
    x = {"field": "mean", **share_axis(domain, "accuracy")}
    y = name_axis("row", [_short(s, row) for row in rows])
    ends = {"x": x | {"field": "low"}, "x2": {"field": "high"}}
    link = {"type": "rule", "strokeWidth": 5, "opacity": 0.35, "strokeCap": "round"}
    tips = tooltip(name="point", split="on", accuracy="accuracy")
    layers = [
        layer(lines, link, y=y, **ends),
        layer(data, INTERVAL, y=y, **ends, color=colour("split", keys)),
        layer(data, MEAN, y=y, x=x, color=colour("split", keys), tooltip=tips),
    ]
    return Chart(
        name="gap",
        title=f"Training against {s.shown_name}",
        caption="On clean training images, without augmentation; the bar between is the gap."
        + most,
        alt=f"Accuracy on training and on {s.shown_name} images: "
        + "; ".join(f"{d['row']}, {d['split']} {d['accuracy']}" for d in data),
        views=(view(layers, max(26 * len(rows), 60)),),
        legend=legend(keys),
    )  # fmt: skip


def _widest(rows: list[Row]) -> list[Row]:
    """The rows, of a crowd those whose training runs furthest ahead of validation."""

    def ahead(i: int) -> float:
        train, val = rows[i].scores["train"], rows[i].scores["val"]
        return train.mean - val.mean if val else -math.inf

    kept = sorted(range(len(rows)), key=lambda i: -ahead(i))[:CROWD]
    return [rows[i] for i in sorted(kept)]


def _short(s: Summary, row: Row) -> str:
    return row.name if len(s.series) > 1 else row.label
