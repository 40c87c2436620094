"""Who hands out a study's runs: an engine a module here, found by its name.

An engine hands runs out and tells when they have ended, nothing else. Which runs, in what order and
how often is decided before it (`study.conduct`), and whether a run ended well is read from its
record, which `study.worker.Worker` writes wherever it is at work. A run's lock keeps two processes
from doing the same, so an engine need not know what others do, and may hand a run out twice.

A module holds

- `Options`, a frozen dataclass of `option`s, which become the flags `--NAME.FIELD`;
- `make(options, launch, folder) -> Executor`, which starts nothing yet. `launch`
  (`study.launch.Launch`) is what all runs share; `launch.worker(folder)` carries runs out in this
  process, and `python -m cnnjax.study.work FOLDER KEY` one in another, for which
  `study.launch.write_job` was called.
"""

from __future__ import annotations

import abc
import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from absl import flags

from cnnjax import extension
from cnnjax.errors import UserError

if TYPE_CHECKING:  # The menu imports this, and answers at once.
    from cnnjax.study.job import Job

Watch = Callable[["Job", int, int], None]  # A run, its steps done, all of them.


@dataclasses.dataclass(frozen=True)
class Places:
    """Where runs are carried out: so many at a time, each on `parallel` cores or devices."""

    runs: int
    platform: str
    parallel: int


class Executor(abc.ABC):
    """What hands runs out. It is used by one thread."""

    places: Places  # As far as can be told before anything is started.

    @abc.abstractmethod
    def offer(self, ready: Sequence[Job]) -> list[Job]:
        """Take as many of these runs as there is room for, rather the first than the last.

        Raises:
          UserError: runs can't be handed out here at all.
        """

    @abc.abstractmethod
    def wait(self, watch: Watch) -> dict[str, str]:
        """The keys of runs that were taken and have ended since, however they did, with what is
        known of it beside their records (`killed by SIGKILL`), often nothing.

        It may return after a second with none. `watch` is told of steps, where they are known.
        """

    @abc.abstractmethod
    def stop(self) -> None:
        """Ask what runs to save and end; `wait` tells when it has. Called from a signal handler."""

    @abc.abstractmethod
    def close(self, at_once: bool = False) -> None:
        """Give everything back, after what runs has saved or, if so asked, at once."""


def option(default: Any, help: str, kind: type = str, low: int | None = None) -> Any:
    """A field of an engine's `Options`: its flag is of this kind, numbers from `low` up."""
    metadata = {"help": help, "kind": kind, "low": low}
    return dataclasses.field(default=default, metadata=metadata)


def names() -> list[str]:
    """The engines there are."""
    return extension.names(sys.modules[__name__])


def find(name: str) -> ModuleType:
    """The engine's module.

    Raises:
      UserError: there is none, with the nearest name.
    """
    return extension.named(sys.modules[__name__], name, "executor")


def define(values: flags.FlagValues) -> list[str]:
    """Define the flags of all engines; returns their names."""
    found = []
    for engine in names():
        for field in dataclasses.fields(find(engine).Options):
            flag, help = f"{engine}.{field.name}", field.metadata["help"]
            if field.metadata["kind"] is int:
                low = field.metadata["low"]
                flags.DEFINE_integer(flag, field.default, help, low, flag_values=values)
            else:
                flags.DEFINE_string(flag, field.default, help, flag_values=values)
            found.append(flag)
    return found


def asked(values: flags.FlagValues) -> str | None:
    """The engine that the flags name, or that has one of its own given; None without either."""
    fields = [(name, f.name) for name in names() for f in dataclasses.fields(find(name).Options)]
    own = (name for name, field in fields if values[f"{name}.{field}"].present)
    return values.executor or next(own, None)


def options(values: flags.FlagValues, name: str) -> Any:
    """The `Options` of the engine `name` as the flags have them.

    Raises:
      UserError: there is no such engine, or a flag of another one was given.
    """
    own = {f.name: f"{name}.{f.name}" for f in dataclasses.fields(find(name).Options)}
    for other in names():
        for field in dataclasses.fields(find(other).Options):
            flag = f"{other}.{field.name}"
            if other != name and values[flag].present:
                raise UserError(f"--{flag} is for --executor={other}, and it is {name}")
    return find(name).Options(**{field: values[flag].value for field, flag in own.items()})


def command(folder: Any, *words: str) -> list[str]:
    """The command of a worker process on the folder (`study.work`)."""
    return [sys.executable, "-m", "cnnjax.study.work", *words, str(folder.path.resolve())]


def variables() -> dict[str, str]:
    """This process's environment, with which another finds this very copy of the package."""
    here = str(Path(__file__).parents[3])
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def last_line(text: str, otherwise: str = "") -> str:
    """What a program said at last, on one short line."""
    lines: Sequence[str] = [line for line in text.strip().splitlines() if line.strip()]
    return " ".join(lines[-1].split())[:300] if lines else otherwise
