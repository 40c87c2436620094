"""The distributions of design spaces' errors."""

from collections.abc import Sequence

from cnnjax.report import space, theme, words
from cnnjax.report.charts.parts import (
    Chart,
    Key,
    Spec,
    colour,
    layer,
    legend,
    series_keys,
    share_axis,
    share_domain,
    tooltip,
    view,
)
from cnnjax.report.points import Summary
from cnnjax.report.space import Space
from cnnjax.study.stats import edf

HEIGHT = 300
STEP = {"interpolate": "step-after"}


def distributions(s: Summary, found: Sequence[Space]) -> Chart | None:
    """The share of nets below each error, a line a space: as drawn, and at matched MACs."""
    if not found:
        return None
    keys = tuple(Key(k.label, k.colour, "line") for k in series_keys(s))
    domain = share_domain([e for x in found for e in x.errors], None)
    views = [_view(found, None, keys, domain, "as drawn")]
    weights = space.weights(found)
    if weights:
        views.append(_view(found, weights, keys, domain, "at matched MACs"))
    about = " On the right each net has a weight, so that spaces are alike in MACs." * bool(weights)
    return Chart(
        name="distributions",
        title="How many nets do as well",
        caption="The share of a space's nets whose validation error is at most so large: the "
        "higher and further left, the better. Points are nets, bands hold the whole distribution "
        f"with 95% (Dvoretzky, Kiefer & Wolfowitz), a space at a time.{about}",
        alt="Empirical distribution functions of validation error. "
        + "; ".join(f"{x.name}: median {words.percent(edf.median(x.errors))}" for x in found),
        views=tuple(views),
        legend=legend(keys),
        wide=True,
        columns=2,
    )


def _view(
    found: Sequence[Space],
    weights: Sequence[Sequence[float]] | None,
    keys: tuple[Key, ...],
    domain: tuple[float, float],
    title: str,
) -> Spec:
    lines, bands, nets = [], [], []
    for i, x in enumerate(found):
        kept = weights[i] if weights else [1.0] * len(x.rows)
        steps = edf.edf(x.errors, kept)
        half = edf.band(x.errors, kept)
        whole = [(domain[0], 0.0), *steps, (domain[1], 1.0)]
        lines += [{"series": x.name, "error": e, "share": v} for e, v in whole]
        bands += [
            {"series": x.name, "error": e, "low": max(v - half, 0.0), "high": min(v + half, 1.0)}
            for e, v in whole
        ]
        height = dict(steps)
        nets += [
            {"series": x.name, "error": e, "share": height[e], "name": row.name, "point": row.id,
             "told": words.percent(e), "drawn": space.settings(row), "cost": words.si(row.macs)}
            for row, e, w in zip(x.rows, x.errors, kept, strict=True)
            if w > 0
        ]  # fmt: skip
    x_axis = {"field": "error", **share_axis(domain, "validation error")}
    y = {"field": "share", **share_axis((0.0, 1.0), "share of nets")}
    hue = colour("series", keys)
    tips = tooltip(name="net", told="validation error", drawn="drawn", cost="MACs")
    layers = [
        layer(bands, {"type": "area", "opacity": 0.13, **STEP},
              x=x_axis, y=y | {"field": "low"}, y2={"field": "high"}, color=hue),
        layer([{"share": 0.5}], {"type": "rule", "strokeDash": [3, 4],
              "color": theme.var("strong")}, y=y),
        layer(lines, {"type": "line", "strokeWidth": 2.5, **STEP}, x=x_axis, y=y, color=hue),
        layer(nets, {"type": "circle", "size": 34, "opacity": 1},
              x=x_axis, y=y, color=hue, tooltip=tips),
    ]  # fmt: skip
    return view(layers, HEIGHT, title)
