"""What the study found, in words: the one place the terminal, report.md and the dashboard read."""

import dataclasses
from collections.abc import Sequence

from cnnjax.report import claims, goal, input_wait, measured, transfer, verdicts, words
from cnnjax.report.advice import advise, detectable
from cnnjax.report.comparisons import VERDICTS, Comparison, compare
from cnnjax.report.condition import Failure, banners, failures, plan_runs, progress
from cnnjax.report.gather import summarise
from cnnjax.report.points import SAME_COST, Row, Summary
from cnnjax.study.records import Study


@dataclasses.dataclass(frozen=True)
class Finding:
    """One finding: a few words of heading, a sentence, and its tone for the eye
    (`lead`, `better`, `worse`, `open`, `note`)."""

    head: str
    text: str
    tone: str = "note"


@dataclasses.dataclass(frozen=True)
class Report:
    """Everything the report says, before it is laid out."""

    summary: Summary
    comparisons: tuple[Comparison, ...]
    findings: tuple[Finding, ...]
    banners: tuple[str, ...]
    failures: tuple[Failure, ...]
    planned: int
    finished: int
    progress: str
    next: str
    verdicts: tuple[claims.Verdict, ...] = ()  # Of a study that puts claims to the test.

    @property
    def study(self) -> Study:
        return self.summary.study


def report(study: Study, advice: str | None = None) -> Report:
    """Everything to be said of a study; `advice` replaces the derived next command."""
    summary = summarise(study)
    judged = tuple(claims.judge(summary))
    # Claims say themselves what is compared; their other arms have nothing to do with each other.
    comparisons = () if judged else tuple(compare(summary))
    planned, finished = progress(study)
    complete = finished >= planned
    draft = Report(
        summary=summary,
        comparisons=comparisons,
        findings=(),
        banners=tuple(banners(study)),
        failures=tuple(failures(summary)),
        planned=planned,
        finished=finished,
        progress=""
        if complete
        else f"{finished} of {planned} runs done; what follows may still change",
        next=advise(summary, comparisons, complete) if advice is None else advice,
        verdicts=judged,
    )
    return dataclasses.replace(draft, findings=tuple(_findings(draft)))


def _findings(r: Report) -> list[Finding]:
    s = r.summary
    if s.probed:
        return [*(Finding(*told) for told in measured.told(s)), *_notes(s)]
    if not any(s.score(row) for row in s.rows):
        return [Finding("No result yet", "no run of this plan has finished", "lead")]
    if r.verdicts:
        found = [Finding(*told) for told in verdicts.told(r.verdicts)]
        return [*found, *_chance(s), *_rising(s), *_edges(s), *_survivors(s), *_notes(s)]
    several = len(s.rows) > 1
    found = _best(r) if several else [Finding(s.rows[0].name, _alone(s), "lead")]
    found += [Finding("Fastest", goal.told(s), "lead")] if goal.reached(s) else []
    found += [Finding("Compute that pre-training saves", text, "lead") for text in transfer.told(s)]
    found += [_said(s, c) for c in r.comparisons]
    found += [
        *(_front(s) if several and not transfer.alone(s) else []),
        *_chance(s),
        *_rising(s),
        *_edges(s),
    ]
    found += [*_gap(s), *_survivors(s), *_seeds(r)]
    slow = input_wait.advised(plan_runs(s.study))
    found += [Finding("Input is the bottleneck", slow)] if slow else []
    return [*found, *_notes(s)]


def _alone(s: Summary) -> str:
    row = s.rows[0]
    return f"{_told(s, row)} at {words.si(row.macs)} MACs"


def _best(r: Report) -> list[Finding]:
    """The best on validation, so that its test accuracy was not what chose it."""
    s = r.summary
    able = [row for row in s.rows if row.scores["val"] and s.score(row)]
    if not able:
        return []
    best = max(able, key=lambda row: row.scores["val"].mean)
    text = f"{best.name}: {_told(s, best)} at {words.si(best.macs)} MACs"
    front = [s.rows[i] for i in s.front]
    if front and best.macs and front[0].macs and front[0].point.runs != best.point.runs:
        cheap = front[0]
        text += (
            f", {words.times(best.macs / cheap.macs)} the MACs of {cheap.name} "
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
    return [Finding("Best on validation", f"{text}.", "lead")]


def _told(s: Summary, row: Row) -> str:
    score = s.score(row)
    n = words.count(score.n, "seed")
    few = "" if score.known else ": too few for an interval"
    return f"{words.accuracy(score)} {s.shown_name} accuracy ({n}{few})"


def _said(s: Summary, c: Comparison) -> Finding:
    text = f"{c.label} = {words.gap(c.gap)}"
    trained = transfer.cost(s, c.row, c.base)
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
    on = dict.fromkeys(f"{s.rows[i].name} ({words.si(s.rows[i].macs)})" for i in _once(s, s.front))
    inside = {s.rows[i].point.runs for i in s.front}
    off = {row.point.runs for row in s.rows if row.scores["val"]} - inside
    if len(on) < 2 and not off:
        return []
    text = f"{' → '.join(on)} MACs, selected on validation means"
    if off:
        text += f"; {words.count(len(off), 'point')} off it"
    return [Finding("Pareto front", text)]


def _once(s: Summary, places: Sequence[int]) -> list[int]:
    """Points that stand in two series, once."""
    first: dict[tuple[str, ...], int] = {}
    for i in places:
        first.setdefault(s.rows[i].point.runs, i)
    return list(first.values())


def _chance(s: Summary) -> list[Finding]:
    rows = [row for row in s.rows if row.at_chance]
    names = words.listed([f"{row.name} ({words.accuracy(s.score(row))})" for row in rows])
    one = "is" if len(rows) == 1 else "are"
    text = f"{names} {one} no better than guessing ({100 * (s.chance or 0):.3g}%)"
    return [Finding("At chance", text)] if rows else []


def _rising(s: Summary) -> list[Finding]:
    rows = [s.rows[i] for i in _once(s, range(len(s.rows))) if s.rows[i].rising]
    if not rows:
        return []
    names = words.listed([f"{row.name} ({words.signed(row.rise)})" for row in rows])
    text = f"{names}: over 1 point gained in the last fifth of training; more epochs may reorder"
    return [Finding("Still improving", text)]


def _edges(s: Summary) -> list[Finding]:
    rows = [s.rows[i] for i in _once(s, range(len(s.rows))) if s.rows[i].at_edge]
    rows = [row for row in rows if not any("grid's edge" in note for note in row.point.notes)]
    if not rows:
        return []
    names = words.listed([f"{row.name} ({row.rate:g})" for row in rows if row.rate is not None])
    return [Finding("Learning rate at the grid's edge", f"{names}: a wider grid may do better")]


def _gap(s: Summary) -> list[Finding]:
    """Where training accuracy runs furthest ahead."""
    gaps = [
        (row.scores["train"].mean - s.score(row).mean, row)
        for row in s.rows
        if row.scores["train"] and s.score(row)
    ]
    if not gaps:
        return []
    gap, row = max(gaps, key=lambda g: g[0])
    text = (
        f"{words.percent(row.scores['train'].mean)} on training images against "
        f"{words.percent(s.score(row).mean)} {s.shown_name}: {words.signed(gap)} points"
    )
    head = "Largest gap to training" if len(gaps) > 1 else "Gap to training"
    return [Finding(head, f"{row.name}, {text}" if len(gaps) > 1 else text)]


def _survivors(s: Summary) -> list[Finding]:
    """A mean over the runs that did not break flatters a net that often does."""
    rows = [s.rows[i] for i in _once(s, range(len(s.rows))) if s.rows[i].bad]
    names = [f"{row.name} ({len(row.bad)} of {len(row.bad) + len(row.done)})" for row in rows]
    text = f"{words.listed(names)} ended badly: means and intervals are over the others alone"
    return [Finding("Seeds that broke", text)] if rows else []


def _seeds(r: Report) -> list[Finding]:
    s, found = r.summary, []
    counts = [s.score(row).n for row in s.rows if s.score(row)]
    few, many = min(counts), max(counts)
    n = words.count(few, "seed") if few == many else f"{few} to {many} seeds"
    if s.spread.sd is None:
        return [Finding("Seeds", f"{n} a point: too few for intervals")]
    over = "seeds and test examples" if _paired(s) else "seeds"
    text = f"{n} a point, 95% t intervals over {over}; standard deviation between seeds "
    text += f"{100 * s.spread.sd:.2f} points"
    if s.spread.shared:
        text += ", shared by all points"
    elif len(counts) > 1:
        text += " on average, but points differ in spread, so each has its own"
    found += [Finding("Seeds", text + _power(r, few))]
    if len(r.comparisons) > 1:
        text = f"{len(r.comparisons)}, corrected for their number (Holm): the chance that any "
        text += "interval leaves out zero where there is no difference is at most 5%"
        found += [Finding("Differences", text + (_PAIRED if _paired(s) else ""))]
    return found


_PAIRED = "; nets are compared example by example"


def _paired(s: Summary) -> bool:
    """Whether it is known which test examples each net got right."""
    terms = [term for row in s.rows for term in s.terms(row)]
    return bool(terms) and all(sample.right is not None for _, sample in terms)


def _power(r: Report, n: int) -> str:
    least = detectable(r.summary, r.comparisons, n)
    if least is None:
        return ""
    return f"; a true difference of {100 * least:.1f} points would be found 4 times in 5"


def _notes(s: Summary) -> list[Finding]:
    """What the executor and the data wished to be known, each once with the points it concerns."""
    notes: dict[str, list[str]] = {}
    for row in s.rows:
        reason = None if s.study.plan.claims else row.point.failed_match  # Verdicts have said it.
        failed = [f"no match: {reason}"] if reason else []
        for note in (*row.point.notes, *failed):
            notes.setdefault(note, []).append(row.name)
    found = [
        Finding(words.listed(list(dict.fromkeys(names))), note) for note, names in notes.items()
    ]
    data = {n for row in s.rows for r in row.done for n in _texts(r.data.get("notes"))}
    found += [Finding("Data", note) for note in sorted(data)]
    if any(r.adapted for row in s.rows for r in row.done):
        found += [Finding("Adapted", "nets made for larger images, changed to take small ones")]
    return found


def _texts(v: object) -> list[str]:
    return (
        [" ".join(x.split())[:500] for x in v if isinstance(x, str)] if isinstance(v, list) else []
    )
