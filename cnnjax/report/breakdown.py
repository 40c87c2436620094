"""Accuracy by what an example carries (its digit's scale, its clutter): where a net's gain lies."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from cnnjax.report import predictions
from cnnjax.report.points import Summary
from cnnjax.study import stats
from cnnjax.study.stats import Interval

MOST = 4  # Extras shown.


@dataclasses.dataclass(frozen=True)
class Breakdown:
    """Test accuracy by bins of one extra: `bins` are their names, lowest first; `cells` holds a
    list of intervals (a bin each) by the row's place in the summary."""

    name: str
    bins: tuple[str, ...]
    cells: Mapping[int, tuple[Interval | None, ...]]


def breakdowns(summary: Summary, warnings: list[str]) -> list[Breakdown]:
    """One for each extra that the predictions carry; a file that can't be read adds a warning."""
    read = {}
    for row in summary.rows:
        for run in row.done:
            data = predictions.read(summary.study.path, run.key, warnings)
            read[run.key] = {n: (v, data.right) for n, v in data.extras.items()} if data else {}
    names = list(dict.fromkeys(name for data in read.values() for name in data))
    found = [_breakdown(summary, read, name) for name in names[:MOST]]
    return [b for b in found if b is not None]


def _breakdown(
    summary: Summary, read: Mapping[str, Mapping[str, tuple]], name: str
) -> Breakdown | None:
    everything = [data[name][0] for data in read.values() if name in data]
    once = {id(values): values for values in everything}  # Most runs saw the same examples.
    distinct = np.unique(np.concatenate(list(once.values())))
    edges = _edges(distinct, everything)
    if len(edges) < 2 or _identifies(distinct):
        return None
    inside = {i: [(v >= a) & (v <= b) for a, b in edges] for i, v in once.items()}
    shares = {}
    for place, row in enumerate(summary.rows):
        data = [read[run.key][name] for run in row.done if name in read.get(run.key, {})]
        if data:
            shares[place] = np.array([_shares(inside[id(extra)], right) for extra, right in data]).T
    columns = [column[np.isfinite(column)] for table in shares.values() for column in table]
    common = stats.spread(columns)
    cells = {
        place: tuple(_interval(column, common) for column in table)
        for place, table in shares.items()
    }
    return Breakdown(name.replace("_", " "), _names(edges), cells)


def _identifies(values: np.ndarray) -> bool:
    """Numbers that name things (which original an image shows) measure nothing to split by."""
    return bool((values == np.round(values)).all()) and len(np.unique(values)) > 100


def _edges(distinct: np.ndarray, everything: list[np.ndarray]) -> list[tuple[float, float]]:
    """(lowest, highest) of each bin: the distinct values if they are few, else thirds of all."""
    if len(distinct) <= 6:
        return [(float(v), float(v)) for v in distinct]
    whole = np.concatenate(everything)
    low, a, b, high = (float(v) for v in np.quantile(whole, (0, 1 / 3, 2 / 3, 1)))
    bounds = [(low, a), (np.nextafter(a, high), b), (np.nextafter(b, high), high)]
    return [(float(x), float(y)) for x, y in bounds if x <= y]


def _names(edges: list[tuple[float, float]]) -> tuple[str, ...]:
    return tuple(f"{a:.3g}" if a == b else f"{a:.3g}–{b:.3g}" for a, b in edges)


def _shares(inside: list[np.ndarray], right: np.ndarray) -> list[float]:
    return [float(right[i].mean()) if i.any() else float("nan") for i in inside]


def _interval(column: np.ndarray, common: stats.Spread) -> Interval | None:
    kept = column[np.isfinite(column)]
    return stats.mean(kept, common) if len(kept) else None
