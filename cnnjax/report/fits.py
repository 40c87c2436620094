"""Error against compute: a power law a series, where there are levels enough for one."""

import dataclasses

from cnnjax.report.points import SAME_COST, Row, Summary
from cnnjax.study import stats

NAMES = {"macs": "MACs", "train_macs": "training MACs"}


@dataclasses.dataclass(frozen=True)
class Law:
    """What the errors of a series follow along `measure`, or why nothing can be said."""

    series: str
    measure: str
    fit: stats.Fit | stats.NoFit

    @property
    def found(self) -> bool:
        return isinstance(self.fit, stats.Fit)


def laws(s: Summary) -> list[Law]:
    """One a series of a study along a numeric axis; points at chance are left out. Errors are of
    the shown split: they describe, and choose nothing."""
    if s.probed or not s.numeric:
        return []
    found = []
    for series in s.series:
        rows = [row for row in s.of(series) if row.values(s.shown) and not row.at_chance]
        measure = _varying(rows, [s.costs] if s.of_compute else list(NAMES))
        if measure:
            errors = [[1 - v for v in row.values(s.shown)] for row in rows]
            fit = stats.power_law([row.measures[measure] for row in rows], errors)
            found.append(Law(series, measure, fit))
    return found


def _varying(rows: list[Row], measures: list[str]) -> str:
    """The first of the measures that varies, or nothing."""
    for measure in measures:
        costs = [row.measures[measure] for row in rows]
        if len(costs) > 1 and all(costs) and max(costs) > min(costs) * (1 + SAME_COST):
            return measure
    return ""


def told(law: Law) -> str:
    """`equal MACs: error falls as C^−0.21 [−0.25, −0.17] over 1.8 decades of MACs …`"""
    fit, b = law.fit, law.fit.exponent
    text = f"{law.series}: " if law.series else ""
    floor = ""
    if fit.floor is not None:
        ends = f"{100 * fit.floor.low:.1f}, {100 * fit.floor.high:.1f}"
        floor = f" to a floor of {100 * fit.floor.mean:.1f}% [{ends}]"
    text += f"error falls as C^{_power(b.mean)} [{_power(b.high)}, {_power(b.low)}]{floor}, C in "
    text += f"{NAMES[law.measure]}, {fit.levels} levels over {fit.decades:.1f} decades"
    if fit.lack is None:
        return text + "; one seed a level, so the fit can't be tested"
    p = f"p = {fit.lack:.2f}" if fit.lack >= 0.01 else "p below 0.01"
    text += f"; lack of fit {p}"
    return text if fit.lack >= 0.05 else text + ": the points do not follow it"


def missing(found: list[Law]) -> list[str]:
    """A line for each series that has too few levels."""
    names = [(f"{law.series}: " if law.series else "", law.fit) for law in found if not law.found]
    return [f"{name}no fit: {fit.reason}" for name, fit in names]


def _power(b: float) -> str:
    return f"{-b:+.2f}".replace("-", "−").replace("+", "")
