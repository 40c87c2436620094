"""Several runs at a time on this machine: a worker process a GPU, or a share of the cores each.

A worker carries out one run after the other, so that imports are paid once and what it compiled
serves its next run; it is given runs of nets that it knows before others. A crash takes the worker
and the run that it was at, and nothing else. A worker whose parent is gone sees its input end,
saves and ends as well.
"""

import contextlib
import dataclasses
import importlib.util
import json
import os
import re
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnnjax.errors import UserError
from cnnjax.study import environment
from cnnjax.study.executors import (
    Executor,
    Places,
    Watch,
    command,
    last_line,
    option,
    variables,
)
from cnnjax.study.files import Refused
from cnnjax.study.job import Job
from cnnjax.study.launch import Launch, write_job
from cnnjax.study.results import Folder

ROOM = 8  # Workers at most, unless asked for more: each holds some 700 MB.
POLL = 0.5  # Seconds, since a wait goes on after a signal.
PATIENCE = 60.0  # Seconds to save, before what hangs is killed.


@dataclasses.dataclass(frozen=True)
class Options:
    """How many at a time."""

    workers: int | None = option(
        None, "runs at a time (default: one a GPU, without any one a core, at most 8)", int, 1
    )


def make(options: Options, launch: Launch, folder: Folder) -> "Local":
    return Local(options, launch, folder)


class Local(Executor):
    """A pool of worker processes, each started when there is a run for it."""

    def __init__(self, options: Options, launch: Launch, folder: Folder):
        self._launch, self._folder = launch, folder
        self._gpus, self._cores = gpus(), environment.cores()
        count = options.workers or len(self._gpus) or most(len(self._cores))
        self._workers: list[_Process | None] = [None] * count
        self._new: list[Job] = []
        self._asked = False
        if self._gpus:
            self.places = Places(count, "gpu", 1)
        else:
            self.places = Places(count, "cpu", max(1, len(self._cores) // count))

    def offer(self, ready: Sequence[Job]) -> list[Job]:
        taken: list[Job] = []
        for i, worker in enumerate(self._workers):
            left = [job for job in ready if job not in taken]
            if not left or self._asked:
                break
            if worker and (worker.job or worker.closed):
                continue
            worker = self._workers[i] = worker or self._start(i)
            others = {shape for w in self._workers if w and w is not worker for shape in w.known}
            job = _suited(left, worker.known, others)
            write_job(self._folder, job, self._launch)
            worker.begin(job)
            taken.append(job)
        self._new += taken
        return taken

    def wait(self, watch: Watch) -> dict[str, str]:
        while self._new:
            watch(self._new.pop(), 0, 1)
        if self._asked:
            for worker in self._alive():
                worker.end()
        with selectors.DefaultSelector() as selector:
            for i, worker in enumerate(self._workers):
                if worker:
                    selector.register(worker.out, selectors.EVENT_READ, i)
            if not selector.get_map():
                time.sleep(POLL)
            found = [key.data for key, _ in selector.select(POLL)]
        ended: dict[str, str] = {}
        for i in found:
            worker = self._workers[i]
            for job, said in worker.events():
                if "step" in said:
                    watch(job, *said["step"])
                elif "end" in said:
                    ended[job.key] = ""
                elif "refused" in said:
                    raise Refused(said["refused"])
                elif "error" in said:
                    raise UserError(said["error"])
            if worker.gone:
                self._workers[i] = None
                if worker.job:
                    ended[worker.job.key] = worker.reason()
                elif not worker.ready and worker.process.returncode > 0:
                    raise UserError(f"a worker could not start: {worker.reason()}")
        return ended

    def stop(self) -> None:
        self._asked = True

    def close(self, at_once: bool = False) -> None:
        for worker in self._alive():
            worker.process.kill() if at_once else worker.end()
        deadline = time.monotonic() + PATIENCE
        for worker in self._alive():
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            worker.close()
        self._workers = [None] * len(self._workers)

    def _alive(self) -> "list[_Process]":
        return [worker for worker in self._workers if worker]

    def _start(self, i: int) -> "_Process":
        count = len(self._workers)
        words, around = [], variables()
        if self._gpus:
            around["CUDA_VISIBLE_DEVICES"] = self._gpus[i % len(self._gpus)]
            if count > len(self._gpus):
                around.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        else:
            words = ["--cores=" + ",".join(map(str, share(self._cores, i, count)))]
        return _Process(command(self._folder, *words), around)


def most(cores: int) -> int:
    """Workers without a GPU, unless asked for another number."""
    return min(cores, ROOM)


def share(cores: Sequence[int], i: int, count: int) -> list[int]:
    """The cores of worker `i` of `count`: all have equally many, those left over lie idle, and
    workers that outnumber the cores take turns."""
    each = max(1, len(cores) // count)
    start = i * each % (each * max(1, len(cores) // each))
    return list(cores[start : start + each])


def gpus() -> list[str]:
    """Each GPU as CUDA_VISIBLE_DEVICES calls it, told without starting one."""
    plugins = [f"jax_cuda{version}_plugin" for version in (12, 13)]
    if os.environ.get("JAX_PLATFORMS") == "cpu" or not any(map(importlib.util.find_spec, plugins)):
        return []
    if (given := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in given.split(",") if name.strip()]
    devices = [path for path in Path("/dev").glob("nvidia*") if re.search(r"\d$", path.name)]
    return [str(i) for i in range(len(devices))]


def _suited(ready: Sequence[Job], known: set[Any], others: set[Any]) -> Job:
    """The first that the worker has compiled already, else that no other one has, else any."""
    for fits in (known.__contains__, lambda shape: shape not in others):
        if found := next((job for job in ready if fits(job.shape)), None):
            return found
    return ready[0]


class _Process:
    """A worker process: keys go in a line each, events come out as JSON, a line each."""

    def __init__(self, words: Sequence[str], environment: dict[str, str]):
        self._said, path = tempfile.mkstemp()
        os.unlink(path)  # Gone with us, however we end.
        self.process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=environment,
            start_new_session=True,  # Ctrl-C is the parent's to hear.
        )
        self.out = self.process.stdout
        os.set_blocking(self.out.fileno(), False)
        self.job: Job | None = None
        self.known: set[Any] = set()
        self.ready = self.closed = self.gone = False
        self._rest = b""

    def begin(self, job: Job) -> None:
        self.job = job
        self.known.add(job.shape)
        with contextlib.suppress(OSError):  # If it is gone, its output has ended too.
            self.process.stdin.write(f"{job.key}\n".encode())
            self.process.stdin.flush()

    def end(self) -> None:
        """Let it save what it is at, and end."""
        self.closed = True
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def events(self) -> list[tuple[Job | None, dict[str, Any]]]:
        """What it said since, each with the run that it is about."""
        found = []
        while data := self._read():
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                said = json.loads(line)
                self.ready = True
                found.append((self.job, said))
                if "end" in said:
                    self.job = None
        return found

    def _read(self) -> bytes:
        try:
            data = os.read(self.out.fileno(), 2**16)
        except BlockingIOError:
            return b""
        if not data:
            self.gone = True
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE)
            if self.process.poll() is None:  # It can't end.
                self.process.kill()
                self.process.wait()
            self._reason = self._why()
            self.close()
        return data

    def reason(self) -> str:
        return self._reason

    def _why(self) -> str:
        code = self.process.returncode
        if code < 0:
            hint = ": is the machine out of memory?" if -code == signal.SIGKILL else ""
            return f"its process was killed by {signal.Signals(-code).name}{hint}"
        size = os.fstat(self._said).st_size
        said = os.pread(self._said, 4096, max(0, size - 4096)).decode(errors="replace")
        return last_line(said, f"its process ended with status {code}")

    def close(self) -> None:
        """Kill it if it is there, and free what it held here."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.out.close()
        if self._said >= 0:
            os.close(self._said)
            self._said = -1
