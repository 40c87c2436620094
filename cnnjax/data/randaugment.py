"""RandAugment (Cubuk et al. 2020) on the device: operations drawn by an example's key.

Under `vmap` every branch of a choice is computed. So the fourteen operations are three passes, each
of which leaves alone what is not its own: a blend with the image in grey or smoothed, a look-up of
moved pixels, a look-up of values in a table a channel. They are Pillow's operations, and the ranges
are torchvision's, for a magnitude of 0 to 30: shear to 0.3, translation to 150/331 of the side,
rotation to 30°, and factors of the enhancements to 0.9 from 1, all in a random direction;
posterizing to 4 bits, solarizing from 255 down to 0.
"""

import jax
import jax.numpy as jnp

from cnnjax.data.changes import RandAugment
from cnnjax.data.colour import blend, grey, mean_grey

OPERATIONS = (
    "identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness",
    "colour", "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize",
)  # fmt: skip
_NUMBER = {name: i for i, name in enumerate(OPERATIONS)}


def randaugment(image: jax.Array, key: jax.Array, spec: RandAugment) -> jax.Array:
    """uint8 [H, W, C] after `count` operations, each drawn from all of them."""
    kinds, signs = jax.random.bits(key, (2, spec.count), jnp.uint32)
    kinds = (kinds % jnp.uint32(len(OPERATIONS))).astype(jnp.int32)
    strengths = jnp.where(signs % 2 == 1, 1, -1).astype(jnp.float32) * (spec.magnitude / 30)

    def layer(i: jax.Array, image: jax.Array) -> jax.Array:
        return operate(image, kinds[i], strengths[i])

    done = jax.lax.fori_loop(0, spec.count, layer, image.astype(jnp.int32))
    return done.astype(image.dtype)


def operate(image: jax.Array, kind: jax.Array, strength: jax.Array) -> jax.Array:
    """int32 [H, W, C] after the operation of that number in `OPERATIONS`, at a strength in [-1, 1];
    where the direction does not matter, its sign does not."""
    # In this order XLA computes no look-up again for each neighbour of a pixel.
    image = _blended(image, kind, 1 + 0.9 * strength)
    image = _moved(image, kind, strength)
    return _table(image, kind, strength)[jnp.arange(image.shape[-1]), image]


def _is(kind: jax.Array, *names: str) -> jax.Array:
    return jnp.any(jnp.stack([kind == _NUMBER[name] for name in names]))


def _moved(image: jax.Array, kind: jax.Array, strength: jax.Array) -> jax.Array:
    """The nearest pixel of a sheared, translated or rotated image; black where there is none."""
    height, width, _ = image.shape
    shear = 0.3 * strength
    angle = jnp.where(_is(kind, "rotate"), -jnp.deg2rad(30 * strength), 0)
    by_x = jnp.trunc(strength * (150 / 331 * width))
    by_y = jnp.trunc(strength * (150 / 331 * height))
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    # Shears leave the corner where it is, rotations the centre.
    x = jnp.arange(width, dtype=jnp.float32) + 0.5 - width / 2
    y = jnp.arange(height, dtype=jnp.float32)[:, None] + 0.5 - height / 2
    column = cos * x + sin * y + width / 2 - jnp.where(_is(kind, "translate_x"), by_x, 0)
    row = cos * y - sin * x + height / 2 - jnp.where(_is(kind, "translate_y"), by_y, 0)
    column += jnp.where(_is(kind, "shear_x"), shear, 0) * (y + height / 2)
    row += jnp.where(_is(kind, "shear_y"), shear, 0) * (x + width / 2)
    row, column = (jnp.floor(at).astype(jnp.int32) for at in (row, column))
    seen = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    found = image[jnp.clip(row, 0, height - 1), jnp.clip(column, 0, width - 1)]
    return jnp.where(seen[..., None], found, 0)


def _table(image: jax.Array, kind: jax.Array, strength: jax.Array) -> jax.Array:
    """What each value of each channel becomes: int32 [C, 256]."""
    values = jnp.arange(256, dtype=jnp.int32)
    amount = jnp.abs(strength)
    bits = jnp.round(4 * amount).astype(jnp.int32)
    base = jnp.where(_is(kind, "contrast"), mean_grey(image), 0)
    dark = values.astype(jnp.float32) < 255 * (1 - amount)
    counts = _histogram(image)
    choices = {
        ("brightness", "contrast"): blend(base, values, 1 + 0.9 * strength),
        ("posterize",): (values >> bits) << bits,
        ("solarize",): jnp.where(dark, values, 255 - values),
        ("autocontrast",): _stretched(counts),
        ("equalize",): _equal(counts),
    }
    table = jnp.broadcast_to(values, counts.shape)
    for names, choice in choices.items():
        table = jnp.where(_is(kind, *names), choice, table)
    return table


def _histogram(image: jax.Array) -> jax.Array:
    """How many pixels of each channel have each value: int32 [C, 256]."""
    channels = image.shape[-1]
    # One look-up along one axis: with an axis a channel XLA:CPU takes six times as long.
    flat = image + 256 * jnp.arange(channels, dtype=jnp.int32)
    empty = jnp.zeros(256 * channels, jnp.int32)
    return empty.at[flat].add(1).reshape(channels, 256)


def _stretched(counts: jax.Array) -> jax.Array:
    """The darkest and lightest value of each channel at 0 and 255."""
    values = jnp.arange(256, dtype=jnp.int32)
    low, high = _ends(counts)
    stretched = (values - low) * 255 // jnp.maximum(high - low, 1)
    return jnp.where(high > low, jnp.clip(stretched, 0, 255), values)


def _equal(counts: jax.Array) -> jax.Array:
    """A flat histogram, as far as whole values of one channel can be moved together."""
    values = jnp.arange(256, dtype=jnp.int32)
    _, high = _ends(counts)
    last = jnp.take_along_axis(counts, high, 1)
    step = (counts.sum(1, keepdims=True, dtype=jnp.int32) - last) // 255
    below = jnp.cumsum(counts, 1, dtype=jnp.int32) - counts
    equal = (step // 2 + below) // jnp.maximum(step, 1)
    return jnp.where(step > 0, jnp.clip(equal, 0, 255), values)


def _ends(counts: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The lowest and the highest value that each channel has: int32 [C, 1] each."""
    there = counts > 0
    low = jnp.argmax(there, 1, keepdims=True)
    high = 255 - jnp.argmax(there[:, ::-1], 1, keepdims=True)
    return low.astype(jnp.int32), high.astype(jnp.int32)


def _blended(image: jax.Array, kind: jax.Array, factor: jax.Array) -> jax.Array:
    base = jnp.where(_is(kind, "colour"), grey(image), _smooth(image))
    return jnp.where(_is(kind, "colour", "sharpness"), blend(base, image, factor), image)


def _smooth(image: jax.Array) -> jax.Array:
    """Pillow's SMOOTH: each pixel five times among its neighbours, the outermost as they are."""
    rows = image[:-2] + image[1:-1] + image[2:]
    total = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] + 4 * image[1:-1, 1:-1]
    return image.at[1:-1, 1:-1].set((2 * total + 13) // 26)
