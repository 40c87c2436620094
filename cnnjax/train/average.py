"""A running average of the weights, which is then the net that is evaluated and saved.

Polyak & Juditsky 1992; with exponential weights as in Tan & Le 2019, §5. Running statistics are
averaged with the parameters, as timm's ModelEmaV3 does.
"""

from typing import Any

import jax
import jax.numpy as jnp

from cnnjax.train.recipe import Recipe

_POWER = 2 / 3  # Of timm's warm-up.


def begun(recipe: Recipe, variables: dict[str, Any]) -> dict[str, Any]:
    """The average before the first step, a copy of the variables; nothing where none is kept."""
    return jax.tree.map(jnp.copy, variables) if recipe.ema else {}


def renewed(
    recipe: Recipe, average: dict[str, Any], variables: dict[str, Any], step: jax.Array
) -> dict[str, Any]:
    """The average after one more step, of which there were `step` before."""
    if not recipe.ema:
        return average
    weight = 1 - decay(recipe, step)
    return jax.tree.map(
        lambda mean, new: mean + weight.astype(mean.dtype) * (new - mean), average, variables
    )


def decay(recipe: Recipe, step: jax.Array) -> jax.Array:
    """What the average keeps of itself at a step: `ema`, and less in the first steps where it warms
    up, so that the random start is forgotten: 1 - (1 + step)^-2/3."""
    most = jnp.float32(recipe.ema)
    if not recipe.ema_warmup:
        return most
    return jnp.minimum(most, 1 - (1 + step.astype(jnp.float32)) ** -_POWER)
