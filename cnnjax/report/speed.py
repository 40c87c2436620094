"""What a study that measured nets says: how long they take, and whether their cost tells."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from cnnjax.report import words
from cnnjax.report.condition import hardware
from cnnjax.report.points import Row, Summary
from cnnjax.study import stats

LATENCY = "latency_ms"
COSTS = {
    "macs": "MACs", "activations": "activations", "traffic": "bytes moved",
    "params": "parameters",
}  # fmt: skip
FEWEST = 4  # Nets for a line through them.
OFF, MOST = 1.5, 8  # Times from the line that are worth a word, and how many nets get one.


@dataclasses.dataclass(frozen=True)
class Law:
    """How a time goes with a cost over nets: Spearman's rank correlation, and the line of least
    squares through their logarithms."""

    rows: tuple[Row, ...]
    rank: float
    slope: float
    level: float

    def expected(self, cost: float) -> float:
        """Milliseconds."""
        return math.exp(self.level + self.slope * math.log(cost))


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of the nets' table: its title, a row's text and what to sort it by; the terminal
    has room for those that are `short`."""

    title: str
    text: Callable[[Row], str]
    value: Callable[[Row], Any]
    short: bool = False


def law(s: Summary, cost: str = "macs") -> Law | None:
    """Of the latencies that were measured; none with too few nets, or where they are all alike."""
    rows = [row for row in s.rows if row.readings.get(cost) and row.readings.get(LATENCY)]
    return through([(row, row.readings[cost], row.readings[LATENCY]) for row in rows])


def through(points: Sequence[tuple[Row, float, float]]) -> Law | None:
    """Of (row, cost, milliseconds); none with too few, or where they are all alike."""
    rows, x, y = zip(*points, strict=True) if points else ((), (), ())
    rank = stats.rank_correlation(x, y) if len(rows) >= FEWEST else None
    if rank is None:
        return None
    slope, level = np.polyfit(np.log(x), np.log(y), 1)
    return Law(rows, rank, float(slope), float(level))


def off(s: Summary) -> list[tuple[float, Row]]:
    """(latency over what MACs suggest, the row), the slowest for its MACs first."""
    found = law(s)
    rows = found.rows if found else ()
    ratios = [(row.readings[LATENCY] / found.expected(row.macs), row) for row in rows]
    return sorted(ratios, key=lambda pair: -pair[0])


def time(ms: float | None, q1: float | None = None, q3: float | None = None) -> str:
    """`12.4 ms [12.1, 13.0]`, in seconds from one on."""
    if ms is None:
        return "–"
    unit, size = ("s", 1e3) if ms >= 999.5 else ("ms", 1.0)
    ends = "" if q1 is None or q3 is None else f" [{words.si(q1 / size)}, {words.si(q3 / size)}]"
    return f"{words.si(ms / size)} {unit}{ends}"


def timed(row: Row, program: str) -> str:
    """The program's median with its quartiles."""
    return time(*(row.readings.get(f"{program}_{name}") for name in ("ms", "q1_ms", "q3_ms")))


def reading(title: str, name: str, text: Callable[[float], str], short: bool = False) -> Column:
    """A column of what was measured under a name."""

    def shown(row: Row) -> str:
        v = row.readings.get(name)
        return "–" if v is None else text(v)

    return Column(title, shown, lambda row: row.readings.get(name), short)


def columns(s: Summary) -> list[Column]:
    """The nets' table."""
    ratios = {id(row): ratio for ratio, row in off(s)}

    def program(title: str, name: str, short: bool = False) -> Column:
        return Column(
            title, lambda row: timed(row, name), lambda row: row.readings.get(f"{name}_ms"), short
        )

    def cost(name: str, short: bool = False) -> Column:
        return Column(
            COSTS[name], lambda row: words.si(row.measures.get(name)),
            lambda row: row.measures.get(name), short,
        )  # fmt: skip

    def ratio(row: Row) -> str:
        return words.times(ratios[id(row)]) if id(row) in ratios else "–"

    found = [
        Column("net", lambda row: row.label, lambda row: row.label, True),
        cost("macs", True),
        program("latency, 1 image", "latency", True),
        Column("against its MACs", ratio, lambda row: ratios.get(id(row)), True),
        reading("images/s", "images_per_second", words.si, True),
        program("training step", "train_step"),
        reading("training images/s", "train_images_per_second", words.si, True),
        reading("compiling inference", "inference_compile_seconds", _seconds),
        reading("compiling the step", "train_step_compile_seconds", _seconds),
        reading("memory, inference", "inference_temp_bytes", bytes_),
        reading("memory, step", "train_step_temp_bytes", bytes_),
        cost("activations"),
        cost("params"),
        Column("receptive field", lambda row: words.pixels(row.measures["receptive_field"]),
               lambda row: row.measures["receptive_field"]),
        Column("notes", noted, noted),
    ]  # fmt: skip
    return found


def told(s: Summary) -> list[tuple[str, str, str]]:
    """(head, text, tone) of each finding."""
    rows = [row for row in s.rows if row.readings.get(LATENCY)]
    if not rows:
        return [("No result yet", "nothing has been measured", "lead")]
    found = [("Do MACs tell the latency?", _verdict(s, rows), "lead")]
    far = [pair for pair in off(s) if not 1 / OFF < pair[0] < OFF]
    for ratio, row in far if len(far) <= MOST else [*far[: MOST // 2], *far[-MOST // 2 :]]:
        text = f"{row.name} takes {words.times(ratio)} what they suggest: {timed(row, 'latency')}"
        found.append(("Against their MACs", text, "worse" if ratio > 1 else "better"))
    found += [("Latency of one image", _range(rows, "latency_ms", time), "note")]
    found += list(_training(rows))
    found += [(name, text, "note") for name, text in lists(s)]
    runs = [run for row in rows for run in (*row.done, *row.bad)]
    found += [("Measured on", "; ".join(dict.fromkeys(map(machine, runs))), "note")]
    return [*found, ("How", HOW, "note")]


HOW = (
    "medians and quartiles of repeated calls in one process, after warming up, compilation apart; "
    "latency is one image's on one device, the other figures a batch's; images are on the device "
    "already; memory is XLA's temporary one. Whatever else the machine does shows."
)


def _verdict(s: Summary, rows: Sequence[Row]) -> str:
    macs = law(s)
    if macs is None:
        each = [f"{row.name} {timed(row, 'latency')} at {words.si(row.macs)} MACs" for row in rows]
        return f"{words.listed(each)}; an answer takes {FEWEST} nets"
    others = [(name, law(s, cost)) for cost, name in COSTS.items() if cost != "macs"]
    ranks = [f"{name} {_rank(found.rank)}" for name, found in others if found]
    text = f"MACs put the {len(macs.rows)} nets in the order of their latencies with a rank "
    text += f"correlation of {_rank(macs.rank)} ({', '.join(ranks)})"
    (high, slow), *_ = off(s)
    if high >= OFF:
        text += f". {slow.name} takes {words.times(high)} as long as its MACs suggest"
    return f"{text}."


def _rank(v: float) -> str:
    return f"{v:.2f}".replace("-", "−")


def _range(rows: Sequence[Row], name: str, text: Callable[[float], str]) -> str:
    """From the least to the most, with the nets'; of one its own."""
    known = sorted((row for row in rows if row.readings.get(name) is not None),
                   key=lambda row: row.readings[name])  # fmt: skip
    ends = [f"{text(row.readings[name])} ({row.name})" for row in (known[0], known[-1])]
    return ends[0] if len(known) == 1 else f"from {ends[0]} to {ends[1]}"


def _training(rows: Sequence[Row]) -> Iterator[tuple[str, str, str]]:
    able = [row for row in rows if row.readings.get("train_step_ms")]
    if not able:
        return
    both = [row.readings for row in able if row.readings.get("inference_ms")]
    ratios = [r["train_step_ms"] / r["inference_ms"] for r in both]
    text = _range(able, "train_images_per_second", lambda v: f"{words.si(v)} images/s")
    if ratios:
        text += f"; a step takes {words.times(float(np.median(ratios)))} as long as inference"
        text += f" ({words.times(min(ratios))} to {words.times(max(ratios))})" if both[1:] else ""
    yield ("Training", text, "note")
    for head, name, text_of in (
        ("Compiling a training step", "train_step_compile_seconds", _seconds),
        ("Memory of a training step", "train_step_temp_bytes", bytes_),
    ):
        if any(row.readings.get(name) is not None for row in able):
            yield (head, _range(able, name, text_of), "note")


def lists(s: Summary) -> Iterator[tuple[str, str]]:
    """What could not be measured, each remark once with its nets."""
    notes: dict[str, list[str]] = {}
    for row in s.rows:
        for run in (*row.done, *row.bad):
            for note in run.notes:
                notes.setdefault(note, []).append(row.name)
    for note, names in notes.items():
        yield words.listed(list(dict.fromkeys(names))), note


def machine(run: Any) -> str:
    """What a run was measured on."""
    processor = run.hardware.get("processor") if run.hardware.get("kind") == "cpu" else ""
    return ", ".join(filter(None, [hardware(run), str(processor or "")]))


def noted(row: Row) -> str:
    """What could not be measured of a row."""
    notes = [run.status.replace("_", " ") for run in row.bad]
    notes += [note.partition(":")[0] for run in (*row.done, *row.bad) for note in run.notes]
    return ", ".join(dict.fromkeys(notes))


def _seconds(v: float) -> str:
    return f"{words.si(v)} s"


def bytes_(v: float) -> str:
    """`12.4 MB`"""
    return f"{words.si(v)}B" if v >= 1000 else f"{words.si(v)} B"
