"""Arrays of bytes as pictures of a page: PNG inside the page itself."""

import base64
import html
import io
from typing import Any

import numpy as np

_GAP = 255  # This value of a sheet is seen through, so the page shows between the tiles.
_GREYS = 15  # Of a plot; with the gap as many as half a byte holds.
_COLOURS = 64  # Of a colour photograph: of so few pixels, more are hardly seen and take the room.


def sheet(pictures: np.ndarray, columns: int) -> np.ndarray:
    """uint8 [N, H, W, 1 or 3] side by side in rows of `columns`, a see-through pixel between."""
    n, high, wide, channels = pictures.shape
    columns = min(columns, n)
    rows = -(-n // columns)
    whole = np.full((rows * (high + 1) - 1, columns * (wide + 1) - 1, channels), _GAP, np.uint8)
    for i, tile in enumerate(np.minimum(pictures, _GAP - 1)):
        top, left = (i // columns) * (high + 1), (i % columns) * (wide + 1)
        whole[top : top + high, left : left + wide] = tile
    return whole


def photo(image: np.ndarray) -> bytes:
    """uint8 [H, W, 1 or 3] as a PNG file: grey as it is, colour in its best few colours."""
    from PIL import Image

    if image.shape[-1] == 1:
        return _file(Image.fromarray(np.ascontiguousarray(image[..., 0])), {})
    colour = Image.fromarray(np.ascontiguousarray(image))
    return _file(colour.quantize(_COLOURS, Image.Quantize.MEDIANCUT), {})


def tiles(whole: np.ndarray) -> bytes:
    """A sheet [H, W, 1 or 3] as a PNG file, its gaps seen through."""
    from PIL import Image

    grey = whole.shape[-1] == 1
    plane = Image.fromarray(np.ascontiguousarray(whole[..., 0] if grey else whole))
    return _file(plane, {"transparency": _GAP if grey else (_GAP,) * 3})


def plot(values: np.ndarray, gaps: bool = False) -> bytes:
    """uint8 [H, W] as a PNG file of few greys, half as large: of what is no photograph."""
    from PIL import Image

    least = np.minimum(values, _GAP - 1).astype(int)
    index = (least * (_GREYS - 1) + (_GAP - 1) // 2) // (_GAP - 1)
    index = np.where(values == _GAP, _GREYS, index) if gaps else index
    image = Image.fromarray(index.astype(np.uint8))
    image.putpalette([round(255 * min(i, _GREYS - 1) / (_GREYS - 1)) for i in range(_GREYS + 1)
                      for _ in range(3)])  # fmt: skip
    return _file(image, {"bits": 4} | ({"transparency": _GREYS} if gaps else {}))


def tag(content: bytes, size: tuple[int, ...], alt: str, scale: float = 1) -> str:
    """An `<img>` that needs no other file, `scale` pixels of the page for one of its own."""
    data = base64.b64encode(content).decode()
    high, wide = (round(scale * n) for n in size[:2])
    return (
        f'<img alt="{html.escape(alt)}" width="{wide}" height="{high}" '
        f'src="data:image/png;base64,{data}">'
    )


def _file(image: Any, more: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "png", optimize=True, **more)
    return buffer.getvalue()
