"""What to run next, and what this many seeds can find."""

import re
from collections.abc import Sequence

from cnnjax.report import space
from cnnjax.report.comparisons import Comparison
from cnnjax.report.points import Summary
from cnnjax.study import stats

ENOUGH = 0.01  # The seeds should find a difference of one point; else more are advised.
MOST = 20  # Seeds; past that other things matter more.
MANY = 100  # Nets a space: chance alone parts two such EDFs by a fifth, one time in 20.


def detectable(s: Summary, comparisons: Sequence[Comparison], n: int) -> float | None:
    """The smallest difference that n seeds a point find, at the level the report uses."""
    if n < 2 or s.spread.sd is None or not comparisons:
        return None
    points = len({row.point.runs for row in s.rows if row.done})
    df = points * (n - 1) if s.spread.shared else 2 * n - 2
    return stats.detectable(n, s.spread.sd, df, level=stats.simultaneous(0.95, len(comparisons)))


def advise(
    s: Summary,
    comparisons: Sequence[Comparison],
    complete: bool,
    between: Sequence[space.Gap] = (),
) -> str:
    """The command most worth running now; empty where nothing stands out or none is known.
    `between` are the gaps of design spaces."""
    command = s.study.plan.command
    if not command:
        return ""
    if not complete:
        return command
    if s.study.plan.quick:
        return _without(command, "quick")
    counts = [s.score(row).n for row in s.rows if s.score(row)]
    if not counts or s.study.plan.claims:  # What a claim takes was said before: no more seeds.
        return ""
    if s.sampled:
        return _more_nets(command, between)
    if min(counts) < 2:
        return f"{_without(command, 'seeds')} --seeds=5"
    undecided = any(c.verdict == "open" for c in comparisons)
    least = detectable(s, comparisons, min(counts))
    if undecided and least is not None and least > ENOUGH and max(counts) < MOST:
        return f"{_without(command, 'seeds')} --seeds={min(max(2 * min(counts), 5), MOST)}"
    epochs = {len(s.study.curves.get(run.key, [])) for row in s.rows for run in row.done}
    if any(row.rising for row in s.rows) and epochs:
        return _longer(command, max(epochs))
    return ""


def _more_nets(command: str, between: Sequence[space.Gap]) -> str:
    """Twice the nets where spaces are not told apart yet; nothing once they are."""
    most = max((len(x.rows) for gap in between for x in (gap.space, gap.base)), default=0)
    undecided = any(space.verdict(gap.matched or gap.drawn) == "open" for gap in between)
    if most >= MANY or not undecided:
        return ""
    return f"{_without(command, 'count')} --count={2 * most}"


def _longer(command: str, epochs: int) -> str:
    """The command with twice the length, in the unit in which it is given."""
    for flag in ("train_macs", "train_seconds", "max_steps"):
        if found := re.search(rf"\s--?{flag}(?:=|\s+)(\S+)", command):
            return f"{_without(command, flag)} --{flag}={2 * float(found[1]):.12g}"
    return f"{_without(command, 'epochs')} --epochs={2 * epochs}"


def _without(command: str, flag: str) -> str:
    """The command less a flag, with its value if it has one."""
    return re.sub(rf"\s--?(?:no)?{flag}(?:=\S*|\s+[^-\s]\S*)?(?=\s|$)", "", command)
