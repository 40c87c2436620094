"""What MACs tell of time: latency that was measured, and the time that training took."""

import math
from collections.abc import Sequence
from typing import Any

from cnnjax.report import speed, theme, words
from cnnjax.report.charts.parts import CROWD, Chart, layer, log_axis, tooltip, view
from cnnjax.report.points import Row, Summary, distinct

HEIGHT, WIDTH = 420, 980  # Pixels for which labels are laid out.
LETTER, LINE = 6.4, 14  # Pixels of a label's letter and line.
SPREAD = {"type": "rule", "strokeWidth": 2}
DOT = {"type": "circle", "size": 70, "opacity": 1}
QUARTILES = "Dots are medians, lines quartiles of repeated calls; both axes are logarithmic."
SEEDS = (
    "Dots are means over seeds, lines from the quickest to the slowest; both axes are logarithmic. "
    "Whatever else the machine did shows."
)
Box = tuple[float, float, float, float]  # Left, top, right, bottom.


def latency(s: Summary, cost: str) -> Chart | None:
    """One image's latency against a cost, with the line of least squares."""
    rows = [row for row in s.rows if row.readings.get(cost) and row.readings.get(speed.LATENCY)]
    data = [_datum(row, "latency", row.readings[cost]) for row in rows]
    title = f"Latency against {speed.COSTS[cost]}"
    law, name = speed.law(s, cost), f"latency-{cost}"
    return _scatter(name, title, data, law, speed.COSTS[cost], "latency of one image", QUARTILES)


def training(s: Summary) -> Chart | None:
    """Training time an image against MACs, of a study that trained; none with too few nets."""
    taken = [(row, times) for row in distinct(s.rows) if row.macs and (times := _times(row))]
    law = speed.through([(row, row.macs, sum(t) / len(t)) for row, t in taken])
    if s.probed or law is None:
        return None
    data = [
        {
            "name": row.name, "cost": row.macs, "costs": words.si(row.macs), "point": row.id,
            "mean": sum(t) / len(t), "low": min(t), "high": max(t),
            "told": speed.time(sum(t) / len(t)),
        }
        for row, t in taken
    ]  # fmt: skip
    title = "Does compute tell the time?"
    return _scatter("times", title, data, law, "MACs", "training, per image", SEEDS)


def _times(row: Row) -> list[float]:
    """Milliseconds of training an image, of each replicate that tells; of two nets that bracket a
    budget there is no one time."""
    if len({r.measures.get("macs") for r in row.done}) > 1:
        return []
    return [
        1000 * seconds / (r.steps_done * batch)
        for r in row.done
        if (seconds := r.timings.get("train_seconds")) and seconds > 0
        if (batch := r.field("batch_size")) and batch > 0 and r.steps_done > 0
    ]


def _scatter(
    name: str, title: str, data: list[dict], law: speed.Law | None, cost: str, what: str, how: str
) -> Chart | None:
    if len(data) < 2:
        return None
    x = {"field": "cost", **log_axis([d["cost"] for d in data], f"{cost} per image (log scale)")}
    ends = [d[end] for d in data for end in ("low", "high")]
    y = {"field": "mean", **log_axis(ends, f"{what}, ms (log scale)", "~g")}
    y["axis"]["tickCount"] = 2 * len(y["axis"]["values"])  # Fewer, and Vega leaves some blank.
    line, said = [], ""
    if law:
        across = [d["cost"] for d in data]
        line = [{"cost": v, "mean": law.expected(v)} for v in (min(across), max(across))]
        said = (
            f" Dashed: least squares through the logarithms (slope {law.slope:.2f}). Rank "
            f"correlation (Spearman) {law.rank:.2f} over {len(law.rows)} nets."
        )
    tips = tooltip(name="net", told=what, costs=cost)
    # In a crowd none has room, and each has its tooltip.
    named = len(data) <= CROWD
    labels = _labels(data, x["scale"]["domain"], y["scale"]["domain"]) if named else []
    dash = {"type": "line", "strokeDash": [4, 4], "color": theme.var("strong"), "strokeWidth": 1.5,
            "clip": True}  # fmt: skip
    blue = {"color": theme.var("c0")}
    layers = [
        layer(line, dash, x=x, y=y),
        layer(data, SPREAD | blue, x=x, y=y | {"field": "low"}, y2={"field": "high"}),
        layer(data, DOT | blue, x=x, y=y, tooltip=tips),
        *(
            layer(
                [d for d in labels if d["align"] == align],
                {"type": "text", "align": align, "baseline": "middle"},
                x=x | {"field": "right"}, y=y | {"field": "height"}, text={"field": "name"},
            )
            for align in ("left", "center", "right")
        ),
    ]  # fmt: skip
    return Chart(
        name=name,
        title=title,
        caption=how + said,
        alt=f"{title}: {what} against {cost}. "
        + words.listed([f"{d['name']}: {d['told']} at {d['costs']}" for d in data]),
        views=(view(layers, HEIGHT),),
        wide=True,
    )


def _datum(row: Row, program: str, cost: float) -> dict[str, Any]:
    median, low, high = (row.readings.get(f"{program}_{n}") for n in ("ms", "q1_ms", "q3_ms"))
    return {
        "name": row.name, "cost": cost, "costs": words.si(cost), "mean": median, "point": row.id,
        "low": low or median, "high": high or median, "told": speed.timed(row, program),
    }  # fmt: skip


def _labels(data: list[dict], x: Sequence[float], y: Sequence[float]) -> list[dict]:
    """Each name where it covers no dot and no other name, nearest its own dot; those of a crowd
    that find no such place are left to the tooltips."""

    def share(v: float, ends: Sequence[float]) -> float:
        return math.log(v / ends[0]) / math.log(ends[1] / ends[0])

    def down(d: dict, name: str) -> float:
        return HEIGHT * (1 - share(d[name], y))

    places = [(WIDTH * share(d["cost"], x), down(d, "mean")) for d in data]
    taken: list[Box] = [
        (at - 5, min(up - 5, down(d, "high")), at + 5, max(up + 5, down(d, "low")))
        for d, (at, up) in zip(data, places, strict=True)
    ]
    found = []
    # The outermost first: they have room, and are those that one asks for.
    middle = [sum(v) / len(v) for v in zip(*places, strict=True)]
    order = sorted(range(len(data)), key=lambda i: -math.dist(places[i], middle))
    for i in order:
        wide = LETTER * len(data[i]["name"])
        for dx, dy, align in _around():
            left = places[i][0] + dx - {"left": 0, "center": wide / 2, "right": wide}[align]
            top = places[i][1] + dy - LINE / 2
            box = (left, top, left + wide, top + LINE)
            inside = left > 0 and box[2] < WIDTH + 40 and top > 0 and box[3] < HEIGHT
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                at = (left + {"left": 0, "center": wide / 2, "right": wide}[align]) / WIDTH
                up = 1 - (top + LINE / 2) / HEIGHT
                found.append({
                    "name": data[i]["name"], "align": align,
                    "right": x[0] * (x[1] / x[0]) ** at, "height": y[0] * (y[1] / y[0]) ** up,
                })  # fmt: skip
                break
    return found


def _around() -> list[tuple[float, float, str]]:
    """Offsets from a dot, the nearest first."""
    found: list[tuple[float, float, str]] = [(9, 0, "left"), (-9, 0, "right")]
    for far in (12, 22):
        found += [(8, -far, "left"), (8, far, "left"), (-8, -far, "right"), (-8, far, "right")]
        found += [(0, -far - 2, "center"), (0, far + 2, "center")]
    return found


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
