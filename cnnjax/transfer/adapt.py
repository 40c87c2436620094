"""Kernels [H, W, I, O] made to fit a net that differs from theirs where that has a meaning."""

import numpy as np


def channels(kernel: np.ndarray, wanted: int) -> np.ndarray | None:
    """A first kernel for grey images or for coloured ones, None where there is no rule.

    From 3 to 1 its channels are summed: a grey image gives what it gave as three equal ones. From
    1 to 3 each gets a third: three equal ones give what one gave.
    """
    match kernel.shape[2], wanted:
        case 3, 1:
            return kernel.sum(axis=2, keepdims=True)
        case 1, 3:
            return np.repeat(kernel / 3, 3, axis=2)
    return None


def resized(kernel: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A kernel of another size about the same tap.

    Growing pads zeros, which changes no output (Wei, Wang, Rui & Chen 2016, "Network morphism":
    kernel size); shrinking keeps the centre (Cai et al. 2020, "Once-for-all": elastic kernel size,
    there learned further), so that what grew shrinks back to itself. The tap that stays is that
    which the net's padding puts on its pixel.
    """
    for axis, wanted in enumerate(size):
        before = (wanted - 1) // 2 - (kernel.shape[axis] - 1) // 2
        behind = wanted - kernel.shape[axis] - before
        grown = [(max(0, before), max(0, behind)) if a == axis else (0, 0) for a in range(4)]
        kernel = np.pad(kernel, grown)
        cut = slice(max(0, -before), kernel.shape[axis] - max(0, -behind))
        kernel = kernel[(slice(None),) * axis + (cut,)]
    return kernel
