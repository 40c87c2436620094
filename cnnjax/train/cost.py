"""What a training costs in multiply-accumulates, counted in its traced steps.

What is frozen has a forward pass and no backward pass; a probe has one forward pass over the
training images, and steps of the last layer alone. Evaluation is not training and does not count.
"""

from typing import Any

from cnnjax import compute
from cnnjax.compute import macs
from cnnjax.compute.trace import trace
from cnnjax.errors import UserError
from cnnjax.train import probe, resolution, tune
from cnnjax.train.recipe import MOST_EPOCHS, LinearProbe, Recipe
from cnnjax.train.step import Task

Shape = tuple[int, int, int]


def training_macs(
    net: Any, recipe: Recipe, image_shape: Shape, examples: int, steps: int | None = None
) -> int:
    """Multiply-accumulates of the first `steps` steps of a training on so many images; of all where
    it is None.

    Raises:
      UserError: a net that the recipe can't train.
    """
    whole = recipe.steps(examples)
    steps = whole if steps is None else steps
    if isinstance(recipe.fine_tune, LinearProbe):
        return _probe_macs(net, recipe, image_shape, examples, steps)
    total, before = 0, 0
    for phase in tune.phases(net, recipe, whole):
        taken = min(steps, phase.end) - before
        if taken <= 0:  # Not counted, since each phase is a trace of its own.
            break
        stepped = tune.held(net, Recipe(), phase.frozen)
        shape = resolution.at(image_shape, phase.side)
        total += taken * compute.train_step_macs(stepped, shape, recipe.batch_size, phase.frozen)
        before = phase.end
    return total


def steps_for(net: Any, recipe: Recipe, image_shape: Shape, examples: int, budget: float) -> int:
    """How many steps of a training on so many images come nearest to a budget of its
    multiply-accumulates; 0 where it does not suffice for half of one.

    Raises:
      UserError: more epochs than a recipe may have.
    """

    def cost(steps: int) -> int:
        if not steps:
            return 0
        return training_macs(net, recipe.lasting(steps, examples), image_shape, examples)

    low, high, most = 0, 1, MOST_EPOCHS * recipe.epoch_steps(examples)
    while cost(high) < budget:
        if high == most:
            raise UserError(f"train_macs: {budget:.3g} is more than {MOST_EPOCHS:,} epochs cost")
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost(middle) < budget else (low, middle)
    return min((low, high), key=lambda steps: abs(cost(steps) - budget))


def _probe_macs(net: Any, recipe: Recipe, shape: Shape, examples: int, steps: int) -> int:
    task = Task.on_any_images(net, recipe, shape, steps)
    head = probe.head_task(task)
    forward = macs.total(trace(net, shape)) - macs.total(trace(head.net, head.image_shape))
    step = compute.train_step_macs(head.net, head.image_shape, recipe.batch_size)
    return examples * forward + steps * step
