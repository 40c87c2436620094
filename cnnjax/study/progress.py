"""Progress of a study: bars with time left on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

from cnnjax.study.job import Job


def duration(seconds: float) -> str:
    """`45 s`, `8 min`, `3 h 20 min`"""
    if seconds < 99.5:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def together(seconds: Iterable[float], parallel: int) -> float:
    """How long runs take, so many at a time: no less than the longest."""
    seconds = list(seconds)
    return max([sum(seconds) / max(1, parallel), *seconds])


class Progress:
    """Told what happens, says what is left; `predicted` are the seconds of each run by key, of
    which `parallel` go on at a time."""

    def __init__(
        self, predicted: dict[str, float], total: int, parallel: int = 1, stream: Any = None
    ):
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as Bars

        self.console = Console(file=stream or sys.stdout, highlight=False)
        self.total, self.parallel = total, parallel
        self.done, self.spent, self.expected = 0, 0.0, 0.0
        self.left = dict(predicted)
        self.typical = sum(self.left.values()) / max(1, len(self.left))
        self.began: dict[str, float] = {}
        self.runs: dict[str, Any] = {}  # A bar each.
        self.bars = None
        if self.console.is_terminal:
            text = TextColumn("{task.description}", markup=False)
            right = TextColumn("{task.fields[right]}", markup=False)
            self.bars = Bars(text, BarColumn(), TaskProgressColumn(), right, console=self.console)
            self.study = self.bars.add_task("study", total=total, right="")
            self.bars.start()

    def say(self, line: str) -> None:
        """A line above the bars."""
        self.console.print(line, markup=False, soft_wrap=True)

    def step(self, run: Job, step: int, steps: int) -> None:
        """A run has taken so many of its steps; none when it begins."""
        if step == 0 or run.key not in self.began:
            self.began[run.key] = time.monotonic()
        if not self.bars:
            return
        if run.key not in self.runs:
            self.runs[run.key] = self.bars.add_task(f"  {run.heading}", total=1, right="compiling")
        if step:
            spent = time.monotonic() - self.began[run.key]
            left = duration(spent / step * (steps - step)) if step < steps else "evaluating"
            self.bars.update(self.runs[run.key], completed=step, total=steps, right=left)

    def renew(self, keys: Iterable[str]) -> None:
        """The runs still to be told ended, where they turned out others than were predicted."""
        self.left = {key: self.left.get(key, self.typical) for key in keys}
        self.total = self.done + len(self.left)
        if self.bars:
            self.bars.update(self.study, total=self.total)

    def end(self, run: Job, record: Mapping[str, Any]) -> None:
        """A run ended and its record is written."""
        self.done += 1
        took = self._took(run, record)
        self.spent += took
        self.expected += self.left.pop(run.key, 0.0)
        if self.bars:
            if run.key in self.runs:
                self.bars.remove_task(self.runs.pop(run.key))
            self.bars.update(self.study, completed=self.done, right=f"{self.remaining()} left")
        else:
            self.say(
                f"{self.done}/{self.total} · {run.heading} · {_result(run, record)} · "
                f"{duration(took)} · {self.remaining()} left"
            )

    def _took(self, run: Job, record: Mapping[str, Any]) -> float:
        """Seconds, by its record; of what has none there, by the clock here."""
        began = self.began.pop(run.key, time.monotonic())
        total = record["timings"].get("total_seconds")
        return total if isinstance(total, int | float) else time.monotonic() - began

    def remaining(self) -> str:
        """Predictions of the runs to come, corrected by how those before turned out."""
        slower = self.spent / self.expected if self.expected and self.spent else 1.0
        left = together(self.left.values(), self.parallel) * slower
        return f"about {duration(left)}" if self.left else "nothing"

    def close(self) -> None:
        if self.bars:
            self.bars.stop()
            self.bars = None


def _result(run: Job, record: Mapping[str, Any]) -> str:
    done = record["status"] == "done"
    return run.result(record) if done else record["status"].replace("_", " ")
