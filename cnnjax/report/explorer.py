"""What the page's explorer draws from: every finished run of the plan with all that its record
holds in figures, and the points that the runs are of."""

from collections.abc import Callable, Mapping
from typing import Any

from cnnjax.report import packed, words
from cnnjax.report.points import SPLITS, Row, Summary
from cnnjax.study.records import Axis, Record

TITLES = {
    "macs": "MACs", "train_macs": "training MACs", "tune_macs": "tuning MACs",
    "inside_macs": "MACs inside maps", "val_accuracy": "validation accuracy",
}  # fmt: skip
LEAST = ("params", "macs", "activations", "receptive_field", "train_macs")
MOST = 60  # Columns: records of others may hold any number of them.
NOTHING: Mapping[str, Any] = {"columns": [], "points": []}
_CHOICES = {"y": "vertical", "x": "horizontal", "colour": "colour", "facet": "panels"}
_LOGS = {"logx": "log x", "logy": "log y"}


def section(found: Mapping[str, Any]) -> str:
    """The explorer's form and place, and the line that says what is picked, which the page's
    script fills; nothing for less than two points."""
    if len(found["points"]) < 2 or not found["columns"]:
        return ""
    selects = "".join(
        f'<label>{told} <select name="{name}"></select></label>' for name, told in _CHOICES.items()
    )
    boxes = "".join(
        f'<label><input type="checkbox" name="{name}"> {told}</label>'
        for name, told in _LOGS.items()
    )
    return (
        '<section class="explore"><figure data-name="explorer"><h3>Anything against anything</h3>'
        "<figcaption>Every figure that the records hold. Means with 95% intervals where there are "
        "such; small dots are single seeds. Drag over points, or click them, here and in the "
        "charts above, to pick them everywhere; the address keeps what you choose.</figcaption>"
        f'<fieldset id="explorer">{selects}{boxes}<output></output></fieldset>'
        '<ul class="legend"></ul><div class="views"></div></figure></section>'
        '<div id="picked" role="status" hidden><output></output>'
        '<button type="button" id="clear">Clear</button></div>'
    )


def data(s: Summary) -> dict[str, Any]:
    """`columns` of values by run, and `points`, each with its runs' places and its intervals.

    A column is a `name`, a `title`, its `values` as `packed.column` has them, and a `kind`: `share`
    (a fraction), `number` or `text`. A point's figure in a column is the mean of its runs', but for
    accuracies, which have `scores`: (mean, low, high), by column.
    """
    runs: dict[str, int] = {}
    found: list[Record] = []
    for row in s.rows:
        for run in row.done:
            if run.key not in runs:
                runs[run.key] = len(found)
                found.append(run)
    first = {k: row.point.axes for row in reversed(s.rows) for k in row.point.runs}
    return {
        "columns": _columns(s, found, first),
        "points": [_point(row, runs) for row in s.rows if row.done],
        "x": "train_macs" if s.of_compute else "macs",
        "y": f"{s.shown}_accuracy",
        "colour": s.study.series or "",
    }


def _point(row: Row, runs: Mapping[str, int]) -> dict[str, Any]:
    known = {split: row.scores[split] for split in SPLITS if row.scores[split]}
    return {
        "id": row.id,
        "name": row.name,
        "runs": [runs[run.key] for run in row.done],
        "scores": {f"{k}_accuracy": (i.mean, *words.clipped(i)) for k, i in known.items()},
    }


def _columns(
    s: Summary, runs: list[Record], axes: Mapping[str, Mapping[str, Axis]]
) -> list[dict[str, Any]]:
    """Those that hold anything: the study's axes, costs and results, then whatever differs."""
    kinds: list[tuple[Callable[[Record], Mapping[str, Any]], bool]] = [
        (lambda r: {a: axes.get(r.key, {}).get(a) for a in s.study.axes}, True),
        (lambda r: {"net": r.net}, False),
        (lambda r: {k: r.measures[k] for k in LEAST if k in r.measures}, True),
        (lambda r: r.metrics, True),
        (lambda r: r.measures, False),
        (lambda r: r.timings, False),
        (lambda r: {"learning_rate": r.learning_rate, "seed": r.seed}, False),
        (lambda r: {"dataset": r.dataset, "revision": r.revision, **r.hardware}, False),
        (lambda r: _settings(r.config), False),
    ]
    found: dict[str, dict[str, Any]] = {}
    for of, always in kinds:
        told = [of(r) for r in runs]
        for name in dict.fromkeys(name for some in told for name in some):
            values = [_plain(some.get(name)) for some in told]
            new = name not in found and len(found) < MOST
            if new and any(v is not None for v in values) and (always or len(set(values)) > 1):
                found[name] = _column(name, values)
    return list(found.values())


def _column(name: str, values: list[Any]) -> dict[str, Any]:
    if any(isinstance(v, str) for v in values):
        kind, values = "text", [None if v is None else words.axis_value(v) for v in values]
    elif "accuracy" in name or "consistency" in name:
        kind = "share"
    else:
        kind = "number"
    return {"name": name, "title": title(name), "kind": kind, "values": packed.column(values)}


def title(name: str) -> str:
    """`val_accuracy` as a reader says it."""
    return TITLES.get(name, name.replace("_", " "))


def _settings(config: Mapping[str, Any], depth: int = 3) -> dict[str, Any]:
    """Numbers and texts of a configuration by name, the outermost first."""
    found: dict[str, Any] = {}
    for name, v in config.items():
        if isinstance(v, Mapping):
            if depth:
                found = {**_settings(v, depth - 1), **found}
        elif isinstance(v, str | int | float):
            found[name] = v
    return found


def _plain(v: Any) -> Any:
    if isinstance(v, bool):
        return "yes" if v else "no"
    return v[:80] if isinstance(v, str) else v if isinstance(v, int | float) else None
