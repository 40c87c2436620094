"""The charts of a study, in the order in which they answer its question."""

from collections.abc import Sequence

from cnnjax.report import transfer as started
from cnnjax.report.breakdown import Breakdown
from cnnjax.report.charts import (
    accuracy,
    claims,
    differences,
    doubling,
    equal,
    goal,
    inside,
    latency,
    scaling,
    sizes,
    space,
    speed,
    training,
    transfer,
    versus,
)
from cnnjax.report.charts.parts import Chart
from cnnjax.report.findings import Report


def every(r: Report, breakdowns: Sequence[Breakdown]) -> list[Chart]:
    """Those charts for which there is something to show."""
    s = r.summary
    if r.verdicts:  # Their arms share no axis along which anything could be drawn.
        return [chart for chart in [claims.forest(r.verdicts)] if chart is not None]
    if s.sampled:  # Of so many nets none has a line of its own.
        return [c for c in (space.distributions(s, r.spaces), accuracy.pareto(s)) if c is not None]
    gained = doubling.gains(s, r.gains, r.comparisons)
    found = [
        *((gained, accuracy.along(s)) if s.of_compute else ()),
        transfer.compute(s),
        None if started.alone(s) else accuracy.pareto(s, r.laws),
        None if s.of_compute else accuracy.along(s),
        transfer.to_scratch(s),
        goal.steps(s),
        differences.differences(s, r.comparisons),
        None if gained else differences.doublings(r.comparisons),
        None if s.of_compute else gained,
        equal.against(s, r.comparisons),
        training.training_gap(s),
        *(differences.breakdown(s, b) for b in breakdowns),
        *(sizes.fields(s, b) for b in breakdowns),
        inside.flow(s),
        inside.fields(s),
        training.curves(s),
        training.rates(s),
        scaling.devices(s),
        versus.ratios(s),
        latency.latency(s, "macs"),
        latency.latency(s, "activations"),
        latency.training(s),
        speed.rates(s),
        speed.compiling(s),
    ]
    return [chart for chart in found if chart is not None]
