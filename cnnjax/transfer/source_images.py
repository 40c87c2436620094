"""How a source's images become its nets' input: what its file says, else what its table says."""

import dataclasses
import fnmatch
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from cnnjax import nets
from cnnjax.errors import UserError
from cnnjax.nets import vary
from cnnjax.nets.net import Net
from cnnjax.transfer.choose import Fit, config
from cnnjax.transfer.preprocess import IMAGENET_STD, Preprocess, from_timm
from cnnjax.transfer.weights import Weights

SHARE = 0.875  # Of a resized image's side, what is cropped from its centre, where nobody says.


@functools.lru_cache(maxsize=32)
def name_of(net: Net, among: tuple[str, ...] = ("*",)) -> str:
    """The name under which `cnnjax.get` gives this net for its own images, "" if it is another;
    how it pads and its classes don't matter."""
    bare = vary.padding(net, "symmetric")
    for name in nets.names():
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in among):
            made = nets.get(name, getattr(net.head, "classes", 1), nets.native_shape(name))
            if vary.padding(made, "symmetric") == bare:
                return name
    return ""


def input_shape(net: Net, weights: Weights) -> tuple[int, int, int]:
    """(H, W, C) of the images that the weights are for.

    Raises:
      UserError: nothing tells.
    """
    if shape := weights.about.get("image_shape"):
        return tuple(shape)
    if net.adapted:
        raise UserError(
            f"the net is adapted to small images ({net.adapted}): say which by input_shape, such "
            "as input_shape=(32, 32, 3)"
        )
    if cfg := _timms(weights):
        side = from_timm(cfg).crop
        return side, side, 3
    name = name_of(net)
    return nets.native_shape(name) if name else (224, 224, 3)


def preprocess(net: Net, weights: Weights, fit: Fit, shape: tuple[int, int, int]) -> Preprocess:
    """For images of that shape: resized and cropped to it in the source's proportion."""
    found = _source(net, weights, fit)
    side = min(shape[:2])
    found = dataclasses.replace(
        found, resize=max(side, round(found.resize * side / found.crop)), crop=side
    )
    if shape[2] == 1 and len(found.mean) == 3:
        mean, std = float(np.mean(found.mean)), float(np.mean(found.std))
        found = dataclasses.replace(found, mean=(mean,), std=(std,))
    return found


def _source(net: Net, weights: Weights, fit: Fit) -> Preprocess:
    about = weights.about
    if "image_shape" in about:
        side = min(about["image_shape"][:2])
        return Preprocess(side, side, tuple(about["mean"]), tuple(about["std"]))
    if cfg := _timms(weights):
        return from_timm(cfg)
    found = fit.table.preprocess
    name = name_of(net, fit.table.nets)
    for known, resize, crop in fit.table.sizes:
        if known == name:
            found = dataclasses.replace(found, resize=resize, crop=crop)
            break
    else:
        side = nets.native_shape(name)[0] if name else found.crop
        found = dataclasses.replace(found, resize=round(side / SHARE), crop=side)
    if {"normalization/mean", "normalization/variance"} <= fit.held.keys():
        found = dataclasses.replace(found, **_normalization(weights, fit))
    return found


def _timms(weights: Weights) -> Mapping[str, Any]:
    """What a repository of timm's tells of the images; {} from any other."""
    about = config(weights)
    found = about.get("pretrained_cfg", about if "input_size" in about else None)
    return found if isinstance(found, Mapping) else {}


def _normalization(weights: Weights, fit: Fit) -> dict[str, tuple[float, ...]]:
    """Of Keras' layer for the images. With ImageNet's weights it holds the deviations where it
    says variances, and the net divides by their root once more."""
    mean, var = (
        np.ravel(weights.tensors[fit.held[f"normalization/{name}"]]).astype(float)
        for name in ("mean", "variance")
    )
    imagenet = len(var) == 3 and np.allclose(var, IMAGENET_STD, atol=1e-3)
    return {"mean": tuple(mean), "std": tuple(var if imagenet else np.sqrt(np.maximum(var, 0)))}
