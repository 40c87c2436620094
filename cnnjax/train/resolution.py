"""The size at which images are seen: growing during training, and another in evaluation.

Nets that pool their last map globally have the same parameters at any size; others are refused.
"""

from typing import Any

import jax

from cnnjax.compute.forward import abstract_variables
from cnnjax.data.crop import resized
from cnnjax.errors import UserError
from cnnjax.train.recipe import Progressive, Recipe

Shape = tuple[int, int, int]


def at(image_shape: Shape, side: int) -> Shape:
    """The shape of images of that height, in proportion; as they are for 0."""
    height, width, channels = image_shape
    return (side, round(width * side / height), channels) if side else image_shape


def stages(recipe: Recipe, steps: int) -> tuple[tuple[int, int], ...]:
    """(side, the step before which it ends) for each size that a training goes through: equal
    shares of its steps. Side 0: images as they are."""
    if not isinstance(recipe.resolution_schedule, Progressive):
        return ((0, steps),)
    sides = recipe.resolution_schedule.sides
    return tuple((side, round(steps * i / len(sides))) for i, side in enumerate(sides, 1))


def seen(images: jax.Array, side: int) -> jax.Array:
    """uint8 [B, H, W, C] at that height, resized as Pillow would; as they are for 0."""
    size = at(images.shape[1:], side)[:2]
    if size == images.shape[1:3]:
        return images
    return jax.vmap(lambda image: resized(image, size))(images)


def check(net: Any, recipe: Recipe, image_shape: Shape) -> None:
    """Refuse a net whose parameters depend on the size of images that are not of one size.

    Raises:
      UserError: naming the field and the first parameter that differs, or the layer that a size is
        too small for.
    """
    wanted = {side: "resolution_schedule" for side, _ in stages(recipe, 1)}
    wanted |= {recipe.test_resolution: "test_resolution"}
    own = None
    for side, field in wanted.items():
        if not side:
            continue
        own = own or _shapes(net, image_shape)
        try:
            new = _shapes(net, at(image_shape, side))
        except UserError as e:
            raise UserError(f"{field}: {e}") from None
        for name in sorted({*own, *new}):
            if own.get(name) != new.get(name):
                raise UserError(
                    f"{field}: {name} is {own.get(name)} on images of {image_shape[0]} pixels and "
                    f"{new.get(name)} on {side}: use a net that pools its last map globally"
                )


def _shapes(net: Any, image_shape: Shape) -> dict[str, tuple[int, ...]]:
    params = abstract_variables(net, image_shape)["params"]
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(k, simple=True, separator="/"): x.shape for k, x in leaves}
