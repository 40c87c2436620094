"""Digits among clutter: small handwritten digits at random scale and place, fragments of others.

After the cluttered MNIST of Mnih, Heess, Graves & Kavukcuoglu, "Recurrent models of visual
attention" (2014), section 4, made from the 8x8 digits that come with scikit-learn, so that it
needs no network. All arithmetic is on integers: the canvases are the same to the bit everywhere.
"""

import dataclasses
import functools

import numpy as np

from cnnjax.data import draws
from cnnjax.data.source import Split

INK = 16  # The brightest value in scikit-learn's digits.
_PER_DIGIT, _PER_FRAGMENT = 5, 8  # Words drawn for the layout.


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How canvases are made; lengths are in pixels of a 32-pixel canvas and grow with it.

    `originals`: (name, how many originals, how many canvases), in the originals' order. They are
    ordered by writer, so contiguous blocks keep the splits' writers apart (but for the two at the
    seams), the fragments' writers included. Each split draws from a stream of its own.
    """

    originals: tuple[tuple[str, int, int], ...] = (
        ("train", 1000, 6000),
        ("val", 300, 1000),
        ("test", 497, 1500),
    )
    scale: tuple[int, int] = (12, 23)
    fragments: tuple[int, int] = (4, 8)
    fragment: tuple[int, int] = (5, 8)
    contrast: tuple[int, int] = (154, 255)  # 0.6 to 1, in 255ths.
    seed: int = 20141224


def splits(digits: np.ndarray, labels: np.ndarray, size: int, recipe: Recipe) -> dict[str, Split]:
    """Canvases of side `size`, by split, from originals uint8 [n, 8, 8] in 0..16 and labels [n]."""
    made, start = {}, 0
    for stream, (name, originals, canvases) in enumerate(recipe.originals):
        block = slice(start, start + originals)
        split = _canvases(digits[block], labels[block], canvases, size, recipe, stream)
        split.extra["original"][:] += start
        made[name] = split
        start += originals
    return made


def _canvases(
    digits: np.ndarray, labels: np.ndarray, n: int, size: int, recipe: Recipe, stream: int
) -> Split:
    """n canvases of one block of originals, each original used equally often, give or take one."""
    noise = draws.words(recipe.seed, stream, 1)
    own = np.arange(n) % len(digits)
    plan = _layout(own, len(digits), size, recipe, stream)
    images = np.empty((n, size, size, 1), np.uint8)
    clutter = np.empty(n, np.float32)
    for i in range(n):
        side, y, x = plan.side[i], *plan.corner[i]
        box = np.s_[y : y + side, x : x + side]
        digit, rest = np.zeros((2, size, size), np.int64)
        digit[box] = _dim(_scaled(digits[own[i]], side), plan.contrast[i])
        for j in range(plan.fragments[i]):
            _lay_fragment(rest, digits, plan, (i, j))
        clutter[i] = rest[box].sum() / (255 * side * side)
        canvas = np.maximum(digit, rest) + _noise(noise.random_raw(size * size), size)
        images[i, ..., 0] = np.clip(canvas, 0, 255)
    facts = {"scale": plan.side, "fragments": plan.fragments, "original": own}
    facts = {name: column.astype(np.int32) for name, column in facts.items()}
    return Split(images, labels[own].astype(np.int32), facts | {"clutter": clutter})


@dataclasses.dataclass(frozen=True)
class _Layout:
    """What lies where on each canvas: [n], of fragments [n, most]; corners and cuts [..., 2]."""

    side: np.ndarray
    corner: np.ndarray
    contrast: np.ndarray
    fragments: np.ndarray  # How many of them are used.
    other: np.ndarray  # Which original a fragment is cut from, at which scale and where.
    other_side: np.ndarray
    cut: np.ndarray
    cut_side: np.ndarray
    cut_corner: np.ndarray
    cut_contrast: np.ndarray


def _layout(own: np.ndarray, originals: int, size: int, recipe: Recipe, stream: int) -> _Layout:
    n, most = len(own), recipe.fragments[1]
    stream_words = draws.words(recipe.seed, stream, 0)
    words = stream_words.random_raw(n * (_PER_DIGIT + _PER_FRAGMENT * most)).reshape(n, -1)
    mine, theirs = words[:, :_PER_DIGIT], words[:, _PER_DIGIT:].reshape(n, most, _PER_FRAGMENT)
    side = draws.between(mine[:, 0], *_lengths(recipe.scale, size))
    step = draws.between(theirs[..., 0], 1, originals - 1)
    other_side = draws.between(theirs[..., 1], *_lengths(recipe.scale, size))
    cut_side = draws.between(theirs[..., 2], *_lengths(recipe.fragment, size))
    slack = (other_side - cut_side)[..., None]
    return _Layout(
        side=side,
        corner=draws.between(mine[:, 1:3], 0, size - side[:, None]),
        contrast=draws.between(mine[:, 4], *recipe.contrast),
        fragments=draws.between(mine[:, 3], *recipe.fragments),
        other=(own[:, None] + step) % originals,
        other_side=other_side,
        # Away from the rim, where many digits have no ink.
        cut=draws.between(theirs[..., 3:5], slack // 4, slack - slack // 4),
        cut_side=cut_side,
        cut_corner=draws.between(theirs[..., 6:8], 0, size - cut_side[..., None]),
        cut_contrast=draws.between(theirs[..., 5], *recipe.contrast),
    )


def _lay_fragment(
    canvas: np.ndarray, digits: np.ndarray, plan: _Layout, at: tuple[int, int]
) -> None:
    """Lay one fragment on the canvas, in place; where two overlap, the brighter is seen."""
    (top, left), side, (y, x) = plan.cut[at], plan.cut_side[at], plan.cut_corner[at]
    whole = _scaled(digits[plan.other[at]], plan.other_side[at])
    place = canvas[y : y + side, x : x + side]
    cut = _dim(whole[top : top + side, left : left + side], plan.cut_contrast[at])
    np.maximum(place, cut, out=place)


def _lengths(limits: tuple[int, int], size: int) -> tuple[int, int]:
    low, high = ((length * size + 16) // 32 for length in limits)
    return low, high


def _scaled(digit: np.ndarray, side: np.integer) -> np.ndarray:
    """[8, 8] in 0..16 to [side, side] in 0..255, bilinear between pixel centres."""
    weights = _bilinear(len(digit), int(side))
    peak = INK * (2 * int(side)) ** 2
    return (weights @ digit.astype(np.int64) @ weights.T * 255 + peak // 2) // peak


@functools.cache
def _bilinear(length: int, side: int) -> np.ndarray:
    """int64 [side, length]; rows sum to 2 side; positions beyond the last centres are clamped."""
    position = np.clip((2 * np.arange(side) + 1) * length - side, 0, 2 * side * (length - 1))
    floor, rest = np.divmod(position, 2 * side)
    weights = np.zeros((side, length), np.int64)
    rows = np.arange(side)
    weights[rows, floor] += 2 * side - rest
    weights[rows, np.minimum(floor + 1, length - 1)] += rest
    return weights


def _dim(image: np.ndarray, contrast: np.ndarray) -> np.ndarray:
    return (image * contrast + 127) // 255


def _noise(words: np.ndarray, size: int) -> np.ndarray:
    """Nearly normal noise of standard deviation 0.1 of 255, int64 [size, size].

    The sum of a word's eight bytes has mean 1020 and standard deviation 209.
    """
    total = sum((words >> np.uint64(8 * k)) & np.uint64(255) for k in range(8))
    return (((total.astype(np.int64) - 1020) * 125 + 512) >> 10).reshape(size, size)
