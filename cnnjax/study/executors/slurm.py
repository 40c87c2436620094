"""Runs as jobs of a Slurm cluster: arrays of what is ready, each run in a job of its own.

Slurm requeues a job that it preempts or whose node is lost, and warns before its time is up: the
run saves, and goes on in the next job. The jobs' ids stand in `slurm/jobs.json` of the results, so
that the same command, given again, waits for what is queued rather than queue it twice. The results
must lie on a file system that the nodes share. Only `sbatch`, `squeue`, `scontrol` and `scancel`
are called; accounting (`sacct`) is not needed.
"""

import contextlib
import dataclasses
import getpass
import re
import shlex
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from cnnjax.errors import UserError
from cnnjax.study import files, locks
from cnnjax.study.executors import (
    Executor,
    Places,
    Watch,
    command,
    last_line,
    option,
    variables,
)
from cnnjax.study.job import Job
from cnnjax.study.launch import Launch, write_job
from cnnjax.study.results import Folder

ARRAY = 1000  # Jobs of one array at most: Slurm's own limit, unless a site sets another.
SOONEST, LATEST = 1.0, 15.0  # Seconds between two looks at the queue, which many share.
PATIENCE = 600.0  # Seconds without an answer from the queue.
PARTS = 200  # Ids in one command.


@dataclasses.dataclass(frozen=True)
class Options:
    """What sbatch is asked for."""

    partition: str | None = option(None, "the partition (default: Slurm's)")
    gres: str | None = option(None, "what each run gets, such as gpu:1")
    time: str | None = option(None, "the time limit of a job, such as 4:00:00; a run goes on in "
                              "the next one")  # fmt: skip
    max_jobs: int = option(32, "runs in the queue at a time", int, 1)
    warning: int = option(60, "seconds to save in, before the time limit", int, 1)
    sbatch: str | None = option(None, "more of sbatch's options, such as '--account=vision "
                                "--cpus-per-task=8'")  # fmt: skip


def make(options: Options, launch: Launch, folder: Folder) -> "Slurm":
    return Slurm(options, launch, folder)


class Slurm(Executor):
    """The jobs of one study."""

    def __init__(self, options: Options, launch: Launch, folder: Folder):
        self._options, self._launch, self._folder = options, launch, folder
        asked = f"{options.gres} {options.sbatch}"
        cores = re.search(r"(?:--cpus-per-task[= ]|-c ?)(\d+)", asked)
        gpu = "gpu" in asked
        parallel = 1 if gpu or not cores else int(cores[1])
        self.places = Places(options.max_jobs, "gpu" if gpu else "cpu", parallel)
        self._out: dict[str, str] = {}  # The job's id of each run.
        self._asked = self._told = False
        self._pause, self._answered = SOONEST, time.monotonic()

    def offer(self, ready: Sequence[Job]) -> list[Job]:
        room = max(0, min(self._options.max_jobs - len(self._out), ARRAY))
        if self._asked or not room or not ready:
            return []
        home = self._home()
        with locks.waited(home / "lock"):
            queued = self._queued(home, ready)
            there = [job for job in ready if job.key in queued]
            new = [job for job in ready if job.key not in queued][: max(0, room - len(there))]
            for job in new:
                write_job(self._folder, job, self._launch)
            if new:
                queued |= self._submit(home, new)
                files.write_json(home / "jobs.json", queued)
        taken = [*there, *new]
        self._out |= {job.key: queued[job.key] for job in taken}
        self._pause = SOONEST
        return taken

    def wait(self, watch: Watch) -> dict[str, str]:
        until = time.monotonic() + self._pause
        while time.monotonic() < until and self._asked == self._told:
            time.sleep(0.2)  # One long sleep would go on after a signal.
        if self._asked and not self._told:
            self._told = True
            self._pause = SOONEST
            self._cancel()
        alive = self._alive()
        if alive is None:
            return {}
        gone = [key for key, job in self._out.items() if job not in alive]
        self._pause = SOONEST if gone else min(LATEST, 1.5 * self._pause)
        return {key: self._reason(self._out.pop(key)) for key in gone}

    def stop(self) -> None:
        self._asked = True

    def close(self, at_once: bool = False) -> None:
        """Jobs that are left stay in the queue: the same command, given again, waits for them."""

    def _home(self) -> Path:
        home = self._folder.path.resolve() / "slurm"
        with files.telling(home):
            home.mkdir(exist_ok=True)
        return home

    def _submit(self, home: Path, jobs: Sequence[Job]) -> dict[str, str]:
        """Queue the runs as one array; the id of each."""
        o = self._options
        given = {"partition": o.partition, "gres": o.gres, "time": o.time}
        words = [
            "sbatch",
            "--parsable",
            f"--array=0-{len(jobs) - 1}",
            f"--job-name=cnnjax-{self._launch.experiment}",
            f"--output={home}/%A_%a.log",
            "--open-mode=append",
            "--requeue",
            f"--signal=B:USR1@{o.warning}",
            *(f"--{name}={value}" for name, value in given.items() if value),
            *shlex.split(o.sbatch or ""),
        ]
        # `exec`, so that the signals reach the worker.
        script = "\n".join([
            "#!/bin/sh",
            f"set -- {' '.join(job.key for job in jobs)}",
            "shift $SLURM_ARRAY_TASK_ID",
            f'exec {shlex.join(command(self._folder))} "$1"',
        ])  # fmt: skip
        done = _call(words, script)
        if done.returncode:
            lines = [line.split("error: ")[-1] for line in done.stderr.strip().splitlines()]
            raise UserError(f"sbatch: {'; '.join(lines)[:300] or 'it failed and did not say why'}")
        array = done.stdout.strip().partition(";")[0]  # `id;cluster` where there are several.
        return {job.key: f"{array}_{i}" for i, job in enumerate(jobs)}

    def _queued(self, home: Path, ready: Sequence[Job]) -> dict[str, str]:
        """The ids of the study's jobs that are in the queue, whoever put them there, by key; and of
        those that ended since whoever asks looked at their records."""
        from cnnjax.study.worker import finished

        known: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):
            known = {str(k): str(v) for k, v in files.read_json(home / "jobs.json").items()}
        if not known:
            return {}
        while (alive := self._alive()) is None:
            time.sleep(SOONEST)
        left = [job for job in ready if job.key in known and known[job.key] not in alive]
        ended = {job.key for job in left if finished(self._folder, job)}
        return {key: job for key, job in known.items() if job in alive or key in ended}

    def _alive(self) -> set[str] | None:
        """The ids of all the user's jobs in the queue; None where Slurm does not answer now.

        Raises:
          UserError: it has not answered for ten minutes.
        """
        words = ["squeue", "--noheader", "--array", f"--user={getpass.getuser()}", "--format=%i"]
        done = _call(words)
        if done.returncode == 0:
            self._answered = time.monotonic()
            return set(done.stdout.split())
        if time.monotonic() - self._answered > PATIENCE:
            raise UserError(
                f"Slurm has not answered for {PATIENCE / 60:.0f} minutes "
                f"({last_line(done.stderr)}); its jobs are left to it, and the same command goes on"
            )
        return None

    def _cancel(self) -> None:
        """Take back what has not begun; what has is asked to save and end."""
        ids = list(self._out.values())
        for i in range(0, len(ids), PARTS):
            part = ids[i : i + PARTS]
            _call(["scancel", "--quiet", "--state=PENDING", *part])
            _call(["scancel", "--quiet", "--batch", "--signal=USR1", *part])

    def _reason(self, job: str) -> str:
        """Why a job is gone, where it did not end by itself.

        Raises:
          UserError: it left no log, so it never began, or wrote where this process does not see.
        """
        log = self._home() / f"{job}.log"
        found = re.search(r"JobState=(\S+)", _call(["scontrol", "show", "job", job]).stdout)
        state = found[1] if found else ""
        if not log.exists() and not self._asked:
            raise UserError(
                f"job {job} ended {f'({state}) ' if state else ''}and left no {log}: was it "
                "cancelled, or do the nodes not share this file system? See --results=DIR"
            )
        if state in ("", "COMPLETED"):
            return ""
        if state == "FAILED":
            with contextlib.suppress(OSError):
                return last_line(log.read_text(errors="replace")[-4096:])
        return f"Slurm ended its job {job}: {state}"


def _call(words: Iterable[str], given: str = "") -> subprocess.CompletedProcess[str]:
    """Run one of Slurm's commands.

    Raises:
      UserError: it is not there.
    """
    words = list(words)
    try:
        return subprocess.run(
            words, input=given, capture_output=True, text=True, env=variables(), timeout=PATIENCE
        )
    except FileNotFoundError:
        raise UserError(
            f"there is no {words[0]} here: start --executor=slurm where Slurm's commands are"
        ) from None
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 1, "", f"{words[0]} does not answer")
