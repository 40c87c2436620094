"""What a results folder says, as typed values; text from files is trusted for nothing."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnjax.study.files import Unreadable
from cnnjax.study.untrusted import (
    Axis,
    axes,
    find,
    integer,
    line,
    lines,
    mapping,
    number,
    numbers,
    sequence,
    text,
)

STATUSES = ("done", "diverged", "failed", "out_of_memory", "stopped", "running")
ROLES = ("replicate", "tune", "probe")


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
    steps_done: int = 0

    @property
    def learning_rate(self) -> float | None:
        """The configuration's learning rate, wherever it stands in it."""
        return self.field("learning_rate")

    def field(self, name: str) -> float | None:
        """A number of the configuration by its field's name, wherever it stands in it."""
        if name not in self._found:
            self._found[name] = find(self.config, name, depth=4)
        return self._found[name]

    @functools.cached_property
    def _found(self) -> dict[str, float | None]:
        """What was looked for: a report asks for the same fields many times."""
        return {}


@dataclasses.dataclass(frozen=True)
class Point:
    """One net of the plan: its place on the axes, the keys of its replicates and tuning runs."""

    net: str
    axes: Mapping[str, Axis]
    runs: tuple[str, ...]
    tune: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    learning_rate: float | None = None
    chosen: Mapping[str, float] = dataclasses.field(default_factory=dict)  # By tuning, by field.
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
    axis = text(x.get("axis")) or None
    return {
        "experiment": text(data.get("experiment")),
        "question": text(data.get("question")) or text(data.get("experiment")),
        "x_axis": axis,
        "x_label": text(x.get("label")) or (axis or "").replace("_", " "),
        "series": text(data.get("series")) or None,
        "axes": tuple(text(a) for a in sequence(data.get("axes"))),
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
        time=text(data.get("time")),
        command=text(data.get("command")),
        flags=mapping(data.get("flags")),
        quick=data.get("quick") is True,
        goal=_goal(data.get("goal")),
        claims=tuple(sequence(data.get("claims"))),
        changed=lines(data.get("changed")),
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
        raise Unreadable(f"status {text(str(data.get('status')))[:80]!r} is none of ours")
    if data.get("role", "replicate") not in ROLES:
        raise Unreadable(f"role {text(str(data.get('role')))[:80]!r} is none of ours")
    measures = mapping(data.get("measures"))
    return Record(
        key=data["key"],
        status=data["status"],
        experiment=text(data.get("experiment")),
        role=data.get("role", "replicate"),
        quick=data.get("quick") is True,
        net=text(data.get("net")),
        adapted=data.get("adapted") is True,
        axes=axes(data.get("axes")),
        dataset=text(data.get("dataset")),
        seed=integer(data.get("seed")),
        measures={k: _measure(v) for k, v in measures.items()},
        units={k: text(v.get("unit")) for k, v in measures.items() if isinstance(v, dict)},
        measured=lines(data.get("measured")),
        layers=tuple(row for row in sequence(data.get("layers")) if isinstance(row, dict)),
        metrics=_metrics(data.get("metrics")),
        timings=numbers(data.get("timings")),
        versions={k: text(v) for k, v in mapping(data.get("versions")).items()},
        revision=text(data.get("revision")) or None,
        hardware=axes(data.get("hardware")),
        data=mapping(data.get("data")),
        config=mapping(data.get("config")),
        error=line(data.get("error")) or None,
        attempts=lines([mapping(a).get("reason") for a in sequence(data.get("attempts"))]),
        notes=lines(data.get("notes")),
        source=line(mapping(data.get("pretraining")).get("source")),
        started=text(data.get("started")) or None,
        finished=text(data.get("finished")) or None,
        epochs_done=integer(data.get("epochs_done")),
        steps_done=integer(data.get("steps_done")),
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


def _point(data: Any, place: int) -> Point:
    if not isinstance(data, dict) or not isinstance(data.get("runs"), list):
        raise Unreadable(f"point {place} has no runs")
    failed = data.get("failed_match")
    return Point(
        net=text(data.get("net")),
        axes=axes(data.get("axes")),
        runs=tuple(dict.fromkeys(text(k) for k in data["runs"])),
        tune=tuple(dict.fromkeys(text(k) for k in sequence(data.get("tune")))),
        notes=lines(data.get("notes")),
        learning_rate=number(data.get("learning_rate")),
        chosen={k: v for k, v in numbers(data.get("chosen")).items() if v is not None},
        seeds=integer(data.get("seeds")),
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
    shares = {k: x for k, x in numbers(v).items() if x is not None and any(w in k for w in words)}
    return numbers(v) | {k: None for k, x in shares.items() if not 0 <= x <= 1}
