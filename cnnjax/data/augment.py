"""Random changes of training images that keep their label, and normalisation.

Pure functions for use inside `jit`. Each example has a key of its own and no example sees another,
so that how a batch is laid over devices changes nothing.
"""

from typing import TYPE_CHECKING

from cnnjax.errors import UserError
from cnnjax.values import value

if TYPE_CHECKING:  # The value below is named by light commands, which shall not wait for JAX.
    import jax
    from jax.typing import ArrayLike, DTypeLike

BORDERS = ("zero", "reflect")


@value
class Augment:
    """What may happen to an image; all off by default.

    `pad`: pixels added on each side before a window of the old size is cut at random (He et al.
    2016, section 4.2, who use 4 and zeros). `border`: what is added, `zero` or `reflect` (the
    image mirrored, the outermost pixel not repeated). `flip`: mirror left to right, every other
    time. `cutout`: side in pixels of a square set to zero, its centre anywhere in the image, so
    that it may stick out (DeVries & Taylor 2017). On normalised images zero is the mean.
    """

    pad: int = 0
    border: str = "zero"
    flip: bool = False
    cutout: int = 0

    def __post_init__(self) -> None:
        """Raises UserError: a negative length or an unknown border."""
        for field in ("pad", "cutout"):
            n = getattr(self, field)
            if isinstance(n, bool) or not isinstance(n, int) or n < 0:
                raise UserError(f"{field}={n!r}: use a whole number of pixels, 0 for none")
        if self.border not in BORDERS:
            raise UserError(f"border={self.border!r}: use one of {', '.join(BORDERS)}")


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


def augment(images: "jax.Array", keys: "jax.Array", spec: Augment) -> "jax.Array":
    """Images [B, H, W, C], float or uint8, changed at random by their typed keys [B].

    Raises:
      UserError: a reflected border as wide as the image.
    """
    import jax

    if spec == Augment(border=spec.border):
        return images
    shortest = min(images.shape[1:3])
    if spec.border == "reflect" and spec.pad >= shortest:
        raise UserError(f"pad={spec.pad}: a reflected border is at most {shortest - 1} pixels here")
    return jax.vmap(lambda image, key: _augment_one(image, key, spec))(images, keys)


def _augment_one(image: "jax.Array", key: "jax.Array", spec: Augment) -> "jax.Array":
    """[H, W, C]. Crop and flip are one look-up of pixels: under vmap, and in a loop on the CPU,
    that takes a fraction of what padding and slicing does."""
    import jax
    import jax.numpy as jnp

    height, width, _ = image.shape
    # Each draw has its place, so that turning one kind of change on leaves the others alone.
    top, left, mirrored, y, x = jax.random.bits(key, (5,), jnp.uint32)
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
    return image


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
