"""Multiply-accumulates of a training step, counted in the traced gradient.

About three forward passes: the first layer needs no gradient of its input, and padding taps count
in the gradients as they do in the forward pass.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from cnnjax.compute.forward import abstract_variables, is_hashable
from cnnjax.compute.macs import count_macs
from cnnjax.compute.trace import checked_batch, checked_shape
from cnnjax.compute.training import heads, without_gradient

if TYPE_CHECKING:
    import flax.linen as nn


def train_step_macs(
    net: "nn.Module",
    input_shape: Sequence[int],
    batch_size: int,
    frozen: frozenset[str] = frozenset(),
) -> int:
    """Multiply-accumulates of cross-entropy and its gradient on a batch [batch_size, H, W, C].

    Scopes of the net that are `frozen` cost their forward pass, and no backward pass before the
    first layer that trains.

    Raises:
      UserError: an input shape that is not (H, W, C), or a batch size below 1.
    """
    shape, batch_size = checked_shape(input_shape), checked_batch(batch_size)
    return (_cached if is_hashable(net) else _count)(net, shape, batch_size, frozen)


def _count(
    net: "nn.Module", shape: tuple[int, int, int], batch_size: int, frozen: frozenset[str]
) -> int:
    images = jax.ShapeDtypeStruct((batch_size, *shape), jnp.float32)
    variables = abstract_variables(net, shape)
    params = variables.pop("params", {})

    def loss(params: dict, rest: dict, images: jax.Array) -> jax.Array:
        found = heads(net, without_gradient(params, frozen), rest, images)
        # Which class is right changes no count, nor does a head's weight.
        losses = [jax.nn.logsumexp(y, axis=-1) - y[..., 0] for y, _ in found]
        return jnp.sum(jnp.stack([jnp.sum(one) for one in losses]))

    return count_macs(jax.make_jaxpr(jax.grad(loss))(params, variables, images))


_cached = lru_cache(maxsize=64)(_count)
