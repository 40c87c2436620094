"""Draws that stay the same on every platform and with every version of numpy.

numpy promises that for the words of its bit generators, not for the distributions made of them
(NEP 19), so integers and permutations are made of the words here.
"""

import numpy as np


def words(*seed: int) -> np.random.PCG64:
    """A stream of 64-bit words: `.random_raw(n)` draws the next n as uint64 [n]."""
    return np.random.PCG64(np.random.SeedSequence(seed))


def between(raw: np.ndarray, low: np.ndarray | int, high: np.ndarray | int) -> np.ndarray:
    """Words as int64 in low..high, both included; the bias is below 2^-50 for small ranges."""
    low = np.asarray(low, np.int64)
    span = (np.asarray(high, np.int64) - low + 1).astype(np.uint64)
    return low + (np.asarray(raw, np.uint64) % span).astype(np.int64)


def fraction(raw: np.ndarray) -> np.ndarray:
    """Words as float64 in [0, 1), from their upper 53 bits."""
    return (np.asarray(raw, np.uint64) >> np.uint64(11)) * 2.0**-53


def permutation(n: int, *seed: int) -> np.ndarray:
    """A permutation of 0..n-1, int64 [n]."""
    return np.argsort(words(*seed).random_raw(n), kind="stable")
