"""A study from its points to its last record: plan, tune, replicate, report as runs end.

Runs are handed to an executor as soon as they can be begun. What an executor tells, and in which
order, decides nothing but when: whether a run is done is read from its record.
"""

import dataclasses
import datetime
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cnnjax.study import claims, files
from cnnjax.study.entry import SILENT, outline
from cnnjax.study.estimate import plan_seconds
from cnnjax.study.executors import Executor
from cnnjax.study.job import Job
from cnnjax.study.plan import Missing, Point, describe
from cnnjax.study.progress import Progress
from cnnjax.study.results import Folder
from cnnjax.study.tuning import Trial
from cnnjax.study.worker import Stopped, finished

POLL = 1.0  # Seconds between two looks at what others are at.
FOLLOW = 5.0  # Seconds, at least, between two tellings of how far a run is.


@dataclasses.dataclass
class Conductor:
    """Carries out one plan. `report` is called after every run that ended, `follow` now and then
    with the key of one that is under way.

    A run is begun again at most `retries` times where its process died or its failure may pass; an
    attempt that was stopped and came further than the one before does not count.
    """

    folder: Folder
    executor: Executor
    points: Sequence[Point]
    plan: dict[str, Any]
    report: Callable[[], None]
    retries: int = 2
    missing: Sequence[Missing] = ()
    follow: Callable[[str], None] = lambda key: None

    def __post_init__(self) -> None:
        self.records: dict[str, Mapping[str, Any]] = {}
        self.stopping = False
        self._out: dict[str, _Attempt] = {}  # What the executor has taken.
        self._elsewhere: dict[str, Job] = {}  # What another launch is at.
        self._tries: dict[str, int] = {}
        self._told: dict[str, float] = {}  # When a run was followed last.
        looked: set[str] = set()  # Which replicates there are follows from the tuning.
        while new := [run for run in self.all_runs() if run.key not in looked]:
            for run in new:
                looked.add(run.key)
                if record := finished(self.folder, run):
                    self.records[run.key] = record

    def all_runs(self) -> list[Job]:
        """Every job known by now; a point still to be tuned stands at a middle trial."""
        runs = [run for point in self.points for run in self.runs_of(point)]
        return list({run.key: run for run in reversed(runs)}.values())[::-1]

    def runs_of(self, point: Point) -> list[Job]:
        """The point's jobs, as far as they are known."""
        return point.runs(self.records)

    def chosen(self, point: Point) -> tuple[Trial | None, list[str]]:
        """The point's trial and notes; None while its tuning is not complete, and for
        measurements."""
        return point.choose(self.records)

    def waiting(self) -> list[Job]:
        """What is still to be done, as far as can be told."""
        return [run for run in self.all_runs() if run.key not in self.records]

    def predicted(self) -> dict[str, float]:
        """Seconds of each waiting run by key."""
        places = self.executor.places
        return plan_seconds(self.waiting(), places.platform, places.parallel)

    def write_plan(self) -> None:
        """study.json's latest plan, as far as it is known."""
        self.plan["points"] = self._described()
        self.folder.add_plan(self.plan)

    def ready(self) -> list[Job]:
        """What can be begun now: tuning and the first replicate of every point, then the other
        seeds, so that every point is on the dashboard early and an interrupted study is even.
        """
        first = [run for point in self.points for run in self._first(point)]
        for runs in (first, *map(self._replicates, range(1, max(p.seeds for p in self.points)))):
            if found := list({run.key: run for run in runs if self._is_free(run)}.values()):
                return found
        return []

    def conduct(self, progress: Progress) -> None:
        """Until every run has its record, whoever carried it out.

        Raises:
          Stopped: asked to by `stop`; what was under way is saved.
          UserError: no run can be carried out here, or the disk takes nothing more.
        """
        try:
            self._conduct(progress)
        except KeyboardInterrupt:
            self.executor.close(at_once=True)
            raise
        finally:
            self.executor.close()

    def stop(self) -> None:
        """Hand out nothing more, and let what is under way save and end. For a signal handler."""
        self.stopping = True
        self.executor.stop()

    def _conduct(self, progress: Progress) -> None:
        described = self._described()
        while self._hand_out() or self._out or self._elsewhere:
            ended = [self._judged(key, why) for key, why in self._wait(progress).items()]
            ended += self._looked_elsewhere()
            if new := [run for run in ended if run]:
                if described != (described := self._described()):
                    self.write_plan()
                    progress.renew({run.key: None for run in (*new, *self.waiting())})
                self._hand_out()  # Before the report, so that no worker waits for it.
                self.report()
                for run in new:
                    progress.end(run, self.records[run.key])
        if self.stopping and self.waiting():
            raise Stopped

    def _described(self) -> list[dict[str, Any]]:
        points = [describe(point, self.records) for point in self.points]
        return points + [place.json() for place in self.missing]

    def _first(self, point: Point) -> list[Job]:
        return [*point.tuning(self.records), *point.known(self.chosen(point)[0])[:1]]

    def _replicates(self, seed: int) -> list[Job]:
        known = [point.known(self.chosen(point)[0]) for point in self.points]
        return [runs[seed] for runs in known if seed < len(runs)]

    def _is_free(self, run: Job) -> bool:
        return not any(run.key in x for x in (self.records, self._out, self._elsewhere))

    def _hand_out(self) -> bool:
        """Whether there is still something to hand out."""
        if self.stopping:
            self._elsewhere.clear()
            return False
        ready = self.ready()
        # Stamped before the executor has them: one may begin at once.
        stamps = {run.key: self._stamp(run.key) for run in ready}
        for run in self.executor.offer(ready) if ready else []:
            self._out[run.key] = _Attempt(run, stamps[run.key], self._steps(run))
        return bool(ready)

    def _wait(self, progress: Progress) -> dict[str, str]:
        if self._out:
            return self.executor.wait(functools.partial(self._step, progress))
        time.sleep(POLL)
        return {}

    def _step(self, progress: Progress, run: Job, step: int, steps: int) -> None:
        progress.step(run, step, steps)
        now = time.monotonic()
        if now - self._told.setdefault(run.key, now) >= FOLLOW:
            self._told[run.key] = now
            self.follow(run.key)

    def _judged(self, key: str, why: str) -> Job | None:
        """A run of ours that has ended: it, if its record is there to stay."""
        attempt = self._out.pop(key)
        run = attempt.run
        if record := finished(self.folder, run):
            return self._kept(run, record)
        with claims.attempt(self.folder, key) as mine:
            if not mine:
                self._elsewhere[key] = run
                return None
            record = self.folder.read_record(key) or {}
            begun = self._stamp(key) != attempt.stamp
            status = record.get("status") if begun else None
            if status in ("failed", "out_of_memory") and not record.get("may_pass"):
                return self._kept(run, record)
            further = status == "stopped" and self._steps(run) > attempt.steps
            if self.stopping or further:
                return None
            return self._again(run, record, status, why)

    def _again(self, run: Job, record: dict[str, Any], status: Any, why: str) -> Job | None:
        """Let the run be begun again, or, after too many attempts, note that it failed."""
        tries = self._tries[run.key] = self._tries.get(run.key, 0) + 1
        record = record or outline(run, self.folder.path.name, self.plan["quick"])
        if status in ("failed", "out_of_memory"):
            why = record["error"]
        elif status == "stopped":
            why = why or "it was stopped before it came any further"
        why = why or SILENT
        if tries <= self.retries:
            if status == "running":
                self.folder.write_record(run.key, record | {"status": "stopped", "error": why})
            return None
        ended = {"status": "failed", "error": f"{why} (tried {tries} times)"}
        self.folder.write_record(run.key, record | ended)
        return self._kept(run, record | ended)

    def _looked_elsewhere(self) -> list[Job | None]:
        """Runs that other launches have ended; those that they gave up are free again."""
        found: list[Job | None] = []
        for key, run in list(self._elsewhere.items()):
            if record := finished(self.folder, run):
                found.append(self._kept(run, record))
            elif claims.held(self.folder, key):
                continue
            del self._elsewhere[key]
        return found

    def _kept(self, run: Job, record: Mapping[str, Any]) -> Job:
        self.records[run.key] = record
        return run

    def _stamp(self, key: str) -> Any:
        return files.stamp(self.folder.run_dir(key) / "record.json")

    def _steps(self, run: Job) -> int:
        steps = (self.folder.read_record(run.key) or {}).get("steps_done")
        return steps if isinstance(steps, int) else 0

    def failed(self) -> list[tuple[Job, Mapping[str, Any]]]:
        """The runs that did not end as they should."""
        runs = {run.key: run for run in self.all_runs()}
        bad = ("failed", "out_of_memory", "diverged")
        found = [(runs[k], r) for k, r in self.records.items() if k in runs]
        return [(run, r) for run, r in found if r["status"] in bad]


@dataclasses.dataclass(frozen=True)
class _Attempt:
    """A run in the executor's hands, and how its record stood before."""

    run: Job
    stamp: Any
    steps: int


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
