"""Memory of a training step: what the forward pass keeps for the backward pass.

JAX's reverse mode keeps the values that the derivative rules ask for: inputs of convolutions,
normalised maps, which units a ReLU let through. XLA may keep less, where it fuses or computes again
what is cheap; parameters, gradients and the optimizer's state come on top.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from cnnjax.compute.forward import abstract_variables, is_hashable
from cnnjax.compute.liveness import chain
from cnnjax.compute.trace import checked_batch, checked_shape
from cnnjax.compute.training import heads

if TYPE_CHECKING:
    import flax.linen as nn


def train_memory(net: "nn.Module", input_shape: Sequence[int], batch_size: int = 1) -> int:
    """Bytes kept from the forward to the backward pass of a batch [batch_size, H, W, C].

    The sum over the different arrays that depend on the images and that the parameters' gradient
    reads, of the traced program in float32; an array and a reshaped view of it count once.

    Raises:
      UserError: an input shape that is not (H, W, C), or a batch size below 1.
    """
    shape, batch_size = checked_shape(input_shape), checked_batch(batch_size)
    return (_cached if is_hashable(net) else _count)(net, shape, batch_size)


def _count(net: "nn.Module", shape: tuple[int, int, int], batch_size: int) -> int:
    images = jax.ShapeDtypeStruct((batch_size, *shape), jnp.float32)
    variables = abstract_variables(net, shape)
    params = variables.pop("params", {})

    def kept(params: Any, rest: Any, images: jax.Array) -> list[jax.Array]:
        _, pull = jax.vjp(lambda p: [y for y, _ in heads(net, p, rest, images)], params)
        return [leaf for leaf in jax.tree.leaves(pull) if isinstance(leaf, jax.Array)]

    program = jax.make_jaxpr(kept)(params, variables, images)
    arrays = chain(program, [False] * (len(program.in_avals) - 1) + [True]).outputs
    return sum(array.bytes for array in set(arrays) if array)


_cached = lru_cache(maxsize=64)(_count)
