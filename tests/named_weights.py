"""Weights as sources name them, made here without any of the sources."""

import fnmatch
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from cnnjax import nets
from cnnjax.nets.net import Net
from cnnjax.nets.vary import padding
from cnnjax.transfer import layout
from cnnjax.transfer.choose import named
from cnnjax.transfer.export import renamed
from cnnjax.transfer.names import tables
from cnnjax.transfer.rules import Table
from cnnjax.transfer.slots import place, slots
from cnnjax.transfer.weights import Weights

Shape = tuple[int, int, int]
SMALL = (64, 64, 3)


def published(table: Table) -> list[str]:
    """Our names of the nets that a table is for."""
    return [n for n in nets.names() if any(fnmatch.fnmatchcase(n, p) for p in table.nets)]


def tables_of(name: str) -> list[Table]:
    """Those that know the net of that name."""
    return [table for table in tables() if name in published(table)]


def as_there(net: Net, table: Table) -> Net:
    """The net as the table's source pads."""
    return padding(net, table.padding) if table.padding else net


def small(name: str, classes: int = 10, shape: Shape = SMALL, **axes: Any) -> Net:
    """The net of that name, narrow, for its own kind of images."""
    given = {"width": 0.1} | axes
    return nets.get(name, classes, nets.native_shape(name)[:2] + shape[2:], **given)


def drawn(net: Net, shape: Shape = SMALL, seed: int = 0) -> dict[str, Any]:
    """Variables under which everything matters and maps keep their size."""
    rng = np.random.default_rng(seed)
    found = {}
    for slot in slots(net, shape):
        for leaf, size in slot.shapes.items():
            if leaf == "kernel":
                value = rng.standard_normal(size) * (2 / np.prod(size[:-1])) ** 0.5
            elif leaf in ("bias", "mean"):
                value = rng.standard_normal(size) * 0.3
            else:
                value = rng.random(size) + 0.5
            found[place(slot.path, leaf)] = value.astype(np.float32)
    return unflatten_dict(found)


def torchs(net: Net, variables: Any, shape: Shape = SMALL, source: str = "torchvision") -> Weights:
    """As the source names them, every tensor shut against writing."""
    tensors = renamed(net, variables, source, shape)
    for tensor in tensors.values():
        tensor.setflags(write=False)
    return Weights(tensors, "torch", "w.pth")


def keras(table: Table, net: Net, variables: Any, shape: Shape = SMALL) -> Weights:
    """As Keras names them; values as they are, without what a table folds into them."""
    flat = flatten_dict(variables)
    wanted, _ = named(table, slots(net, shape))
    kinds = {slot.path: slot.kind for slot in slots(net, shape)}
    tensors = {
        layout.shown("keras", name, kinds[path], leaf): flat[place(path, leaf)]
        for (path, leaf), name in wanted.items()
    }
    layers = {name.rpartition("/")[0]: name.rpartition("/")[0] for name in tensors}
    return Weights(tensors, "keras", "w.h5", {"layers": layers})


def equal(found: Any, wanted: Any, rtol: float = 0.0, atol: float = 0.0) -> None:
    """Assert that two trees of variables are the same."""
    flat, expected = flatten_dict(found), flatten_dict(wanted)
    assert flat.keys() == expected.keys()
    for where, value in expected.items():
        np.testing.assert_allclose(flat[where], value, rtol, atol, err_msg="/".join(where))
