"""Changes of colour, as Pillow's ImageEnhance makes them: formulas on whole numbers.

Images are int32 [H, W, C] in 0..255, with one channel (grey) or three (RGB).
"""

import jax
import jax.numpy as jnp

from cnnjax.data.changes import ColourJitter


def grey(image: jax.Array) -> jax.Array:
    """Luma after ITU-R 601-2 in Pillow's fixed point: [H, W, 1]."""
    if image.shape[-1] == 1:
        return image
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    return ((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16)[..., None]


def mean_grey(image: jax.Array) -> jax.Array:
    """The mean luma, rounded."""
    return jnp.floor(grey(image).astype(jnp.float32).mean() + 0.5).astype(jnp.int32)


def blend(base: jax.Array, image: jax.Array, factor: jax.Array) -> jax.Array:
    """`base` at factor 0, `image` at 1, and beyond, in 0..255 and cut off to whole numbers."""
    base = base.astype(jnp.float32)
    mixed = base + factor * (image.astype(jnp.float32) - base)
    return jnp.clip(mixed, 0, 255).astype(jnp.int32)


def turn_hue(image: jax.Array, turn: jax.Array) -> jax.Array:
    """Hue moved by a part of the whole circle; saturation and value stay (Smith 1978).

    Pillow and torchvision's path through it keep hue in a byte; here it is a float.
    """
    if image.shape[-1] == 1:
        return image
    rgb = image.astype(jnp.float32)
    value, low = rgb.max(-1), rgb.min(-1)
    chroma = value - low
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    per = 1 / jnp.where(chroma > 0, chroma, 1)
    sixth = jnp.where(
        value == red,
        (green - blue) * per,
        jnp.where(value == green, (blue - red) * per + 2, (red - green) * per + 4),
    )
    at = sixth + 6 * turn
    # Each channel is the value less what it lacks of the chroma at its place on the circle.
    places = jnp.mod(jnp.array([5.0, 3.0, 1.0], jnp.float32) + at[..., None], 6)
    lacks = jnp.clip(jnp.minimum(places, 4 - places), 0, 1)
    turned = jnp.round(value[..., None] - chroma[..., None] * lacks)
    return jnp.clip(turned, 0, 255).astype(jnp.int32)


def jitter(image: jax.Array, key: jax.Array, spec: ColourJitter) -> jax.Array:
    """uint8 [H, W, C] with brightness, contrast, saturation and hue changed, one after another in
    an order drawn at random."""
    order_key, factor_key = jax.random.split(key)
    spans = jnp.array([spec.brightness, spec.contrast, spec.saturation, spec.hue], jnp.float32)
    drawn = spans * jax.random.uniform(factor_key, (4,), jnp.float32, -1, 1)
    order = jax.random.permutation(order_key, jnp.arange(4, dtype=jnp.int32))

    def change(i: jax.Array, image: jax.Array) -> jax.Array:
        kind = order[i]
        bases = [jnp.zeros_like(image), jnp.broadcast_to(mean_grey(image), image.shape)]
        bases += [jnp.broadcast_to(grey(image), image.shape)]
        base = jnp.select([kind == 0, kind == 1], bases[:2], bases[2])
        changed = blend(base, image, jnp.maximum(1 + drawn[kind], 0))
        return jnp.where(kind == 3, turn_hue(image, drawn[3]) if spec.hue else image, changed)

    return jax.lax.fori_loop(0, 4, change, image.astype(jnp.int32)).astype(image.dtype)
