"""What leaves MACs alone: accuracy against the receptive field, and against a step's time."""

from collections.abc import Callable, Sequence

from cnnjax.report import answers, words
from cnnjax.report.charts.accuracy import INTERVAL, MEAN, SEED
from cnnjax.report.charts.labels import labels
from cnnjax.report.charts.parts import (
    Chart,
    Key,
    Spec,
    colour,
    layer,
    log_axis,
    scores,
    share_axis,
    share_domain,
    tooltip,
    view,
)
from cnnjax.report.comparisons import Comparison
from cnnjax.report.points import SETTING, Row, Summary
from cnnjax.report.theme import categories

HEIGHT = 260


def against(s: Summary, comparisons: Sequence[Comparison]) -> Chart | None:
    """A view for each x that is not the same for all."""
    found = answers.equal(comparisons)
    if not found:
        return None
    rows = [found[0].base, *(c.row for c in found)]
    kinds = list(dict.fromkeys(_kind(row) for row in rows))
    keys = tuple(Key(k, c) for k, c in zip(kinds, categories(len(kinds)), strict=True))
    ends = [v for row in rows for v in (*words.clipped(s.score(row)), *row.values(s.shown))]
    domain = share_domain(ends, None)

    def field(row: Row) -> float | None:
        return row.measures["receptive_field"]

    views = (
        _view(s, rows, field, "receptive field (pixels)", keys, domain),
        _view(s, rows, answers.step, "a training step (ms)", keys, domain),
    )
    kept = tuple(v for v in views if v)
    if not kept:
        return None
    return Chart(
        name="equal",
        title="At equal MACs",
        caption=f"{s.shown_name.capitalize()} accuracy with 95% intervals against what MACs do not "
        "tell; small dots are single seeds. Times are those of these trainings.",
        alt=f"{s.shown_name} accuracy at equal MACs. "
        + "; ".join(
            f"{row.label}: {words.accuracy(s.score(row))}, field "
            f"{words.pixels(row.measures['receptive_field'])}"
            for row in rows
        ),
        views=kept,
        legend=keys,
        wide=True,
        columns=2,
    )


def _kind(row: Row) -> str:
    """`activation` of the setting `activation gelu`."""
    return words.axis_value(row.point.axes.get(SETTING)).split(" ")[0]


def _view(
    s: Summary,
    rows: Sequence[Row],
    measure: Callable[[Row], float | None],
    title: str,
    keys: tuple[Key, ...],
    domain: tuple[float, float],
) -> Spec | None:
    there = [(row, v) for row in rows if (v := measure(row))]
    if len({v for _, v in there}) < 2:
        return None
    data = [
        scores(row, s.score(row), s.shown_name) | {"kind": _kind(row), "at": v, "told": f"{v:.3g}"}
        for row, v in there
    ]
    seeds = [
        {"kind": _kind(row), "at": v, "mean": value, "point": row.id}
        for row, v in there
        for value in row.values(s.shown)
    ]
    x = {"field": "at", **_axis([v for _, v in there], title)}
    y = {"field": "mean", **share_axis(domain, f"{s.shown_name} accuracy")}
    hue = colour("kind", keys)
    tips = tooltip(label="setting", accuracy="accuracy", told=title.split(" (")[0])
    layers = [
        layer(seeds, SEED, x=x, y=y, color=hue),
        layer(data, INTERVAL, x=x, y=y | {"field": "low"}, y2={"field": "high"}, color=hue),
        layer(data, MEAN, x=x, y=y, color=hue, tooltip=tips),
        layer(labels(data, domain, HEIGHT, 0.25), {"type": "text", "align": "left", "dx": 9},
              x=x, y=y | {"field": "height"}, text={"field": "label"}),
    ]  # fmt: skip
    return view(layers, HEIGHT)


def _axis(values: Sequence[float], title: str) -> Spec:
    low, high = min(values), max(values)
    if high / low > 4:
        return log_axis(values, title.replace(")", ", log scale)"), "~g")
    air = 0.12 * (high - low)
    return {
        "type": "quantitative",
        "scale": {"domain": [low - air, high + 2 * air], "nice": False, "zero": False},
        "axis": {"title": title, "tickCount": 6},
    }
