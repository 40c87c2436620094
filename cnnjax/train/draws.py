"""What is drawn at random in a training, from its key: the order of its examples, and for each of
them at each step a key and the words that move it. No net has a part in it, so that one program
serves them all."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from cnnjax.data import augment
from cnnjax.data.order import order
from cnnjax.train.initial import QUICK


class Draws(NamedTuple):
    """Of an epoch: the numbers of the examples of each step and their keys, both [steps, B], and
    what `data.augment` draws by these: [steps, B, WORDS]."""

    rows: jax.Array
    keys: jax.Array
    words: jax.Array

    def at(self, step: jax.Array, places: jax.Array) -> "Draws":
        """Of some places of a step's batch: numbers and keys as `places`, words [..., WORDS]."""
        step = step % self.rows.shape[0]
        return Draws(*(drawn[step, places] for drawn in self))


@functools.cache
def drawing(examples: int, size: int) -> Callable[[jax.Array, jax.Array], Draws]:
    """`draws` compiled for any key and epoch."""
    quick = QUICK if jax.default_backend() == "cpu" else None
    return jax.jit(functools.partial(draws, examples=examples, size=size), compiler_options=quick)


def draws(key: jax.Array, epoch: jax.Array | int, examples: int, size: int) -> Draws:
    """Of so many examples, `size` a step; what is left of a permutation is not seen."""
    steps = examples // size
    rows = order(key, epoch, examples)[: steps * size].reshape(steps, size)
    each = jax.vmap(lambda step: step_keys(key, step, jnp.arange(size, dtype=jnp.int32)))
    keys = each(epoch * steps + jnp.arange(steps, dtype=jnp.int32))
    return Draws(rows, keys, augment.words(keys))


def step_keys(key: jax.Array, step: jax.Array, places: jax.Array) -> jax.Array:
    """A key for each example of a step, from the training's and the example's place in the whole
    batch, so that the number of devices changes nothing."""
    step_key = jax.random.fold_in(jax.random.fold_in(key, 2), step)
    return jax.vmap(lambda place: jax.random.fold_in(step_key, place))(places)
