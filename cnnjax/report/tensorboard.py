"""results/STUDY/tensorboard/: the runs' curves, costs and outcomes for `tensorboard --logdir`.

A folder a run, named as the run is and ending in its key. A file is only ever added to, until its
run is begun anew, so that a TensorBoard that is open follows it.
"""

import datetime
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cnnjax.report import condition, events
from cnnjax.report.points import BAD, MEASURES
from cnnjax.study import files, locks
from cnnjax.study.records import Axis, Record, Study, read_head, read_run
from cnnjax.study.results import Folder
from cnnjax.study.untrusted import line

FIELDS = ("learning_rate", "weight_decay", "batch_size", "epochs")
LONGEST = 80  # Characters of a run's name.
SPLITS = {"train": "train", "val": "validation", "test": "test"}
_TIMES = {"epoch", "step", "seconds"}
_KEYED = re.compile(r".* ([0-9a-f]{16})", re.DOTALL)


def write(study: Study, keys: Iterable[str] | None = None) -> None:
    """Bring the event files up to the records, all or those of some runs; runs that did not change
    are not read again.

    Raises:
      UserError: the disk refuses.
    """
    home = study.path / "tensorboard"
    if home.is_symlink():
        return  # It leads to somewhere that is not ours to write to.
    with files.telling(home):
        home.mkdir(exist_ok=True)
    with locks.attempt(home / ".lock") as mine:
        if not mine:
            return  # Another launch is at it.
        with files.telling(home):
            places = dict(_places(home))
            for key in study.records if keys is None else keys:
                _write(study, key, home, places.get(key))


def follow(folder: Path, key: str) -> None:
    """Bring a run's event file up to its curve while the run goes on.

    Raises:
      UserError: as `write`; the study can't be read.
    """
    head = read_head(Folder(folder).read_study())
    write(Study(folder, **head, plans=[], records={}, curves={}, warnings=[]), [key])


def content(record: Record, curve: list[dict[str, Any]]) -> bytes:
    """A run's events; those of a run that has come further begin with the same bytes."""
    began = _time(record.started)
    at = began
    parts = [events.version(began), events.start(began, _hparams(record))]
    for row in curve:
        if 0 <= row["epoch"] < 2**31:
            at = began + max(0.0, row.get("seconds") or 0.0)
            values = {tag(k): v for k, v in row.items() if k not in _TIMES and v is not None}
            parts.append(events.scalars(at, row["epoch"], values))
    if record.status in ("done", *BAD):
        ended = _time(record.finished) or at
        step = min(max(0, record.epochs_done), 2**31)
        parts.append(events.scalars(ended, step, _outcome(record)))
        status = events.SUCCESS if record.status == "done" else events.FAILURE
        parts.append(events.end(ended, status))
    return b"".join(parts)


def tag(column: str) -> str:
    """`val_accuracy` → `accuracy/validation`, so that what is alike stands together."""
    split, _, what = line(column)[:LONGEST].partition("_")
    if split in SPLITS and what in ("loss", "accuracy"):
        return f"{what}/{SPLITS[split]}"
    return line(column)[:LONGEST]


def _outcome(record: Record) -> dict[str, float]:
    metrics = {f"final/{line(k)[:LONGEST]}": v for k, v in record.metrics.items()}
    costs = {f"cost/{k}": record.measures.get(k) for k in MEASURES}
    taken = {f"measured/{k[:LONGEST]}": record.measures.get(k) for k in record.measured}
    return {k: v for k, v in (metrics | costs | taken).items() if v is not None}


def _hparams(record: Record) -> dict[str, str | float | bool]:
    told: Mapping[str, Axis] = {
        **{line(k)[:LONGEST]: v for k, v in record.axes.items()},
        "net": record.net,
        "dataset": record.dataset,
        **{field: record.field(field) for field in FIELDS if record.role != "probe"},
        "seed": record.seed,
        "role": record.role,
    }
    return {k: v for k, v in told.items() if v is not None}


def _places(home: Path) -> Iterator[tuple[str, Path]]:
    """The folders that there are, by their runs' keys."""
    with os.scandir(home) as entries:
        for entry in entries:
            if (found := _KEYED.fullmatch(entry.name)) and entry.is_dir(follow_symlinks=False):
                yield found[1], Path(entry.path)


def _write(study: Study, key: str, home: Path, place: Path | None) -> None:
    run = study.path / "runs" / key
    # Before they are read: what changes meanwhile is written the next time.
    stamps = [s[1] for n in ("record.json", "curve.jsonl") if (s := files.stamp(run / n))]
    if not stamps or (place and _written(place) == max(stamps)):
        return
    folder = Folder(study.path)
    try:
        record = read_run(folder.read_record(key) or {})
    except files.Unreadable:
        return  # It was readable a moment ago.
    path = _moved(place, home / _name(study, record)) / f"events.out.tfevents.{_began(record)}"
    _grow(path, content(record, folder.read_curve(key)))
    os.utime(path, ns=(max(stamps), max(stamps)))


def _written(place: Path) -> int | None:
    """The time that the run's file bears, which is that of what it was made from."""
    with os.scandir(place) as entries:
        return max((e.stat(follow_symlinks=False).st_mtime_ns for e in entries), default=None)


def _moved(place: Path | None, wanted: Path) -> Path:
    """The run's folder under the name that it has by now."""
    if place is not None and place != wanted:
        place.rename(wanted)
    wanted.mkdir(exist_ok=True)
    return wanted


def _grow(path: Path, data: bytes) -> None:
    """Add what is new, or begin a file anew in place of all others."""
    old = path.read_bytes() if path.exists() and not path.is_symlink() else None
    if old is not None and data.startswith(old):
        with path.open("ab") as file:
            file.write(data[len(old) :])
        return
    files.replace(path, data)
    for other in path.parent.iterdir():
        if other != path:
            shutil.rmtree(other) if other.is_dir() and not other.is_symlink() else other.unlink()


def _name(study: Study, record: Record) -> str:
    """`fixed width 5×5, seed 2 1a2b3c4d5e6f7081`: no separator, and nothing hidden."""
    shown = re.sub(r"[^\w ,.×=+-]", "_", condition.heading(study, record))
    return f"{shown[:LONGEST].lstrip('. ') or 'run'} {record.key}"


def _began(record: Record) -> str:
    """A later name for a run that is begun anew, for TensorBoard goes on to later names only."""
    return f"{_time(record.started):.0f}.cnnjax"


def _time(text: str | None) -> float:
    """Seconds since 1970 of a time in ISO 8601; 0 where there is none."""
    try:
        return max(0.0, datetime.datetime.fromisoformat(text or "").timestamp())
    except (ValueError, OverflowError, OSError):
        return 0.0
