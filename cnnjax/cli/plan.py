"""`--dry_run`: what a study would train and what it would cost."""

from cnnjax import compute
from cnnjax.study import stats
from cnnjax.study.conduct import Conductor
from cnnjax.study.plan import axes_of
from cnnjax.study.progress import duration, together


def plan_table(conductor: Conductor, predicted: dict[str, float]) -> str:
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
    notes += [f"{place.name}: no match: {place.reason}" for place in conductor.missing]
    if shared:
        notes.append(
            "Two rows with shares of one point are nets on either side of its budget: the point's "
            "accuracy is interpolated between theirs by the shares."
        )
    return "\n".join([aligned(rows), "", *notes, *_outlook(conductor, predicted)])


def _outlook(conductor: Conductor, predicted: dict[str, float]) -> list[str]:
    """What is still to be done, how long it takes, and what it could show."""
    points, places = conductor.points, conductor.executor.places
    at_once = min(len(predicted), places.runs)
    first, about = points[0], duration(together(predicted.values(), at_once) or 1)
    about += f", {at_once} at a time" if at_once > 1 else ""
    if not first.trains:
        return [f"{len(predicted)} measurements to make, at most about {about}"]
    grids = {point.rates for point in points}
    rates = ", ".join(f"{r:g}" for r in sorted(first.rates))
    rates = f"the rates {rates}" if len(grids) == 1 else "its own learning rates"
    tuned = f"each at the best on validation of {rates}, then " if first.tuning else ""
    return [
        f"{len(predicted)} runs to train, about {about}: {tuned}{first.seeds} seeds",
        _power(first.seeds, len(points)),
    ]


def _power(seeds: int, groups: int) -> str:
    if seeds < 2:
        return "One seed shows no spread, so no difference can be told from chance."
    least = stats.detectable(seeds, df=groups * (seeds - 1))
    return (
        f"With {seeds} seeds a difference is found, four times in five, from {least:.1f} times the "
        f"seeds' standard deviation on (at 1 point between seeds: {least:.1f} points)."
    )


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
