"""Random changes of training images that keep their label, and normalisation.

`distort` changes images of whole numbers as they come: what part of them is seen, colour,
RandAugment. `augment` changes normalised ones: place, mirror, and what is blanked.

Pure functions for use inside `jit`. Each example has a key of its own and no example sees another,
so that how a batch is laid over devices changes nothing.
"""

from typing import TYPE_CHECKING

from cnnjax.data import boxes
from cnnjax.data.changes import Augment
from cnnjax.errors import UserError

if TYPE_CHECKING:
    import jax
    from jax.typing import ArrayLike, DTypeLike

_ERASED, _ERASED_ASPECTS = (0.02, 0.33), (0.3, 3.3)
WORDS = 5  # That `augment` draws for an example, whatever it changes.
_PLACES = (1, 2, 3, 4)  # Of the later draws among an example's: erasing, crop, colour, operations.


def normalise(
    images: "ArrayLike", mean: "ArrayLike", std: "ArrayLike", dtype: "DTypeLike"
) -> "jax.Array":
    """uint8 [..., C] to `(images / 255 - mean) / std` in `dtype`, computed in float32 or wider.

    `mean` and `std` are [C], in [0, 1].
    """
    import jax.numpy as jnp

    wide = jnp.float64 if jnp.dtype(dtype) == jnp.float64 else jnp.float32
    mean, std = jnp.asarray(mean, wide), jnp.asarray(std, wide)
    return ((jnp.asarray(images).astype(wide) / 255 - mean) / std).astype(dtype)


def distort(
    images: "jax.Array", keys: "jax.Array", spec: Augment, size: tuple[int, int] | None = None
) -> "jax.Array":
    """uint8 [B, H, W, C] cropped, then changed in colour, then by RandAugment, by their typed keys
    [B]; resized to another height and width where a `size` is given.

    Raises:
      UserError: a change of colour for images that are neither grey nor RGB.
    """
    import jax

    size = size or images.shape[1:3]
    if not (size != images.shape[1:3] or spec.crop_scale < 1 or spec.randaugment or spec.jitter):
        return images
    if (spec.randaugment or spec.jitter) and images.shape[-1] not in (1, 3):
        raise UserError(
            f"images of {images.shape[-1]} channels are neither grey nor RGB: leave randaugment "
            "and jitter off"
        )
    return jax.vmap(lambda image, key: _distort_one(image, key, spec, size))(images, keys)


def _distort_one(
    image: "jax.Array", key: "jax.Array", spec: Augment, size: tuple[int, int]
) -> "jax.Array":
    import jax

    from cnnjax.data import colour, crop, randaugment

    crop_key, colour_key, operations_key = (jax.random.fold_in(key, place) for place in _PLACES[1:])
    if spec.crop_scale < 1:
        image = crop.resized_crop(image, crop_key, spec.crop_scale, size)
    else:
        image = crop.resized(image, size)
    if spec.jitter:
        image = colour.jitter(image, colour_key, spec.jitter)
    if spec.randaugment:
        image = randaugment.randaugment(image, operations_key, spec.randaugment)
    return image


def words(keys: "jax.Array") -> "jax.Array":
    """What `augment` draws by typed keys [...]: uint32 [..., WORDS]."""
    import jax
    import jax.numpy as jnp

    drawn = jax.vmap(lambda key: jax.random.bits(key, (WORDS,), jnp.uint32))(keys.reshape(-1))
    return drawn.reshape(*keys.shape, WORDS)


def augment(
    images: "jax.Array", keys: "jax.Array", spec: Augment, drawn: "jax.Array | None" = None
) -> "jax.Array":
    """Images [B, H, W, C], float or uint8, moved, mirrored and blanked at random by their typed
    keys [B], and by the `words` of these where they are drawn already.

    Raises:
      UserError: a reflected border as wide as the image.
    """
    import jax

    if not (spec.pad or spec.flip or spec.cutout or spec.erase):
        return images
    shortest = min(images.shape[1:3])
    if spec.border == "reflect" and spec.pad >= shortest:
        raise UserError(f"pad={spec.pad}: a reflected border is at most {shortest - 1} pixels here")
    drawn = words(keys) if drawn is None else drawn
    return jax.vmap(lambda *one: _augment_one(*one, spec))(images, keys, drawn)


def _augment_one(
    image: "jax.Array", key: "jax.Array", drawn: "jax.Array", spec: Augment
) -> "jax.Array":
    """[H, W, C]. Crop and flip are one look-up of pixels: under vmap, and in a loop on the CPU,
    that takes a fraction of what padding and slicing does."""
    import jax
    import jax.numpy as jnp

    height, width, _ = image.shape
    # Each draw has its place, so that turning one kind of change on leaves the others alone.
    top, left, mirrored, y, x = drawn
    rows, columns = jnp.arange(height, dtype=jnp.int32), jnp.arange(width, dtype=jnp.int32)
    row, column = rows, columns
    if spec.flip:
        column = jnp.where(mirrored % 2 == 1, width - 1 - column, column)
    if spec.pad:
        row = row + _below(top, 2 * spec.pad + 1) - spec.pad
        column = column + _below(left, 2 * spec.pad + 1) - spec.pad
    seen = _inside(row, height)[:, None] & _inside(column, width)
    image = image[_mirror(row, height)[:, None], _mirror(column, width)]
    if spec.pad and spec.border == "zero":
        image = jnp.where(seen[..., None], image, jnp.zeros_like(image))
    if spec.cutout:
        hit = _hit(rows, _below(y, height), spec)[:, None] & _hit(columns, _below(x, width), spec)
        image = jnp.where(hit[..., None], jnp.zeros_like(image), image)
    if spec.erase:
        image = _erased(image, jax.random.fold_in(key, _PLACES[0]), spec.erase)
    return image


def _erased(image: "jax.Array", key: "jax.Array", chance: float) -> "jax.Array":
    import jax
    import jax.numpy as jnp

    height, width, _ = image.shape
    which, drawn = jax.random.split(key)
    uniforms = jax.random.uniform(drawn, (boxes.TRIES, 4), jnp.float32)
    found, box = boxes.rectangle(uniforms, height, width, _ERASED, _ERASED_ASPECTS, jnp)
    rows, columns = jnp.arange(height, dtype=jnp.int32), jnp.arange(width, dtype=jnp.int32)
    down = (rows >= box.top) & (rows < box.top + box.height)
    across = (columns >= box.left) & (columns < box.left + box.width)
    hit = down[:, None] & across & found & jax.random.bernoulli(which, chance)
    return jnp.where(hit[..., None], jnp.zeros_like(image), image)


def _below(word: "jax.Array", n: int) -> "jax.Array":
    """A random word as a whole number in 0..n-1; the bias is below n / 2^32."""
    import jax.numpy as jnp

    return (word % jnp.uint32(n)).astype(jnp.int32)


def _inside(index: "jax.Array", n: int) -> "jax.Array":
    return (index >= 0) & (index < n)


def _mirror(index: "jax.Array", n: int) -> "jax.Array":
    """Positions up to n - 1 beyond the ends, reflected about the outermost pixels."""
    import jax.numpy as jnp

    index = jnp.abs(index)
    return jnp.clip(jnp.where(index > n - 1, 2 * (n - 1) - index, index), 0, n - 1)


def _hit(index: "jax.Array", centre: "jax.Array", spec: Augment) -> "jax.Array":
    """Is the position in the square's `cutout` pixels, of an even number one more before centre?"""
    start = centre - spec.cutout // 2
    return (index >= start) & (index < start + spec.cutout)
