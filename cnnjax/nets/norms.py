"""Normalisations as values: norm(x, ctx, name)."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnnjax.nets.context import Context
from cnnjax.values import value


@value
class NoNorm:
    """x; a convolution before it keeps its bias."""

    def __call__(self, x: jax.Array, ctx: Context, name: str) -> jax.Array:
        return x


@value
class BatchNorm:
    """Ioffe & Szegedy 2015; running = momentum · running + (1 - momentum) · batch."""

    momentum: float = 0.9
    epsilon: float = 1e-5

    def __call__(self, x: jax.Array, ctx: Context, name: str) -> jax.Array:
        types = ctx.dtypes(x)
        given = {
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "axis_name": ctx.axis_name if ctx.train else None,
            "name": name,
        }
        if ctx.train and ctx.batch_norm and types["dtype"] == x.dtype == jnp.float32:
            return _BatchNorm(**given, **types, compute=ctx.batch_norm)(x)
        return nn.BatchNorm(use_running_average=not ctx.train, **given, **types)(x)


class _BatchNorm(nn.BatchNorm):
    """Flax's, by `compute(x, scale, bias, epsilon, axis_name)`: the batch normalised, its mean and
    its variance."""

    compute: Callable | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (x.shape[-1],)
        mean = self.variable("batch_stats", "mean", lambda: jnp.zeros(shape, self.param_dtype))
        var = self.variable("batch_stats", "var", lambda: jnp.ones(shape, self.param_dtype))
        scale = self.param("scale", self.scale_init, shape, self.param_dtype)
        bias = self.param("bias", self.bias_init, shape, self.param_dtype)
        beginning = self.is_initializing()
        axis = None if beginning else self.axis_name
        y, *moments = self.compute(x, scale, bias, self.epsilon, axis)
        if not beginning:
            for running, batch in zip((mean, var), moments, strict=True):
                running.value = self.momentum * running.value + (1 - self.momentum) * batch
        return y


@value
class GroupNorm:
    """Wu & He 2018; where the channels don't divide, the largest common divisor of groups."""

    groups: int = 8
    epsilon: float = 1e-5

    def __call__(self, x: jax.Array, ctx: Context, name: str) -> jax.Array:
        groups = math.gcd(self.groups, x.shape[-1])
        return nn.GroupNorm(groups, epsilon=self.epsilon, name=name, **ctx.dtypes(x))(x)


@value
class LayerNorm:
    """Over the channels of each pixel (Ba, Kiros & Hinton 2016; Liu et al. 2022, §2.6)."""

    epsilon: float = 1e-6

    def __call__(self, x: jax.Array, ctx: Context, name: str) -> jax.Array:
        return nn.LayerNorm(epsilon=self.epsilon, name=name, **ctx.dtypes(x))(x)


@value
class LocalResponse:
    """x / (k + alpha · Σ x²)^beta, the sum over `size` neighbouring channels (Krizhevsky,
    Sutskever & Hinton 2012, §3.3). It follows an activation and has no parameters.

    PyTorch divides its alpha by the size: its 1e-4 and 5 are this alpha of 2e-5.
    """

    size: int = 5
    k: float = 2.0
    alpha: float = 1e-4
    beta: float = 0.75

    def __call__(self, x: jax.Array) -> jax.Array:
        before = self.size // 2
        around = ((0, 0), (0, 0), (0, 0), (before, self.size - 1 - before))
        zero = np.zeros((), x.dtype)
        total = lax.reduce_window(x * x, zero, lax.add, (1, 1, 1, self.size), (1,) * 4, around)
        return x * (self.k + self.alpha * total) ** -self.beta


NORMS = {"batch": BatchNorm, "group": GroupNorm, "layer": LayerNorm, "none": NoNorm}
