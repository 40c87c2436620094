"""table.csv: a row a run, every run on disk, in an order that never changes by itself."""

import csv
import io
from collections.abc import Mapping, Sequence

from cnnjax.report import tuning, words
from cnnjax.study.records import Axis, Plan, Record, Study

BEFORE = ("experiment", "key", "status", "dataset", "net")
MEASURES = ("params", "macs", "activations", "receptive_field", "train_macs")
METRICS = ("train_accuracy", "val_accuracy", "test_accuracy")
SHIFTED = ("shift_consistency", "shift_accuracy")
AFTER = ("seed", *MEASURES, *METRICS, "train_seconds", "role", "learning_rate", "quick")


def columns(study: Study) -> list[str]:
    """The table's header: the study's axes stand after the net, what it measured and where its
    runs started from at the end."""
    more = [*_tuned(study), *_measured(study), *_pretrained(study), *_shifted(study)]
    return [*BEFORE, *study.axes, *AFTER, *more]


def _tuned(study: Study) -> list[str]:
    """What finding a replicate's recipe took, and what beside its learning rate was chosen."""
    if all(r.role != "tune" for r in study.records.values()):
        return []
    return ["tune_macs", *_chosen(study)]


def _chosen(study: Study) -> list[str]:
    return [f for f in tuning.tuned(study, study.plans) if f not in AFTER]


def _measured(study: Study) -> list[str]:
    return list(dict.fromkeys(name for r in study.records.values() for name in r.measured))


def _pretrained(study: Study) -> list[str]:
    started = any(r.source for r in study.records.values())
    return ["pretrained", "pretrain_macs"] if started else []


def _shifted(study: Study) -> list[str]:
    """What came of the test images shifted, where any were."""
    records = study.records.values()
    return [n for n in SHIFTED if any(r.metrics.get(n) is not None for r in records)]


def rows(study: Study) -> list[dict[str, object]]:
    """A row a run, by axes, role, learning rate and seed; None where nothing is known."""
    plans = [_by_run(plan) for plan in reversed(study.plans)]
    places = {key: _places(plans, record) for key, record in study.records.items()}
    chosen, macs, measured = _chosen(study), tuning.macs_of_runs(study), _measured(study)

    def rank(record: Record) -> tuple:
        first = places[record.key][0]
        rate = record.learning_rate
        axes = tuple(words.order(first.get(a)) for a in study.axes)
        others = tuple(words.order(record.field(f)) for f in chosen)
        return (axes, record.role, words.order(rate), others, record.seed, record.key)

    return [
        _row(study, r, places[r.key], measured)
        | {"tune_macs": macs.get(r.key)}
        | {f: None if r.role == "probe" else r.field(f) for f in chosen}
        for r in sorted(study.records.values(), key=rank)
    ]


def write(study: Study) -> str:
    """The table as CSV text; text that a spreadsheet would take for a formula is quoted."""
    buffer = io.StringIO()
    names = columns(study)
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([_cell(name) for name in names])
    writer.writerows([_cell(row[name]) for name in names] for row in rows(study))
    return buffer.getvalue()


def _row(
    study: Study, r: Record, places: Sequence[Mapping[str, Axis]], measured: Sequence[str]
) -> dict[str, object]:
    axes = {a: _joined([place.get(a) for place in places]) for a in study.axes}
    return (
        axes
        | {"experiment": r.experiment or study.experiment, "key": r.key, "status": r.status}
        | {"dataset": r.dataset, "net": r.net, "seed": r.seed}
        | {m: r.measures.get(m) for m in MEASURES}
        | {m: r.metrics.get(m) for m in (*METRICS, *SHIFTED)}
        | {"train_seconds": r.timings.get("train_seconds"), "role": r.role}
        | {"learning_rate": None if r.role == "probe" else r.learning_rate, "quick": r.quick}
        | {m: r.measures.get(m) for m in measured}
        | {"pretrained": r.source or None, "pretrain_macs": r.measures.get("pretrain_macs")}
    )


def _by_run(plan: Plan) -> dict[str, list[Mapping[str, Axis]]]:
    """The places of a plan's points by the keys of their runs."""
    found: dict[str, list[Mapping[str, Axis]]] = {}
    for point in plan.points:
        for key in dict.fromkeys((*point.runs, *point.tune)):
            found.setdefault(key, []).append(point.axes)
    return found


def _places(
    plans: Sequence[Mapping[str, list[Mapping[str, Axis]]]], record: Record
) -> list[Mapping[str, Axis]]:
    """Where the run stands on the axes: in the latest plan that has it, else as it says itself."""
    return next((plan[record.key] for plan in plans if record.key in plan), [record.axes])


def _joined(values: Sequence[Axis]) -> Axis:
    kept = list(dict.fromkeys(v for v in values if v is not None))
    if len(kept) < 2:
        return kept[0] if kept else None
    return "; ".join(words.axis_value(v) for v in kept)


def _cell(v: object) -> object:
    if isinstance(v, bool):
        return str(v).lower()
    if isinstance(v, str) and v.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{v}"
    return "" if v is None else v
