"""Run: one training as a value. Its key names its place in the results."""

import dataclasses
import functools
from typing import Any, ClassVar

from cnnjax.data.source import Dataset, check
from cnnjax.nets.net import Net
from cnnjax.study.job import Job
from cnnjax.study.pretraining import Pretraining
from cnnjax.study.tuning import Search, Trial
from cnnjax.train.recipe import LinearProbe, Recipe
from cnnjax.values import value

TUNING_SEED = 1_000_000  # Replicates count from 0, so tuning never shares a seed with them.


@value
class Run(Job):
    """A net trained on a dataset by a recipe from a seed, from `pretrained` weights where there are
    some. `test=False`: a tuning run, which reads validation only.

    What places it in a study is no part of its key: `label`, `axes`, `grid`, the learning rates to
    try in place of the study's, `trial`, what is chosen in the recipe, `seeds`, how many replicates
    its point takes in place of the study's, and `weight`, which is below 1 for one of two runs that
    bracket a point's budget: its share in the mean of the two.

    `shifts`: after training, replicates also see the test images shifted by so many pixels
    (`train.shifts`).
    """

    net: Net
    dataset: Dataset = Dataset()
    recipe: Recipe = Recipe()
    seed: int = 0
    test: bool = True
    label: str = ""
    axes: tuple[tuple[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    pretrained: Pretraining | None = None
    grid: tuple[float, ...] = ()
    trial: Trial = Trial()
    weight: float = 1.0
    seeds: int | None = None
    shifts: tuple[int, ...] = ()

    placing: ClassVar[tuple[str, ...]] = (*Job.placing, "grid", "trial", "weight", "seeds")

    @functools.cached_property
    def bare(self) -> "Run":
        return dataclasses.replace(
            super().bare, pretrained=self.pretrained and self.pretrained.content
        )

    @property
    def role(self) -> str:
        return "replicate" if self.test else "tune"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return tuple(check(self.dataset).info.image_shape)

    @property
    def batch_size(self) -> int:
        return self.recipe.batch_size

    @property
    def heading(self) -> str:
        again = self.seed - TUNING_SEED
        tuning = f"tuning, seed {again}" if again > 0 else "tuning"
        told = self.trial.told or f"rate {self.recipe.learning_rate:g}"
        return f"{self.name} · {told} · {f'seed {self.seed}' if self.test else tuning}"

    def at(self, trial: Trial, seed: int, test: bool = True) -> "Run":
        """The same run with the trial's values in its recipe, from a seed."""
        recipe = dataclasses.replace(self.recipe, **dict(trial.values))
        shifts = self.shifts if test else ()  # Of test images, which tuning does not see.
        return dataclasses.replace(
            self, recipe=recipe, seed=seed, test=test, trial=trial, shifts=shifts
        )

    def trials(self, search: Search) -> tuple[Trial, ...]:
        return search.trials(learning_rate=self.grid)

    def check(self) -> None:
        from cnnjax.study import pretraining
        from cnnjax.train import probe, resolution, shifts, tune

        super().check()
        shifts.check(self.shifts, self.dataset, self.image_shape)
        tune.check(self.net, self.recipe)
        resolution.check(self.net, self.recipe, self.image_shape)
        if isinstance(self.recipe.fine_tune, LinearProbe):
            probe.last_layer(self.net, self.image_shape)
        if self.pretrained:
            pretraining.check(self.pretrained, self.net, self.image_shape)

    def check_devices(self, devices: Any) -> None:
        from cnnjax.train import devices as where

        where.check(self.recipe, check(self.dataset).train, devices)

    def seconds(self, platform: str, parallel: int) -> float:
        from cnnjax.study.estimate import run_seconds

        return run_seconds(self, platform, parallel)

    def about(self) -> dict[str, Any]:
        outline = check(self.dataset)
        data = {
            "classes": outline.info.classes,
            "train_examples": outline.train,
            "val_examples": outline.val,
            "test_examples": outline.test,
            "provenance": outline.info.provenance,
            "notes": list(outline.info.notes),
        }
        about = {"dataset": self.dataset.name, "data": data}
        if self.pretrained:
            p = self.pretrained
            told = {"source": p.source, "digest": p.digest, "reinit": list(p.reinit), "notes": []}
            about["pretraining"] = told
        return about

    def carry_out(self, worker: Any, record: dict[str, Any]) -> None:
        worker.train(self, record)

    def result(self, record: dict[str, Any]) -> str:
        metrics = record["metrics"]
        if metrics.get("test_accuracy") is not None:
            return f"test {metrics['test_accuracy']:.1%}"
        return f"validation {metrics['val_accuracy']:.1%}"


FORMER = {"tune": "fine_tune"}  # Fields of the recipe by names that older records have for them.


def difference(old: Any, new: Any, where: str = "") -> str | None:
    """The first field that both configurations have and that differs, as `field: old → new`."""
    if isinstance(old, dict) and isinstance(new, dict):
        if where == "recipe":
            old = {FORMER.get(name, name): v for name, v in old.items()}
        for name in sorted(old):
            path = f"{where}.{name}" if where else name
            found = (
                difference(old[name], new[name], path)
                if name in new
                else f"{path}: {old[name]!r} → no such field"
            )
            if found:
                return found
        return None
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return next((d for i, (a, b) in pairs if (d := difference(a, b, f"{where}[{i}]"))), None)
    return None if old == new else f"{where}: {old!r} → {new!r}"
