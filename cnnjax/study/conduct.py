"""A study from its points to its last record: plan, tune, replicate, report after every run."""

import dataclasses
import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cnnjax.study.estimate import plan_seconds
from cnnjax.study.execute import Executor
from cnnjax.study.job import Job
from cnnjax.study.plan import Point, describe
from cnnjax.study.progress import Progress


@dataclasses.dataclass
class Conductor:
    """Carries out one plan. `report` is called after every run that was trained."""

    executor: Executor
    points: Sequence[Point]
    plan: dict[str, Any]
    report: Callable[[], None]

    def __post_init__(self) -> None:
        self.records: dict[str, Mapping[str, Any]] = {}
        for _ in ("tuning", "replicates"):  # Which replicates there are follows from the tuning.
            for run in self.all_runs():
                if record := self.executor.finished(run):
                    self.records[run.key] = record

    def all_runs(self) -> list[Job]:
        """Every job known by now; a point still to be tuned stands at a middle rate."""
        runs = [run for point in self.points for run in self.runs_of(point)]
        return list({run.key: run for run in reversed(runs)}.values())[::-1]

    def runs_of(self, point: Point) -> list[Job]:
        """The point's jobs, as far as they are known."""
        return point.runs(self.chosen(point)[0])

    def chosen(self, point: Point) -> tuple[float | None, list[str]]:
        """The point's rate and notes; None while its tuning is not complete, and for
        measurements."""
        if all(run.key in self.records for run in point.tuning):
            return point.choose(self.records)
        return None, []

    def waiting(self) -> list[Job]:
        """What is still to be done, as far as can be told."""
        return [run for run in self.all_runs() if run.key not in self.records]

    def predicted(self, parallel: int) -> dict[str, float]:
        """Seconds of each waiting run by key."""
        return plan_seconds(self.waiting(), self.executor.devices.platform, parallel)

    def write_plan(self) -> None:
        """study.json's latest plan, as far as it is known."""
        self.plan["points"] = [describe(p, *self.chosen(p)) for p in self.points]
        self.executor.folder.add_plan(self.plan)

    def conduct(self, progress: Progress) -> None:
        """Point by point the tuning and the first replicate, then the other seeds of all points.

        So every point is on the dashboard early, and an interrupted study is even.
        """
        for point in self.points:
            for run in point.tuning:
                self._ensure(run, progress)
            self.write_plan()
            self._ensure(self._replicates(point)[0], progress)
        for seed in range(1, max(p.seeds for p in self.points)):
            for point in self.points:
                if seed < point.seeds:
                    self._ensure(self._replicates(point)[seed], progress)

    def _replicates(self, point: Point) -> list[Job]:
        return point.known(self.chosen(point)[0])

    def _ensure(self, run: Job, progress: Progress) -> None:
        if run.key in self.records:
            return
        progress.begin(run)
        record = self.executor.execute(run)
        self.records[run.key] = record
        self.report()
        progress.end(run, record)

    def failed(self) -> list[tuple[Job, Mapping[str, Any]]]:
        """The runs that did not end as they should."""
        runs = {run.key: run for run in self.all_runs()}
        bad = ("failed", "out_of_memory", "diverged")
        found = [(runs[k], r) for k, r in self.records.items() if k in runs]
        return [(run, r) for run, r in found if r["status"] in bad]


def new_plan(
    command: str, given: Mapping[str, Any], quick: bool, goal: tuple[str, float] | None = None
) -> dict[str, Any]:
    """The start of a plan's entry in study.json; `goal` is a column of the curves and its value."""
    now = datetime.datetime.now(datetime.UTC)
    return {
        "id": now.isoformat(),
        "time": now.isoformat(timespec="seconds"),
        "command": command,
        "flags": dict(given),
        "quick": quick,
        "goal": goal and list(goal),
        "points": [],
    }
