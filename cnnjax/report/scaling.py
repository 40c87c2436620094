"""What a study of devices says: images a second on each number of them, and how well they share."""

from collections.abc import Sequence

from cnnjax.report import input_wait, speed, words
from cnnjax.report.points import Row, Summary
from cnnjax.report.speed import Column

RATE = "images_per_second"
EACH = "images_per_second_per_device"


def used(s: Summary) -> bool:
    """Whether the study measured trainings on several numbers of devices."""
    return any(row.readings.get(EACH) for row in s.rows)


def measured(s: Summary) -> list[Row]:
    return [row for series in s.series for row in s.of(series) if row.readings.get(EACH)]


def efficiency(s: Summary, row: Row) -> float | None:
    """Images a second a device over those with the fewest devices of the same regime."""
    alike = [r for r in measured(s) if r.series == row.series]
    if not alike or not row.readings.get(EACH):
        return None
    least = min(alike, key=lambda r: r.x)
    return row.readings[EACH] / least.readings[EACH]


def columns(s: Summary) -> list[Column]:
    """The table: a row a regime and number of devices."""

    def shared(row: Row) -> str:
        return words.percent(efficiency(s, row))

    return [
        Column("scaling", lambda row: row.series or "", lambda row: row.series or "", True),
        Column("devices", lambda row: words.axis_value(row.x), lambda row: row.x, True),
        Column("images/s", _spread, lambda row: row.readings.get(RATE), True),
        speed.reading("images/s a device", EACH, words.si, True),
        Column("efficiency", shared, lambda row: efficiency(s, row), True),
        speed.reading("of the peak", "utilisation", words.percent, True),
        speed.reading("waiting for input", "input_wait_share", words.percent, True),
        speed.reading("step", "step_ms", speed.time),
        speed.reading("compiling", "step_compile_seconds", lambda v: f"{words.si(v)} s"),
        Column("notes", speed.noted, speed.noted),
    ]


def told(s: Summary) -> list[tuple[str, str, str]]:
    """(head, text, tone) of each finding."""
    rows = measured(s)
    found = []
    for series in s.series:
        alike = sorted((r for r in rows if r.series == series), key=lambda r: r.x)
        if len(alike) > 1:
            found.append((f"{series} scaling", _sentence(s, alike), "lead"))
        elif alike:
            found.append((f"{series} scaling", f"{alike[0].name}: {_spread(alike[0])}", "lead"))
    late = [r for r in rows if (r.readings.get("input_wait_share") or 0) > input_wait.MUCH]
    if late:
        worst = max(late, key=lambda r: r.readings["input_wait_share"])
        share = words.percent(worst.readings["input_wait_share"])
        found.append(("Input is the bottleneck", f"on {worst.name} devices waited {share} of the "
                      "time: give more --data_workers", "worse"))  # fmt: skip
    runs = [run for row in rows for run in (*row.done, *row.bad)]
    if any(run.hardware.get("kind") == "cpu" for run in runs) and max(r.x for r in rows) > 1:
        found.append(
            ("No evidence of speed", "devices that a CPU passes for share its cores", "worse")
        )
    found.append(("Measured on", "; ".join(dict.fromkeys(map(speed.machine, runs))), "note"))
    return [*found, ("How", HOW, "note")]


HOW = (
    "medians and quartiles of parts of a training, its input included, compilation and "
    "evaluation apart. Weak scaling keeps the batch of a device, strong scaling the whole batch; "
    "efficiency is images a second a device over those with the fewest devices. The peak is the "
    "maker's for dense bfloat16, where it is known."
)


def _sentence(s: Summary, alike: Sequence[Row]) -> str:
    first, last = alike[0], alike[-1]
    times = last.readings[RATE] / first.readings[RATE]
    return (
        f"{words.times(times)} the images a second on {last.x} devices against {first.x} "
        f"({words.si(first.readings[RATE])} → {words.si(last.readings[RATE])}), an efficiency of "
        f"{words.percent(efficiency(s, last))}"
    )


def _spread(row: Row) -> str:
    low, middle, high = (row.readings.get(f"{RATE}{end}") for end in ("_q1", "", "_q3"))
    if middle is None:
        return "–"
    ends = f" [{words.si(low)}, {words.si(high)}]" if low and high else ""
    return f"{words.si(middle)}{ends}"
