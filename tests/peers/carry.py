"""Carry a peer's weights into a net of ours: both list their layers in order of execution, and
equal shapes in that order are one layer. No table of names for each net."""

import dataclasses
import itertools
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict

TOLERANCE = 1e-4
LINEAR = (nn.Conv, nn.Dense, nn.DenseGeneral)
NORMS = (nn.BatchNorm, nn.LayerNorm, nn.GroupNorm)


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """What has parameters, in our layout: kernels HWIO, a depthwise one [H, W, 1, C·M].

    `kind` is linear (a 1×1 convolution and a dense layer are the same), norm, or weight: any other
    parameter, such as a layer scale. `values` are arrays, or only their shapes; `epsilon` is a
    norm's, which is too small for logits to tell.
    """

    where: str
    kind: str
    values: dict[str, Any]
    epsilon: float = 0.0

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the kernel or the largest value, without leading ones."""
        shape = max((v.shape for v in self.values.values()), key=math.prod)
        while shape and shape[0] == 1:
            shape = shape[1:]
        return shape

    def __str__(self) -> str:
        return f"{self.where} ({self.kind} {'×'.join(map(str, self.shape))})"


def kernel_from_oihw(weight: np.ndarray) -> np.ndarray:
    """PyTorch's layout of a convolution [O, I, H, W], or of a dense layer [O, I], to ours."""
    return weight.transpose(2, 3, 1, 0) if weight.ndim == 4 else weight.T


def kernel_from_depthwise(weight: np.ndarray) -> np.ndarray:
    """Keras' layout of a depthwise convolution [H, W, C, M] to ours [H, W, 1, C·M]."""
    return weight.reshape(*weight.shape[:2], 1, -1)


def kernel_after_flatten(weight: np.ndarray, chw: tuple[int, int, int]) -> np.ndarray:
    """The rows of a dense kernel [C·H·W, O] in the order of a map flattened as H·W·C."""
    rows = weight.reshape(*chw, -1).transpose(1, 2, 0, 3)
    return rows.reshape(weight.shape)


def layers_of(net: nn.Module, shape: tuple[int, int, int]) -> list[Layer]:
    """The net's layers in order of execution, with the shapes of their values."""
    found = []

    def call(method, args, kwargs, context):
        out = method(*args, **kwargs)
        if context.method_name == "__call__":
            found.extend(_own(context.module))
        return out

    with nn.intercept_methods(call):
        jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, *shape)))
    return found


def _own(module: nn.Module) -> list[Layer]:
    """The module's parameters that no module below it holds."""
    held = {
        name: value
        for collection in module.variables.values()
        for name, value in collection.items()
        if hasattr(value, "shape")
    }
    where = "/".join(module.path)
    if isinstance(module, LINEAR) and held:
        return [Layer(where, "linear", held)]
    if isinstance(module, NORMS) and held:
        return [Layer(where, "norm", held, module.epsilon)]
    return [Layer(where, "weight", {name: value}) for name, value in held.items()]


def pair(ours: Iterable[Layer], peers: Iterable[Layer]) -> list[tuple[Layer, Layer]]:
    """Each of our layers with the first of the peer's that is left, of its kind and shape.

    Raises:
      AssertionError: layers left over, by their names on both sides.
    """
    left, pairs, alone = list(peers), [], []
    for layer in ours:
        of_a_kind = (p for p in left if (p.kind, p.shape) == (layer.kind, layer.shape))
        if peer := next(of_a_kind, None):
            left.remove(peer)
            pairs.append((layer, peer))
        else:
            alone.append(layer)
    names = [", ".join(map(str, side)) or "nothing" for side in (alone, left)]
    assert not alone and not left, f"left over of ours: {names[0]}; of the peer's: {names[1]}"
    return pairs


def variables(pairs: Iterable[tuple[Layer, Layer]]) -> dict[str, Any]:
    """The variables of our net, with the peer's values.

    Raises:
      AssertionError: a value that only one side has, such as a bias; norms with another epsilon.
    """
    flat = {}
    for ours, peer in pairs:
        given = peer.values
        if ours.kind == "weight":
            given = dict(zip(ours.values, given.values(), strict=True))
        names = [", ".join(layer.values) for layer in (ours, peer)]
        assert given.keys() == ours.values.keys(), (
            f"{ours.where} has {names[0]}, the peer's {peer.where} has {names[1]}"
        )
        assert math.isclose(ours.epsilon, peer.epsilon, rel_tol=0.01), (
            f"{ours.where} has epsilon {ours.epsilon}, the peer's {peer.where} {peer.epsilon}"
        )
        for name, value in given.items():
            collection = "batch_stats" if name in ("mean", "var") else "params"
            value = np.reshape(value, ours.values[name].shape)
            flat[collection, *ours.where.split("/"), name] = value
    return unflatten_dict(flat)


def draw(rng: np.random.Generator, name: str, shape: tuple[int, ...], fan_in: int) -> np.ndarray:
    """Values under which everything matters: none is zero or one, and maps keep their size."""
    match name:
        case "kernel":
            return rng.standard_normal(shape, np.float32) * np.float32(math.sqrt(2 / fan_in))
        case "bias" | "mean":
            return rng.standard_normal(shape, np.float32) * np.float32(0.3)
        case _:
            return rng.random(shape, np.float32) + np.float32(0.5)


def unsettle(
    rng: np.random.Generator, mean: np.ndarray, var: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Running statistics near those of a map, yet not equal: with just those, each layer would
    blow rounding up, and fifty of them a hundredfold."""
    var = (var + var.mean()) * draw(rng, "var", var.shape, 1)
    return mean / 2 + draw(rng, "mean", mean.shape, 1) * var**0.5, var


def images(rng: np.random.Generator, n: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Random ones [n, H, W, C] that differ in more than noise: each has its own coarse pattern."""
    height, width, channels = shape
    coarse = rng.normal(0, 1, (n, -(-height // 8), -(-width // 8), channels))
    coarse = coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]
    return (coarse + rng.normal(0, 0.5, (n, *shape))).astype(np.float32)


def difference(ours: np.ndarray, peers: np.ndarray) -> float:
    """Largest absolute difference over the largest absolute value."""
    assert ours.shape == peers.shape, f"{ours.shape} against the peer's {peers.shape}"
    return float(np.abs(ours - peers).max() / np.abs(peers).max())


def maps_of(net: nn.Module, values: dict[str, Any], x: np.ndarray) -> dict[str, np.ndarray]:
    """What each of our layers with parameters gives, by where it stands."""

    def run(values: dict[str, Any], x: jax.Array) -> dict[str, jax.Array]:
        found = {}

        def call(method, args, kwargs, context):
            out = method(*args, **kwargs)
            if context.method_name == "__call__" and isinstance(context.module, (*LINEAR, *NORMS)):
                found["/".join(context.module.path)] = out
            return out

        with nn.intercept_methods(call):
            net.apply(values, x)
        return found

    return jax.tree.map(np.asarray, jax.jit(run)(values, x))


def shortcuts_last(layers: Iterable[Layer], block: str, shortcut: str) -> list[Layer]:
    """In each run of layers named alike by the pattern `block`, those with `shortcut` in their
    names last: for peers that compute a block's shortcut before its branch."""

    def named(layer: Layer) -> str:
        found = re.match(block, layer.where)
        return found[0] if found else layer.where

    runs = itertools.groupby(layers, named)
    return [layer for _, run in runs for layer in sorted(run, key=lambda x: shortcut in x.where)]


def first_that_differs(
    pairs: Iterable[tuple[Layer, Layer]], ours: dict[str, Any], peers: dict[str, Any]
) -> str | None:
    """The first pair of layers whose maps differ, in words."""
    for mine, peer in pairs:
        if mine.kind == "linear":  # A peer's norms may hold the activation too.
            a, b = (np.squeeze(m) for m in (ours[mine.where], peers[peer.where]))
            if a.shape != b.shape:
                return f"{mine} gives {a.shape}, the peer's {peer} {b.shape}"
            if (far := difference(a, b)) > TOLERANCE:
                return f"{mine} and the peer's {peer} differ first, by {far:.1e}"
    return None


def check(
    net: nn.Module,
    peers: list[Layer],
    x: np.ndarray,
    expected: np.ndarray,
    peer_maps: Callable[[], dict[str, np.ndarray]],
) -> float:
    """That our net gives the `expected` logits for x [B, H, W, C]; by how much it differs.

    Raises:
      AssertionError: logits that differ, with the first layers that do; logits that hardly depend
        on the image, with which the comparison would show nothing.
    """
    pairs = pair(layers_of(net, x.shape[1:]), peers)
    values = variables(pairs)
    size = np.abs(expected).max()
    assert np.isfinite(size)
    spread = (expected - expected.mean(axis=0)).std() / size
    assert spread > 10 * TOLERANCE, f"logits differ from image to image only by {spread:.1e}"
    found = difference(np.asarray(jax.jit(net.apply)(values, x)), expected)
    if found > TOLERANCE:
        where = first_that_differs(pairs, maps_of(net, values, x), peer_maps())
        raise AssertionError(f"logits differ by {found:.1e}: {where or 'behind the last layer'}")
    return found
