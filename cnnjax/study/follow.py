"""A launch on several hosts: the first process conducts the study, and the others train with it.

What they follow is told run by run, so that only the first process looks at the results folder.
"""

import contextlib
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from cnnjax.errors import UserError
from cnnjax.study.job import Job
from cnnjax.study.launch import Launch, heard, told
from cnnjax.study.results import Folder
from cnnjax.train import hosts


class Broken(UserError):
    """A run failed among several processes, and the others may wait for a word that never comes."""


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Within it all processes are at one run.

    Raises:
      Broken: in place of any mistake or refusal, where there are several.
    """
    try:
        yield
    except UserError as e:
        if hosts.count() == 1:
            raise
        raise Broken(
            f"{e}; with several processes that ends the launch: mend it and start all of them again"
        ) from None


def lead(job: Job, launch: Launch) -> None:
    """Tell the others which run comes next.

    Raises:
      UserError: it can't be told.
    """
    if hosts.count() > 1:
        hosts.tell(told(job, launch))


def dismiss() -> None:
    """Tell the others that nothing comes any more."""
    if hosts.count() > 1:
        hosts.tell(None)


def check(record: dict) -> None:
    """Of several processes all give up where a run failed.

    Raises:
      UserError: with the run's own reason.
    """
    if hosts.count() > 1 and record["status"] in ("failed", "out_of_memory"):
        raise UserError(record["error"])


def stopped(asked: bool) -> None:
    """Where another host was asked to stop, this one was too."""
    if hosts.count() > 1 and not asked:
        signal.raise_signal(signal.SIGTERM)


def follow(launch: Launch, stop: Callable[[], bool]) -> None:
    """Train with the first process until it has no more to do.

    Raises:
      Broken: a run failed here.
    """
    from cnnjax.study.worker import Stopped

    # Records are the first's to write; what is written here is nobody's.
    with tempfile.TemporaryDirectory() as nowhere:
        folder = Folder(Path(nowhere) / launch.experiment)
        (folder.path / "runs").mkdir(parents=True)
        worker = launch.worker(folder, stop=stop)
        while (said := hosts.tell(None)) is not None:
            job, _ = heard(said)
            with together(), contextlib.suppress(Stopped):
                check(worker.execute(job))
