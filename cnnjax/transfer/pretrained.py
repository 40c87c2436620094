"""A net with weights from elsewhere: `load_pretrained(net, path_or_name)`."""

import dataclasses
import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cnnjax import nets
from cnnjax.errors import UserError
from cnnjax.nets.net import Net
from cnnjax.transfer import source_images
from cnnjax.transfer.choose import config
from cnnjax.transfer.merge import merge
from cnnjax.transfer.preprocess import Preprocess, normalised, prepare
from cnnjax.transfer.read import read
from cnnjax.transfer.weights import Weights


@dataclasses.dataclass(frozen=True, eq=False)
class Pretrained:
    """A net, its weights, and how raw images become its input."""

    net: Net
    variables: Any  # {"params": ..., "batch_stats": ...}, as `net.init` returns; float32.
    preprocess: Preprocess
    source: str  # "torchvision's ResNet from resnet50.pth".
    notes: tuple[str, ...] = ()  # What was adapted or starts anew, a line each.
    class_names: tuple[str, ...] = ()  # Where the weights tell.

    def predict(self, images: Any, batch_size: int = 32) -> np.ndarray:
        """RGB images of any sizes, uint8 [H, W, 3] or [H, W], one or several → [N, classes].

        They are resized, cropped and normalised as the weights want them; rows are probabilities.
        """
        pixels = prepare(images, self.preprocess)
        infer, rows = _infer(self.net), []
        for start in range(0, len(pixels), batch_size):
            x = normalised(pixels[start : start + batch_size], self.preprocess)
            rows.append(np.asarray(infer(self.variables, x)))
        return np.concatenate(rows)

    def name(self, images: Any, top: int = 5) -> list[list[tuple[str, float]]]:
        """The likeliest classes of each image, by name or else by number, with probabilities."""
        found = []
        for row in self.predict(images):
            best = np.argsort(-row, kind="stable")[:top]
            names = self.class_names or tuple(map(str, range(len(row))))
            found.append([(names[i], float(row[i])) for i in best])
        return found


@functools.lru_cache(maxsize=8)
def _infer(net: Net) -> Any:
    return jax.jit(lambda variables, x: jax.nn.softmax(net.apply(variables, x)))


def load_pretrained(
    net: Net | str,
    path_or_name: str | Path,
    *,
    input_shape: tuple[int, int, int] | None = None,
    reinit: str | Iterable[str] = (),
    seed: int = 0,
    preprocess: Preprocess | None = None,
) -> Pretrained:
    """A net, or the net of that name, with the weights of a file, a folder or `hf:owner/name`.

    Whose names and layout they have is found out: torchvision's, timm's, Keras' or this project's.
    `input_shape` is (H, W, C) of the net's images, those of the weights unless given. `reinit`
    are scopes that start anew from the seed: "head" is the layer of the classes, any other stands
    for all layers below it. `preprocess` replaces the source's own.

    Raises:
      UserError: weights that can't be read, of another net, or with anything missing or left over.
    """
    weights = read(path_or_name)
    if isinstance(net, str):
        net = nets.get(net, nets.native_classes(net), nets.native_shape(net))
    return pretrained(net, weights, input_shape, reinit, seed, preprocess)


def pretrained(
    net: Net,
    weights: Weights,
    input_shape: tuple[int, int, int] | None = None,
    reinit: str | Iterable[str] = (),
    seed: int = 0,
    preprocess: Preprocess | None = None,
) -> Pretrained:
    """`load_pretrained` for weights that have been read."""
    if input_shape is None and preprocess is not None:
        input_shape = (preprocess.crop, preprocess.crop, len(preprocess.mean))
    shape = _shape(input_shape) if input_shape else source_images.input_shape(net, weights)
    merged = merge(net, weights, shape, reinit, seed)
    found = preprocess or source_images.preprocess(net, weights, merged.fit, shape)
    return Pretrained(
        net,
        merged.variables,
        found,
        f"{merged.fit.table.title} from {weights.where}",
        merged.notes,
        () if merged.anew else _class_names(weights, net),
    )


def _shape(given: Any) -> tuple[int, int, int]:
    shape = tuple(given)
    if len(shape) != 3 or not all(isinstance(n, int) and n > 0 for n in shape):
        raise UserError(f"input_shape: {given!r} is out of range: give (H, W, C)")
    return shape


def _class_names(weights: Weights, net: Net) -> tuple[str, ...]:
    """Where the weights tell as many as the net has."""
    found = weights.about.get("class_names") or config(weights).get("label_names")
    told = isinstance(found, list | tuple) and len(found) == getattr(net.head, "classes", 0)
    return tuple(map(str, found)) if told else ()
