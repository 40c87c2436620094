"""A glance at a study's folder, cheap enough to be taken every second: who runs, what ended, and a
state that changes with its records."""

import dataclasses
import hashlib
import os
import re
import stat
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cnnjax.errors import UserError
from cnnjax.report import condition
from cnnjax.report.points import BAD
from cnnjax.study import files
from cnnjax.study.records import Plan, Record, Study, read_head, read_plan, read_run
from cnnjax.study.results import Folder

FRESH = 1.0  # Seconds in which a glance is not taken again: many tabs cost as much as one.
GONE = 600.0  # Seconds without a sign of life after which a run that no plan asks for is forgotten.
_KEY = re.compile(r"[0-9a-f]{16}")

Stamp = tuple[int, int] | None


@dataclasses.dataclass(frozen=True)
class Under:
    """A run under way: its record, its curve so far, and when its files last changed."""

    record: Record
    curve: tuple[Mapping[str, Any], ...]
    heard: float


@dataclasses.dataclass(frozen=True)
class Glance:
    """What there is to say of a study without its report. `problem` is why there can be none;
    `state` changes whenever the report would; `took` are the seconds of the runs that ended."""

    path: Path
    problem: str = ""
    state: str = ""
    study: Study | None = None  # Its head, its plans, and records without their curves.
    under: tuple[Under, ...] = ()
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    planned: int = 0
    ended: int = 0
    took: Mapping[str, float] = dataclasses.field(default_factory=dict)
    changed: float = 0.0
    unread: int = 0

    @property
    def failed(self) -> int:
        return sum(self.counts.get(status, 0) for status in BAD)


class Watch:
    """Keeps what it has read of a study, and reads again only what changed."""

    def __init__(self, path: Path):
        self.path = path
        self._lock = threading.Lock()
        self._at, self._last = -FRESH, Glance(path)
        self._head: tuple[Stamp, Any] = (None, None)
        self._records: dict[str, tuple[Stamp, Record | None]] = {}
        self._curves: dict[str, tuple[Stamp, tuple[Mapping[str, Any], ...]]] = {}

    def look(self) -> Glance:
        """The study now, or as it was up to a second ago."""
        with self._lock:
            if time.monotonic() - self._at >= FRESH:
                try:
                    self._last = self._look()
                except UserError as e:
                    self._last = Glance(self.path, problem=str(e), state=f"problem: {e}")
                # One study by others that nobody thought of must not take the index with it.
                except Exception as e:
                    why = f"{self.path} can't be read ({type(e).__name__}: {files.short(e)})"
                    self._last = Glance(self.path, problem=why, state=f"problem: {why}")
                self._at = time.monotonic()
            return self._last

    def _look(self) -> Glance:
        _own(self.path)
        head, plans, stamp = self._read_head()
        stamps = dict(_stamps(self.path / "runs"))
        self._records = {k: self._record(k, s) for k, s in stamps.items() if s}
        records = {k: r for k, (_, r) in self._records.items() if r}
        study = Study(self.path, **head, plans=plans, records=records, curves={}, warnings=[])
        planned, ended = condition.progress(study)
        under = tuple(self._under(study))
        self._curves = {u.record.key: self._curves[u.record.key] for u in under}
        times = {k: r.timings.get("total_seconds") for k, r in records.items()}
        newest = max([s[0] for s in (stamp, *stamps.values()) if s], default=0)
        told = repr((stamp, sorted(stamps.items())))
        return Glance(
            path=self.path,
            state=hashlib.sha256(told.encode()).hexdigest()[:16],
            study=study,
            under=under,
            counts=Counter(r.status for r in records.values()),
            planned=planned,
            ended=ended,
            took={k: v for k, v in times.items() if v is not None and v >= 0},
            changed=max([newest / 1e9, *(u.heard for u in under)]),
            unread=len(self._records) - len(records),
        )

    def _read_head(self) -> tuple[dict[str, Any], list[Plan], Stamp]:
        stamp = _stamp(self.path / "study.json")
        if stamp is None or stamp != self._head[0]:
            data = Folder(self.path).read_study()
            plans = []
            for entry in data.get("plans", []):
                try:
                    plans.append(read_plan(entry))
                except ValueError:
                    continue  # The report says which and why.
            self._head = (stamp, (read_head(data), plans))
        return *self._head[1], stamp

    def _record(self, key: str, stamp: Stamp) -> tuple[Stamp, Record | None]:
        """The record, without its layers and its configuration once it has ended."""
        before = self._records.get(key)
        if before and before[0] == stamp:
            return before
        data = Folder(self.path).read_record(key)
        try:
            record = read_run(data) if data else None
        except ValueError:
            return stamp, None
        if record:
            config = record.config if record.status == "running" else {}
            record = dataclasses.replace(record, layers=(), config=config, data={})
        return stamp, record

    def _under(self, study: Study) -> Iterator[Under]:
        """Runs under way; one that no plan asks for only while there are signs of life."""
        asked = {k for p in study.plan.points for k in (*p.runs, *p.tune)}
        for key, record in study.records.items():
            if record.status != "running":
                continue
            run = self.path / "runs" / key
            # A checkpoint is saved at least every half minute, and its folder changes with it.
            files = [_stamp(run / n) for n in ("record.json", "curve.jsonl", "checkpoint")]
            heard = max((s[0] for s in files if s), default=0) / 1e9
            if key in asked or time.time() - heard < GONE:
                yield Under(record, self._curve(key, files[1]), heard)

    def _curve(self, key: str, stamp: Stamp) -> tuple[Mapping[str, Any], ...]:
        before = self._curves.get(key)
        if before is None or before[0] != stamp:
            self._curves[key] = (stamp, tuple(Folder(self.path).read_curve(key)))
        return self._curves[key][1]


def _own(path: Path) -> None:
    """Refuses a study of which a part stands elsewhere, where nobody has asked to look.

    Raises:
      UserError: `study.json` or `runs` is a link.
    """
    for name in ("study.json", "runs"):
        if (path / name).is_symlink():
            raise UserError(f"{path / name} is a link, which is not followed")


def _stamps(runs: Path) -> Iterator[tuple[str, Stamp]]:
    """Each run's key and its record's stamp, none where there is no record yet."""
    try:
        with os.scandir(runs) as entries:
            for entry in entries:
                if _KEY.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                    yield entry.name, _stamp(Path(entry.path, "record.json"))
                elif not entry.name.startswith("."):
                    yield entry.name, None  # The report warns of it.
    except OSError:
        return


def _stamp(path: Path) -> Stamp:
    """Time and size of a file or a folder, not of what a link leads to."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return None if stat.S_ISLNK(found.st_mode) else (found.st_mtime_ns, found.st_size)
