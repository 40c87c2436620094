"""Keras' weights: `.weights.h5` of Keras 3, and `.h5` before it, weights alone or whole models."""

import re
from collections.abc import Iterator
from pathlib import Path

from cnnjax.errors import UserError
from cnnjax.transfer import h5file
from cnnjax.transfer.weights import Weights, line, widened

SHOWN = "Keras' .weights.h5 and .h5"
_DEPTH = 64  # Of groups in groups.
_REPEAT = 8  # How often datasets may share their bytes, all in all.
_NO_WEIGHTS = ("optimizer", "seed_generator")  # States of training, not of the net.


def claims(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(8) == h5file.SIGNATURE


def read(path: Path) -> Weights:
    """As `parse`, of a file.

    Raises: as `parse`.
    """
    return parse(path.read_bytes(), path)


def parse(data: bytes, path: Path) -> Weights:
    """The tensors by the names of their layers; `path` is where the data are from.

    Keras 3: "layers/conv2d_1/vars/0", in natural order (conv2d_2 before conv2d_10). Before it:
    "LAYER/kernel" in the net's order. In `about`, `layers` tells the name that each layer was
    given by the place of its tensors, and `in_order` whether that is the net's order.

    Raises:
      UserError: it is damaged, points outside the file, or is not as Keras writes it.
    """
    try:
        file = h5file.File(data)
        root = file.node(file.root)
        if "model_weights" in root.links:
            root = file.node(root.links["model_weights"])
        before = bool(_texts(root, "layer_names"))
        found, layers = _by_layers(file, root) if before else _by_paths(file, root)
        if sum(array.nbytes for array in found.values()) > _REPEAT * len(file.data):
            raise h5file.Damaged("its datasets are many times its size")
        tensors = {name: widened(array) for name, array in found.items()}
    # Broken files raise nearly anything; what to do about it is always the same.
    except Exception as e:
        raise UserError(
            f"{path} is damaged or not Keras' ({line(e)}): download or save it again"
        ) from None
    return Weights(tensors, "keras", str(path), {"layers": layers, "in_order": before})


def _texts(node: h5file.Node, name: str) -> list[str]:
    """A list of names; where it is too long for an attribute, Keras numbers its parts."""
    if name in node.texts:
        return node.texts[name]
    parts = []
    while f"{name}{len(parts)}" in node.texts:
        parts.append(node.texts[f"{name}{len(parts)}"])
    return [text for part in parts for text in part]


def _by_layers(file: h5file.File, root: h5file.Node) -> tuple[dict, dict]:
    tensors, layers = {}, {}
    names = _texts(root, "layer_names")
    if "top_level_model_weights" in root.links:
        names = [*names, "top_level_model_weights"]
    for layer in names:
        group = _at(file, root, layer)
        for weight in _texts(group, "weight_names"):
            # TensorFlow's variables end in ":0" and begin with their layer's name, mostly.
            short = weight.removesuffix(":0").removeprefix(f"{layer}/")
            name = f"{layer}/{short}"
            array = _at(file, group, weight).array
            if name in tensors or array is None:
                raise h5file.Damaged(f"{name} comes twice" if name in tensors else f"no {name}")
            tensors[name] = array
            layers[layer] = layer
    return tensors, layers


def _at(file: h5file.File, node: h5file.Node, path: str) -> h5file.Node:
    for part in path.split("/"):
        if part not in node.links:
            raise h5file.Damaged(f"{path} is missing")
        node = file.node(node.links[part])
    return node


def _by_paths(file: h5file.File, root: h5file.Node) -> tuple[dict, dict]:
    tensors, layers = {}, {}
    for path, node in _walk(file, root, ()):
        if node.array is not None:
            tensors["/".join(path)] = node.array
        elif path[-1:] == ("vars",) and node.links and "name" in node.texts:
            layers["/".join(path[:-1])] = "".join(node.texts["name"])
    return tensors, layers


def _walk(
    file: h5file.File, node: h5file.Node, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], h5file.Node]]:
    yield path, node
    if len(path) > _DEPTH:
        raise h5file.Damaged("groups without an end")
    for name in sorted(node.links, key=_natural):
        if name not in _NO_WEIGHTS:
            yield from _walk(file, file.node(node.links[name]), (*path, name))


def _natural(name: str) -> list[str | int]:
    """conv2d_2 before conv2d_10."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", name))]
