"""Every contrast of the claims against its margin."""

import math
from collections.abc import Sequence

from cnnjax.report import theme, verdicts
from cnnjax.report.charts.accuracy import INTERVAL
from cnnjax.report.charts.parts import (
    Chart,
    Key,
    Spec,
    colour,
    layer,
    log_axis,
    name_axis,
    shape,
    tooltip,
    view,
)
from cnnjax.report.claims import Judged, Verdict

KEYS = (
    Key("as predicted", theme.var("better"), "triangle-up"),
    Key("against the prediction", theme.var("worse"), "triangle-down"),
    Key("undecided", theme.var("muted"), "circle"),
    Key("margin", theme.var("ink"), "line"),
)
_NAMES = {"above": KEYS[0].label, "below": KEYS[1].label, "across": KEYS[2].label}
_SEEN = KEYS[:3]


def forest(told: Sequence[Verdict]) -> Chart | None:
    """A view for differences in points and one for factors, which have an axis of their own."""
    rows = [(v, j) for v in told for j in v.judged if j.gap is not None]
    if not rows:
        return None
    data = [_datum(v, j) for v, j in rows]
    factors = [d for (v, _), d in zip(rows, data, strict=True) if v.claim.factor]
    points = [d for (v, _), d in zip(rows, data, strict=True) if not v.claim.factor]
    wide = min(8 + 7 * max(len(d["label"]) for d in data), 260)
    views = [_view(points, _points_axis(points), wide)] if points else []
    views += [_view(factors, _factor_axis(factors), wide)] if factors else []
    alt = "; ".join(f"{d['label']} {d['told']}, {d['verdict']}" for d in data)
    return Chart(
        name="claims",
        title="What each claim predicted, and what was found",
        caption="Each contrast with its 95% interval, corrected for the number of its claim's "
        "contrasts (Holm), and its margin: right of the margin is as predicted. A claim is "
        "supported where all of its contrasts are.",
        alt=f"Contrasts of the claims: {alt}",
        views=tuple(views),
        legend=KEYS,
        wide=True,
        columns=1,
    )


def _datum(v: Verdict, j: Judged) -> dict:
    ends = (j.gap.low, j.gap.high) if j.gap.known else (j.gap.mean, j.gap.mean)

    def shown(x: float) -> float:
        return math.exp(min(max(x, -50.0), 50.0)) if v.claim.factor else 100 * x

    return {
        "label": f"{v.claim.name}: {j.contrast.label}",
        "mean": shown(j.gap.mean), "low": shown(ends[0]), "high": shown(ends[1]),
        "margin": shown(j.contrast.margin), "verdict": _NAMES[j.place], "told": verdicts.gap(v, j),
        "predicted": verdicts.predicted(v, j), "claim": v.word, "source": v.claim.source,
    }  # fmt: skip


def _points_axis(data: Sequence[dict]) -> Spec:
    ends = [0.0, *(d[k] for d in data for k in ("low", "high", "margin"))]
    air = 0.05 * (max(ends) - min(ends)) or 1.0
    return {
        "type": "quantitative",
        "scale": {"domain": [min(ends) - air, max(ends) + air], "nice": False},
        "axis": {"title": "difference in points", "format": "+~r", "grid": True, "tickCount": 6},
    }


def _factor_axis(data: Sequence[dict]) -> Spec:
    ends = [d[k] for d in data for k in ("low", "high", "margin")]
    spec = log_axis([1.0, *ends], "factor (log scale)", "~r")
    return spec | {"axis": spec["axis"] | {"grid": True}}


def _view(data: Sequence[dict], axis: Spec, wide: int) -> Spec:
    names = list(dict.fromkeys(d["label"] for d in data))
    x, y = {"field": "mean", **axis}, name_axis("label", names)
    y["axis"] |= {"minExtent": wide, "maxExtent": wide, "labelLimit": wide}
    hue, form = colour("verdict", _SEEN), shape("verdict", _SEEN)
    tips = tooltip(label="contrast", told="difference", predicted="predicted", claim="claim",
                   source="source")  # fmt: skip
    tick = {"type": "tick", "thickness": 3, "size": 18, "color": theme.var("ink")}
    mark = {"type": "point", "filled": True, "size": 110, "opacity": 1}
    layers = [
        layer(data, tick, y=y, x=x | {"field": "margin"}),
        layer(data, INTERVAL | {"strokeWidth": 3, "opacity": 0.55}, y=y, color=hue,
              x=x | {"field": "low"}, x2={"field": "high"}),
        layer(data, mark, y=y, x=x, color=hue, shape=form, tooltip=tips),
    ]  # fmt: skip
    return view(layers, 30 * len(names))
