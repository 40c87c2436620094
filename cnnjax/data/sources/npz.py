"""`PATH.npz`: arrays x_train, y_train, x_test, y_test and, if there, x_val, y_val.

Images are [n, H, W] or [n, H, W, C], uint8 or floats in [0, 1]; labels whole numbers from 0, [n].
Optional: `class_names`, text [classes], and `flip`, whether mirrored images keep their label.
"""

from pathlib import Path

import numpy as np

from cnnjax.data.source import Dataset, Info, Raw, Split, flippable
from cnnjax.errors import UserError

NAMES = ()
_CHANNELS = 16  # More in last place is a height or width: the channels stand elsewhere.


def claims(name: str) -> bool:
    return name.endswith(".npz")


def stamp(dataset: Dataset) -> str:
    path = _path(dataset)
    return f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}"


def read(dataset: Dataset) -> Raw:
    path = _path(dataset)
    arrays = _arrays(path)
    splits = {name: _split(path, arrays, name) for name in ("train", "val", "test")}
    shapes = {split.images.shape[1:] for split in splits.values() if split}
    if len(shapes) > 1:
        raise UserError(f"{path}: the splits' images differ in shape: {sorted(shapes)}")
    names = _class_names(path, arrays, splits)
    notes = ()
    if "flip" in arrays:
        flip = bool(arrays["flip"])
    elif "class_names" in arrays:
        flip = flippable(path.stem, names)
    else:
        flip, notes = False, ("mirroring is off: the file doesn't tell whether it keeps labels",)
    info = Info(path.stem, shapes.pop(), names, flip, f"arrays in {path}", notes)
    return Raw(info, **splits)


def _path(dataset: Dataset) -> Path:
    path = Path(dataset.name).expanduser().resolve()
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    return path


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        # Opened here, since numpy leaves the file open when what is in it is no zip.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    # Broken files raise nearly anything; what to do about it is always the same.
    except Exception as e:
        reason = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise UserError(f"can't read {path} ({reason}): write it with numpy.savez") from None
    missing = [n for n in ("x_train", "y_train", "x_test", "y_test") if n not in arrays]
    if missing:
        has = ", ".join(arrays) or "nothing"
        raise UserError(f"{path} lacks {', '.join(missing)}; it has {has}")
    return arrays


def _split(path: Path, arrays: dict[str, np.ndarray], name: str) -> Split | None:
    x, y = f"x_{name}", f"y_{name}"
    if x not in arrays and y not in arrays:
        return None
    if x not in arrays or y not in arrays:
        raise UserError(
            f"{path} has {x if x in arrays else y} without its partner: give both or none"
        )
    images = _images(f"{path}: {x}", arrays[x])
    labels = arrays[y].reshape(-1) if arrays[y].ndim == 2 else arrays[y]
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != images.shape[:1]:
        told = f"{y} is {arrays[y].dtype} {list(arrays[y].shape)}"
        raise UserError(f"{path}: {told}: give a whole number for each of the {len(images)} images")
    if labels.min() < 0:
        raise UserError(f"{path}: {y} has the label {labels.min()}: count classes from 0")
    return Split(images, labels.astype(np.int32))


def _images(where: str, images: np.ndarray) -> np.ndarray:
    """As uint8 [n, H, W, C]."""
    shaped = images[..., None] if images.ndim == 3 else images
    if shaped.ndim != 4 or 0 in shaped.shape or shaped.shape[-1] > _CHANNELS:
        raise UserError(f"{where} is {list(images.shape)}: give [n, height, width, channels]")
    if shaped.dtype == np.uint8:
        return shaped
    if not np.issubdtype(shaped.dtype, np.floating):
        raise UserError(f"{where} is {images.dtype}: give uint8, or floats from 0 to 1")
    if not (shaped.min() >= 0 and shaped.max() <= 1):  # False for NaN as well.
        raise UserError(
            f"{where} runs from {images.min()} to {images.max()}: give floats from 0 to 1"
        )
    return np.rint(shaped * 255).astype(np.uint8)


def _class_names(path: Path, arrays: dict[str, np.ndarray], splits: dict) -> tuple[str, ...]:
    """As given, else the numbers; classes are counted over all splits."""
    used = 1 + max(int(split.labels.max()) for split in splits.values() if split)
    if "class_names" not in arrays:
        return tuple(str(i) for i in range(used))
    given = tuple(str(name) for name in arrays["class_names"].reshape(-1))
    if len(given) < used:
        raise UserError(f"{path}: class_names has {len(given)} names, and labels go to {used - 1}")
    return given
