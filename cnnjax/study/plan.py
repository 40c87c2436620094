"""From the points of an experiment to trainings: tune each on validation, then replicate it."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from cnnjax.study.job import Job
from cnnjax.study.run import TUNING_SEED


@dataclasses.dataclass(frozen=True)
class Point:
    """One net of a study, tried at `rates` and replicated `seeds` times at the best; a measurement
    has no rates."""

    run: Job
    rates: tuple[float, ...]
    seeds: int

    @property
    def trains(self) -> bool:
        return bool(self.rates)

    @property
    def tuning(self) -> list[Job]:
        """A run for each learning rate; with one rate there is nothing to choose."""
        if len(self.rates) < 2:
            return []
        return [self.run.at(rate, TUNING_SEED, test=False) for rate in self.rates]

    def replicates(self, rate: float | None) -> list[Job]:
        """The runs whose test accuracy counts, at fresh seeds; measurements have no rate."""
        return [self.run.at(rate, seed) for seed in range(self.seeds)]

    def known(self, rate: float | None) -> list[Job]:
        """The replicates; none while the rate is still to be chosen."""
        return [] if rate is None and self.trains else self.replicates(rate)

    def runs(self, rate: float | None) -> list[Job]:
        """Tuning and replicates; while no rate is chosen, the replicates of the middle one."""
        if rate is None and self.trains:
            rate = sorted(self.rates)[len(self.rates) // 2]
        return [*self.tuning, *self.replicates(rate)]

    def choose(self, records: Mapping[str, Mapping[str, Any]]) -> tuple[float | None, list[str]]:
        """The rate with the best validation accuracy (then the lower loss), and what to note; no
        rate where nothing is trained.

        A run that diverged or failed is worse than any other.
        """
        tuning = self.tuning
        if not tuning:
            return (self.rates[0] if self.trains else None), []
        scores = {r.recipe.learning_rate: _score(records.get(r.key)) for r in tuning}
        best = max(scores, key=lambda rate: scores[rate])
        if scores[best][0] == -math.inf:
            return min(scores), ["no learning rate of the grid ended well; the lowest is used"]
        edge = best in (min(scores), max(scores))
        return best, [f"learning rate {best:g} is at the grid's edge"] if edge else []


@dataclasses.dataclass(frozen=True)
class Missing:
    """A place of a study at which no net is, and why."""

    label: str
    axes: tuple[tuple[str, Any], ...]
    reason: str

    @property
    def name(self) -> str:
        return " · ".join([self.label, *(f"{k.replace('_', ' ')} {v}" for k, v in self.axes)])

    def json(self) -> dict[str, Any]:
        return {"net": self.label, "axes": dict(self.axes), "runs": [], "failed_match": self.reason}


def _score(record: Mapping[str, Any] | None) -> tuple[float, float]:
    if not record or record.get("status") != "done":
        return -math.inf, -math.inf
    metrics = record["metrics"]
    return metrics["val_accuracy"], -metrics["val_loss"]


def axes_of(points: Sequence[Point]) -> list[str]:
    """The names of the study's axes, in the order in which they first stand."""
    return list(dict.fromkeys(name for point in points for name, _ in point.run.axes))


@dataclasses.dataclass(frozen=True)
class Head:
    """What study.json says of an experiment."""

    experiment: str
    question: str
    x: tuple[str, str] | None = None
    series: str | None = None

    def json(self, axes: Sequence[str]) -> dict[str, Any]:
        x = {"axis": self.x[0], "label": self.x[1]} if self.x else None
        return {
            "experiment": self.experiment,
            "question": self.question,
            "x": x,
            "series": self.series,
            "axes": list(axes),
        }


def describe(point: Point, rate: float | None, notes: Sequence[str]) -> dict[str, Any]:
    """The point as study.json holds it; without a rate its replicates have no keys yet."""
    weight = {} if point.run.weight == 1 else {"weight": point.run.weight}
    return weight | {
        "net": point.run.label,
        "axes": dict(point.run.axes),
        "notes": [*point.run.notes, *notes],
        "learning_rate": rate,
        "tune": [r.key for r in point.tuning],
        "runs": [r.key for r in point.known(rate)],
        "seeds": point.seeds,
    }
