"""What was tried for each point on validation, what of it is best, and what that cost to find."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cnnjax.report import words
from cnnjax.study.records import Plan, Point, Record, Study
from cnnjax.study.tuning import TUNABLE, edges

RATE = "learning_rate"


def runs(study: Study, point: Point) -> list[Record]:
    """The point's tuning runs so far."""
    return [study.records[k] for k in point.tune if k in study.records]


def varied(tune: Sequence[Record]) -> list[str]:
    """The fields of which several values were tried."""
    return [f for f in TUNABLE if len(values(tune, f)) > 1]


def tuned(study: Study, plans: Sequence[Plan]) -> list[str]:
    """The fields of which several values were tried at a point of the plans."""
    found = {f for plan in plans for point in plan.points for f in varied(runs(study, point))}
    return [f for f in TUNABLE if f in found]


def told(run: Record, fields: Sequence[str]) -> str:
    """`learning rate 0.1, weight decay 0.0005`"""
    return ", ".join(f"{TUNABLE[f].name} {run.field(f) or 0:g}" for f in fields)


def rates(tune: Sequence[Record]) -> tuple[tuple[float, float], ...]:
    """(learning rate, mean validation accuracy over seeds), the best over what else was tried with
    it; a trial of which a run ended badly is left out."""
    trials: dict[tuple[float | None, ...], list[float | None]] = {}
    for r in (r for r in tune if r.status not in ("running", "stopped")):
        v = r.metrics.get("val_accuracy") if r.status == "done" else None
        trials.setdefault((r.learning_rate, *map(r.field, TUNABLE)), []).append(v)
    best: dict[float, float] = {}
    for (rate, *_), values in trials.items():
        if rate and rate > 0 and None not in values:
            best[rate] = max(best.get(rate, 0.0), sum(values) / len(values))
    return tuple(sorted(best.items()))


def at_edge(tune: Sequence[Record], chosen: Mapping[str, float | None]) -> tuple[str, ...]:
    """The fields whose chosen value is the lowest or highest that was tried."""
    return tuple(edges({f: values(tune, f) for f in TUNABLE}, chosen))


def macs(tune: Sequence[Record]) -> float | None:
    """Training MACs of the runs together, as far as they were measured."""
    known = [m for r in tune if (m := r.measures.get("train_macs")) is not None]
    return sum(known) if known else None


def columns(rows: Sequence[Any]) -> list[tuple[str, Callable[[Any], tuple[str, float | None]]]]:
    """Titles, and of a row (`points.Row`) what to show and to sort by; none where nothing was
    tuned."""
    if all(row.tune_macs is None for row in rows):
        return []
    return [("tuning MACs", lambda row: (words.si(row.tune_macs), row.tune_macs))]


def chosen(study: Study) -> list[tuple[str, Callable[[Any], tuple[str, float | None]]]]:
    """The same of what beside the learning rate was tuned."""

    def column(field: str) -> Callable[[Any], tuple[str, float | None]]:
        def cell(row: Any) -> tuple[str, float | None]:
            v = row.point.chosen.get(field)
            return "–" if v is None else f"{v:g}", v

        return cell

    fields = [f for f in tuned(study, [study.plan]) if f != RATE]
    return [(TUNABLE[f].name, column(f)) for f in fields]


def macs_of_runs(study: Study) -> dict[str, float | None]:
    """`macs` of each replicate's point, in the latest plan that has the replicate."""
    found: dict[str, dict[str, None]] = {}
    for plan in study.plans:
        latest: dict[str, dict[str, None]] = {}
        for point in plan.points:
            for key in point.runs:
                latest.setdefault(key, {}).update(dict.fromkeys(point.tune))
        found |= latest
    records = study.records
    return {key: macs([records[k] for k in tune if k in records]) for key, tune in found.items()}


def values(tune: Sequence[Record], field: str) -> list[float]:
    return sorted({v for r in tune if (v := r.field(field)) is not None})
