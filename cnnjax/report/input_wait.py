"""How long streamed trainings waited for their images."""

from collections.abc import Iterable

from cnnjax.report import words
from cnnjax.study.records import Record

MUCH = 0.1  # Of the training time; below, more processes would hardly show.


def share(runs: Iterable[Record]) -> float | None:
    """Of the training time of those that were streamed; None where none was."""
    known = [
        (waited, took)
        for run in runs
        if (waited := run.timings.get("input_wait_seconds")) is not None
        and (took := run.timings.get("train_seconds"))
    ]
    if not known:
        return None
    waits, times = map(sum, zip(*known, strict=True))
    return min(max(waits / times, 0.0), 1.0)


def advised(runs: Iterable[Record]) -> str:
    """What to do about it; empty where it is little."""
    found = share(runs)
    if found is None or found <= MUCH:
        return ""
    return (
        f"{words.percent(found)} of the training time the devices waited for images: give more "
        "--data_workers, or a machine with more cores"
    )
