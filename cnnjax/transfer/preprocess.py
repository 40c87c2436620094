"""How raw images become a pre-trained net's input: resized, cropped, normalised.

With the arithmetic of Pillow, as torchvision's and timm's evaluation does it, antialiased.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnjax.errors import UserError, unknown
from cnnjax.values import value

if TYPE_CHECKING:
    from PIL import Image

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # Of RGB in [0, 1].
IMAGENET_STD = (0.229, 0.224, 0.225)
INTERPOLATIONS = ("bilinear", "bicubic")
_SIDES = (1, 4096)
_LONG = 64  # Longer images would be resized to gigabytes, and the crop sees next to nothing.
_ALPHA = {2: "grey with opacity", 4: "RGBA"}


@value
class Preprocess:
    """How raw RGB images become the net's input.

    `resize`: the shorter side in pixels; `crop`: the central square of that, in pixels.
    `mean`, `std`: of images in [0, 1], one number a channel: three of RGB, or one of grey images.
    `interpolation`: bilinear or bicubic.
    """

    resize: int = 256
    crop: int = 224
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        """Raises UserError: a field out of its range."""
        for name in ("resize", "crop"):
            n = getattr(self, name)
            if type(n) is not int or not _SIDES[0] <= n <= _SIDES[1]:
                low, high = _SIDES
                raise UserError(f"{name}={n!r}: use a whole number of pixels from {low} to {high}")
        if self.crop > self.resize:
            raise UserError(f"crop={self.crop} is more than resize={self.resize}: crop less")
        if len(self.mean) not in (1, 3) or len(self.std) != len(self.mean):
            raise UserError(f"mean={self.mean}, std={self.std}: give three numbers each, or one")
        if not all(map(math.isfinite, (*self.mean, *self.std))) or min(self.std) <= 0:
            raise UserError(f"mean={self.mean}, std={self.std}: give numbers, std above 0")
        if self.interpolation not in INTERPOLATIONS:
            raise unknown("interpolation", str(self.interpolation), INTERPOLATIONS)

    @property
    def channels(self) -> int:
        return len(self.mean)


def from_timm(config: Mapping[str, Any]) -> Preprocess:
    """As timm's `pretrained_cfg` tells, in a repository's config.json or a model's own.

    Raises:
      UserError: a value that `Preprocess` has no like of.
    """
    try:
        _, height, width = config.get("input_size", (3, 224, 224))
        if height != width:
            raise UserError(f"input_size={height}×{width}: only square images are cropped")
        return Preprocess(
            resize=math.floor(height / config.get("crop_pct", 0.875)),
            crop=height,
            mean=tuple(config.get("mean", IMAGENET_MEAN)),
            std=tuple(config.get("std", IMAGENET_STD)),
            interpolation=config.get("interpolation", "bilinear"),
        )
    except (TypeError, ValueError, ZeroDivisionError, OverflowError) as e:
        if isinstance(e, UserError):
            raise
        raise UserError(f"the preprocessing in the weights' config can't be read: {e}") from None


def prepare(images: Any, preprocess: Preprocess) -> np.ndarray:
    """Images of any sizes → uint8 [N, crop, crop, C], C as many as the net's mean has.

    `images`: one image [H, W] or [H, W, C], a batch [N, H, W, C], or a sequence of images of any
    sizes; uint8, or floats in [0, 1]; grey, RGB, or images of Pillow's in these modes.

    Raises:
      UserError: no images, or one of another form (named by its place).
    """
    listed = _listed(images)
    if not listed:
        raise UserError("no images given")
    return np.stack([_fit(_picture(x, i, preprocess), i, preprocess) for i, x in enumerate(listed)])


def normalised(images: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """uint8 [N, H, W, C] → float32 `(images / 255 - mean) / std`, a net's input.

    Raises:
      UserError: images of another type or shape.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != preprocess.channels:
        raise UserError(
            f"images are {images.dtype} {list(images.shape)}: give uint8 "
            f"[N, H, W, {preprocess.channels}], as prepare does"
        )
    mean, std = np.float32(preprocess.mean), np.float32(preprocess.std)
    return (images.astype(np.float32) / np.float32(255) - mean) / std


def _listed(images: Any) -> Sequence[Any]:
    """One by one: an array of four axes is a batch, a list or tuple is one of images."""
    if isinstance(images, list | tuple):
        return images
    if _is_picture(images):
        return [images]
    array = np.asarray(images)
    return list(array) if array.ndim == 4 else [array]


def _is_picture(image: Any) -> bool:
    """One of Pillow's, as which this is no array yet: its palette would be taken for grey."""
    return hasattr(image, "getbands") and hasattr(image, "mode")


def _picture(image: Any, i: int, preprocess: Preprocess) -> "Image.Image":
    """The image as Pillow's, grey or RGB as the net takes it."""
    from PIL import Image

    if _is_picture(image):
        if image.mode not in ("L", "RGB"):
            raise UserError(
                f"image {i} is of Pillow's mode {image.mode!r}: give image.convert('RGB')"
            )
        image = np.asarray(image)
    pixels = _as_uint8(np.asarray(image), i)
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    shown = Image.fromarray(np.ascontiguousarray(pixels))
    wanted = "RGB" if preprocess.channels == 3 else "L"
    return shown if shown.mode == wanted else shown.convert(wanted)


def _as_uint8(pixels: np.ndarray, i: int) -> np.ndarray:
    shape = list(pixels.shape)
    if pixels.ndim == 3 and shape[-1] in _ALPHA:
        raise UserError(
            f"image {i} has {shape[-1]} channels ({_ALPHA[shape[-1]]}): lay it on a background, "
            "then give RGB"
        )
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and shape[-1] not in (1, 3)) or 0 in shape:
        raise UserError(f"image {i} is {shape}: give [height, width] or [height, width, 3]")
    if pixels.dtype == np.uint8:
        return pixels
    # False for NaN as well.
    floats = np.issubdtype(pixels.dtype, np.floating)
    if not floats or not (pixels.min() >= 0 and pixels.max() <= 1):
        span = f" from {pixels.min()} to {pixels.max()}" if floats else ""
        raise UserError(f"image {i} is {pixels.dtype}{span}: give uint8, or floats from 0 to 1")
    return np.rint(pixels * 255).astype(np.uint8)


def _fit(image: "Image.Image", i: int, preprocess: Preprocess) -> np.ndarray:
    """Resized in proportion, then the centre of it: uint8 [crop, crop, C]."""
    from PIL import Image

    width, height = image.size
    short, long = sorted((width, height))
    if long > _LONG * short:
        raise UserError(f"image {i} is {height}×{width}: crop it, its sides are too unlike")
    longer = int(preprocess.resize * long / short)
    size = (preprocess.resize, longer) if width <= height else (longer, preprocess.resize)
    if size != image.size:
        image = image.resize(size, Image.Resampling[preprocess.interpolation.upper()])
    side = preprocess.crop
    left, top = (round((n - side) / 2) for n in image.size)  # Halves to the even, as torchvision.
    pixels = np.asarray(image.crop((left, top, left + side, top + side)))
    return pixels.reshape(side, side, preprocess.channels)
