"""Accuracy by what an example carries (its digit's scale, its clutter): where a net's gain lies."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cnnjax.errors import UserError
from cnnjax.report.points import Summary
from cnnjax.study import stats
from cnnjax.study.results import Folder
from cnnjax.study.stats import Interval

PREFIX = "extra_"
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
    folder = Folder(summary.study.path)
    read = {}
    for row in summary.rows:
        for run in row.done:
            read[run.key] = _read(folder, run.key, warnings)
    names = list(dict.fromkeys(name for data in read.values() for name in data))
    found = [_breakdown(summary, read, name) for name in names[:MOST]]
    return [b for b in found if b is not None]


def _breakdown(
    summary: Summary, read: Mapping[str, Mapping[str, tuple]], name: str
) -> Breakdown | None:
    everything = [data[name][0] for data in read.values() if name in data]
    edges = _edges(np.concatenate(everything))
    if len(edges) < 2 or _identifies(np.concatenate(everything)):
        return None
    shares = {}
    for place, row in enumerate(summary.rows):
        data = [read[run.key][name] for run in row.done if name in read.get(run.key, {})]
        if data:
            shares[place] = np.array([_shares(extra, right, edges) for extra, right in data]).T
    columns = [column[np.isfinite(column)] for table in shares.values() for column in table]
    common = stats.spread(columns)
    cells = {
        place: tuple(_interval(column, common) for column in table)
        for place, table in shares.items()
    }
    return Breakdown(name.removeprefix(PREFIX).replace("_", " "), _names(edges), cells)


def _identifies(values: np.ndarray) -> bool:
    """Numbers that name things (which original an image shows) measure nothing to split by."""
    return bool((values == np.round(values)).all()) and len(np.unique(values)) > 100


def _edges(values: np.ndarray) -> list[tuple[float, float]]:
    """(lowest, highest) of each bin: the distinct values if they are few, else thirds."""
    distinct = np.unique(values)
    if len(distinct) <= 6:
        return [(float(v), float(v)) for v in distinct]
    low, a, b, high = (float(v) for v in np.quantile(values, (0, 1 / 3, 2 / 3, 1)))
    bounds = [(low, a), (np.nextafter(a, high), b), (np.nextafter(b, high), high)]
    return [(float(x), float(y)) for x, y in bounds if x <= y]


def _names(edges: list[tuple[float, float]]) -> tuple[str, ...]:
    return tuple(f"{a:.3g}" if a == b else f"{a:.3g}–{b:.3g}" for a, b in edges)


def _shares(extra: np.ndarray, right: np.ndarray, edges: list[tuple[float, float]]) -> list[float]:
    inside = [(extra >= a) & (extra <= b) for a, b in edges]
    return [float(right[i].mean()) if i.any() else float("nan") for i in inside]


def _interval(column: np.ndarray, common: stats.Spread) -> Interval | None:
    kept = column[np.isfinite(column)]
    return stats.mean(kept, common) if len(kept) else None


def _read(folder: Folder, key: str, warnings: list[str]) -> Mapping[str, tuple]:
    path = folder.run_dir(key) / "predictions.npz"
    try:
        stamp = path.stat().st_mtime_ns
    except OSError:
        return {}
    try:
        return _extras(folder.path, key, stamp)
    except UserError as e:
        warnings.append(str(e))
    except (ValueError, TypeError, IndexError):
        warnings.append(f"{path} is left out: its arrays do not fit together")
    return {}


@functools.lru_cache(maxsize=512)  # The report is written after every run; most files stay.
def _extras(path: Path, key: str, stamp: int) -> Mapping[str, tuple[np.ndarray, np.ndarray]]:
    """(extra, whether the example was classified rightly) by the extra's name."""
    del stamp
    folder = Folder(path)
    names = folder.prediction_names(key)
    extras = [n for n in names if n.startswith(PREFIX)]
    if not extras or not {"label", "logits"} <= set(names):
        return {}
    data = folder.read_predictions(key, ("label", "logits", *extras))
    right = np.argmax(data["logits"], axis=-1) == data["label"]
    kept = {n: data[n] for n in extras if data[n].dtype.kind in "iuf" and data[n].ndim == 1}
    if any(v.shape != right.shape or right.ndim != 1 for v in kept.values()):
        raise ValueError("shapes differ")
    return {n: (v.astype(np.float64), right) for n, v in kept.items() if np.isfinite(v).all()}
