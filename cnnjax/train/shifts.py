"""Tolerance to small shifts: what a trained net answers where its test images are moved a little.

Zhang 2019, "Making convolutional networks shift-invariant again", §3: how often the predicted class
stays. Each image is moved by k pixels up, down, left and right; what that bares at an edge repeats
the edge's pixels, so that no new grey is made up, and what leaves at the other is lost.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cnnjax.data.source import Dataset, streamed
from cnnjax.data.split import Split
from cnnjax.errors import UserError

Answer = Callable[[Split], np.ndarray]  # The predicted classes [n] of a split.


def check(shifts: Sequence[int], dataset: Dataset, image_shape: tuple[int, int, int]) -> None:
    """Refuse shifts that can't be made.

    Raises:
      UserError: no whole numbers of pixels within the image, or images that are streamed.
    """
    side = min(image_shape[:2])
    if any(type(k) is not int or not 0 < k < side for k in shifts):
        raise UserError(f"shifts: {tuple(shifts)!r}: use whole numbers of pixels, 1 to {side - 1}")
    if shifts and streamed(dataset):
        raise UserError(f"shifts: {dataset.name} is streamed: only images in memory are shifted")


def moved(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """[n, H, W, C] moved by so many pixels, negative ones up and left; edges are repeated."""
    rows, columns = (np.arange(n) for n in images.shape[1:3])
    rows = np.clip(rows - down, 0, len(rows) - 1)
    columns = np.clip(columns - right, 0, len(columns) - 1)
    return images[:, rows[:, None], columns[None, :]]


def tolerance(
    answer: Answer, split: Split, found: np.ndarray, shifts: Sequence[int]
) -> dict[str, float]:
    """`shift_consistency`, the share of images whose predicted class stays what it is unmoved
    (`found` [n]), and `shift_accuracy`, each the mean over `shifts` and directions, and for each of
    the shifts by itself (`shift_consistency_2`); nothing where there are no shifts."""
    metrics: dict[str, Any] = {}
    for k in shifts:
        answers = [
            answer(dataclasses.replace(split, images=moved(split.images, *way)))
            for way in ((k, 0), (-k, 0), (0, k), (0, -k))
        ]
        metrics[f"shift_consistency_{k}"] = float(np.mean([a == found for a in answers]))
        metrics[f"shift_accuracy_{k}"] = float(np.mean([a == split.labels for a in answers]))
    for name in ("shift_consistency", "shift_accuracy") if shifts else ():
        metrics[name] = float(np.mean([metrics[f"{name}_{k}"] for k in shifts]))
    return metrics
