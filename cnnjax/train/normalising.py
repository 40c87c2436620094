"""Batch normalisation with its gradient in closed form, for the CPU: two passes of sums where the
derivatives of the formula take five."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from cnnjax.train.native import ops
from cnnjax.train.native.ops import Moments, Slopes


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
    return _normalised(x, scale, bias, epsilon, axis_name)[0]


def _normalised(x, scale, bias, epsilon, axis_name) -> tuple[Normalised, Any]:
    at = _moments_by(epsilon, axis_name)(x, scale)
    y = (x - at.mean) * at.factor + bias
    return Normalised(y, at.mean, at.variance), (x, at)


def _forward(x, scale, bias, epsilon, axis_name) -> tuple[Normalised, Any]:
    return _normalised(x.value, scale.value, bias.value, epsilon, axis_name)


def _backward(epsilon, axis_name, kept, given: Normalised):
    x, at = kept
    moved = not all(isinstance(g, SymbolicZero) for g in (given.mean, given.variance))
    g, *by_moments = (
        jnp.zeros(g.shape, g.dtype) if isinstance(g, SymbolicZero) else g for g in given
    )
    if moved or axis_name:
        found = _slopes(g, x, at, *by_moments, axis_name=axis_name)
    else:
        found = _slopes_alone(g, x, at)
    dx = at.factor * g + found.slope * (x - at.mean) + found.shift
    return dx, found.scale, found.bias


@cache
def _moments_by(epsilon: float, axis_name: str | None) -> Callable[..., Moments]:
    formula = partial(_moments, epsilon=epsilon, axis_name=axis_name)
    return formula if axis_name else _as(formula, partial(ops.moments, epsilon=epsilon))


def _moments(x: jax.Array, scale: jax.Array, epsilon: float, axis_name: str | None) -> Moments:
    mean, square = _mean(ops.sums(x, x, jnp.zeros_like(scale)) / _count(x), axis_name)
    variance = jnp.maximum(square - mean**2, 0.0)
    rate = lax.rsqrt(variance + epsilon)
    return Moments(mean, variance, rate, rate * scale)


def _slopes(
    g: jax.Array,
    x: jax.Array,
    at: Moments,
    by_mean: jax.Array | float = 0.0,
    by_variance: jax.Array | float = 0.0,
    axis_name: str | None = None,
) -> Slopes:
    """With n = (x - mean) · rate: scale · rate · (g - mean(g) - n · mean(g · n)), and what the mean
    and the variance themselves are asked for."""
    total, along = ops.sums(g, x, at.mean)
    asked = (jnp.broadcast_to(by, total.shape) for by in (by_mean, by_variance))
    means = _mean(jnp.stack([total, along, *asked]) / _count(x), axis_name)
    mean_g, mean_gx, by_mean, by_variance = means
    slope = 2 * by_variance - at.factor * at.rate**2 * mean_gx
    return Slopes(along * at.rate, total, slope, by_mean - at.factor * mean_g)


def _as(slow: Callable, fast: Callable) -> Callable:
    """`fast`, with the derivatives of `slow`, which computes the same."""
    found = jax.custom_vjp(fast)
    found.defvjp(lambda *args: (fast(*args), args), lambda args, g: jax.vjp(slow, *args)[1](g))
    return found


_slopes_alone = _as(_slopes, ops.slopes)


def _count(x: jax.Array) -> int:
    return x.size // x.shape[-1]


def _mean(found: jax.Array, axis_name: str | None) -> jax.Array:
    return lax.pmean(found, axis_name) if axis_name else found


batch_norm.defvjp(_forward, _backward, symbolic_zeros=True)
