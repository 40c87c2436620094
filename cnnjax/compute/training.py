"""A net in training mode: whatever of its outputs a loss is taken of, and what takes a gradient."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import jax
from jax import lax

from cnnjax.nets import auxiliary

if TYPE_CHECKING:
    import flax.linen as nn


def heads(
    net: "nn.Module", params: Any, rest: Mapping[str, Any], images: jax.Array
) -> list[tuple[jax.Array, float]]:
    """Logits [B, classes] of each head, auxiliary ones last, and the weight of its loss.

    Images [B, H, W, C]; batch norms use the batch's statistics. `rest` are the variables beside the
    parameters.
    """
    outputs, new = net.apply(
        {"params": params, **rest},
        images,
        train=True,
        mutable=["batch_stats", auxiliary.COLLECTION],
        rngs={"dropout": jax.random.key(0)},
    )
    found = [(logits, 1.0) for logits in jax.tree.leaves(outputs)]
    return found + [(head.logits, head.weight) for head in auxiliary.sowed(new)]


def without_gradient(params: Mapping[str, Any], frozen: Collection[str]) -> dict[str, Any]:
    """The same parameters, of which those in the `frozen` scopes take no gradient."""
    return {k: lax.stop_gradient(v) if k in frozen else v for k, v in params.items()}
