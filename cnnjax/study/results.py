"""A study's results folder: written so that a crash loses nothing, read so that one bad file stops
nothing.

    results/<experiment>/
      study.json                      the question and every plan that was asked for
      measured.json                   times that its nets or lengths were chosen by
      lock, runs/<key>/lock           held while study.json is changed, and a run carried out
      runs/<key>/record.json          one run: what it was, what it measured, how it ended
      runs/<key>/curve.jsonl          a row an epoch
      runs/<key>/predictions.npz      per test example: index, label, logits, extras
      runs/<key>/artifacts/, checkpoint/, job.json; tensorboard/, dashboard.html and other reports

Whole files are replaced in one step; the curve grows by whole lines.
"""

import io
import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.errors import UserError
from cnnjax.study import files, locks
from cnnjax.study.files import Unreadable
from cnnjax.study.records import (
    Plan,
    Point,
    Record,
    Study,
    read_head,
    read_plan,
    read_row,
    read_run,
)

__all__ = ["FORMAT", "Folder", "Plan", "Point", "Record", "Study"]

FORMAT = 1
LARGEST_ARRAYS = 2**31  # Bytes of predictions.
_KEY = re.compile(r"[0-9a-f]{16}")
_OURS = {"study.json", "measured.json", "runs", "table.csv", "dashboard.html", "report.md", "plots",
         "lock", "slurm", "tensorboard"}  # fmt: skip


class Folder:
    """One study's results folder. Reading never changes it; every write is atomic."""

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"Folder({str(self.path)!r})"

    # The study

    def create(self, head: Mapping[str, Any]) -> None:
        """Make the folder, or go on with it: `head` is study.json without its plans, which stay.

        Raises:
          UserError: the folder holds something else, or another experiment; nothing is touched.
        """
        self._check_ours(head)
        with files.telling(self.path):
            (self.path / "runs").mkdir(parents=True, exist_ok=True)
        with locks.waited(self.path / "lock"):
            self.write_study({**head, "plans": self._check_ours(head)})

    def _check_ours(self, head: Mapping[str, Any]) -> list[Any]:
        """The plans that are there; refuses what is not this study's folder."""
        if (self.path / "study.json").exists():
            data = self.read_study()
            if data.get("experiment") != head["experiment"]:
                raise UserError(
                    f"{self.path} holds the experiment {str(data.get('experiment'))[:80]!r}, not "
                    f"{head['experiment']!r}: choose another folder with --results=DIR"
                )
            return data.get("plans", [])
        if self.path.exists() and not is_ours(self.path):
            raise UserError(
                f"{self.path} is not a results folder and is left as it is: "
                "choose another with --results=DIR"
            )
        return []

    def write_study(self, data: Mapping[str, Any]) -> None:
        """Replace study.json: the head and all plans."""
        files.write_json(self.path / "study.json", {"format": FORMAT, **data})

    def read_study(self) -> dict[str, Any]:
        """study.json as written.

        Raises:
          UserError: there is none, it can't be read, or a newer version wrote it.
        """
        path = self.path / "study.json"
        if not path.exists():
            raise UserError(f"{self.path} has no study.json: run the experiment first")
        try:
            data = files.read_json(path)
        except ValueError as e:
            raise UserError(f"{path} can't be read ({e}): move it away and start again") from None
        if isinstance(data.get("format"), int) and data["format"] > FORMAT:
            raise UserError(f"{path} was written by a newer version: update cnnjax to read it")
        if not isinstance(data.get("plans", []), list):
            raise UserError(f"{path} can't be read (plans: no list): move it away and start again")
        return data

    def add_plan(self, plan: Mapping[str, Any]) -> None:
        """Append a plan to study.json, or put it where the plan with the same `id` stood."""
        with locks.waited(self.path / "lock"):
            data = self.read_study()
            plans = list(data.get("plans", []))
            ids = [p.get("id") if isinstance(p, Mapping) else None for p in plans]
            same = plan.get("id")
            place = len(plans) if same is None or same not in ids else ids.index(same)
            plans[place : place + 1] = [plan]
            self.write_study({**data, "plans": plans})

    # One run

    def run_dir(self, key: str) -> Path:
        """`runs/<key>`, which need not exist.

        Raises:
          UserError: the key is not 16 hexadecimal digits.
        """
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise UserError(
                f"{str(key)[:80]!r} is no run's key: give 16 hexadecimal digits (0-9a-f)"
            )
        return self.path / "runs" / key

    def write_record(self, key: str, record: Mapping[str, Any]) -> None:
        """Replace `runs/<key>/record.json`; a file there that is no record is set aside."""
        path = self._made(key) / "record.json"
        if record.get("key", key) != key:
            raise UserError(
                f"the record of run {str(record['key'])[:80]!r} can't stand under {key}"
            )
        if path.exists() and self.read_record(key) is None:
            with files.telling(path):
                os.replace(path, path.with_name("record.unreadable.json"))
        files.write_json(path, {"format": FORMAT, **record, "key": key})

    def read_record(self, key: str) -> dict[str, Any] | None:
        """The record as written; None where there is none or it can't be read (`load` says why)."""
        try:
            return self._record(key)
        except (OSError, ValueError):
            return None

    def append_curve(self, key: str, row: Mapping[str, Any]) -> None:
        """Add one row to the run's curve, after dropping a line that a kill left half written."""
        line = json.dumps(files.plain(row), allow_nan=False)
        files.append_line(self._made(key) / "curve.jsonl", line)

    def truncate_curve(self, key: str, epoch: int) -> None:
        """Keep the rows up to and including `epoch`, one each: what a resumed run goes on from."""
        kept = [row for row in self.read_curve(key) if row["epoch"] <= epoch]
        text = "".join(json.dumps(row) + "\n" for row in kept)
        files.replace(self._made(key) / "curve.jsonl", text.encode())

    def read_curve(self, key: str) -> list[dict[str, Any]]:
        """The curve's readable rows, numbers only and an epoch once; no file, no rows."""
        return self._curve(key)[0]

    def write_predictions(self, key: str, **arrays: np.ndarray) -> None:
        """Replace `runs/<key>/predictions.npz`; the arrays have one row a test example."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        files.replace(self._made(key) / "predictions.npz", buffer.getvalue())

    def read_predictions(
        self, key: str, names: tuple[str, ...] = (), prefix: str = ""
    ) -> dict[str, np.ndarray]:
        """The arrays, or those named and those whose names begin with the prefix, if one is given;
        `{}` where the file or one of the names is missing.

        Raises:
          UserError: the file is damaged, or holds anything but plain arrays.
        """

        def read(data: Any) -> dict[str, np.ndarray]:
            if not set(names) <= set(data.files):
                return {}
            more = [n for n in data.files if prefix and n.startswith(prefix)]
            return {name: data[name] for name in (*names, *more) or data.files}

        return self._predictions(key, read) or {}

    # All of it

    def load(self) -> Study:
        """Everything that can be read, and a warning for each thing that can't.

        Raises:
          UserError: there is no readable study.json.
        """
        data = self.read_study()
        warnings: list[str] = []
        plans = []
        for i, entry in enumerate(data.get("plans", [])):
            try:
                plans.append(read_plan(entry))
            except ValueError as e:
                warnings.append(f"study.json: plan {i + 1} is left out: {e}")
        records: dict[str, Record] = {}
        curves: dict[str, list[dict[str, Any]]] = {}
        for key in self._keys(warnings):
            try:
                records[key] = read_run(self._record(key))
            except FileNotFoundError:
                continue  # Made, and not yet written to.
            except (OSError, ValueError) as e:
                warnings.append(f"runs/{key}/record.json is left out: {files.short(e)}")
                continue
            curves[key], bad = self._curve(key)
            if bad:
                warnings.append(f"runs/{key}/curve.jsonl is left out in parts: {bad}")
        head = read_head(data)
        return Study(
            self.path, **head, plans=plans, records=records, curves=curves, warnings=warnings
        )

    def _keys(self, warnings: list[str]) -> Iterator[str]:
        runs = self.path / "runs"
        for path in sorted(runs.iterdir()) if runs.is_dir() else []:
            if _KEY.fullmatch(path.name) and path.is_dir():
                yield path.name
            elif not path.name.startswith("."):
                warnings.append(f"runs/{path.name[:80]!r} is no run and is left out")

    def _record(self, key: str) -> dict[str, Any]:
        path = self._inside(key, "record.json")
        data = files.read_json(path)
        if data.get("key") != key:
            raise Unreadable(f"it says that its key is {str(data.get('key'))[:80]!r}")
        return data

    def _curve(self, key: str) -> tuple[list[dict[str, Any]], str]:
        """The rows by epoch, and what is wrong with the file; a half-written last line is not."""
        try:
            path = self._inside(key, "curve.jsonl")
            lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        except FileNotFoundError:
            return [], ""
        except (OSError, Unreadable) as e:
            return [], files.short(e)
        rows = [read_row(line) for line in lines[:-1] if line.strip()]
        good = {row["epoch"]: row for row in rows if row}
        bad = rows.count(None)
        return [good[e] for e in sorted(good)], f"{bad} unreadable rows" if bad else ""

    def _predictions(self, key: str, read: Callable[[Any], Any]) -> Any:
        path = self.run_dir(key) / "predictions.npz"
        if not path.exists():
            return None
        try:
            # Opened here, since np.load leaves the file open when the archive is damaged.
            with self._inside(key, path.name).open("rb") as file:
                return read(np.load(file, allow_pickle=False))
        # A damaged archive raises whatever zip, zlib and NumPy happen to.
        except Exception as e:
            raise UserError(f"{path} can't be read ({type(e).__name__}): delete it") from None

    def _inside(self, key: str, name: str) -> Path:
        """A regular file of the run's own; a link that leads out of the folder is refused."""
        home = self.run_dir(key)
        path = home / name
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode) or home.is_symlink():  # Elsewhere it is where it stands.
            status = path.stat()
            if path.resolve().parent != home.parent.resolve() / key:
                raise Unreadable("it leads out of its folder or is no plain file")
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("it leads out of its folder or is no plain file")
        if status.st_size > (files.LARGEST if name != "predictions.npz" else LARGEST_ARRAYS):
            raise Unreadable(f"{status.st_size} bytes are too many")
        return path

    def _made(self, key: str) -> Path:
        path = self.run_dir(key)
        with files.telling(path):
            path.mkdir(exist_ok=True)  # Without its parents: a disk that is gone stays gone.
        return path


def is_ours(path: Path) -> bool:
    """Empty, or only what a study leaves there: then a lost study.json can be written anew."""
    if not path.is_dir():
        return False
    names = {p.name for p in path.iterdir() if not (p.name[0] == "." and p.suffix == ".tmp")}
    runs = path / "runs"
    keyed = all(_KEY.fullmatch(p.name) for p in runs.iterdir()) if runs.is_dir() else True
    return names <= _OURS and keyed
