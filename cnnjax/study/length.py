"""Equal lengths: how many steps a training gets for what --train_macs or --train_seconds allow."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from cnnjax.data import check
from cnnjax.errors import UserError
from cnnjax.study.figures import si
from cnnjax.study.measured import Measured
from cnnjax.study.plan import Missing
from cnnjax.study.run import Run
from cnnjax.train.cost import steps_for

FLAGS = ("epochs", "max_steps", "train_macs", "train_seconds")


@dataclasses.dataclass(frozen=True)
class Length:
    """A training's multiply-accumulates or seconds; as its recipe says where both are None."""

    macs: float | None = None
    seconds: float | None = None
    measured: Measured = dataclasses.field(default_factory=Measured)

    def of(self, run: Run) -> Run | Missing:
        """The run with as many steps as come nearest, or the place where not one does.

        Raises:
          UserError: a recipe whose steps differ in time, or more epochs than a recipe may have.
        """
        examples = check(run.dataset).train
        if self.macs is not None:
            steps = steps_for(run.net, run.recipe, run.image_shape, examples, self.macs)
            allowed = f"{si(self.macs)} training MACs"
        elif self.seconds is not None:
            step = self.measured.step(run).seconds
            steps = round(self.seconds / step)
            allowed = f"{self.seconds:g} s at {1e3 * step:.3g} ms a step"
        else:
            return _lasting(run, run.recipe.steps(examples), examples)
        if not steps:
            return Missing(run.label, run.axes, f"not one step fits into {allowed}")
        epochs = steps / run.recipe.epoch_steps(examples)
        new = _lasting(run, steps, examples)
        note = f"{steps:,} steps, {epochs:.3g} epochs, for {allowed}"
        return dataclasses.replace(new, notes=(*new.notes, note))


def _lasting(run: Run, steps: int, examples: int) -> Run:
    return dataclasses.replace(run, recipe=run.recipe.lasting(steps, examples))


def length(values: Any, measured: Measured) -> Length:
    """What the flags say.

    Raises:
      UserError: they say it twice, or a length that is none.
    """
    given = [name for name in FLAGS if values[name].present]
    if len(given) > 1:
        said = " and ".join(f"--{name}" for name in given)
        raise UserError(f"{said} each say how long to train: give one of them")
    for name in ("train_macs", "train_seconds"):
        v = values[name].value
        if v is not None and not 0 < v < float("inf"):
            raise UserError(f"--{name}={v:g} is out of range: a number above 0")
    return Length(values.train_macs, values.train_seconds, measured)


def lasting(found: Length, runs: Iterable[Any]) -> Iterator[Any]:
    """The runs, each as long as it may be.

    Raises:
      UserError: a budget for what is not trained.
    """
    for run in runs:
        if isinstance(run, Run):
            yield found.of(run)
        elif isinstance(run, Missing) or (found.macs is None and found.seconds is None):
            yield run
        else:
            flag = "train_seconds" if found.macs is None else "train_macs"
            raise UserError(
                f"--{flag} is for trainings, and this study only measures: leave it out"
            )
