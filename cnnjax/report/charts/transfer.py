"""Accuracy against what training cost, and training to the accuracy of scratch."""

from collections.abc import Sequence

from cnnjax.report import theme, transfer, words
from cnnjax.report.charts.accuracy import INTERVAL, MEAN, SEED
from cnnjax.report.charts.parts import (
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
    scores,
    series_keys,
    shape,
    share_axis,
    share_domain,
    tooltip,
    view,
)
from cnnjax.report.points import Row, Summary

HEIGHT = 320
TIP = {"name": "point", "accuracy": "accuracy", "spent": "MACs", "n": "seeds"}


def compute(s: Summary) -> Chart | None:
    """Accuracy against training MACs; beside it with the pre-training counted, where its cost is
    known."""
    every = (row for series in s.series for row in s.of(series))
    rows = [row for row in every if s.score(row) and row.measures["train_macs"]]
    if not transfer.used(s) or len(rows) < 2:
        return None
    keys = series_keys(s)
    values = [v for row in above_chance(rows) for v in words.clipped(s.score(row))]
    domain = share_domain(values, s.chance)
    alone = [(row, row.measures["train_macs"]) for row in rows]
    whole = [(row, macs + b) for row, macs in alone if (b := transfer.before(row)) is not None]
    views = [_view(s, alone, keys, domain, "training alone")]
    if any(transfer.before(row) for row, _ in whole):
        views.append(_view(s, whole, keys, domain, "pre-training counted"))
    named = words.listed(transfer.sources(s))
    unknown = (
        "" if len(views) > 1 else " What the pre-training cost is not known (--pretrain_macs)."
    )
    return Chart(
        name="transfer",
        title="Accuracy against training compute",
        caption=f"Pre-trained: {named}. Means over seeds with 95% intervals; a line joins a way's "
        f"points by the number of examples. Backward passes that are skipped are not counted."
        f"{unknown}",
        alt=f"{s.shown_name} accuracy against training MACs. "
        + "; ".join(
            f"{r.name}: {words.accuracy(s.score(r))} at {words.si(r.measures['train_macs'])}"
            for r in rows
        ),
        views=tuple(views),
        legend=legend(keys),
        wide=True,
    )


def _view(
    s: Summary,
    spent: Sequence[tuple[Row, float]],
    keys: tuple[Key, ...],
    domain: tuple[float, float],
    title: str,
) -> Spec:
    data = [
        scores(row, s.score(row), s.shown_name) | {"at": macs, "spent": words.si(macs), "order": i}
        for i, (row, macs) in enumerate(spent)
    ]
    x = {"field": "at", **log_axis([d["at"] for d in data], "MACs of one training (log scale)")}
    y = {"field": "mean", **share_axis(domain, f"{s.shown_name} accuracy")}
    look = {"color": colour("series", keys), "shape": shape("series", keys)}
    on = [d for d in data if d["mean"] >= domain[0]]
    layers = [
        *chance_rule(s.chance, domain),
        layer(on, {"type": "line", "strokeWidth": 2},
              x=x, y=y, color=look["color"], order={"field": "order"}),
        layer(on, INTERVAL, x=x, y=y | {"field": "low"}, y2={"field": "high"},
              color=look["color"]),
        layer(on, MEAN, x=x, y=y, **look, tooltip=tooltip(**TIP)),
        layer(on, {"type": "text", "align": "left", "dx": 10, "dy": 8, "fontSize": 11,
                   "color": theme.var("muted")}, x=x, y=y, text={"field": "label"}),
    ]  # fmt: skip
    return view(layers, HEIGHT, title)


def to_scratch(s: Summary) -> Chart | None:
    """Each seed's training MACs to scratch's best validation accuracy, and their geometric mean."""
    rows = transfer.reached(s)
    there = [r for r in rows if r.macs]
    if not any(r.row is not r.base for r in rows) or not there:
        return None
    single = [
        {"name": r.row.name, "series": r.row.series, "macs": v, "point": r.row.id}
        for r in there
        for v in r.macs
    ]
    means, counted = [], []
    for r in there:
        i = r.typical
        low, high = (i.low, i.high) if i.known else (i.mean, i.mean)
        datum = {"name": r.row.name, "series": r.row.series, "told": words.si(i.mean),
                 "point": r.row.id,
                 "share": transfer.share(r), "seeds": f"{len(r.macs)} of {r.tried}"}  # fmt: skip
        means.append(datum | {"macs": i.mean, "low": low, "high": high})
        if r.before:
            whole = i.mean + r.before
            counted.append(datum | {"macs": whole, "told": words.si(whole)})
    names = [r.row.name for r in rows]
    keys = series_keys(s)
    everything = [d["macs"] for d in (*single, *means, *counted)]
    everything += [d[k] for d in means for k in ("low", "high")]
    x = log_axis(everything, "training MACs (log scale)")
    y, hue = name_axis("name", names), colour("series", keys)
    never = [{"name": r.row.name, "text": "not reached"} for r in rows if not r.macs]
    tips = tooltip(name="point", told="MACs", share="of scratch's", seeds="seeds that came there")
    layers = [
        layer(never, {"type": "text", "align": "left", "color": theme.var("muted")},
              y=y, x={"value": 6}, text={"field": "text"}),
        layer(single, SEED, y=y, x=x | {"field": "macs"}, color=hue),
        layer(means, INTERVAL, y=y, x=x | {"field": "low"}, x2={"field": "high"}, color=hue),
        layer(means, MEAN, y=y, x=x | {"field": "macs"}, color=hue, tooltip=tips),
        layer(counted, {"type": "point", "size": 90, "strokeWidth": 2},
              y=y, x=x | {"field": "macs"}, color=hue, tooltip=tips),
    ]  # fmt: skip
    rings = " Rings: with the pre-training counted." if counted else ""
    return Chart(
        name="to_scratch",
        title="Training compute to the accuracy of scratch",
        caption="Until the first epoch at which a seed's validation accuracy is the best that the "
        "same seed came to from scratch. Small dots are seeds, large ones their geometric mean "
        f"with its 95% interval.{rings}",
        alt=" ".join(f"{text}." for text in transfer.told(s)),
        views=(view(layers, 30 * len(names)),),
        legend=legend(keys),
    )
