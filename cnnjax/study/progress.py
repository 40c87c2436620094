"""Progress of a study: bars with time left on a terminal, plain lines elsewhere."""

import sys
import time
from typing import Any

from cnnjax.study.job import Job


def duration(seconds: float) -> str:
    """`45 s`, `8 min`, `3 h 20 min`"""
    if seconds < 99.5:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


class Progress:
    """Told what happens, says what is left; `predicted` are the seconds of each run by key."""

    def __init__(self, predicted: dict[str, float], total: int, stream: Any = None):
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as Bars

        self.console = Console(file=stream or sys.stdout, highlight=False)
        self.total = total
        self.done, self.spent, self.expected = 0, 0.0, 0.0
        self.left = dict(predicted)
        self.bars = None
        if self.console.is_terminal:
            text = TextColumn("{task.description}", markup=False)
            right = TextColumn("{task.fields[right]}", markup=False)
            self.bars = Bars(text, BarColumn(), TaskProgressColumn(), right, console=self.console)
            self.study = self.bars.add_task("study", total=total, right="")
            self.run = self.bars.add_task("", total=1, right="")
            self.bars.start()

    def say(self, line: str) -> None:
        """A line above the bars."""
        self.console.print(line, markup=False, soft_wrap=True)

    def begin(self, run: Job) -> None:
        self.began = time.monotonic()
        if self.bars:
            self.bars.reset(self.run, description=f"  {run.heading}", total=1, right="compiling")

    def step(self, step: int, steps: int) -> None:
        if self.bars:
            spent = time.monotonic() - self.began
            left = duration(spent / max(step, 1) * (steps - step)) if step < steps else "evaluating"
            self.bars.update(self.run, completed=step, total=steps, right=left)

    def end(self, run: Job, record: dict[str, Any]) -> None:
        """A run ended and its record is written."""
        self.done += 1
        took = time.monotonic() - self.began
        self.spent += took
        self.expected += self.left.pop(run.key, 0.0)
        if self.bars:
            self.bars.update(self.study, completed=self.done, right=f"{self.remaining()} left")
        else:
            self.say(
                f"{self.done}/{self.total} · {run.heading} · {_result(run, record)} · "
                f"{duration(took)} · {self.remaining()} left"
            )

    def remaining(self) -> str:
        """Predictions of the runs to come, corrected by how those before turned out."""
        slower = self.spent / self.expected if self.expected else 1.0
        return "nothing" if not self.left else f"about {duration(sum(self.left.values()) * slower)}"

    def close(self) -> None:
        if self.bars:
            self.bars.stop()
            self.bars = None


def _result(run: Job, record: dict[str, Any]) -> str:
    done = record["status"] == "done"
    return run.result(record) if done else record["status"].replace("_", " ")
