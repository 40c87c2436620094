"""Recipe → optax. Learning rate and weight decay are traced arguments, so they compile once."""

from collections.abc import Collection
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from cnnjax.train import tune
from cnnjax.train.recipe import (
    LAMB,
    SGD,
    AdamW,
    Constant,
    Cosine,
    OneCycle,
    Recipe,
    RMSProp,
    Step,
)
from cnnjax.train.scan import STACKED


class Hyper(NamedTuple):
    """What may differ between runs of one compiled program: float32 scalars."""

    learning_rate: jax.Array
    weight_decay: jax.Array

    @classmethod
    def of(cls, recipe: Recipe) -> "Hyper":
        return cls(jnp.float32(recipe.peak_rate), jnp.float32(recipe.weight_decay))


def rate(schedule: Constant | Cosine | Step | OneCycle, progress: jax.Array) -> jax.Array:
    """The schedule's multiplier in [0, 1] after a share `progress` of all steps."""
    if isinstance(schedule, OneCycle):
        up = 0.04 + 0.96 * progress / schedule.peak
        low, end = (0.04, 1 - schedule.tail) if schedule.tail else (0.0, 1.0)
        down = jnp.minimum(progress - schedule.peak, end - schedule.peak) / (end - schedule.peak)
        cosine = low + (1 - low) * (0.5 + 0.5 * jnp.cos(jnp.pi * down))
        tail = low * (1 - progress) / max(schedule.tail, 1e-9)
        after = jnp.where(progress < end, cosine, tail)
        return jnp.where(progress < schedule.peak, up, after)
    warmup = jnp.minimum(1.0, progress / schedule.warmup) if schedule.warmup else 1.0
    if isinstance(schedule, Cosine):
        after = jnp.maximum(progress - schedule.warmup, 0) / (1 - schedule.warmup)
        return warmup * (0.5 + 0.5 * jnp.cos(jnp.pi * after))
    if isinstance(schedule, Step):
        passed = jnp.sum(progress >= jnp.asarray(schedule.milestones, progress.dtype))
        return warmup * schedule.factor ** passed.astype(progress.dtype)
    return warmup * jnp.ones_like(progress)


def decayed(params: optax.Params) -> optax.Params:
    """True for the weights that decay: kernels, not biases or norms."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)


def by_length() -> optax.GradientTransformation:
    """Each array's update times the array's norm over the update's (You et al. 2020, with φ the
    identity); as it is where one of them is 0. Of stacked blocks each has norms of its own, so that
    scanning changes nothing."""

    def scale(path: tuple[Any, ...], update: jax.Array, param: jax.Array) -> jax.Array:
        axes = tuple(range(STACKED in [k.key for k in path], update.ndim))
        own, new = (jnp.sqrt(jnp.sum(x**2, axes, keepdims=True)) for x in (param, update))
        ratio = jnp.where(new > 0, own / jnp.where(new > 0, new, 1), 1)
        return update * jnp.where(own > 0, ratio, 1).astype(update.dtype)

    def update(updates: Any, state: Any, params: Any) -> tuple[Any, Any]:
        return jax.tree_util.tree_map_with_path(scale, updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def make_optimizer(
    recipe: Recipe, hyper: Hyper, steps: int, net: Any = None, frozen: Collection[str] = frozenset()
) -> optax.GradientTransformation:
    """Clipping, decay, moments and the scheduled rate, of what is not in the `frozen` scopes of the
    net. Its state depends on neither `hyper` nor `frozen`."""

    def learning_rate(count: jax.Array) -> jax.Array:
        def now() -> jax.Array:
            # The middle of the step, so that neither the first nor the last is lost to a rate of 0.
            progress = (count + jnp.float32(0.5)) / steps
            return hyper.learning_rate * rate(recipe.schedule, progress)

        # Behind a condition XLA computes it once, else in each kernel that moves an array.
        return lax.cond(count < steps, now, lambda: jnp.zeros_like(hyper.learning_rate))

    parts = [optax.clip_by_global_norm(recipe.clip_norm)] if recipe.clip_norm else []
    decay = optax.add_decayed_weights(hyper.weight_decay, mask=decayed)
    match recipe.optimizer:
        case SGD(momentum, nesterov):
            rule = [decay, optax.trace(momentum, nesterov)]
        case AdamW(b1, b2, epsilon):
            rule = [optax.scale_by_adam(b1, b2, epsilon), decay]
        case LAMB(b1, b2, epsilon):
            rule = [optax.scale_by_adam(b1, b2, epsilon), decay, by_length()]
        case RMSProp(mean, momentum, epsilon):
            # Ones to begin with, as TensorFlow's, so that the first steps are no leaps.
            square = optax.scale_by_rms(mean, epsilon, initial_scale=1.0)
            rule = [decay, square, optax.trace(momentum)]
    waiting = tune.parts(net, recipe)
    parts += [tune.by_parts(optax.chain(*rule), waiting, frozen)] if waiting else rule
    parts += [tune.by_depth(net, recipe.layer_decay)] if recipe.layer_decay != 1 else []
    return optax.chain(*parts, optax.scale_by_learning_rate(learning_rate))
