"""What came of predeclared claims, in words: findings, and a table of every contrast."""

import math
from collections.abc import Sequence

from cnnjax.report import words
from cnnjax.report.claims import TONES, Judged, Verdict
from cnnjax.study.predeclared import Fact

HEAD = ("claim", "verdict", "contrast", "difference, 95% interval", "predicted", "seeds", "source")
_HELD = {True: "holds", False: "does not hold", None: "not known yet"}


def told(verdicts: Sequence[Verdict]) -> list[tuple[str, str, str]]:
    """(head, text, tone) of the findings: what came of them all, then of each."""
    return [("Claims", lead(verdicts), "lead"), *(said(v) for v in verdicts)]


def lead(verdicts: Sequence[Verdict]) -> str:
    """`6 of 8 supported, 1 contradicted, 1 undecided`"""
    counts = {word: sum(v.word == word for v in verdicts) for word in TONES}
    first = f"{counts.pop('supported')} of {len(verdicts)} supported"
    text = ", ".join([first, *(f"{n} {word}" for word, n in counts.items() if n)])
    off = sum(bool(v.departures) and v.word in ("supported", "contradicted", "undecided")
              for v in verdicts)  # fmt: skip
    return f"{text}; {off} not as declared" if off else text


def said(v: Verdict) -> tuple[str, str, str]:
    parts = [v.word]
    if v.reason:
        parts[0] += f": {v.reason}"
    else:
        parts[0] += f", but not as declared ({'; '.join(v.departures)})" if v.departures else ""
        shown = [f"{j.contrast.label} {gap(v, j)}, predicted {predicted(v, j)}" for j in v.judged]
        parts += [*shown, *(f"{fact(f)}: {_HELD[held]}" for f, held in v.facts), *_bounds(v)]
        parts.append(words.count(v.seeds, "seed"))
        parts += [f"adapted: {v.claim.adapted}"] if v.claim.adapted else []
    return v.claim.statement or v.claim.name, f"{'; '.join(parts)} ({v.claim.source})", v.tone


def _bounds(v: Verdict) -> list[str]:
    arms = [f"{words.count(n, 'run')} of {arm}" for arm, n in v.censored.items()]
    text = f"{words.listed(arms)} never came there and count as their whole training"
    return [text] if arms else []


def gap(v: Verdict, j: Judged) -> str:
    """`+4.7 points [+3.1, +6.3]`, or `2.1× [1.8×, 2.5×]` of a factor."""
    if j.gap is None:
        return "–"
    if not v.claim.factor:
        return words.gap(j.gap)
    ends = f" [{_times(j.gap.low)}, {_times(j.gap.high)}]" if j.gap.known else ""
    return f"{_times(j.gap.mean)}{ends}"


def predicted(v: Verdict, j: Judged) -> str:
    """`above 0.0 points` or `above 1.0×`"""
    margin = j.contrast.margin
    return f"above {_times(margin) if v.claim.factor else f'{words.signed(margin)} points'}"


def fact(f: Fact) -> str:
    """`MACs: dilated = plain`"""
    name = f.measure.replace("macs", "MACs").replace("_", " ")
    return f"{name}: {f.arm} {'=' if f.same else '>'} {f.base}"


def _times(v: float) -> str:
    return words.times(math.exp(min(max(v, -50.0), 50.0)))


def table(verdicts: Sequence[Verdict]) -> list[list[str]]:
    """A row a contrast and a fact, under `HEAD`."""
    rows = []
    for v in verdicts:
        word = v.word + (", not as declared" if v.departures and not v.reason else "")
        start, end = [v.claim.name, word], [f"{v.seeds} of {v.claim.seeds}", v.claim.source]
        for j in v.judged:
            rows.append([*start, j.contrast.label, gap(v, j), predicted(v, j), *end])
        for f, held in v.facts:
            rows.append([*start, fact(f), _HELD[held], "exactly", *end])
    return rows
