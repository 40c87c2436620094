"""Predeclared claims judged from the records: supported, contradicted or undecided."""

import dataclasses
import math
from collections.abc import Mapping

from cnnjax.report import goal, transfer, words
from cnnjax.report.points import SPLITS, Row, Summary
from cnnjax.study import predeclared, stats
from cnnjax.study.predeclared import AXES, Claim, Contrast, Fact, Score, Steps
from cnnjax.study.records import Record
from cnnjax.study.stats import Interval, Sample

# Each verdict's tone for the eye; the last two are none yet.
TONES = {
    "supported": "better",
    "contradicted": "worse",
    "undecided": "open",
    "not finished": "note",
    "not run": "note",
}
PLACES = {"above": "supported", "below": "contradicted", "across": "undecided", "": "not finished"}


@dataclasses.dataclass(frozen=True)
class Judged:
    """A contrast with its interval, in the metric's unit, and where that lies against the margin:
    `above`, `below` or `across`, empty where there is no interval yet."""

    contrast: Contrast
    gap: Interval | None

    @property
    def place(self) -> str:
        margin, gap = self.contrast.margin, self.gap
        if gap is None:
            return ""
        if not gap.known:
            return "across"
        return "above" if gap.low > margin else "below" if gap.high < margin else "across"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What came of a claim. `facts` are true, false or not known yet; `seeds` are the fewest that
    an arm finished; `censored` says of how many runs an arm's figure is a lower bound; `departures`
    say in what the study is not as declared, and `reason` why nothing was run."""

    claim: Claim
    judged: tuple[Judged, ...]
    facts: tuple[tuple[Fact, bool | None], ...]
    seeds: int
    censored: Mapping[str, int]
    departures: tuple[str, ...]
    reason: str = ""

    @property
    def word(self) -> str:
        places, holds = {j.place for j in self.judged}, {held for _, held in self.facts}
        if self.reason:
            return "not run"
        if "below" in places or False in holds:
            return "contradicted"
        if "" in places or None in holds:
            return "not finished"
        return "supported" if places == {"above"} else "undecided"

    @property
    def tone(self) -> str:
        return TONES[self.word]


def judge(s: Summary) -> list[Verdict]:
    """A verdict a claim of the latest plan; none where it makes no claims."""
    return [_judge(s, claim) for claim in predeclared.read(list(s.study.plan.claims))]


def _judge(s: Summary, claim: Claim) -> Verdict:
    rows = {str(r.point.axes.get("arm")): r for r in s.rows
            if r.point.axes.get(AXES[0]) == claim.name}  # fmt: skip
    seen = {arm: _seen(s, claim, arm, rows) for arm in claim.arms}
    known = [c for c in claim.contrasts if all(seen[arm].values for _, arm in c.terms)]
    terms = [[(weight, seen[arm]) for weight, arm in c.terms] for c in known]
    used = {arm: seen[arm] for c in known for _, arm in c.terms}
    spread = stats.spread([sample.values for sample in used.values()])
    gaps = stats.family(terms, spread, against=[c.margin for c in known]) if known else []
    found = {id(c): gap for c, gap in zip(known, gaps, strict=True)}
    missing = [rows[arm].point.failed_match for arm in claim.arms if arm in rows]
    counts = [len(rows[arm].done) if arm in rows else 0 for arm in claim.arms]
    return Verdict(
        claim=claim,
        judged=tuple(Judged(c, found.get(id(c))) for c in claim.contrasts),
        facts=tuple((fact, _holds(fact, rows)) for fact in claim.facts),
        seeds=min(counts),
        censored=_censored(s, claim, rows),
        departures=tuple(_departures(s, claim, min(counts))),
        reason=next(filter(None, missing), ""),
    )


def _departures(s: Summary, claim: Claim, seeds: int) -> list[str]:
    plan = s.study.plan
    found = ["a quick look"] if plan.quick else []
    found += [f"{', '.join(f'--{name}' for name in plan.changed)} given"] if plan.changed else []
    few = seeds < claim.seeds
    return [*found, f"{seeds} of {words.count(claim.seeds, 'seed')}"] if few else found


def _seen(s: Summary, claim: Claim, arm: str, rows: Mapping[str, Row]) -> Sample:
    """The arm's metric seed by seed; test accuracies know which examples were got right."""
    row, metric = rows.get(arm), claim.metric
    if row is None or row.point.weight < 1:  # Two nets that bracket a budget are no arm.
        return Sample(())
    if isinstance(metric, Score):
        split = metric.name.removesuffix("_accuracy")
        if split in SPLITS:
            return row.terms[split][0][1] if row.terms[split] else Sample(())
        values = [r.metrics.get(metric.name) for r in row.done]
    else:
        values = [v for v, _ in _took(s, claim, arm, rows)]
    return Sample(tuple(v for v in values if v is not None))


def _took(s: Summary, claim: Claim, arm: str, rows: Mapping[str, Row]) -> list[tuple[float, bool]]:
    """Of each seed the logarithm of what it took, and whether it came there at all."""
    found = []
    for r in rows[arm].done if arm in rows else ():
        one = _steps(s, claim.metric, r) if isinstance(claim.metric, Steps) else None
        if not isinstance(claim.metric, Steps | Score):
            bases = rows[claim.metric.base].done if claim.metric.base in rows else ()
            base = next((b for b in bases if b.seed == r.seed), None)
            one = _macs(s, r, base) if base else None
        found += [one] if one else []
    return found


def _steps(s: Summary, metric: Steps, r: Record) -> tuple[float, bool] | None:
    curve = s.study.curves.get(r.key, [])
    took = goal.steps_to(curve, metric.column, metric.goal)
    last = max((row["step"] for row in curve if row.get("step")), default=0)
    return _logged(took, last)


def _macs(s: Summary, r: Record, base: Record) -> tuple[float, bool] | None:
    """Over what it took the base."""
    best = transfer.best(s.study.curves.get(base.key, []))
    curve = s.study.curves.get(r.key, [])
    last = max((row["train_macs"] for row in curve if row.get("train_macs")), default=0)
    if best is None or not last > 0 or not best[1] > 0:
        return None
    took = transfer.macs_to(curve, best[0])
    return _logged(None if took is None else took / best[1], last / best[1])


def _logged(took: float | None, whole: float) -> tuple[float, bool] | None:
    if not (whole if took is None else took) > 0:
        return None
    return math.log(whole if took is None else took), took is not None


def _censored(s: Summary, claim: Claim, rows: Mapping[str, Row]) -> dict[str, int]:
    if isinstance(claim.metric, Score):
        return {}
    counts = {arm: sum(not there for _, there in _took(s, claim, arm, rows)) for arm in claim.arms}
    return {arm: n for arm, n in counts.items() if n}


def _holds(fact: Fact, rows: Mapping[str, Row]) -> bool | None:
    a, b = (
        rows[x].measures.get(fact.measure) if x in rows else None for x in (fact.arm, fact.base)
    )
    if a is None or b is None:
        return None
    return a == b if fact.same else a > b
