"""A worker process: `python -m cnnjax.study.work [--cores=0,1] FOLDER [KEY...]`.

With keys it carries those runs out and ends. Without, it reads keys from its input, a line each,
and says what it does on its output, a JSON object a line: `{"ready": true}`, `{"step": [done,
all]}`, `{"end": KEY}`, and `{"refused": ...}` or `{"error": ...}` where no run can be carried out
here. A signal, or the end of its input, makes it save what it is at, and end.
"""

import argparse
import contextlib
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cnnjax.errors import UserError
from cnnjax.signals import STOPPING

Say = Callable[[dict[str, Any]], None]
SAID_SECONDS = 0.2  # Between two words about a run's steps.


def main(argv: list[str]) -> int:
    """The exit status says nothing of runs; 2 where none can be carried out here."""
    parser = argparse.ArgumentParser(prog="cnnjax.study.work")
    parser.add_argument("--cores", default="")
    parser.add_argument("folder")
    parser.add_argument("keys", nargs="*")
    given = parser.parse_args(argv)
    asked = threading.Event()
    for number in STOPPING:
        signal.signal(number, lambda *_: asked.set())
    if given.cores and hasattr(os, "sched_setaffinity"):
        # Before JAX starts, which makes a thread for each core that it sees.
        os.sched_setaffinity(0, {int(core) for core in given.cores.split(",")})
    keys = iter(given.keys) if given.keys else _lines(asked)
    say = _silent if given.keys else _speaker(asked)
    try:
        _work(given.folder, keys, asked, say)
    except UserError as e:
        from cnnjax.study.files import Refused

        print(f"error: {e}", file=sys.stderr)
        say({"refused" if isinstance(e, Refused) else "error": str(e)})
        return 2
    return 0


def _work(path: str, keys: Iterator[str], asked: threading.Event, say: Say) -> None:
    from cnnjax.study import environment
    from cnnjax.study.launch import read_job
    from cnnjax.study.results import Folder
    from cnnjax.study.worker import Stopped, Taken

    folder = Folder(Path(path))
    say({"ready": True})
    started: dict[Any, Any] = {}
    for key in keys:
        if asked.is_set():
            return
        job, launch = read_job(folder, key)
        if launch not in started:
            environment.start_jax(launch.dtype)
            started[launch] = launch.worker(folder, _Steps(say), asked.is_set)
        with contextlib.suppress(Stopped, Taken):  # The record and the lock say so.
            started[launch].execute(job)
        say({"end": key})


class _Steps:
    """Says how far a run is, a few times a second."""

    def __init__(self, say: Say):
        self._say, self._at = say, 0.0

    def __call__(self, step: int, steps: int) -> None:
        if step == steps or time.monotonic() - self._at > SAID_SECONDS:
            self._at = time.monotonic()
            self._say({"step": [step, steps]})


def _silent(said: dict[str, Any]) -> None:
    pass


def _speaker(asked: threading.Event) -> Say:
    """Says things on what is the output now; what others print goes to the errors from now on."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(said: dict[str, Any]) -> None:
        try:
            print(json.dumps(said), file=out, flush=True)
        except OSError:
            asked.set()  # Nobody listens any more.

    return say


def _lines(asked: threading.Event) -> Iterator[str]:
    """The lines of the input as they come; its end asks to stop."""
    found: queue.Queue[str] = queue.Queue()

    def read() -> None:
        # Not through sys.stdin, which Python could not close at its end while a thread reads it.
        with open(os.dup(0), "rb", buffering=0) as file:
            rest = b""
            while data := file.read(2**12):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    found.put(line.decode().strip())
        asked.set()

    threading.Thread(target=read, daemon=True).start()
    while not asked.is_set():
        with contextlib.suppress(queue.Empty):  # A signal must be heard while there is nothing.
            yield found.get(timeout=0.5)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
