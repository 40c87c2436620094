"""The gradient of a batch too large for the memory: part by part, one after another."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

# From running statistics and a part of the batch to (gradient, statistics, sums).
Gradient = Callable[[Any, Any], tuple[Any, Any, Any]]


def in_parts(count: int, gradient: Gradient, stats: Any, examples: Any) -> tuple[Any, Any, Any]:
    """`gradient(stats, examples)` of a batch in `count` equal parts: the mean of their gradients,
    the statistics after the last, and the sums' sums.

    Batch norms see a part at a time, and their running statistics move on after each, as in a
    training on batches of a part's size. The examples of a part lie `count` places apart, so that
    each device has its share of every part, and parts are the same over any number of devices.
    """
    if count == 1:
        return gradient(stats, examples)
    parts = jax.tree.map(lambda x: x.reshape(-1, count, *x.shape[1:]).swapaxes(0, 1), examples)
    found = jax.eval_shape(gradient, stats, jax.tree.map(lambda x: x[0], parts))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (found[0], found[2]))

    def part(carry: tuple[Any, Any], examples: Any) -> tuple[tuple[Any, Any], None]:
        stats, total = carry
        new, stats, sums = gradient(stats, examples)
        return (stats, jax.tree.map(jnp.add, total, (new, sums))), None

    (stats, (total, sums)), _ = lax.scan(part, (stats, zeros), parts)
    return jax.tree.map(lambda g: g / count, total), stats, sums
