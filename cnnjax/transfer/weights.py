"""Weights as a file holds them: tensors by the names and in the layout of whoever wrote them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

_LINE = 200  # Characters.


@dataclasses.dataclass(frozen=True, eq=False)
class Weights:
    """What `cnnjax.transfer.read.read` gives.

    `tensors`: by the names in the file, in its order, layout and dtype; bfloat16 as float32.
    `framework`: whose layout: "torch", "keras" or "cnnjax".
    `where`: the path or the hub's name, for messages.
    `about`: what else the file or its repository tells, as plain JSON data.
    """

    tensors: Mapping[str, np.ndarray]
    framework: str
    where: str
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def widened(array: np.ndarray, dtype: str = "") -> np.ndarray:
    """A copy of its own in the machine's byte order.

    `dtype` says what numpy has no type for: "bfloat16" is given as 16 bits and comes as float32,
    "?" is given as bytes, of which any but 0 is true.
    """
    if dtype == "bfloat16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    if dtype == "?":
        return array != 0
    return np.array(array, array.dtype.newbyteorder("="), order="C")


def line(text: object) -> str:
    """One printable line of a file's name or of an error's reason, whatever the file put there."""
    shown = "".join(c if c.isprintable() else " " for c in str(text)[:_LINE])
    return shown or type(text).__name__
