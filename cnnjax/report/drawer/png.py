"""Arrays of bytes as pictures of a page: PNG inside the page itself."""

import base64
import html
import io

import numpy as np

_GAP = 255  # This value of a sheet is seen through, so the page shows between the tiles.


def sheet(tiles: np.ndarray, columns: int) -> np.ndarray:
    """uint8 [N, H, W, 1 or 3] side by side in rows of `columns`, a see-through pixel between."""
    n, high, wide, channels = tiles.shape
    columns = min(columns, n)
    rows = -(-n // columns)
    whole = np.full((rows * (high + 1) - 1, columns * (wide + 1) - 1, channels), _GAP, np.uint8)
    for i, tile in enumerate(np.minimum(tiles, _GAP - 1)):
        top, left = (i // columns) * (high + 1), (i % columns) * (wide + 1)
        whole[top : top + high, left : left + wide] = tile
    return whole


def encode(image: np.ndarray, gaps: bool = False) -> bytes:
    """uint8 [H, W], [H, W, 1] or [H, W, 3] as the bytes of a PNG file."""
    from PIL import Image

    grey = image.ndim == 2 or image.shape[-1] == 1
    plane = image.reshape(image.shape[:2]) if grey else image
    more = {"transparency": _GAP if grey else (_GAP,) * 3} if gaps else {}
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(plane)).save(buffer, "png", optimize=True, **more)
    return buffer.getvalue()


def tag(image: np.ndarray, alt: str, scale: float = 1, gaps: bool = False) -> str:
    """An `<img>` that needs no other file, `scale` pixels of the page for one of its own."""
    data = base64.b64encode(encode(image, gaps)).decode()
    high, wide = (round(scale * n) for n in image.shape[:2])
    return (
        f'<img alt="{html.escape(alt)}" width="{wide}" height="{high}" '
        f'src="data:image/png;base64,{data}">'
    )
