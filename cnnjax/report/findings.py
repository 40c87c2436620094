"""What the study found, in words: the one place the terminal, report.md and the dashboard read."""

import dataclasses

from cnnjax.report import (
    caution,
    claims,
    doubling,
    doubts,
    fits,
    goal,
    input_wait,
    measured,
    space,
    transfer,
    verdicts,
    words,
)
from cnnjax.report.advice import advise
from cnnjax.report.answers import Table, tables
from cnnjax.report.comparisons import VERDICTS, Comparison, compare, telling, untold
from cnnjax.report.condition import Failure, banners, failures, plan_runs, progress
from cnnjax.report.doubling import Gain, gains
from cnnjax.report.gather import summarise
from cnnjax.report.points import SAME_COST, Row, Summary, distinct
from cnnjax.study.records import Study
from cnnjax.study.untrusted import lines


@dataclasses.dataclass(frozen=True)
class Finding:
    """One finding: a few words of heading, a sentence, and its tone for the eye
    (`lead`, `better`, `worse`, `open`, `note`, and `detail` of notes on single points)."""

    head: str
    text: str
    tone: str = "note"


@dataclasses.dataclass(frozen=True)
class Report:
    """Everything the report says, before it is laid out."""

    summary: Summary
    comparisons: tuple[Comparison, ...]
    laws: tuple[fits.Law, ...]
    gains: tuple[Gain, ...]
    tables: tuple[Table, ...]
    findings: tuple[Finding, ...]
    banners: tuple[str, ...]
    failures: tuple[Failure, ...]
    planned: int
    finished: int
    progress: str
    next: str
    verdicts: tuple[claims.Verdict, ...] = ()  # Of a study that puts claims to the test.
    spaces: tuple[space.Space, ...] = ()  # Of a study of design spaces, and how they differ.
    between: tuple[space.Gap, ...] = ()

    @property
    def study(self) -> Study:
        return self.summary.study


def report(study: Study, advice: str | None = None) -> Report:
    """Everything to be said of a study; `advice` replaces the derived next command."""
    summary = summarise(study)
    judged = tuple(claims.judge(summary))
    # Claims say themselves what is compared; their other arms have nothing to do with each other.
    comparisons = () if judged else tuple(compare(summary))
    doubled = () if judged else gains(summary)
    spaces = tuple(space.spaces(summary))
    between = tuple(space.gaps(spaces))
    planned, finished = progress(study)
    complete = finished >= planned
    draft = Report(
        summary=summary,
        comparisons=comparisons,
        laws=() if judged or spaces else tuple(fits.laws(summary)),
        gains=doubled,
        tables=tables(summary, doubled, comparisons, judged, spaces),
        findings=(),
        banners=tuple(banners(study)),
        failures=tuple(failures(summary)),
        planned=planned,
        finished=finished,
        progress=""
        if complete
        else f"{finished} of {planned} runs done; what follows may still change",
        next=advise(summary, comparisons, complete, between) if advice is None else advice,
        verdicts=judged,
        spaces=spaces,
        between=between,
    )
    return dataclasses.replace(draft, findings=tuple(_findings(draft)))


def _findings(r: Report) -> list[Finding]:
    s = r.summary
    if s.probed:
        return [*(Finding(*told) for told in measured.told(s)), *_notes(s)]
    if not any(s.score(row) for row in s.rows):
        return [Finding("No result yet", "no run of this plan has finished", "lead")]
    if s.sampled:
        found = [Finding(*told) for told in space.told(s, r.spaces, r.between)]
        return [*found, *_notes(s)]
    if r.verdicts:
        found = [Finding(*told) for told in verdicts.told(r.verdicts)]
        return [*found, *(Finding(*told) for told in doubts.told(s)), *_notes(s)]
    several = len(s.rows) > 1
    found = _best(r) if several else [Finding(s.rows[0].name, _alone(s), "lead")]
    found = [*_doubled(r), *found] if s.of_compute else [*found, *_doubled(r)]
    found += [Finding("Fastest", goal.told(s), "lead")] if goal.reached(s) else []
    found += [Finding("Compute that pre-training saves", text, "lead") for text in transfer.told(s)]
    found += [_said(s, c) for c in telling(r.comparisons)]
    found += [Finding(*told) for told in untold(r.comparisons)]
    found += _front(s) if several and not transfer.alone(s) else []
    found += [Finding(*told) for told in doubts.told(s)]
    found += [Finding("Power law", fits.told(law)) for law in r.laws if law.found]
    found += _gap(s)
    found += [Finding(*told) for told in caution.told(s, r.comparisons)]
    found += [Finding(*told) for told in doubling.notes(s, r.gains)] if r.gains else []
    slow = input_wait.advised(plan_runs(s.study))
    found += [Finding("Input is the bottleneck", slow)] if slow else []
    return [*found, *_notes(s)]


def _doubled(r: Report) -> list[Finding]:
    told = doubling.told(r.summary, r.gains) if r.gains else ""
    return [Finding("What a doubling of compute buys", told, "lead")] if told else []


def _alone(s: Summary) -> str:
    row = s.rows[0]
    return f"{_told(s, row)} at {words.si(row.macs)} MACs"


def _best(r: Report) -> list[Finding]:
    """The best on validation, so that its test accuracy was not what chose it."""
    s = r.summary
    if few := caution.few(s):
        return [Finding("No ranking", few, "lead")]
    able = [row for row in s.rows if caution.ranked(row, s)]
    if not able:
        return []
    best = max(able, key=lambda row: row.scores["val"].mean)
    text = f"{best.name}: {_told(s, best)} at {words.si(s.cost(best))} {s.cost_name}"
    front = [s.rows[i] for i in s.front]
    if front and s.cost(best) and front[0].point.runs != best.point.runs:
        cheap = front[0]
        text += (
            f", {words.times(s.cost(best) / s.cost(cheap))} the {s.cost_name} of {cheap.name} "
            f"({words.percent(s.score(cheap) and s.score(cheap).mean)}), the cheapest on the "
            "Pareto front"
        )
    rivals = [
        c
        for c in r.comparisons
        if c.row is best and c.verdict == "open" and (c.cost or 0) > 1 + SAME_COST
    ]
    for c in rivals[:1]:
        text += (
            f". No evidence that it beats {c.base.name}, which costs "
            f"{words.times(c.cost)} less ({words.si(c.base.macs)})"
        )
    chosen = caution.winner(s, best)
    told = [Finding("Chosen on validation", f"{best.name}: {chosen}")] if chosen else []
    return [Finding("Best on validation", f"{text}.", "lead"), *told]


def _told(s: Summary, row: Row) -> str:
    score = s.score(row)
    n = words.count(score.n, "seed")
    few = "" if score.known else ": too few for an interval"
    return f"{words.accuracy(score)} {s.shown_name} accuracy ({n}{few})"


def _said(s: Summary, c: Comparison) -> Finding:
    text = f"{c.label} = {words.gap(c.gap)}"
    trained = transfer.cost(s, c.row, c.base)
    if trained is None and c.cost is not None and abs(c.cost - 1) < SAME_COST:
        trained = c.trained if c.doubling is not None else None
    if trained is not None:
        text += f" for {words.times(trained)} the training MACs"
    elif c.cost is not None:
        same = abs(c.cost - 1) < SAME_COST
        text += " at the same MACs" if same else f" for {words.times(c.cost)} the MACs"
    if c.doubling is not None and c.verdict in ("better", "worse"):
        text += f", {words.signed(c.doubling.mean)} points per doubling"
    remark = VERDICTS[c.verdict]
    return Finding(c.series, f"{text}: {remark}" if remark else text, c.verdict)


def _front(s: Summary) -> list[Finding]:
    on = [_sure(s, row) for row in distinct([s.rows[i] for i in s.front])]
    inside = {s.rows[i].point.runs for i in s.front}
    able = [row for row in s.rows if row.scores["val"] and row.scores["val"].known]
    off = {row.point.runs for row in able} - inside
    if len(on) < 2 and not off:
        return []
    text = f"{' → '.join(on)}, selected on validation means"
    if any(s.chances[i] is not None for i in s.front):
        text += "; in brackets how likely each is to belong there, over redrawn seeds"
    if off:
        text += f"; {words.count(len(off), 'point')} off it"
    return [Finding("Pareto front", text)]


def _sure(s: Summary, row: Row) -> str:
    """`3×3 (98%, 2.90 M MACs)`"""
    chance = s.sure(row)
    sure = "" if chance is None else f"{words.chance(chance)}, "
    return f"{row.name} ({sure}{words.si(s.cost(row))} {s.cost_name})"


def _gap(s: Summary) -> list[Finding]:
    """Where training accuracy runs furthest ahead, by validation: test chooses nothing."""
    rows = [row for row in s.rows if row.scores["train"] and row.scores["val"] and s.score(row)]
    if len(s.rows) > 1:
        rows = [row for row in rows if caution.ranked(row, s)]
    if not rows:
        return []
    row = max(rows, key=lambda r: r.scores["train"].mean - r.scores["val"].mean)
    gap = row.scores["train"].mean - s.score(row).mean
    text = (
        f"{words.percent(row.scores['train'].mean)} on training images against "
        f"{words.percent(s.score(row).mean)} {s.shown_name}: {words.signed(gap)} points"
    )
    head = "Largest gap to training" if len(rows) > 1 else "Gap to training"
    return [Finding(head, f"{row.name}, {text}" if len(s.rows) > 1 else text)]


def _notes(s: Summary) -> list[Finding]:
    """What the executor and the data wished to be known, each once with the points it concerns."""
    notes: dict[str, list[str]] = {}
    for row in s.rows:
        reason = None if s.study.plan.claims else row.point.failed_match  # Verdicts have said it.
        failed = [f"no match: {reason}"] if reason else []
        for note in (*row.point.notes, *failed):
            notes.setdefault(note, []).append(row.name)
    found = [
        Finding(words.listed(list(dict.fromkeys(names))), note, "detail")
        for note, names in notes.items()
    ]
    data = {n for row in s.rows for r in row.done for n in lines(r.data.get("notes"))}
    found += [Finding("Data", note) for note in sorted(data)]
    if any(r.adapted for row in s.rows for r in row.done):
        found += [Finding("Adapted", "nets made for larger images, changed to take small ones")]
    return found
