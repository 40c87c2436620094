"""What a run's record says apart from what came of it."""

import datetime
from collections.abc import Mapping
from typing import Any

from cnnjax import compute
from cnnjax.study.job import Job

MOST = 20  # Attempts that a record remembers.
SILENT = "its process ended without a word"


def outline(run: Job, experiment: str, quick: bool) -> dict[str, Any]:
    """A record of a run of which nothing is known but what was asked for."""
    return {
        "key": run.key,
        "experiment": experiment,
        "status": "running",
        "role": run.role,
        "quick": quick,
        "net": run.label,
        "adapted": bool(run.net.adapted),
        "axes": dict(run.axes),
        **run.about(),
        "seed": run.seed,
        "config": run.config(),
        "metrics": {},
        "timings": {},
        "error": None,
    }


def attempts(record: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The attempts before the next one, as a run's record tells them: when each began and ended,
    and why it did."""
    if not record:
        return []
    said = {"stopped": "asked to stop", "running": SILENT}
    status = record.get("status")
    last = {
        "started": record.get("started"),
        "ended": record.get("finished"),
        "status": status,
        "reason": record.get("error") or said.get(str(status), str(status)),
    }
    before = record.get("attempts")
    return [*(before if isinstance(before, list) else []), last][-MOST:]


def layers(run: Job) -> list[dict[str, Any]]:
    from cnnjax.compute.trace import trace

    return compute.layers(trace(run.net, run.image_shape))


def measured(v: Any, unit: str) -> dict[str, Any]:
    return {"value": v, "unit": unit}


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
