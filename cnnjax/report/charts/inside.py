"""What nets look like inside: the gradient's way through the layers, and what a unit sees."""

from collections.abc import Mapping, Sequence

from cnnjax.report import theme, words
from cnnjax.report.charts.parts import (
    Chart,
    Key,
    Spec,
    colour,
    layer,
    log_axis,
    spaced,
    tooltip,
    view,
)
from cnnjax.report.points import Row, Summary
from cnnjax.study.artifacts import Look, read_inspection
from cnnjax.study.results import Folder

TIMES = {"start": "before training", "end": "after training"}
MOST = 12  # Pictures of fields; more would be a page of their own.


def looks(s: Summary) -> list[tuple[Row, Mapping[str, Look]]]:
    """Each row of which a replicate was looked into."""
    folder, seen, found = Folder(s.study.path), set(), []
    for row in s.rows:
        if row.point.runs in seen:
            continue
        seen.add(row.point.runs)
        of_runs = (read_inspection(folder, r.key) for r in row.done)
        if look := next((x for x in of_runs if x), None):
            found.append((row, look))
    return found


def flow(s: Summary) -> Chart | None:
    """The norm of the loss's gradient by layer, a view a time and series, a line a point."""
    rows = spaced([(r, look) for r, look in looks(s) if any(x.flow for x in look.values())])
    if not rows:
        return None
    names = list(dict.fromkeys(row.label for row, _ in rows))
    series = list(dict.fromkeys(row.series for row, _ in rows))
    keys = tuple(
        Key(n, c, "line") for n, c in zip(names, theme.categories(len(names)), strict=True)
    )
    data = {
        (time, group): [
            {"label": row.label, "key": row.name, "layer": name, "depth": depth, "norm": norm,
             "told": f"{norm:.2g}", "point": row.id}
            for row, look in rows
            if row.series == group and time in look
            for depth, (name, norm, _) in enumerate(look[time].flow, 1)
            if norm > 0
        ]
        for time in TIMES
        for group in series
    }  # fmt: skip
    norms = [d["norm"] for values in data.values() for d in values]
    if not norms:
        return None
    deepest = max(d["depth"] for values in data.values() for d in values)
    views = [
        _flow_view(values, f"{group}, {TIMES[time]}" if group else TIMES[time], keys,
                   norms, deepest)
        for (time, group), values in data.items()
        if values
    ]  # fmt: skip
    first = [(row.name, look["start"].flow) for row, look in rows if look.get("start", Look()).flow]
    falls = [f"{name} {_fall(way)}" for name, way in first if _fall(way)]
    return Chart(
        name="flow",
        title="How much gradient reaches each layer",
        caption="Norm of the loss’s gradient by each layer’s weights, from the first layer to the "
        "last, on a batch of validation images. Where it falls towards the first layers they "
        "hardly learn.",
        alt="Gradient of the first layer over that of the last, before training: "
        + (words.listed(falls) or "not known"),
        views=tuple(views),
        legend=keys if len(keys) > 1 else (),
        wide=len(views) > 1,
        columns=min(3, len(views) if len(series) == 1 else len(series)),
    )


def _fall(way: Sequence[tuple[str, float, float | None]]) -> str:
    first, last = way[0][1], way[-1][1]
    return f"{first / last:.2g}" if first and last else ""


def _flow_view(
    data: list[dict], title: str, keys: tuple[Key, ...], norms: list[float], deepest: int
) -> Spec:
    x = {
        "field": "depth", "type": "quantitative",
        "scale": {"domain": [0.5, deepest + 0.5], "nice": False},
        "axis": {"title": "layer with weights", "tickMinStep": 1, "tickCount": 6, "format": "d"},
    }  # fmt: skip
    y = {"field": "norm", **log_axis(norms, "gradient norm (log scale)", ".0e")}
    hue = colour("label", keys)
    tips = tooltip(label="point", layer="layer", told="gradient norm")
    layers = [
        layer(data, {"type": "line", "strokeWidth": 2}, x=x, y=y, color=hue,
              detail={"field": "key"}),
        layer(data, {"type": "circle", "size": 22}, x=x, y=y, color=hue, tooltip=tips),
    ]  # fmt: skip
    return view(layers, 240, title)


def fields(s: Summary) -> Chart | None:
    """The effective receptive field of each point after training, as a picture."""
    rows = [(row, look["end"]) for row, look in looks(s) if look.get("end", Look()).field]
    if not rows:
        return None
    told = [f"{row.name} {_sizes(row, x)}" for row, x in rows if x.size is not None]
    return Chart(
        name="fields",
        title="What a unit of the last map sees",
        caption="Effective receptive field after training (Luo et al. 2016): how much each pixel "
        "of the image moves the unit in the middle, mean over validation images. In the titles its "
        "size in pixels, and that of the receptive field"
        + (f"; the first {MOST} points." if len(rows) > MOST else "."),
        alt="Effective of theoretical receptive field: " + words.listed(told),
        views=tuple(_field_view(row, look) for row, look in rows[:MOST]),
        wide=True,
        columns=4,
    )


def _field_view(row: Row, look: Look) -> Spec:
    tall, broad = look.image or (len(look.field), len(look.field[0]))
    high, wide = tall / len(look.field), broad / len(look.field[0])
    data = [
        {"top": i * high, "bottom": (i + 1) * high, "left": j * wide, "right": (j + 1) * wide,
         "share": v}
        for i, line in enumerate(look.field)
        for j, v in enumerate(line)
    ]  # fmt: skip

    def along(field: str, size: float, **more: object) -> Spec:
        scale = {"domain": [0, size], "nice": False, "zero": False} | more
        return {"field": field, "type": "quantitative", "scale": scale, "axis": None}

    ink = {
        "field": "share", "type": "quantitative", "legend": None,
        "scale": {"domain": [0, 1], "type": "sqrt", "range": [0.03, 1]},
    }  # fmt: skip
    cells = layer(
        data, {"type": "rect", "color": theme.var("c0"), "strokeWidth": 0},
        x=along("left", broad), x2={"field": "right"},
        y=along("top", tall, reverse=True), y2={"field": "bottom"}, opacity=ink,
    )  # fmt: skip
    title = f"{row.name}: {_sizes(row, look)}"
    return view([cells], 220, title, round(220 * broad / tall))  # Its pixels are square.


def _sizes(row: Row, look: Look) -> str:
    size = f"{look.size:.0f}" if look.size is not None else "?"
    return f"{size} of {words.pixels(row.measures['receptive_field'])}"
