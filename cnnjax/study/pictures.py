"""Pictures of a trained net for `artifacts/pictures.npz`: its filters, maps and what it looks at.

Small and of few images, and one compilation (about a second for a small net on a CPU), so that they
are made for the first replicate of every point.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from cnnjax.compute.seen import map_shapes, see
from cnnjax.compute.trace import trace
from cnnjax.data.source import Source, Split, Stream
from cnnjax.train import resolution
from cnnjax.train.loop import make_task
from cnnjax.train.recipe import Recipe

AMONG, IMAGES, MAPPED = 64, 4, 2  # Validation images to choose from, shown, and shown with maps.
LAYERS, CHANNELS, FILTERS, HARDEST = 4, 8, 64, 10
SIDE, THUMB, MAP = 48, 32, 32  # Pixels of images, of thumbnails and of maps, at most.
_STEP = 17  # Maps and shares keep 16 greys, which the eye hardly tells from 256, in half the room.
_NAMES = 1000  # Classes whose names are kept.


@np.errstate(all="ignore")  # What is not finite is left out when it is read.
def pictures(
    net: Any, recipe: Recipe, source: Source, variables: Mapping[str, Any]
) -> dict[str, Any]:
    """Arrays of uint8 of the trained net on a few validation images, with what they are of.

    `images` [N, H, W, C], `saliency` and `field` [N, H, W] (shares of each one's largest value),
    `filters` [K, H, W, C] of the first convolution (grey is 0), `map0` … [N', H, W, K] of layers
    from the first to the last, those of its channels that vary most, each from its least to its
    largest value; beside them `labels`, `answers` and the labels' `chances` [N].
    """
    task = make_task(net, recipe, source)
    found = next(source.val.batches(min(AMONG, len(source.val))))
    rows = _varied(found.labels)
    images = np.asarray(resolution.seen(found.images[rows], recipe.test_resolution))
    labels = found.labels[rows]
    scopes = spread(map_shapes(net, images.shape[1:]))
    seen = see(net, variables, jax.jit(task.normalised)(images), labels, scopes)
    chances = np.exp(seen.logits - np.logaddexp.reduce(seen.logits, axis=-1, keepdims=True))
    first, filters = _filters(net, images.shape[1:], variables)
    told = {
        "filters": first,
        "maps": scopes,
        "classes": list(source.info.class_names[:_NAMES]),
    }
    return {
        "told": told,
        "images": visible(images, SIDE),
        "labels": labels,
        "answers": seen.logits.argmax(-1),
        "chances": np.take_along_axis(chances, labels[:, None], -1)[:, 0],
        "saliency": _shares(seen.saliency),
        "field": _shares(seen.field),
        "filters": filters,
    } | {f"map{i}": _maps(seen.maps[scope]) for i, scope in enumerate(scopes)}


@np.errstate(all="ignore")
def hardest(split: Split | Stream, logits: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """`hardest` uint8 [K, H, W, C], the examples whose label got the smallest probability, smallest
    first, and their places `hardest_index` [K] in the split, of which [N, classes] and [N] are."""
    top = np.logaddexp.reduce(logits.astype(np.float64), axis=-1)
    at = np.argsort(logits[np.arange(len(labels)), labels] - top, kind="stable")[:HARDEST]
    images = np.stack([split[int(i)]["image"] for i in at])
    return {"hardest": visible(images, THUMB), "hardest_index": at}


def visible(images: np.ndarray, side: int) -> np.ndarray:
    """uint8 [N, H, W, C] as grey or RGB, no side longer than `side`; as they are where they are so.

    Of other numbers of channels the first three are seen, or the first.
    """
    channels = 3 if images.shape[-1] >= 3 else 1
    return np.stack([_byte(shrunk(image[..., :channels], side)) for image in images])


def shrunk(values: np.ndarray, side: int) -> np.ndarray:
    """[H, W, ...] as means over blocks, in proportion, no side longer than `side`."""
    values, factor = np.asarray(values, np.float64), max(1.0, max(values.shape[:2]) / side)
    for axis in (0, 1):
        size = values.shape[axis]
        count = max(1, round(size / factor))
        starts = np.arange(count) * size // count
        sizes = np.diff([*starts, size]).reshape(
            [-1 if i == axis else 1 for i in range(values.ndim)]
        )
        values = np.add.reduceat(values, starts, axis) / sizes
    return values


def _varied(labels: np.ndarray) -> np.ndarray:
    """Places of a few examples, of as many classes as there are, in their old order."""
    _, first = np.unique(labels, return_index=True)
    rest = np.setdiff1d(np.arange(len(labels)), first)
    return np.array([*sorted(first), *rest][:IMAGES])


def spread(shapes: Mapping[str, tuple[int, int, int]]) -> list[str]:
    """A few of the blocks from the first to the last that has a map of more than one unit."""
    large = [scope for scope, (height, width, _) in shapes.items() if height * width > 1]
    blocks = [s for s in large if s.rpartition("/")[2].startswith("block")] or large
    at = np.linspace(0, len(blocks) - 1, min(LAYERS, len(blocks))).round().astype(int)
    return [blocks[i] for i in at]


def _filters(
    net: Any, image_shape: tuple[int, ...], variables: Mapping[str, Any]
) -> tuple[str, np.ndarray]:
    """The first convolution's name, and its filters [K, H, W, C] about grey."""
    first = next((x for x in trace(net, image_shape).layers if x.kind == "conv"), None)
    tree = variables["params"]
    for name in first.path.split("/") if first else ():
        tree = tree.get(name, {})
    kernels = [np.asarray(v, np.float32) for v in tree.values() if np.ndim(v) == 4]
    if first is None or not kernels:
        return "", np.zeros((0, 1, 1, 1), np.uint8)
    weights = kernels[0].transpose(3, 0, 1, 2)[:FILTERS]
    weights = weights[..., : 3 if weights.shape[-1] >= 3 else 1]
    top = np.abs(weights).max() or 1.0
    return first.path, np.stack([_byte(shrunk(127.5 + 127.5 * w / top, MAP)) for w in weights])


def _maps(values: np.ndarray) -> np.ndarray:
    """[N, H, W, C] → uint8 [N', H', W', K], the K channels that vary most, in their old order."""
    values = values[:MAPPED]
    kept = np.sort(np.argsort(-values.std(axis=(0, 1, 2)), kind="stable")[:CHANNELS])
    values = values[..., kept]
    low, high = values.min(axis=(0, 1, 2)), values.max(axis=(0, 1, 2))
    shares = (values - low) / np.where(high > low, high - low, 1)
    return np.stack([_few(shrunk(share, MAP)) for share in shares])


def _shares(values: np.ndarray) -> np.ndarray:
    """[N, H, W] of nothing below 0 → uint8 [N, H', W'], each as shares of its largest."""
    small = np.stack([shrunk(v, SIDE) for v in values])
    top = small.max(axis=(1, 2), keepdims=True)
    return _few(small / np.where(top > 0, top, 1))


def _few(shares: np.ndarray) -> np.ndarray:
    return _byte(255 // _STEP * shares) * np.uint8(_STEP)


def _byte(values: np.ndarray) -> np.ndarray:
    return np.clip(np.nan_to_num(values), 0, 255).round().astype(np.uint8)
