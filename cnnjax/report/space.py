"""What a study of design spaces found: distributions of its nets' validation errors, compared as
drawn and at matched MACs. Nets are compared and none is chosen on test."""

import dataclasses
from collections.abc import Callable, Sequence

from cnnjax.report import words
from cnnjax.report.points import Row, Summary
from cnnjax.study import stats
from cnnjax.study.stats import edf, matching
from cnnjax.study.stats.edf import Distance
from cnnjax.study.stats.intervals import Interval

NUMBER = "number"  # The axis that numbers a sample's nets, and says nothing of them.


@dataclasses.dataclass(frozen=True)
class Space:
    """The nets of one space that came to an end, with the validation error and MACs of each;
    `planned` were drawn. A net that diverged counts as one that guesses."""

    name: str
    rows: tuple[Row, ...]
    errors: tuple[float, ...]
    macs: tuple[float, ...]
    planned: int

    @property
    def best(self) -> Row:
        """The net with the lowest validation error."""
        return self.rows[self.errors.index(min(self.errors))]


@dataclasses.dataclass(frozen=True)
class Gap:
    """How the nets of `space` differ in error from those of `base`, as drawn and at matched MACs,
    where they have some in common; intervals and p values corrected for the number of gaps."""

    space: Space
    base: Space
    drawn: Distance
    matched: Distance | None


def spaces(s: Summary) -> list[Space]:
    """Those with a finished net, in the plan's order; none where the study draws no nets."""
    found = []
    for name in s.series if s.sampled else ():
        planned = s.of(name)
        known = [(row, e) for row in planned if (e := error(s, row)) is not None and row.macs]
        if known:
            rows, errors = zip(*known, strict=True)
            macs = tuple(row.macs for row in rows)
            found.append(Space(name, rows, errors, macs, len(planned)))
    return found


def error(s: Summary, row: Row) -> float | None:
    """A net's validation error, that of guessing where it diverged; None where it is not known."""
    if row.scores["val"]:
        return 1 - row.scores["val"].mean
    diverged = any(r.status == "diverged" for r in row.bad)
    return 1 - s.chance if diverged and s.chance else None


def gaps(found: Sequence[Space]) -> list[Gap]:
    """Each later space against the first."""
    first, *others = found or [None]
    level = stats.simultaneous(0.95, len(others))

    def held(d: Distance | None) -> Distance | None:
        return d and dataclasses.replace(d, p=min(1.0, d.p * len(others)))

    return [
        Gap(
            space,
            first,
            held(edf.distance(space.errors, first.errors, level)),
            held(edf.matched_distance(space.errors, first.errors, (space.macs, first.macs), level)),
        )
        for space in others
    ]


def weights(found: Sequence[Space]) -> list[list[float]] | None:
    """What each net counts at matched MACs, of all spaces together."""
    made = matching.matched([space.macs for space in found]) if len(found) > 1 else None
    return made and [[float(w) for w in some] for some in made]


def told(s: Summary, found: Sequence[Space], between: Sequence[Gap]) -> list[tuple[str, str, str]]:
    """(head, text, tone) of each finding."""
    if not found:
        return [("No result yet", "no run of this plan has finished", "lead")]
    leads = [(f"Space {x.name}", _lead(x, between), "lead") for x in found]
    compared = []
    for gap in between:
        compared.append(("As drawn", _compared(gap, gap.drawn), verdict(gap.drawn)))
        if gap.matched:
            compared.append(("At matched MACs", _compared(gap, gap.matched), verdict(gap.matched)))
    notes = [("Best on validation", _best(s, found), "note"), ("Distributions", _how(s), "note")]
    if between:
        notes.append(("Matched MACs", _matching(found, between), "note"))
    return [*leads, *compared, *notes, *_spoilt(found)]


def _spoilt(found: Sequence[Space]) -> list[tuple[str, str, str]]:
    """How many nets of each space are not what they might be."""
    kinds: list[tuple[str, str, Callable[[Row], bool]]] = [
        ("Diverged", "counted as nets that guess", lambda row: row.scores["val"] is None),
        ("At chance", "no better than guessing", lambda row: row.at_chance),
        ("Still improving", "more epochs may reorder", lambda row: row.rising),
    ]
    notes = []
    for head, meaning, holds in kinds:
        counts = [(x.name, sum(map(holds, x.rows)), len(x.rows)) for x in found]
        text = words.listed([f"{name} {n} of {of} nets" for name, n, of in counts if n])
        notes += [(head, f"{text}: {meaning}", "note")] if text else []
    return notes


def verdict(d: Distance) -> str:
    """By the interval of the mean errors: less is `better`, more `worse`, else it is `open`."""
    return {"better": "worse", "worse": "better"}.get(d.mean.verdict, "open")


def _lead(x: Space, between: Sequence[Gap]) -> str:
    n = words.count(len(x.rows), "net")
    n = n if len(x.rows) == x.planned else f"{n} of {x.planned}"
    text = f"median validation error {words.percent(edf.median(x.errors))} ({n})"
    gap = next((g for g in between if g.space is x), None)
    if gap is None:
        return text
    d, where = (gap.matched, "at matched MACs") if gap.matched else (gap.drawn, "as drawn")
    way = "lower" if d.mean.mean < 0 else "higher"
    less = Interval(abs(d.mean.mean), *_turned(d.mean), d.mean.n)
    text += f"; {where} its mean error is {_unsigned(less)} {way} than that of {gap.base.name} "
    text += f"(Kolmogorov–Smirnov {_p(d.p)})"
    return text + (": no evidence of a difference" if verdict(d) == "open" else "")


def _turned(i: Interval) -> tuple[float | None, float | None]:
    if not i.known or i.mean >= 0:
        return i.low, i.high
    return -i.high, -i.low


def _unsigned(i: Interval) -> str:
    return words.gap(i).replace("+", "")


def _compared(gap: Gap, d: Distance) -> str:
    text = f"{gap.space.name} − {gap.base.name} = {words.gap(d.mean)} of mean error, "
    text += f"{words.gap(d.median)} of the median; largest gap of the distributions "
    text += f"{words.percent(d.ks)} ({_p(d.p)})"
    if not d.mean.known:
        return f"{text}: too few nets for an interval"
    return f"{text}: no evidence of a difference" if verdict(d) == "open" else text


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def _best(s: Summary, found: Sequence[Space]) -> str:
    parts = []
    for x in found:
        row = x.best
        test = row.scores["test"]
        tested = f", test {words.percent(1 - test.mean)}" if test else ""
        drawn = f" ({settings(row)})" if settings(row) else ""
        parts.append(f"{row.name}{drawn}, error {words.percent(min(x.errors))} on "
                     f"validation{tested}, at {words.si(row.macs)} MACs")  # fmt: skip
    n = max(len(x.rows) for x in found)
    return (
        f"{'; '.join(parts)}. The lowest of {n} validation errors flatters its net (the winner's "
        "curse): train it again from fresh seeds before it is claimed"
    )


def _how(s: Summary) -> str:
    n = min((len(row.done) for row in s.rows if row.done), default=1)
    text = "of validation error; nets are compared and none is chosen on test. Nets are the "
    text += f"replicates of a space, {words.count(n, 'seed')} each: intervals hold for other nets "
    text += "drawn alike"
    rates = {row.rate for row in s.rows if row.rate is not None}
    if len(rates) == 1 and not any(row.point.tune for row in s.rows):
        text += f". All trained at the rate {rates.pop():g}: a space that wants another is behind"
    return text


def _matching(found: Sequence[Space], between: Sequence[Gap]) -> str:
    without = [g.space.name for g in between if g.matched is None]
    if without:
        base = between[0].base.name
        return f"too few nets of {words.listed(without)} cost as much as those of {base}"
    parts = []
    for x, w in zip(found, weights(found) or [], strict=False):
        used = sum(v > 0 for v in w)
        parts.append(f"{x.name} {used} of {len(w)} nets, as good as {matching.effective(w):.1f}")
    text = "nets are weighted so that spaces are alike in MACs (Radosavovic et al. 2019, §3): bins "
    text += "of MACs count alike, and mean log MACs are equal"
    return f"{text}. In use: {'; '.join(parts)}" if parts else text


def settings(row: Row) -> str:
    """What was drawn for the net: `kernel 1-3-7, width 0.5-1-2`."""
    return ", ".join(f"{k.replace('_', ' ')} {words.axis_value(v)}" for k, v in _drawn(row))


def _drawn(row: Row) -> list[tuple[str, object]]:
    names = list(row.point.axes)
    after = names.index(NUMBER) + 1 if NUMBER in names else 0
    return [(k, row.point.axes[k]) for k in names[after:]]


def columns(s: Summary) -> list[tuple[str, Callable[[Row], tuple[str, str]]]]:
    """What the table of points shows beside, in a study of spaces."""
    return [("drawn", lambda row: (settings(row), settings(row)))] if s.sampled else []


HEAD = ("space", "nets", "median error", "quartiles", "mean error", "median MACs", "best")


def table(found: Sequence[Space]) -> list[list[str]]:
    """A row a space under `HEAD`: validation errors over its nets."""
    rows = []
    for x in found:
        low, high = (edf.quantile(x.errors, q) for q in (0.25, 0.75))
        cells = [x.name, f"{len(x.rows)}", words.percent(edf.median(x.errors))]
        cells += [f"{words.percent(low)} to {words.percent(high)}"]
        cells += [words.accuracy(stats.mean(x.errors)), words.si(edf.median(x.macs))]
        rows.append([*cells, f"{x.best.label}, {words.percent(min(x.errors))}"])
    return rows
