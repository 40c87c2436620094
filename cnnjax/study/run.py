"""Run: one training as a value. Its key names its place in the results."""

import dataclasses
import functools
from typing import Any

from cnnjax import values
from cnnjax.data.source import Dataset
from cnnjax.nets.net import Net
from cnnjax.train.recipe import Recipe
from cnnjax.values import value

TUNING_SEED = 1_000_000  # Replicates count from 0, so tuning never shares a seed with them.


@value
class Run:
    """A net trained on a dataset by a recipe from a seed. `test=False`: a tuning run, which reads
    validation only. `label` and `axes` place it in a study and are no part of its key.
    """

    net: Net
    dataset: Dataset = Dataset()
    recipe: Recipe = Recipe()
    seed: int = 0
    test: bool = True
    label: str = ""
    axes: tuple[tuple[str, Any], ...] = ()
    notes: tuple[str, ...] = ()

    @functools.cached_property
    def bare(self) -> "Run":
        """Without what only places it in a study."""
        return dataclasses.replace(self, label="", axes=(), notes=())

    @functools.cached_property
    def key(self) -> str:
        """Equal for equal trainings, whatever study asks for them."""
        return values.key(self.bare)

    @property
    def role(self) -> str:
        return "replicate" if self.test else "tune"

    @property
    def name(self) -> str:
        """The run in a few words, for progress lines."""
        axes = " · ".join(f"{k.replace('_', ' ')} {v}" for k, v in self.axes)
        return f"{self.label} · {axes}" if axes else self.label

    def config(self) -> dict[str, Any]:
        """The fully resolved configuration as JSON data."""
        config = values.to_json(self.bare)
        return {k: v for k, v in config.items() if k not in ("label", "axes", "notes")}

    def at(self, rate: float, seed: int, test: bool = True) -> "Run":
        """The same run at a learning rate and seed."""
        recipe = dataclasses.replace(self.recipe, learning_rate=rate)
        return dataclasses.replace(self, recipe=recipe, seed=seed, test=test)


def difference(old: Any, new: Any, where: str = "") -> str | None:
    """The first field that both configurations have and that differs, as `field: old → new`."""
    if isinstance(old, dict) and isinstance(new, dict):
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
