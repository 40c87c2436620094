"""Random resized crops on the device, of images that all have one size."""

import jax
import jax.numpy as jnp

from cnnjax.data import boxes
from cnnjax.data.boxes import Box


def resized_crop(
    image: jax.Array, key: jax.Array, least: float, size: tuple[int, int]
) -> jax.Array:
    """A random box of an image [H, W, C] (`boxes.crop`), as [*size, C]."""
    height, width, _ = image.shape
    uniforms = jax.random.uniform(key, (boxes.TRIES, 4), jnp.float32)
    return resize(image, boxes.crop(uniforms, height, width, least, jnp), size)


def resized(image: jax.Array, size: tuple[int, int]) -> jax.Array:
    """The whole of an image [H, W, C], as [*size, C]."""
    height, width, _ = image.shape
    if size == (height, width):
        return image
    return resize(image, Box(0, 0, height, width), size)


def resize(image: jax.Array, box: Box, size: tuple[int, int]) -> jax.Array:
    """What a box shows of an image [H, W, C], as [*size, C] of its type.

    Bilinear and antialiased, as Pillow resizes the box cut out: nothing outside it is seen. Pillow
    rounds between the two directions, so that whole numbers may differ by one.
    """
    rows = _taps(box.top, box.height, image.shape[0], size[0])
    columns = _taps(box.left, box.width, image.shape[1], size[1])
    exact = jax.lax.Precision.HIGHEST
    wide = image.astype(jnp.float32)
    out = jnp.einsum("ih,jw,hwc->ijc", rows, columns, wide, precision=exact)
    if jnp.issubdtype(image.dtype, jnp.integer):
        out = jnp.clip(jnp.round(out), 0, 255)
    return out.astype(image.dtype)


def _taps(start: jax.Array, length: jax.Array, n: int, out: int) -> jax.Array:
    """What each output takes of each of the n pixels: float32 [out, n], rows of sum 1."""
    start, length = (jnp.asarray(x, jnp.float32) for x in (start, length))
    scale = length / out
    centre = start + (jnp.arange(out, dtype=jnp.float32) + 0.5) * scale
    pixel = jnp.arange(n, dtype=jnp.float32) + 0.5
    away = jnp.abs(pixel - centre[:, None]) / jnp.maximum(scale, 1)
    inside = (pixel > start) & (pixel < start + length)
    weight = jnp.where(inside, jnp.maximum(1 - away, 0), 0)
    return weight / weight.sum(1, keepdims=True)
