"""`--dry_run`: what a study would train and what it would cost."""

from collections.abc import Sequence

from cnnjax import compute
from cnnjax.report import gather
from cnnjax.report.comparisons import planned
from cnnjax.study import stats, tuning
from cnnjax.study.conduct import Conductor
from cnnjax.study.plan import Head, Point, axes_of, describe
from cnnjax.study.progress import duration, together
from cnnjax.study.records import Study, read_head, read_plan


def plan_table(conductor: Conductor, predicted: dict[str, float], head: Head) -> str:
    """A row a point, the time it all takes, and the smallest difference it could show."""
    points = conductor.points
    names = axes_of(points)
    shared = any(point.run.weight < 1 for point in points)
    rows = [
        [
            "net",
            *names,
            *(["share"] if shared else []),
            "params",
            "MACs",
            "activations",
            "field",
            "runs",
            "time",
        ]
    ]
    notes = []
    for point in points:
        costs = compute.measure(point.run.net, point.run.image_shape)
        runs = conductor.runs_of(point)
        seconds = sum(predicted.get(run.key, 0.0) for run in runs)
        waiting = sum(run.key in predicted for run in runs)
        axes = dict(point.run.axes)
        rows.append(
            [
                point.run.label,
                *(str(axes.get(name, "")) for name in names),
                *([f"{point.run.weight:.0%}"] if shared else []),
                *(f"{costs[m]:,}" for m in ("params", "macs", "activations")),
                str(costs["receptive_field"]),
                f"{waiting} of {len(runs)}",
                duration(seconds) if waiting else "done",
            ]
        )
        notes += [f"{point.run.name}: {note}" for note in point.run.notes]
    notes += [f"{place.name}: {place.reason}" for place in conductor.missing]
    if shared:
        notes.append(
            "Two rows with shares of one point are nets on either side of its budget: the point's "
            "accuracy is interpolated between theirs by the shares."
        )
    return "\n".join([aligned(rows), "", *notes, *_outlook(conductor, predicted, head)])


def _outlook(conductor: Conductor, predicted: dict[str, float], head: Head) -> list[str]:
    """What is still to be done, how long it takes, and what it could show."""
    points, places = conductor.points, conductor.executor.places
    at_once = min(len(predicted), places.runs)
    first, about = points[0], duration(together(predicted.values(), at_once) or 1)
    about += f", {at_once} at a time" if at_once > 1 else ""
    if not first.trains:
        return [f"{len(predicted)} measurements to make, at most about {about}"]
    few, many = (pick(point.seeds for point in points) for pick in (min, max))
    seeds = f"{few}" if few == many else f"{few} to {many}"
    return [
        f"{len(predicted)} runs to train, about {about}: {_tuned(points)}{seeds} seeds",
        _power(conductor, head, few),
    ]


def _tuned(points: Sequence[Point]) -> str:
    """What each point is chosen from; nothing where there is no choice."""
    counts = sorted({len(point.trials) for point in points})
    if counts[-1] < 2:
        return ""
    grids = [tuning.tried(point.trials) for point in points]
    told = []
    for field in grids[0]:
        same = all(grid[field] == grids[0][field] for grid in grids)
        if not same or len(grids[0][field]) > 1:
            some = ", ".join(f"{v:g}" for v in grids[0][field]) if same else "of its own"
            told.append(f"the {tuning.TUNABLE[field].plural} {some}")
    first = points[0]
    at = f", at {first.tune_seeds} seeds each" if first.tune_seeds > 1 else ""
    more = f", and up to {first.extend} beyond a grid's edge" if first.extend else ""
    many = " to ".join(map(str, dict.fromkeys([counts[0], counts[-1]])))
    return f"each at the best on validation of {many} trials: {', '.join(told)}{at}{more}; then "


def _sampled(points: Sequence[Point]) -> int:
    """Nets a sample, where points are numbered, not placed along an axis."""
    return max((dict(point.run.axes).get("number", 0) for point in points), default=0)


def _power(conductor: Conductor, head: Head, seeds: int) -> str:
    """The smallest difference that the planned comparisons find, by Holm's first step, at the
    spread of results that are there; of a point between seeds where there are none."""
    points = conductor.points
    if seeds < 2 and (nets := _sampled(points)) > 1:
        return (
            f"Nets are replicates: with {nets} a space a difference is found, four times in five, "
            f"from {stats.detectable(nets):.1f} times their standard deviation on."
        )
    if seeds < 2:
        return "One seed shows no spread, so no difference can be told from chance."
    several = max(planned(gather.summarise(_asked(conductor, head))), 1)
    df = len(points) * (seeds - 1)
    least = stats.detectable(seeds, df=df, level=stats.simultaneous(0.95, several))
    sd = _spread(conductor)
    of = f"{1 if sd is None else 100 * sd:.3g} points between seeds"
    of = of.replace("1 points", "1 point") if sd is None else f"{of}, as in the results so far"
    return (
        f"With {seeds} seeds and {several} comparison{'' if several == 1 else 's'} a difference is "
        f"found, four times in five, from {least:.1f} times the seeds' standard deviation on (at "
        f"{of}: {least * (1 if sd is None else 100 * sd):.1f} points)."
    )


def _asked(conductor: Conductor, head: Head) -> Study:
    """The study as it would be before its first run."""
    described = []
    for point in conductor.points:
        # Which replicates stand in two series is known before their learning rate is.
        tried = {run.key for run in point.tuning(conductor.records)}
        keys = [run.key for run in conductor.runs_of(point) if run.key not in tried]
        described.append({**describe(point, {}), "runs": keys})
    plan = read_plan({"points": described})
    said = read_head(head.json(axes_of(conductor.points)))
    return Study(conductor.folder.path, **said, plans=[plan], records={}, curves={}, warnings=[])


def _spread(conductor: Conductor) -> float | None:
    """The standard deviation between seeds in the folder; None where there is none yet."""
    if not (conductor.folder.path / "study.json").exists():
        return None
    return gather.summarise(conductor.folder.load()).spread.sd


def aligned(rows: list[list[str]]) -> str:
    """Rows of cells as columns, the first row over a rule; numbers stand to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    text = [
        "  ".join(
            cell.ljust(w) if row is rows[0] or not cell[:1].isdigit() else cell.rjust(w)
            for cell, w in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
    return "\n".join([text[0], "─" * max(map(len, text)), *text[1:]])
