"""How far a study is, and what stands against believing it."""

import dataclasses
from collections import Counter
from collections.abc import Sequence

from cnnjax.report import tuning, words
from cnnjax.report.points import BAD, SETTING, Summary
from cnnjax.study.records import Record, Study


@dataclasses.dataclass(frozen=True)
class Failure:
    """A run that ended badly."""

    name: str
    key: str
    status: str
    reason: str


def plan_runs(study: Study) -> list[Record]:
    """The latest plan's runs so far, tuning included, each once."""
    keys = dict.fromkeys(k for p in study.plan.points for k in (*p.runs, *p.tune))
    return [study.records[k] for k in keys if k in study.records]


def banners(study: Study) -> list[str]:
    """What the reader must know before believing any of it."""
    found, runs = [], plan_runs(study)
    if study.plan.quick or any(run.quick for run in runs):
        little = "measuring" if any(run.role == "probe" for run in runs) else "training"
        found.append(f"A quick look, not evidence: too little {little} to decide anything.")
    found += _differ("revisions of the source", [run.revision or "unknown" for run in runs])
    found += _differ("hardware", [hardware(run) for run in runs])
    found += _differ("software", _versions(runs))
    return found


def _differ(what: str, told: Sequence[str]) -> list[str]:
    counts = sorted(Counter(told).items(), key=lambda item: (-item[1], item[0]))
    if len(counts) < 2:
        return []
    parts = [f"{name or 'unknown'} ({words.count(n, 'run')})" for name, n in counts]
    return [f"The runs differ in {what}: {'; '.join(parts)}."]


def _versions(runs: Sequence[Record]) -> list[str]:
    """Each run's versions, of those packages alone in which the runs differ."""
    names = dict.fromkeys(name for run in runs for name in run.versions)
    told = {n: {run.versions.get(n) for run in runs} for n in names}
    differing = [n for n, versions in told.items() if len(versions) > 1]
    return [words.distinct({n: run.versions.get(n) for n in differing}) for run in runs]


def hardware(run: Record) -> str:
    """`2 × cpu, 2 cores`."""
    h = run.hardware
    cores = f", {words.axis_value(h['cores'])} cores" if h.get("cores") else ""
    return f"{h.get('devices') or 'unknown'}{cores}"


def failures(s: Summary) -> list[Failure]:
    """The runs that ended badly, each once, with its reason."""
    found: dict[str, Failure] = {}
    for row in s.rows:
        tune = tuning.runs(s.study, row.point)
        fields = tuning.varied(tune) or [tuning.RATE]
        bad = [*row.bad, *(t for t in tune if t.status in BAD)]
        for run in bad:
            tuned = tuning.told(run, fields)
            what = {"replicate": f"seed {run.seed}", "probe": "measured"}.get(run.role, tuned)
            status = run.status.replace("_", " ")
            found.setdefault(run.key, Failure(f"{row.name}, {what}", run.key, status, _reason(run)))
    return list(found.values())


def _reason(run: Record) -> str:
    """Why it failed at last, and why each attempt before that did."""
    before = "; ".join(dict.fromkeys(run.attempts))
    return (run.error or "no reason given") + (f"; attempts before: {before}" if before else "")


def heading(study: Study, run: Record) -> str:
    """`fixed width 5×5, seed 2`: where a run stands, and which of its point it is."""
    axes = run.axes
    place = words.axis_value(axes.get(SETTING)) or words.place(
        study.x_axis, axes.get(study.x_axis or "")
    )
    series = words.axis_value(axes.get(study.series)) if study.series else ""
    which = {"probe": "measured", "tune": tuning.told(run, [tuning.RATE])}
    name = " ".join(filter(None, [series, place or run.net]))
    return ", ".join(filter(None, [name, which.get(run.role, f"seed {run.seed}")]))


def progress(study: Study) -> tuple[int, int]:
    """(planned, ended) runs, each counted once; replicates not yet named count by their number."""
    keys = {k for p in study.plan.points for k in (*p.runs, *p.tune)}
    unnamed = {p.tune or i: p.seeds for i, p in enumerate(study.plan.points) if not p.runs}
    ended = [k for k in keys if k in study.records]
    ended = [k for k in ended if study.records[k].status not in ("running", "stopped")]
    return len(keys) + sum(unnamed.values()), len(ended)
