"""Where the figures come from: command, source, software, hardware and data."""

from collections.abc import Iterable

from cnnjax.report import tuning, words
from cnnjax.report.condition import hardware, plan_runs
from cnnjax.report.findings import Report
from cnnjax.study.records import Record
from cnnjax.study.tuning import named
from cnnjax.study.untrusted import line


def provenance(r: Report) -> list[tuple[str, str]]:
    """(what, value) in the order to be shown; what is not known is left out."""
    runs = plan_runs(r.study)
    plan = r.study.plan
    told = [
        ("Command", plan.command),
        ("Planned", plan.time),
        ("Source revision", _all(run.revision or "unknown" for run in runs)),
        ("Software", _all(words.distinct(run.versions) for run in runs)),
        ("Hardware", _all(hardware(run) for run in runs)),
        ("Data", _all(_data(run) for run in runs)),
        ("Data from", _all(line(run.data.get("provenance")) for run in runs)),
        ("Weights from", _all(run.source for run in runs)),
        ("Runs", _counts(r, runs)),
    ]
    return [(what, value) for what, value in told if value]


def _all(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(v for v in values if v))


def _data(run: Record) -> str:
    parts = [
        ("train_examples", "training"),
        ("val_examples", "validation"),
        ("test_examples", "test"),
    ]
    sizes = [
        f"{run.data[k]:,} {name}".replace(",", "\u202f")
        for k, name in parts
        if type(run.data.get(k)) is int
    ]
    classes = run.data.get("classes")
    told = [*([f"{classes} classes"] if type(classes) is int else []), *sizes]
    return f"{run.dataset} ({', '.join(told)} images)" if sizes else run.dataset


def _counts(r: Report, runs: list[Record]) -> str:
    tune = sum(run.role == "tune" for run in runs)
    told = f"{r.finished} of {r.planned} ended"
    what = named(tuning.tuned(r.study, [r.study.plan]) or [tuning.RATE], "s")
    return f"{told}, {tune} of them to choose {what}" if tune else told
