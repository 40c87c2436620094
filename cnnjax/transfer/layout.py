"""Layouts of tensors: others' to ours and back, each leaf by itself; nothing is rounded."""

import re
from collections.abc import Mapping

import numpy as np

from cnnjax.transfer.slots import Slot, place
from cnnjax.transfer.weights import Weights

# What stands behind a layer's name for each of our leaves.
TORCH = {
    "kernel": ".weight",
    "scale": ".weight",
    "bias": ".bias",
    "mean": ".running_mean",
    "var": ".running_var",
}
# A variable's place in its Keras layer, whose files count rather than name them.
KERAS = {"kernel": "/0", "scale": "/0", "gamma": "/0", "bias": "/1", "mean": "/2", "var": "/3"}
WORDS = {"scale": "gamma", "mean": "moving_mean", "var": "moving_variance"}
PLACES = {  # Its name ends so; VGG's oldest files have W_1 and b_1.
    r"kernel|gamma|W_1|variable(_\d+)?": 0,
    r"bias|beta|b_1": 1,
    r"moving_mean": 2,
    r"moving_variance": 3,
}
BOOKKEEPING = re.compile(
    r"(.*\.)?num_batches_tracked|optimizer(_weights)?/.*|top_level_model_weights/.*"
    r"|.*seed_generator.*"
)


def theirs(framework: str, base: str, slot: Slot, leaf: str) -> str:
    """The name of a leaf in the file, from their name of its layer."""
    if framework == "cnnjax":
        return "/".join(place(slot.path, leaf))
    return base + (KERAS[leaf] if framework == "keras" else TORCH.get(leaf, ""))


def shown(framework: str, name: str, kind: str, leaf: str) -> str:
    """A name that `theirs` gave as their files have it."""
    if framework != "keras" or not name:
        return name
    word = "beta" if (kind, leaf) == ("norm", "bias") else WORDS.get(leaf, leaf)
    return f"{name.rpartition('/')[0]}/{word}"


def names(weights: Weights) -> dict[str, str]:
    """The names that tables speak of → the names in the file, without mere bookkeeping.

    PyTorch's lose a prefix that all of them have and that only says how they were saved; Keras'
    are a layer and the variable's place in it.
    """
    kept = [name for name in weights.tensors if not BOOKKEEPING.fullmatch(name)]
    if weights.framework == "torch":
        prefix = next((p for p in ("module.", "model.", "_orig_mod.") if _all_start(kept, p)), "")
        return {name[len(prefix) :]: name for name in kept}
    if weights.framework == "keras":
        called = weights.about.get("layers", {})
        found: dict[str, str] = {}
        for name in kept:  # What would come twice keeps its own.
            found.setdefault(_keras_name(name, called), name)
        return found | {name: name for name in kept if name not in found.values()}
    return {name: name for name in kept}


def _all_start(names: list[str], prefix: str) -> bool:
    return bool(names) and all(name.startswith(prefix) for name in names)


def _keras_name(name: str, called: Mapping[str, str]) -> str:
    """`conv1_bn/2` for `layers/batch_normalization/vars/2`, whose layer is `called` conv1_bn, and
    for `conv1_bn/moving_mean`."""
    *parts, variable = name.split("/")
    if parts[-1:] == ["vars"]:
        parts = parts[:-1]
    elif "/".join(parts) not in called and len(parts) > 1:
        parts = parts[1:]  # A group of layers, whose own names stand in it.
    layer = called.get("/".join(parts), "/".join(parts)).replace("/", "_")
    place = (n for ends, n in PLACES.items() if re.fullmatch(rf"(.*_)?({ends})", variable, re.I))
    return f"{layer}/{next(place, variable)}"


def ours(tensor: np.ndarray, slot: Slot, leaf: str, framework: str) -> np.ndarray:
    """A tensor of theirs in our layout; of a shape that does not fit it stays as near as it can.

    Kernels become HWIO, a depthwise one [H, W, 1, C], a dense one [I, O], its inputs in the order
    of a map flattened as H·W·C.
    """
    if framework == "cnnjax" or not tensor.size:
        return tensor
    if leaf != "kernel":
        vector = tensor.ndim > 1 and tensor.size == max(tensor.shape)
        return tensor.reshape(-1) if vector else tensor
    if framework == "torch":
        if tensor.ndim == 2 and slot.flattened and tensor.shape[1] == np.prod(slot.flattened):
            h, w, c = slot.flattened
            tensor = tensor.reshape(-1, c, h, w).transpose(0, 2, 3, 1).reshape(len(tensor), -1)
        tensor = tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor.T
    elif slot.depthwise and tensor.ndim == 4 and tensor.shape[2] > 1:
        tensor = tensor.reshape(*tensor.shape[:2], 1, -1)
    if slot.kind == "dense" and tensor.ndim == 4:
        return tensor.reshape(-1, tensor.shape[-1])
    if slot.kind == "conv" and tensor.ndim == 2:
        return tensor[None, None]
    return tensor


def torchs(value: np.ndarray, slot: Slot, leaf: str, held: str) -> np.ndarray:
    """One of our leaves in PyTorch's layout, as `held` there: the inverse of `ours`."""
    if held == "map":
        return value.reshape(-1, 1, 1)
    if leaf != "kernel":
        return value
    if slot.kind == "conv":
        value = value.transpose(3, 2, 0, 1)
        return value[:, :, 0, 0] if held == "dense" else value
    h, w, c = slot.flattened or (1, 1, len(value))
    value = value.reshape(h, w, c, -1).transpose(3, 2, 0, 1)
    return value if held == "conv" else value.reshape(len(value), -1)
