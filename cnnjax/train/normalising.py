"""Batch normalisation with its gradient in closed form, for the CPU: two passes of sums where the
derivatives of the formula take five."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.train.native import ops


class Normalised(NamedTuple):
    """The map [..., C], and the mean and variance [C] that it was normalised by."""

    y: jax.Array
    mean: jax.Array
    variance: jax.Array


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def batch_norm(
    x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float, axis_name: str | None = None
) -> Normalised:
    """Of a float32 map [..., C] by its own mean and variance over all but the channels and over a
    device axis (Ioffe & Szegedy 2015, Algorithm 1)."""
    return _forward(x, scale, bias, epsilon, axis_name)[0]


def _forward(x, scale, bias, epsilon, axis_name) -> tuple[Normalised, Any]:
    found = ops.sums(x, x, jnp.zeros_like(scale)) / _count(x)
    mean, square = _mean(found, axis_name)
    variance = jnp.maximum(square - mean**2, 0.0)
    rate = lax.rsqrt(variance + epsilon)
    y = (x - mean) * (rate * scale) + bias
    return Normalised(y, mean, variance), (x, scale, mean, rate)


def _backward(epsilon, axis_name, kept, given: Normalised):
    """With n = (x - mean) · rate: scale · rate · (g - mean(g) - n · mean(g · n)), and what the mean
    and the variance themselves are asked for."""
    x, scale, mean, rate = kept
    total, along = ops.sums(given.y, x, mean)
    means = _mean(jnp.stack([total, along, given.mean, given.variance]) / _count(x), axis_name)
    g, gx, by_mean, by_variance = means
    slope = 2 * by_variance - scale * rate**3 * gx
    dx = (scale * rate) * given.y + slope * (x - mean) + (by_mean - scale * rate * g)
    return dx, along * rate, total


def _count(x: jax.Array) -> int:
    return x.size // x.shape[-1]


def _mean(found: jax.Array, axis_name: str | None) -> jax.Array:
    return lax.pmean(found, axis_name) if axis_name else found


batch_norm.defvjp(_forward, _backward)
