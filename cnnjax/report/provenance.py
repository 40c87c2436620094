"""Where the figures come from: command, source, software, hardware, data and what it all took."""

from collections.abc import Iterable

from cnnjax.report import input_wait, tuning, words
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
        ("Training time", _time(runs)),
        ("Input wait", input_wait.told(runs)),
        ("Training compute", _compute(runs)),
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


def _time(runs: list[Record]) -> str:
    known = [t for run in runs if (t := run.timings.get("train_seconds")) is not None]
    compile_ = sum(run.timings.get("compile_seconds") or 0 for run in runs)
    if not known:
        return ""
    told = f"{words.duration(sum(known))} over all runs, tuning included, compilation excluded"
    return f"{told} ({words.duration(compile_)} more)" if compile_ else told


def _compute(runs: list[Record]) -> str:
    known = [m for run in runs if (m := run.measures.get("train_macs")) is not None]
    return f"{words.si(sum(known))} MACs over all runs, tuning included" if known else ""
