"""The studies that are served, and their pages, each made anew only when its records changed."""

import dataclasses
import hashlib
import html
import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from cnnjax.errors import UserError
from cnnjax.report import dashboard, drawer
from cnnjax.report.breakdown import breakdowns
from cnnjax.report.charts import every
from cnnjax.report.findings import Report, report
from cnnjax.report.live import compare, index, running, shell
from cnnjax.report.live.watch import Glance, Watch
from cnnjax.study import files
from cnnjax.study.results import Folder

REST = 10.0  # A report is made again after that many times as long as it took to make: while a
# study runs, its processors are its own.


@dataclasses.dataclass(frozen=True)
class Part:
    """What a page shows: its title, its `<main>` with the charts' data, and the state it is of."""

    title: str
    content: str
    state: str


@dataclasses.dataclass(frozen=True)
class Told:
    """A study's report as of a state, or why there is none, and when another may be made."""

    state: str
    report: Report | None
    problem: str
    again: float
    part: Part | None = None


class Shelf:
    """Studies by the name they are served under: those in a folder, whatever comes and goes there,
    or those that were given, which are compared.

    Raises:
      UserError: there is no such folder, or none of studies.
    """

    def __init__(self, folders: Sequence[Path]):
        for path in folders:
            if not path.is_dir():
                raise UserError(f"there are no results in {path}: run an experiment first")
        given = len(folders) > 1 or (folders[0] / "study.json").exists()
        for path in folders if given else ():
            if not (path / "study.json").exists():
                raise UserError(f"{path} holds no study: give folders such as results/depth")
        self.root = None if given else folders[0]
        self.alone = given and len(folders) == 1
        self._given = _named(folders) if given else {}
        self._watches: dict[str, Watch] = {}
        self._told: dict[str, Told] = {}
        self._kept: dict[str, tuple[str, Report | None]] = {}
        self._lock = threading.Lock()  # One report is made at a time.

    def names(self) -> dict[str, Path]:
        """The studies that there are now."""
        if self.root is None:
            return self._given
        try:
            with os.scandir(self.root) as entries:
                found = [e for e in entries if e.is_dir(follow_symlinks=False)]
        except OSError:
            return {}  # The folder may come back.
        kept = [e for e in found if os.path.lexists(os.path.join(e.path, "study.json"))]
        return {e.name: Path(e.path) for e in sorted(kept, key=lambda e: e.name) if e.name != "-"}

    def look(self, name: str) -> Glance:
        """What there is to say of a study at once."""
        path = self.names()[name]
        return self._watches.setdefault(name, Watch(path)).look()

    def home(self) -> Part:
        """The front page: the index, or the comparison."""
        names = self.names()
        if self._given:
            told = {name: self._tell(name) for name in names}
            state = _digest([t.state for t in told.values()])
            reports = {n: t.report or t.problem for n, t in told.items()}
            return Part(compare.TITLE, compare.content(reports), state)
        content = index.content({name: self.look(name) for name in names})
        return Part(index.TITLE, content, _digest([content]))

    def page(self, name: str) -> Part:
        """A study's page."""
        told = self._tell(name)
        if told.part is None:
            told = self._drawn(name, told)
        return told.part

    def net(self, name: str, number: int) -> str:
        """The drawer of one of a study's nets, with all its pictures.

        Raises:
          KeyError: there is no such study or net, or the study has no report.
        """
        told = self._tell(name)
        with self._lock:
            state, r = self._kept.get(name, ("", None))
            if state != told.state:  # Of the study that is looked at the report is kept.
                r = told.report or self._made(self.look(name)).report
                self._kept = {name: (told.state, r)}
        if r is None or number >= len(r.summary.rows):
            raise KeyError(number)
        return drawer.html(r, r.summary.rows[number], pictures=True)

    def state(self, name: str | None) -> dict[str, str]:
        """The state that a page asked for now would have, made without making a report, and the
        panel of what is running, which changes more often."""
        if name is not None:
            seen = self.look(name)
            return {"state": self._due(name, seen), "now": running.panel(seen)}
        if not self._given:
            return {"state": self.home().state}
        return {"state": _digest([self._due(n, self.look(n)) for n in self._given])}

    def _due(self, name: str, seen: Glance) -> str:
        told = self._told.get(name)
        return told.state if told and time.monotonic() < told.again else seen.state

    def _tell(self, name: str) -> Told:
        """The study's report, made anew if its records changed and the last one is old enough."""
        with self._lock:
            seen = self.look(name)
            state, told = self._due(name, seen), self._told.get(name)
            if told is None or told.state != state:
                began = time.monotonic()
                told = self._made(seen)
                again = time.monotonic() + REST * (time.monotonic() - began)
                self._told[name] = told = dataclasses.replace(told, again=again)
            return told

    def _made(self, seen: Glance) -> Told:
        problem = seen.problem
        try:
            made = None if problem else report(Folder(seen.path).load())
        # Records by others may hold what nobody thought of; the other studies are served still.
        except Exception as e:
            made, problem = None, _why(e)
        return Told(seen.state, made, problem, 0.0)

    def _drawn(self, name: str, told: Told) -> Told:
        """The same with its page."""
        with self._lock:
            kept = self._told[name]
            if kept.part is not None:
                return kept
            began = time.monotonic()
            part = _part(name, self.look(name), kept)
            again = kept.again + REST * (time.monotonic() - began)
            r = kept.report if self._given else None  # A large study's takes much memory.
            self._told[name] = dataclasses.replace(kept, report=r, part=part, again=again)
            return self._told[name]


def _part(name: str, seen: Glance, told: Told) -> Part:
    problem, r = told.problem, told.report
    if r is not None:
        try:
            charts = every(r, breakdowns(r.summary, r.study.warnings))
            content = dashboard.content(r, charts, running.panel(seen))
            return Part(f"{r.study.experiment}: {r.study.question}", content, told.state)
        except Exception as e:  # As above.
            problem = _why(e)
    said = f"<h1>{html.escape(name)}</h1>", f'<p class="banner">{html.escape(problem)}</p>'
    return Part(name, shell.plain(*said, running.panel(seen)), told.state)


def _why(e: Exception) -> str:
    if isinstance(e, UserError):
        return str(e)
    return f"The report can't be made ({type(e).__name__}: {files.short(e)})."


def _named(folders: Sequence[Path]) -> Mapping[str, Path]:
    """Each by its name, and by its parent's too where several are called the same."""
    names = [path.resolve().name for path in folders]
    found: dict[str, Path] = {}
    for path, name in zip(folders, names, strict=True):
        if names.count(name) > 1:
            name = f"{path.resolve().parent.name} {name}"
        number, free = 2, name
        while free in found or free in ("", "-"):
            number, free = number + 1, f"{name} {number}".strip()
        found[free] = path
    return found


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()[:16]
