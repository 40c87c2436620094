"""Images between bytes, files and uint8 arrays [H, W, C], through Pillow."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_TURNED = (5, 6, 7, 8)  # EXIF orientations that swap height and width.


def decode(data: bytes | Path, channels: int) -> np.ndarray:
    """An image as uint8 [H, W, channels]; files are turned upright as EXIF tells, bytes are not.

    (Cameras write such files; what decodes records elsewhere leaves them as they lie.)

    Raises:
      ValueError: it can't be decoded, whatever the reason.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as image:
            if isinstance(data, Path):
                ImageOps.exif_transpose(image, in_place=True)
            shown = image
            if image.mode.startswith("I;16"):  # Pillow would clip 16 bits to 8.
                shown = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            pixels = np.array(shown.convert(_MODES[channels]))
    # Broken files raise nearly anything; what to do about it is always the same.
    except Exception as e:
        raise ValueError(f"{type(e).__name__}: {e}") from None
    return pixels.reshape(*pixels.shape[:2], channels)


def header(path: Path) -> tuple[int, int, bool]:
    """(height, width, is it grey?) of an image file, upright, without decoding it.

    Raises:
      ValueError: it is no image.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            width, height = image.size
            if image.getexif().get(0x0112) in _TURNED:
                width, height = height, width
            return height, width, image.mode in ("1", "L", "LA", "I") or "I;16" in image.mode
    except Exception as e:
        raise ValueError(f"{type(e).__name__}: {e}") from None


def png(image: np.ndarray) -> bytes:
    """uint8 [H, W, 1 or 3] as the bytes of a PNG file."""
    buffer = io.BytesIO()
    _planes(image)[0].save(buffer, "png")
    return buffer.getvalue()


def fit(image: np.ndarray, side: int, share: float = 1.0) -> np.ndarray:
    """uint8 [H, W, C] to [side, side, C]: the central square, resized bilinearly, antialiased.

    `share` is how much of the shorter side the square has: 0.875 is as good as resizing that side
    to side / 0.875 and cutting the centre out.
    """
    height, width, _ = image.shape
    if height == width == side and share == 1.0:
        return image
    edge = min(height, width) * share
    left, top = (width - edge) / 2, (height - edge) / 2
    return resize(image, side, (left, top, left + edge, top + edge))


def resize(
    image: np.ndarray, side: int, box: tuple[float, float, float, float] | None = None
) -> np.ndarray:
    """uint8 [H, W, C], or its box (left, top, right, bottom) in view of what is around it, to
    [side, side, C]: bilinearly, antialiased."""
    from PIL import Image

    how = Image.Resampling.BILINEAR
    planes = [np.asarray(plane.resize((side, side), how, box)) for plane in _planes(image)]
    return np.dstack(planes).reshape(side, side, image.shape[-1])


def fit_all(images: np.ndarray, side: int) -> np.ndarray:
    """`fit` for uint8 [n, H, W, C]."""
    if images.shape[1:3] == (side, side):
        return images
    return np.stack([fit(image, side) for image in images])


def _planes(image: np.ndarray) -> list["Image.Image"]:
    """One picture for grey and RGB; else one a channel, since Pillow takes a fourth for opacity."""
    from PIL import Image

    if image.shape[-1] == 3:
        return [Image.fromarray(np.ascontiguousarray(image))]
    return [Image.fromarray(np.ascontiguousarray(image[..., c])) for c in range(image.shape[-1])]
