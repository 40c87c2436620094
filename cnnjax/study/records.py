"""What a results folder says, as typed values; text from files is trusted for nothing."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnjax.study.files import Unreadable

STATUSES = ("done", "diverged", "failed", "out_of_memory", "stopped", "running")
ROLES = ("replicate", "tune", "probe")
_LONGEST = 2000  # Characters of one text; more is no name, note or error line of ours.

Axis = str | int | float | bool | None


@dataclasses.dataclass(frozen=True)
class Record:
    """One run. Measures are numbers in their units, metrics fractions, timings seconds."""

    key: str
    status: str
    experiment: str = ""
    role: str = "replicate"
    quick: bool = False
    net: str = ""
    adapted: bool = False
    axes: Mapping[str, Axis] = dataclasses.field(default_factory=dict)
    dataset: str = ""
    seed: int = 0
    measures: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    units: Mapping[str, str] = dataclasses.field(default_factory=dict)
    measured: tuple[str, ...] = ()  # The measures that were taken in place of training.
    layers: tuple[Mapping[str, Any], ...] = ()
    metrics: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    timings: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    revision: str | None = None
    hardware: Mapping[str, Axis] = dataclasses.field(default_factory=dict)
    data: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    error: str | None = None
    attempts: tuple[str, ...] = ()  # Why each attempt before the last one ended.
    notes: tuple[str, ...] = ()
    source: str = ""  # Of the weights that it started from; none where it started from nothing.
    started: str | None = None
    finished: str | None = None
    epochs_done: int = 0

    @property
    def learning_rate(self) -> float | None:
        """The configuration's learning rate, wherever it stands in it."""
        return _find(self.config, "learning_rate", depth=4)


@dataclasses.dataclass(frozen=True)
class Point:
    """One net of the plan: its place on the axes, the keys of its replicates and tuning runs."""

    net: str
    axes: Mapping[str, Axis]
    runs: tuple[str, ...]
    tune: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    learning_rate: float | None = None
    seeds: int = 0
    failed_match: str | None = None
    weight: float = 1.0  # Below 1: one of two that bracket a budget, and its share in their mean.


@dataclasses.dataclass(frozen=True)
class Plan:
    """What was asked for once."""

    points: tuple[Point, ...]
    time: str = ""
    command: str = ""
    flags: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    quick: bool = False
    goal: tuple[str, float] | None = None  # A column of the curves, and the value to reach.
    claims: tuple[Any, ...] = ()  # As they stand in the file: `study.predeclared` reads them.
    changed: tuple[str, ...] = ()  # Flags that made it another study than was declared.


@dataclasses.dataclass(frozen=True)
class Study:
    """A results folder as read: the latest plan is `plan`; `records` and `curves` are by key."""

    path: Path
    experiment: str
    question: str
    x_axis: str | None
    x_label: str
    series: str | None
    axes: tuple[str, ...]
    plans: list[Plan]
    records: Mapping[str, Record]
    curves: Mapping[str, list[dict[str, Any]]]
    warnings: list[str]

    @property
    def plan(self) -> Plan:
        """The latest plan; an empty one before the first."""
        return self.plans[-1] if self.plans else Plan(points=())


def read_head(data: Mapping[str, Any]) -> dict[str, Any]:
    """study.json's head as `Study`'s fields."""
    x = data.get("x")
    x = x if isinstance(x, dict) else {}
    axis = _text(x.get("axis")) or None
    return {
        "experiment": _text(data.get("experiment")),
        "question": _text(data.get("question")) or _text(data.get("experiment")),
        "x_axis": axis,
        "x_label": _text(x.get("label")) or (axis or "").replace("_", " "),
        "series": _text(data.get("series")) or None,
        "axes": tuple(_text(a) for a in _list(data.get("axes"))),
    }


def read_plan(data: Any) -> Plan:
    """A plan of study.json.

    Raises:
      Unreadable: it has no list of points, or one has no axes or run keys.
    """
    if not isinstance(data, dict) or not isinstance(data.get("points"), list):
        raise Unreadable("no list of points")
    return Plan(
        points=tuple(_point(p, i + 1) for i, p in enumerate(data["points"])),
        time=_text(data.get("time")),
        command=_text(data.get("command")),
        flags=_dict(data.get("flags")),
        quick=data.get("quick") is True,
        goal=_goal(data.get("goal")),
        claims=tuple(_list(data.get("claims"))),
        changed=_lines(data.get("changed")),
    )


def _goal(data: Any) -> tuple[str, float] | None:
    metric, value = data if isinstance(data, list) and len(data) == 2 else (None, None)
    known = metric in ("train_accuracy", "val_accuracy") and number(value) is not None
    return (metric, float(value)) if known else None


def read_run(data: Mapping[str, Any]) -> Record:
    """A record.json's content; whatever has the wrong type is as if it were missing.

    Raises:
      Unreadable: its status or role is none of ours, so that nothing can be said of the run.
    """
    if data.get("status") not in STATUSES:
        raise Unreadable(f"status {_text(str(data.get('status')))[:80]!r} is none of ours")
    if data.get("role", "replicate") not in ROLES:
        raise Unreadable(f"role {_text(str(data.get('role')))[:80]!r} is none of ours")
    measures = _dict(data.get("measures"))
    return Record(
        key=data["key"],
        status=data["status"],
        experiment=_text(data.get("experiment")),
        role=data.get("role", "replicate"),
        quick=data.get("quick") is True,
        net=_text(data.get("net")),
        adapted=data.get("adapted") is True,
        axes=_axes(data.get("axes")),
        dataset=_text(data.get("dataset")),
        seed=_integer(data.get("seed")),
        measures={k: _measure(v) for k, v in measures.items()},
        units={k: _text(v.get("unit")) for k, v in measures.items() if isinstance(v, dict)},
        measured=_lines(data.get("measured")),
        layers=tuple(row for row in _list(data.get("layers")) if isinstance(row, dict)),
        metrics=_metrics(data.get("metrics")),
        timings=_numbers(data.get("timings")),
        versions={k: _text(v) for k, v in _dict(data.get("versions")).items()},
        revision=_text(data.get("revision")) or None,
        hardware=_axes(data.get("hardware")),
        data=_dict(data.get("data")),
        config=_dict(data.get("config")),
        error=line(data.get("error")) or None,
        attempts=_lines([_dict(a).get("reason") for a in _list(data.get("attempts"))]),
        notes=_lines(data.get("notes")),
        source=line(_dict(data.get("pretraining")).get("source")),
        started=_text(data.get("started")) or None,
        finished=_text(data.get("finished")) or None,
        epochs_done=_integer(data.get("epochs_done")),
    )


def read_row(line: str) -> dict[str, Any] | None:
    """A line of curve.jsonl, numbers only; None where it is none of ours."""
    try:
        row = json.loads(line, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or type(row.get("epoch")) is not int:
        return None
    return {k: number(v) for k, v in row.items()}


def number(v: Any) -> float | None:
    """A number that can be one of ours (JSON's integers stay integers), else None."""
    if isinstance(v, bool) or not isinstance(v, int | float):
        return None
    return v if -1e30 < v < 1e30 else None


def _point(data: Any, place: int) -> Point:
    if not isinstance(data, dict) or not isinstance(data.get("runs"), list):
        raise Unreadable(f"point {place} has no runs")
    failed = data.get("failed_match")
    return Point(
        net=_text(data.get("net")),
        axes=_axes(data.get("axes")),
        runs=tuple(dict.fromkeys(_text(k) for k in data["runs"])),
        tune=tuple(dict.fromkeys(_text(k) for k in _list(data.get("tune")))),
        notes=_lines(data.get("notes")),
        learning_rate=number(data.get("learning_rate")),
        seeds=_integer(data.get("seeds")),
        failed_match=None if failed in (None, False) else line(str(failed)),
        weight=weight if (weight := number(data.get("weight"))) and 0 < weight < 1 else 1.0,
    )


def _measure(v: Any) -> float | None:
    """`{"value": …, "unit": …}` or the bare number; of a pair (height, width) the larger."""
    v = v.get("value") if isinstance(v, dict) else v
    if isinstance(v, list):
        sides = [number(x) for x in v]
        return max((x for x in sides if x is not None), default=None)
    v = number(v)
    return None if v is None or v < 0 else v


def _metrics(v: Any) -> dict[str, float | None]:
    """Numbers; an accuracy or a consistency that is no fraction is none."""
    words = ("accuracy", "consistency")
    shares = {k: x for k, x in _numbers(v).items() if x is not None and any(w in k for w in words)}
    return _numbers(v) | {k: None for k, x in shares.items() if not 0 <= x <= 1}


def _find(data: Any, name: str, depth: int) -> float | None:
    """The first number under `name`, nearest the top first."""
    if not isinstance(data, Mapping) or depth == 0:
        return None
    if number(data.get(name)) is not None:
        return number(data[name])
    found = (_find(v, name, depth - 1) for v in data.values())
    return next((v for v in found if v is not None), None)


def _text(v: Any) -> str:
    """Text that can be encoded (JSON may hold half a surrogate pair), and not too much of it."""
    return v[:_LONGEST].encode("utf-8", "replace").decode() if isinstance(v, str) else ""


def line(v: Any) -> str:
    """Text on one line, and not too much of it; none where it is no text."""
    return " ".join(_text(v).split())[:500]


def _lines(v: Any) -> tuple[str, ...]:
    return tuple(filter(None, map(line, _list(v))))


def _integer(v: Any) -> int:
    return int(v) if number(v) is not None else 0


def _dict(v: Any) -> dict[str, Any]:
    return {_text(k): x for k, x in v.items()} if isinstance(v, dict) else {}


def _list(v: Any) -> list[Any]:
    return v if isinstance(v, list) else []


def _numbers(v: Any) -> dict[str, float | None]:
    return {k: number(x) for k, x in _dict(v).items()}


def _axes(v: Any) -> dict[str, Axis]:
    """Numbers, texts and truth values; anything else becomes text."""
    return {k: _axis(x) for k, x in _dict(v).items()}


def _axis(v: Any) -> Axis:
    if isinstance(v, bool) or v is None:
        return v
    if isinstance(v, str):
        return line(v)[:200]
    return number(v) if isinstance(v, int | float) else line(str(v))[:200]
