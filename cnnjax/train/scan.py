"""Equal blocks of a stage as one scanned block: compilation does not pay for depth.

Within a dispatch parameters, statistics and the optimizer's moments of those blocks are stacked
along a first axis; outside each block has its own, under its own name.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from cnnjax.compute.forward import abstract_variables
from cnnjax.nets.net import Net

LONG = 8
# With native convolutions on the CPU unrolled blocks take 3 to 7 % less time and, up to nine in a
# row, no longer to compile (ResNet-20: 3.2 s against 5; -56: 6.5 against 7.3; -110: 14 against 7).
LONGER = 12
STACKED = "scanned"  # The scope of the stacked block, as `nets.net` names it.


@functools.lru_cache(maxsize=64)
def scannable(net: Net, image_shape: tuple[int, int, int]) -> dict[str, range]:
    """The stages with two or more equal blocks in a row, and the numbers of those blocks."""
    if not isinstance(net, Net):
        return {}
    shapes = jax.tree.map(lambda x: x.shape, abstract_variables(net, image_shape)["params"])
    found = {}
    for name, stage in net.named_stages.items():
        blocks = [shapes[name].get(f"block{i}") for i in stage.repeated]
        # Equal values still differ in shape where each block widens the map (dense blocks).
        if len(blocks) > 1 and all(b == blocks[0] for b in blocks):
            found[name] = stage.repeated
    return found


def chosen(
    net: Net, image_shape: tuple[int, int, int], wanted: bool | None, way: str | None
) -> dict[str, range]:
    """The stages to scan: all that can be or none as `wanted`, or by rule where it is None.

    The rule goes by the `way` of the CPU's convolutions, which is None elsewhere. XLA's take so
    long to compile that whatever can be scanned is: whole runs were measured faster so at every
    depth from 20 to 110 layers. Elsewhere, runs of so many blocks that compilation costs most,
    since a scan keeps XLA from fusing over its rounds.
    """
    if wanted is not None:
        return scannable(net, image_shape) if wanted else {}
    least = {None: LONG, "native": LONGER}.get(way, 2)
    found = scannable(net, image_shape)
    return {name: blocks for name, blocks in found.items() if len(blocks) >= least}


def stack(tree: Any, stages: Mapping[str, range]) -> Any:
    """`tree` with the blocks of each of the stages stacked, wherever such trees stand in it."""

    def convert(name: str, stage: dict[str, Any]) -> dict[str, Any]:
        blocks = [f"block{i}" for i in stages[name]]
        if blocks[0] not in stage:
            return stage
        rest = {k: v for k, v in stage.items() if k not in blocks}
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(stage[b] for b in blocks))
        return rest | {STACKED: {"block": stacked}}

    return _convert(tree, stages, convert)


def unstack(tree: Any, stages: Mapping[str, range]) -> Any:
    """What `stack` was given."""

    def convert(name: str, stage: dict[str, Any]) -> dict[str, Any]:
        if STACKED not in stage:
            return stage
        rest = {k: v for k, v in stage.items() if k != STACKED}
        stacked = stage[STACKED]["block"]
        return rest | {
            f"block{n}": jax.tree.map(lambda leaf, i=i: leaf[i], stacked)
            for i, n in enumerate(stages[name])
        }

    return _convert(tree, stages, convert)


def _convert(tree: Any, stages: Mapping[str, range], convert: Callable) -> Any:
    """Each of the stages' dictionaries converted, in a tree that may hold several sets of them."""
    if not stages:
        return tree

    def is_net(node: Any) -> bool:
        return isinstance(node, dict) and not stages.keys().isdisjoint(node)

    def each(node: Any) -> Any:
        if not is_net(node):
            return node
        return {k: convert(k, v) if k in stages else v for k, v in node.items()}

    return jax.tree.map(each, tree, is_leaf=is_net)
