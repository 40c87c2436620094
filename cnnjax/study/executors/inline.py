"""One run after the other, in this process."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

from cnnjax.study.executors import Executor, Places, Watch
from cnnjax.study.job import Job


@dataclasses.dataclass(frozen=True)
class Options:
    """There is nothing to choose."""


def make(options: Options, launch: Any, folder: Any) -> "Inline":
    return Inline(launch.worker(folder), launch)


class Inline(Executor):
    """`worker` (`study.worker.Worker`) carries out one run at a time, while `wait` waits; of
    several processes it leads the others' (`study.follow`)."""

    def __init__(self, worker: Any, launch: Any = None):
        self._worker, self._launch = worker, launch
        self._next: Job | None = None
        self._asked = False

    @property
    def places(self) -> Places:
        from cnnjax.study import environment

        where = self._worker.devices
        # A CPU's simulated devices share its cores.
        parallel = len(environment.cores()) if where.platform == "cpu" else where.count
        return Places(1, where.platform, parallel)

    def offer(self, ready: Sequence[Job]) -> list[Job]:
        if self._next or not ready:
            return []
        self._next = ready[0]
        return [ready[0]]

    def wait(self, watch: Watch) -> dict[str, str]:
        from cnnjax.study import follow
        from cnnjax.study.worker import Stopped, Taken

        if not (job := self._next):
            return {}
        self._next = None
        watch(job, 0, 1)
        worker = dataclasses.replace(
            self._worker,
            progress=functools.partial(watch, job),
            stop=lambda: self._asked or self._worker.stop(),
            begins=functools.partial(follow.lead, launch=self._launch),
        )
        try:
            with follow.together():
                follow.check(worker.execute(job))
        except Taken:  # Its lock says so.
            pass
        except Stopped:  # Its record says so.
            follow.stopped(self._asked)
        return {job.key: ""}

    def stop(self) -> None:
        self._asked = True

    def close(self, at_once: bool = False) -> None:
        pass
