"""Mean and standard deviation of images, as nets are given them to normalise by."""

from collections.abc import Iterable

import numpy as np


def of(images: np.ndarray | Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """uint8 images, [n, H, W, C] or one by one [H, W, C] → per channel mean and standard deviation
    in [0, 1], float32 [C].

    Through counts of the 256 values, which is exact and needs no float copy of the images.
    """
    parts = [images] if isinstance(images, np.ndarray) else images
    counts = sum(_counts(part) for part in parts)
    levels = np.arange(256) / 255
    share = counts / counts[0].sum()
    mean = share @ levels
    std = np.sqrt(np.maximum(share @ levels**2 - mean**2, 0))
    # A channel of one value only would be divided by zero: one grey level is the least.
    return mean.astype(np.float32), np.maximum(std, 1 / 255).astype(np.float32)


def _counts(images: np.ndarray) -> np.ndarray:
    """How often each value occurs in each channel: int64 [C, 256]."""
    channels = range(images.shape[-1])
    return np.stack([np.bincount(images[..., c].reshape(-1), minlength=256) for c in channels])
