"""`noise:224`: images of noise with labels that mean nothing, to measure speed where there are no
data. `noise:SIDE:CLASSES:EXAMPLES`, of which classes are 1,000 and training images 1,024 if not
said; a side may be `HEIGHTxWIDTHxCHANNELS`.
"""

import re

import numpy as np

from cnnjax.data.source import Dataset, Info, Outline, Raw, Split
from cnnjax.errors import UserError

NAMES = ()
_NAME = re.compile(r"noise:(\d+)(?:x(\d+)x(\d+))?(?::(\d+))?(?::(\d+))?")
_CLASSES, _EXAMPLES, _HELD = 1000, 1024, 256
_LARGEST = 2**33  # Bytes of images.


def claims(name: str) -> bool:
    return name.startswith("noise:")


def stamp(dataset: Dataset) -> str:
    _parts(dataset)
    return dataset.name


def outline(dataset: Dataset) -> Outline:
    shape, classes, examples = _parts(dataset)
    names = tuple(str(i) for i in range(classes))
    note = "noise: accuracies mean nothing"
    info = Info("noise", shape, names, True, "drawn from a fixed seed", (note,))
    return Outline(info, examples, _HELD, _HELD)


def read(dataset: Dataset) -> Raw:
    found = outline(dataset)
    shape, classes, examples = _parts(dataset)
    if examples * np.prod(shape, dtype=float) > _LARGEST:
        raise UserError(f"{dataset.name} takes over 8 GiB of memory: ask for fewer images")
    draws = np.random.default_rng(0)

    def split(n: int) -> Split:
        images = draws.integers(0, 256, (n, *shape), np.uint8)
        return Split(images, draws.integers(0, classes, n).astype(np.int32))

    return Raw(found.info, split(examples), split(_HELD), split(_HELD))


def _parts(dataset: Dataset) -> tuple[tuple[int, int, int], int, int]:
    """Shape of an image, classes, training images."""
    found = _NAME.fullmatch(dataset.name)
    numbers = [int(n) if n else None for n in found.groups()] if found else [0]
    if 0 in numbers or (numbers[3] or 2) < 2 or (numbers[4] or 3) < 3:
        raise UserError(
            f"{dataset.name}: write noise:SIDE, or noise:HEIGHTxWIDTHxCHANNELS:CLASSES:EXAMPLES "
            "with 2 classes and 3 images at least"
        )
    height, width, channels, classes, examples = numbers
    shape = (height, width or height, channels or 3)
    return shape, classes or _CLASSES, examples or _EXAMPLES
