"""What a reader must weigh against the figures: choices, looks, and runs that were cut short."""

from collections.abc import Sequence

from cnnjax.report import words
from cnnjax.report.advice import detectable
from cnnjax.report.comparisons import Comparison
from cnnjax.report.points import Row, Summary, distinct
from cnnjax.study.stats.bootstrap import LEAST


def told(s: Summary, comparisons: Sequence[Comparison]) -> list[tuple[str, str]]:
    """(head, text) of what is said of every study."""
    found = [("Seeds added after a look", looked(s)), ("Stopped", stopped(s))]
    return [*_seeds(s, comparisons), *(f for f in found if f[1])]


def few(s: Summary) -> str:
    """Why no point is said to be better than another; empty where that can be said."""
    rows = [row for row in s.rows if row.scores["val"] and s.score(row)]
    if sum(ranked(row, s) for row in rows) > 1 or len(rows) < 2:
        return ""
    return (
        "1 seed: too few for an interval, so no point is called the best; of "
        f"{words.count(len(distinct(rows)), 'point')} none can be ranked before it has a second"
    )


def ranked(row: Row, s: Summary) -> bool:
    """Whether a claim may rest on the row: two seeds, so that there is an interval."""
    return all(i is not None and i.known for i in (row.scores["val"], s.score(row)))


def winner(s: Summary, best: Row) -> str:
    """What being chosen does to the best point's validation accuracy; empty where nothing was
    chosen or tested."""
    rows = [row for row in s.rows if ranked(row, s) and row.scores["test"]]
    others = [row for row in distinct(rows) if row.point.runs != best.point.runs]
    if s.shown != "test" or not others:
        return ""
    mean = sum(map(_ahead, others)) / len(others)
    return (
        f"its validation accuracy is the highest of {len(others) + 1} and so flatters it; test "
        f"chose nothing. Validation less test: {words.signed(_ahead(best))} points, "
        f"{words.signed(mean)} on average over the others"
    )


def _ahead(row: Row) -> float:
    return row.scores["val"].mean - row.scores["test"].mean


def looked(s: Summary) -> str:
    """Which points had seeds added after a look; empty where none had."""
    rows = [row for row in distinct(s.rows) if row.exploratory]
    if not rows:
        return ""
    names = words.listed([row.name for row in rows])
    return (
        f"{names}: exploratory, since intervals hold their level only where the number of seeds "
        "was fixed before the first look"
    )


def stopped(s: Summary) -> str:
    """Which runs were stopped and wait to go on; empty where none was."""
    runs = {}
    for row in s.rows:
        for key in (*row.point.tune, *row.point.runs):
            run = s.study.records.get(key)
            if run is not None and run.status == "stopped":
                what = f"seed {run.seed}" if run.role == "replicate" else "tuning"
                after = words.count(run.epochs_done, "epoch")
                runs.setdefault(key, f"{row.name}, {what} (after {after})")
    if not runs:
        return ""
    return f"{words.listed(list(runs.values()))}: in no mean; the same command goes on with them"


def _seeds(s: Summary, comparisons: Sequence[Comparison]) -> list[tuple[str, str]]:
    """What the intervals are over, how wide the seeds spread, and what they can find."""
    counts = [s.score(row).n for row in s.rows if s.score(row)]
    few, many = min(counts), max(counts)
    n = words.count(few, "seed") if few == many else f"{few} to {many} seeds"
    if s.spread.sd is None:
        return [("Seeds", f"{n} a point: too few for intervals")]
    over = "seeds and test examples" if _paired(s) else "seeds"
    kind = "bootstrap" if few >= LEAST else "t"
    text = f"{n} a point, 95% {kind} intervals over {over}; standard deviation between seeds "
    text += f"{100 * s.spread.sd:.2f} points"
    if kind == "t" and s.spread.shared:
        text += ", shared by all points"
    elif kind == "t" and len(counts) > 1:
        text += " on average, but points differ in spread, so each has its own"
    least = detectable(s, comparisons, few)
    if least is not None:
        text += f"; a true difference of {100 * least:.1f} points would be found 4 times in 5"
    found = [("Seeds", text)]
    if len(comparisons) > 1:
        text = f"{len(comparisons)}, corrected for their number (Holm): the chance that any "
        text += "interval leaves out zero where there is no difference is at most 5%"
        paired = "; nets are compared example by example" if _paired(s) else ""
        found += [("Differences", text + paired)]
    return found


def _paired(s: Summary) -> bool:
    """Whether it is known which test examples each net got right."""
    terms = [term for row in s.rows for term in s.terms(row)]
    return bool(terms) and all(sample.right is not None for _, sample in terms)
