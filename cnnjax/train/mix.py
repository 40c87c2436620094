"""Mixup and CutMix: each image with another of its batch, and the loss by both labels.

The other is the image at the mirrored place of the whole batch, which is in random order. So pairs,
shares and boxes depend on an example's place alone, whatever devices the batch is laid over, and a
device trades its whole share with one other.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.nets.context import wide
from cnnjax.train.recipe import Recipe

_PLACE = 0x6D6978  # Of these draws among an example's.


class Targets(NamedTuple):
    """Labels [B]; where images are mixed, those of the `others` [B], and the `share` [B] in [0, 1]
    that the first have."""

    labels: jax.Array
    others: jax.Array | None = None
    share: jax.Array | None = None

    @property
    def likeliest(self) -> jax.Array:
        """The label with the larger share: [B]."""
        if self.share is None:
            return self.labels
        return jnp.where(self.share >= 0.5, self.labels, self.others)


def mixed(
    images: jax.Array,
    labels: jax.Array,
    keys: jax.Array,
    recipe: Recipe,
    axis_name: str | None = None,
) -> tuple[jax.Array, Targets]:
    """Float images [B, H, W, C] mixed with others of the batch, by their keys [B].

    `mixup` (Zhang et al. 2018, §2) and `cutmix` (Yun et al. 2019, §3.1) of the recipe are the α of
    a Beta(α, α) that the share is drawn from, 0 for neither; with both, every other example is
    mixed and the rest cut. Each example has a share of its own, where the papers draw one a batch.
    """
    if not recipe.mixup and not recipe.cutmix:
        return images, Targets(labels)
    other, others = mirrored((images, labels), axis_name)
    one = jax.vmap(lambda key: _weights(key, images.shape[1:3], recipe.mixup, recipe.cutmix))
    weight, share = one(keys)
    kind = wide(images.dtype)
    weight = weight[..., None].astype(kind)
    blend = weight * images.astype(kind) + (1 - weight) * other.astype(kind)
    return blend.astype(images.dtype), Targets(labels, others, share)


def mirrored(batch: tuple[jax.Array, ...], axis_name: str | None = None) -> tuple[jax.Array, ...]:
    """Arrays [B, ...] in the reverse order of the whole batch, of which each device along the axis
    has its share, in order."""
    if axis_name:
        count = lax.axis_size(axis_name)
        pairs = [(i, count - 1 - i) for i in range(count)]
        batch = lax.ppermute(batch, axis_name, pairs)
    return jax.tree.map(lambda x: x[::-1], batch)


def _weights(
    key: jax.Array, shape: tuple[int, int], mixup: float, cutmix: float
) -> tuple[jax.Array, jax.Array]:
    """What each pixel keeps of an image: [H, W], and its mean."""
    which, drawn, place = jax.random.split(jax.random.fold_in(key, _PLACE), 3)
    cut = jax.random.bernoulli(which) if mixup and cutmix else jnp.bool_(cutmix)
    alpha = jnp.where(cut, jnp.float32(cutmix), jnp.float32(mixup))
    share = jax.random.beta(drawn, alpha, alpha, dtype=jnp.float32)
    kept = jnp.where(cut, (~_box(place, shape, 1 - share)).astype(jnp.float32), share)
    # The box's area where it was cut off at the image's edge.
    return kept, jnp.where(cut, kept.mean(), share)


def _box(key: jax.Array, shape: tuple[int, int], area: jax.Array) -> jax.Array:
    """Is a pixel in the box, with the image's aspect and a centre anywhere in it: [H, W]."""
    inside = []
    for n, at in zip(shape, jax.random.uniform(key, (2,), jnp.float32), strict=True):
        length = jnp.floor(n * jnp.sqrt(area)).astype(jnp.int32)
        start = jnp.floor(at * n).astype(jnp.int32) - length // 2
        index = jnp.arange(n, dtype=jnp.int32)
        inside.append((index >= start) & (index < start + length))
    return inside[0][:, None] & inside[1]
