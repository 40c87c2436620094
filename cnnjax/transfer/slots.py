"""The layers of a net that hold weights, read off its traced program: what a file must fill."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.nets.net import Net

STATISTICS = ("mean", "var")  # They stand in `batch_stats`, all else in `params`.


@dataclasses.dataclass(frozen=True)
class Slot:
    """A layer: where it stands, the shapes of its leaves, and what its numbers mean.

    `kind`: conv, dense, norm, or weight for a parameter of its own such as a layer scale.
    `flattened`: the map (H, W, C) whose pixels a dense layer reads one by one.
    """

    path: str
    kind: str
    leaves: tuple[tuple[str, tuple[int, ...]], ...]
    epsilon: float = 0.0
    flattened: tuple[int, int, int] | None = None
    size: tuple[int, int] = (0, 0)  # The map that a convolution reads.
    stride: int = 1
    pads: tuple[tuple[int, int], ...] = ()
    dilation: int = 1
    depthwise: bool = False

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return dict(self.leaves)

    @property
    def norm(self) -> str:
        """The path of the norm behind a convolution, by the names that blocks use."""
        above, _, name = self.path.rpartition("/")
        return f"{above}/{name.replace('conv', 'norm')}"


def place(path: str, leaf: str) -> tuple[str, ...]:
    """The keys of a leaf in a net's variables."""
    collection = "batch_stats" if leaf in STATISTICS else "params"
    return (collection, *path.split("/"), leaf)


@functools.lru_cache(maxsize=32)
def slots(net: Net, input_shape: tuple[int, int, int]) -> tuple[Slot, ...]:
    """The net's layers for images (H, W, C), in order of execution; nothing is computed.

    Raises:
      UserError: the images are too small for the net.
    """
    found: list[Slot] = []
    last: tuple[int, ...] = ()  # The last map's shape.

    def call(method: Any, args: Any, kwargs: Any, context: Any) -> Any:
        nonlocal last
        out = method(*args, **kwargs)
        if context.method_name == "__call__":
            given = args[0].shape if args and hasattr(args[0], "shape") else ()
            found.extend(_own(context.module, given, last))
            if getattr(out, "ndim", 0) == 4:
                last = out.shape[1:]
        return out

    image = jax.ShapeDtypeStruct((1, *input_shape), jnp.float32)
    with nn.intercept_methods(call):
        jax.eval_shape(net.init, jax.random.key(0), image)
    return tuple(found)


def _own(module: nn.Module, given: tuple[int, ...], last: tuple[int, ...]) -> list[Slot]:
    """The module's layer, if it holds weights that no module below it does."""
    leaves = tuple(
        (name, tuple(v.shape))
        for collection in module.variables.values()
        for name, v in collection.items()
        if not isinstance(v, Mapping)
    )
    if not leaves:
        return []
    path = "/".join(module.path)
    match module:
        case nn.Conv():
            kernel = dict(leaves)["kernel"]
            return [
                Slot(
                    path,
                    "conv",
                    leaves,
                    size=given[1:3],
                    stride=module.strides,
                    pads=tuple(map(tuple, module.padding)),
                    dilation=module.kernel_dilation,
                    depthwise=kernel[2] == 1 and module.feature_group_count > 1,
                )
            ]
        case nn.Dense():
            read = len(given) == 2 and len(last) == 3 and last[0] * last[1] > 1
            flattened = last if read and math.prod(last) == given[-1] else None
            return [Slot(path, "dense", leaves, flattened=flattened)]
        case nn.BatchNorm() | nn.LayerNorm() | nn.GroupNorm():
            return [Slot(path, "norm", leaves, module.epsilon)]
    return [Slot(path, "weight", leaves)]
