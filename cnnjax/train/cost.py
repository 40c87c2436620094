"""What a training costs in multiply-accumulates, counted in its traced steps.

What is frozen has a forward pass and no backward pass; a probe has one forward pass over the
training images, and steps of the last layer alone. Evaluation is not training and does not count.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from cnnjax import compute
from cnnjax.compute.macs import count_macs
from cnnjax.compute.training import heads
from cnnjax.train import probe, tune
from cnnjax.train.recipe import LinearProbe, Recipe
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
    whole = recipe.epochs * max(1, examples // recipe.batch_size)
    steps = whole if steps is None else steps
    if isinstance(recipe.tune, LinearProbe):
        return _probe_macs(net, recipe, image_shape, examples, steps)
    total, before = 0, 0
    for phase in tune.phases(net, recipe, whole):
        taken = max(0, min(steps, phase.end) - before)
        # Counted only where taken: each phase is a trace of its own.
        total += (
            taken * _step_macs(net, recipe.batch_size, image_shape, phase.frozen) if taken else 0
        )
        before = phase.end
    return total


def _probe_macs(net: Any, recipe: Recipe, shape: Shape, examples: int, steps: int) -> int:
    task = Task(net, recipe, shape, (0.0,) * shape[2], (1.0,) * shape[2], False, steps)
    head = probe.head_task(task)
    forward = (
        compute.measure(net, shape)["macs"] - compute.measure(head.net, head.image_shape)["macs"]
    )
    return examples * forward + steps * compute.train_step_macs(
        head.net, head.image_shape, recipe.batch_size
    )


def _step_macs(net: Any, size: int, shape: Shape, frozen: frozenset[str]) -> int:
    return (
        _counted(net, size, shape, frozen) if frozen else compute.train_step_macs(net, shape, size)
    )


@functools.lru_cache(maxsize=64)
def _counted(net: Any, size: int, shape: Shape, frozen: frozenset[str]) -> int:
    images = jax.ShapeDtypeStruct((size, *shape), jnp.float32)
    variables = dict(jax.eval_shape(net.init, jax.random.key(0), images))
    params = variables.pop("params")
    stepped = tune.held(net, Recipe(), frozen)

    def loss(params: Any, rest: Any, images: jax.Array) -> jax.Array:
        found = heads(stepped, tune.without_gradient(params, frozen), rest, images)
        # Which class is right changes no count, nor does a head's weight.
        return sum(jnp.sum(jax.nn.logsumexp(y, axis=-1) - y[..., 0]) for y, _ in found)

    return count_macs(jax.make_jaxpr(jax.grad(loss))(params, variables, images))
