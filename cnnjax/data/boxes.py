"""Random boxes in an image, drawn in one place for the host and for the device.

Both give uniform numbers and their array module: the host NumPy, and its own image's size; the
device `jax.numpy`, inside `jit`, and the size that all images have.
"""

import math
from types import ModuleType
from typing import Any, NamedTuple

TRIES = 10
CROP_ASPECTS = (3 / 4, 4 / 3)


class Box(NamedTuple):
    """Whole pixels: rows `top` to `top + height`, columns `left` to `left + width`."""

    top: Any
    left: Any
    height: Any
    width: Any


def crop(uniforms: Any, height: int, width: int, least: float, xp: ModuleType) -> Box:
    """The box of a random resized crop (Szegedy et al. 2015, §6), as torchvision draws it.

    Its area is a share of the image's, uniform in `least` to 1, its aspect log-uniform in 3/4 to
    4/3, its place uniform; if `TRIES` such boxes don't fit, the largest central one of an aspect in
    that range. `uniforms` [TRIES, 4] are in [0, 1).
    """
    found, box = rectangle(uniforms, height, width, (least, 1.0), CROP_ASPECTS, xp)
    low, high = CROP_ASPECTS
    h = min(height, round(width / low))
    w = min(width, round(height * high))
    centre = Box((height - h) // 2, (width - w) // 2, h, w)
    return Box(*(xp.where(found, one, other) for one, other in zip(box, centre, strict=True)))


def rectangle(
    uniforms: Any,
    height: int,
    width: int,
    areas: tuple[float, float],
    aspects: tuple[float, float],
    xp: ModuleType,
) -> tuple[Any, Box]:
    """The first box that fits into the image, and whether there is one among the tries.

    `areas` are shares of the image's, uniform between both; `aspects` are width over height,
    log-uniform.
    """
    size, shape, down, across = (uniforms[:, i] for i in range(4))
    area = height * width * (areas[0] + (areas[1] - areas[0]) * size)
    low, high = map(math.log, aspects)
    aspect = xp.exp(low + (high - low) * shape)
    h, w = (xp.round(xp.sqrt(x)).astype(xp.int32) for x in (area / aspect, area * aspect))
    fits = (h >= 1) & (w >= 1) & (h <= height) & (w <= width)
    first = xp.argmax(fits)
    h, w = h[first], w[first]
    top, left = _place(down[first], height - h, xp), _place(across[first], width - w, xp)
    return fits[first], Box(top, left, h, w)


def _place(uniform: Any, room: Any, xp: ModuleType) -> Any:
    """In 0..room; rounding may carry a number next to 1 beyond it."""
    at = xp.floor(uniform * (room + 1).astype(uniform.dtype)).astype(xp.int32)
    return xp.clip(at, 0, xp.maximum(room, 0))
