"""Effective receptive field: how much each pixel moves one unit of the last map.

Within the receptive field the influence of pixels falls off like a Gaussian around the centre: Luo,
Li, Urtasun & Zemel 2016, "Understanding the effective receptive field in deep convolutional neural
networks". It is measured from gradients, before or after training.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.compute.last_map import last_map
from cnnjax.errors import UserError

if TYPE_CHECKING:
    import flax.linen as nn

# A pixel belongs to the field from this share of the largest gradient on (Luo et al.).
THRESHOLD = 1 - 0.9545


@dataclass(frozen=True, eq=False)
class EffectiveField:
    """What the unit in the middle of the last map sees.

    Attributes:
      gradient: [H, W], the root mean square of the gradient at each pixel.
      box: first and last row, first and last column of its receptive field, unclipped.
    """

    gradient: np.ndarray
    box: tuple[tuple[int, int], tuple[int, int]]

    @property
    def size(self) -> float:
        """Pixels along a side: the root of the number of pixels above `THRESHOLD` of the most."""
        return float(np.sqrt((self.gradient > THRESHOLD * self.gradient.max()).sum()))


def effective_field(net: "nn.Module", variables: Any, images: Any, seed: int = 0) -> EffectiveField:
    """The effective receptive field of the middle unit of the last map before global pooling or
    flattening, over normalised images [N, H, W, C], real ones or random normal pixels.

    The gradient's square is averaged over images, the image's channels and the map's: the gradient
    of the channels' sum with random signs (of `seed`) has, on average, the sum of the channels'
    squares. Compiles: seconds.

    Raises:
      UserError: images that are no float array [N, H, W, C], or a net without a map.
      Unfollowed: a primitive that the receptive field can't be followed through.
    """
    images = jnp.asarray(images)
    if images.ndim != 4 or not len(images) or not jnp.issubdtype(images.dtype, jnp.floating):
        raise UserError(
            "the effective field needs normalised images as floats [N, H, W, C], not "
            f"{images.dtype} {list(images.shape)}"
        )
    run, field = last_map(
        net, variables, jax.ShapeDtypeStruct((1, *images.shape[1:]), images.dtype)
    )
    shape = jax.eval_shape(run, variables, images[:1]).shape
    dims = tuple(axis.dim for axis in field.axes)
    middle = tuple(shape[d] // 2 for d in dims)

    def unit(image: jax.Array, variables: Any, key: jax.Array) -> jax.Array:
        channels = jnp.moveaxis(run(variables, image), dims, (0, 1))[middle]
        return (channels * jax.random.rademacher(key, channels.shape, channels.dtype)).sum()

    gradient = jax.jit(jax.grad(unit))
    keys = jax.random.split(jax.random.key(seed), len(images))
    # One at a time: XLA:CPU is slow with gradients of convolutions inside its own loops.
    squares = (
        np.square(np.asarray(gradient(image[None], variables, key), np.float64)[0]).mean(axis=-1)
        for image, key in zip(images, keys, strict=True)
    )
    n_channels = np.prod([n for d, n in enumerate(shape) if d not in dims])
    rows, columns = (
        (i * axis.stride + axis.low, i * axis.stride + axis.high)
        for i, axis in zip(middle, field.axes, strict=True)
    )
    return EffectiveField(np.sqrt(sum(squares) / len(images) / n_channels), (rows, columns))
