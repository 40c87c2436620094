"""From the points of an experiment to trainings: tune each on validation, then replicate it."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from cnnjax.errors import UserError
from cnnjax.study import tuning
from cnnjax.study.job import Job
from cnnjax.study.run import TUNING_SEED
from cnnjax.study.tuning import Trial
from cnnjax.train import recipe
from cnnjax.values import fields

Records = Mapping[str, Mapping[str, Any]]
WORST = (-math.inf, -math.inf)


@dataclasses.dataclass(frozen=True)
class Point:
    """One net of a study, replicated `seeds` times at the best of its `trials`, each of which runs
    at `tune_seeds` seeds; a measurement has no trials. Where the best stands at the edge of a
    field's values, up to `extend` values beyond it are tried too, one at a time.
    """

    run: Job
    trials: tuple[Trial, ...]
    seeds: int
    tune_seeds: int = 1
    extend: int = 0

    @property
    def trains(self) -> bool:
        return bool(self.trials)

    def tuning(self, records: Records) -> list[Job]:
        """The runs of every trial known by now; with one trial there is nothing to choose."""
        return [run for trial in self.tried(records) for run in self._tuning(trial)]

    def replicates(self, trial: Trial | None) -> list[Job]:
        """The runs whose test accuracy counts, at fresh seeds; measurements have no trial."""
        if trial not in self._replicas:
            self._replicas[trial] = [self.run.at(trial, seed) for seed in range(self.seeds)]
        return self._replicas[trial]

    def known(self, trial: Trial | None) -> list[Job]:
        """The replicates; none while the trial is still to be chosen."""
        return [] if trial is None and self.trains else self.replicates(trial)

    def runs(self, records: Records) -> list[Job]:
        """Tuning and replicates; while nothing is chosen, the replicates of a middle trial."""
        trial, _ = self.choose(records)
        if trial is None and self.trains:
            trial = self.trials[len(self.trials) // 2]
        return [*self.tuning(records), *self.replicates(trial)]

    def tried(self, records: Records) -> list[Trial]:
        """The trials of the grid, then those beyond its edge, each of which follows from the
        records of those before; none where there is nothing to choose."""
        trials = list(self.trials) if len(self.trials) > 1 else []
        while trials and (new := self._further(trials, records)):
            trials.append(new)
        return trials

    def choose(self, records: Records) -> tuple[Trial | None, list[str]]:
        """The trial with the best mean validation accuracy over its runs (then the lower loss), and
        what to note; none while one is still to run, and where nothing is trained.

        A trial of which a run diverged or failed is worse than any other.
        """
        trials = self.tried(records)
        if not trials:
            return (self.trials[0] if self.trains else None), []
        scores = self._scores(trials, records)
        if scores is None:
            return None, []
        best, notes = _best(scores), self._widened(trials)
        found = tuning.tried(trials)
        if scores[best] == WORST:
            name = tuning.named(list(found))
            return best, [f"no {name} of the grid ended well; the lowest is used", *notes]
        edges = tuning.edges(found, dict(best.values))
        told = [f"{tuning.named([f])} {best[f]:g} is at the grid's edge" for f in edges]
        return best, [*told, *notes]

    # Made once, since a run works out its key once.

    @functools.cached_property
    def _made(self) -> dict[Trial, list[Job]]:
        return {}

    @functools.cached_property
    def _replicas(self) -> dict[Trial | None, list[Job]]:
        return {}

    def _tuning(self, trial: Trial) -> list[Job]:
        if trial not in self._made:
            seeds = range(TUNING_SEED, TUNING_SEED + self.tune_seeds)
            self._made[trial] = [self.run.at(trial, seed, test=False) for seed in seeds]
        return self._made[trial]

    def _scores(
        self, trials: Sequence[Trial], records: Records
    ) -> dict[Trial, tuple[float, float]] | None:
        """None while a run has no record."""
        runs = {trial: self._tuning(trial) for trial in trials}
        if any(run.key not in records for some in runs.values() for run in some):
            return None
        return {t: _score([records[run.key] for run in some]) for t, some in runs.items()}

    def _further(self, trials: Sequence[Trial], records: Records) -> Trial | None:
        """The best trial so far with one of its fields moved beyond the values tried."""
        scores = self._scores(trials, records) if self.extend else None
        if scores is None:
            return None
        best = _best(scores)
        if all(
            records[run.key]["status"] not in ("done", "diverged") for run in self._tuning(best)
        ):
            return None  # Nothing that another value would mend.
        grid, found = tuning.tried(self.trials), tuning.tried(trials)
        for field in tuning.edges(found, dict(best.values)):
            v = tuning.further(found[field], best[field])
            room = len(found[field]) - len(grid[field]) < self.extend
            if room and v is not None and _admitted(field, v):
                return best.moved(field, v)
        return None

    def _widened(self, tried: Sequence[Trial]) -> list[str]:
        """What more was tried here than at other points."""
        grid, found = tuning.tried(self.trials), tuning.tried(tried)
        notes = []
        for f in (f for f in found if len(found[f]) > len(grid[f])):
            low, high = found[f][0], found[f][-1]
            ends = [f"up to {high:g}"] if high > grid[f][-1] else []
            ends += [f"down to {low:g}"] if low < grid[f][0] else []
            more = len(found[f]) - len(grid[f])
            trials = "1 trial" if more == 1 else f"{more} trials"
            notes.append(
                f"{tuning.named([f])} was tried {' and '.join(ends)}, beyond its grid: {trials} "
                "more than at points whose best stood within"
            )
        return notes


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


def _best(scores: Mapping[Trial, tuple[float, float]]) -> Trial:
    """The lowest where none ended well."""
    best = max(scores, key=lambda trial: scores[trial])
    return best if scores[best] != WORST else min(scores, key=lambda trial: trial.values)


def _score(records: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    if any(r.get("status") != "done" for r in records):
        return WORST
    metrics = [r["metrics"] for r in records]
    accuracy, loss = (
        sum(m[k] for m in metrics) / len(metrics) for k in ("val_accuracy", "val_loss")
    )
    return accuracy, -loss


def _admitted(field: str, v: float) -> bool:
    """Whether the value is in the field's range."""
    (found,) = (f for f in fields(recipe.Recipe) if f.name == field)
    try:
        recipe.check(found, v)
    except UserError:
        return False
    return True


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


def describe(point: Point, records: Records) -> dict[str, Any]:
    """The point as study.json holds it; while nothing is chosen its replicates have no keys."""
    best, notes = point.choose(records)
    chosen = dict(best.values) if best else {}
    weight = {} if point.run.weight == 1 else {"weight": point.run.weight}
    return weight | {
        "net": point.run.label,
        "axes": dict(point.run.axes),
        "notes": [*point.run.notes, *notes],
        "learning_rate": chosen.get("learning_rate"),
        "chosen": chosen,
        "tune": [r.key for r in point.tuning(records)],
        "runs": [r.key for r in point.known(best)],
        "seeds": point.seeds,
    }
