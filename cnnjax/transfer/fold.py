"""What tensors can't show, folded into those behind it: inference stays what it was, to rounding.

Batch norm is scale · (x - mean) / √(var + epsilon) + bias.
"""

import numpy as np


def epsilon(
    scale: np.ndarray, var: np.ndarray, theirs: float, ours: float
) -> tuple[np.ndarray, np.ndarray]:
    """(scale, var) under which `ours` gives what theirs gave under `theirs`.

    The running variance takes the difference; where it would fall below zero it becomes zero and
    the scale takes the rest.
    """
    if theirs == ours:
        return scale, var
    whole = var.astype(np.float64) + theirs
    folded = np.maximum(whole - ours, 0)
    rest = np.sqrt((folded + ours) / whole)
    rest = np.where(folded > 0, 1.0, rest)
    return (scale * rest).astype(scale.dtype), folded.astype(var.dtype)


def bias(mean: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The running mean of a norm whose convolution loses its bias."""
    return mean - bias
