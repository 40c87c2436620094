"""Activation functions as values."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.values import value


@jax.custom_jvp
def _clipped(x: jax.Array) -> jax.Array:
    """min(max(x, 0), 6) with a slope of 0 at both ends, as PyTorch's: of JAX's, which halves the
    slope there, a step keeps two arrays of floats."""
    return jnp.minimum(jnp.maximum(x, 0), 6)


@_clipped.defjvp
def _clipped_tangent(primals, tangents):
    (x,), (g,) = primals, tangents
    return _clipped(x), lax.select((x > 0) & (x < 6), g, lax.full_like(g, 0))


@value
class ReLU:
    """max(x, 0)"""

    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.relu(x)


@value
class ReLU6:
    """min(max(x, 0), 6) (Howard et al. 2017)"""

    def __call__(self, x: jax.Array) -> jax.Array:
        return _clipped(x)


@value
class LeakyReLU:
    """max(x, slope · x) (Maas, Hannun & Ng 2013)"""

    slope: float = 0.01

    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.leaky_relu(x, self.slope)


@value
class ELU:
    """x above 0, exp(x) - 1 below (Clevert, Unterthiner & Hochreiter 2016)"""

    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.elu(x)


@value
class Tanh:
    """tanh(x)"""

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.tanh(x)


@value
class ScaledTanh:
    """1.7159 tanh(2x/3): ±1 stay ±1 (LeCun et al. 1998, appendix A)"""

    def __call__(self, x: jax.Array) -> jax.Array:
        return 1.7159 * jnp.tanh(x * (2 / 3))


@value
class Sigmoid:
    """1 / (1 + exp(-x))"""

    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.sigmoid(x)


@value
class HardSigmoid:
    """min(max(x + 3, 0), 6) / 6 (Howard et al. 2019, §5.2)"""

    def __call__(self, x: jax.Array) -> jax.Array:
        return _clipped(x + 3) / 6


@value
class GELU:
    """x Φ(x), exact (Hendrycks & Gimpel 2016)"""

    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.gelu(x, approximate=False)


@value
class SiLU:
    """x sigmoid(x)"""

    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.silu(x)


@value
class HardSwish:
    """x min(max(x + 3, 0), 6) / 6 (Howard et al. 2019, §5.2)"""

    def __call__(self, x: jax.Array) -> jax.Array:
        return x * (_clipped(x + 3) / 6)


@value
class Identity:
    """x"""

    def __call__(self, x: jax.Array) -> jax.Array:
        return x


ACTIVATIONS = {
    "relu": ReLU,
    "relu6": ReLU6,
    "leaky_relu": LeakyReLU,
    "elu": ELU,
    "tanh": Tanh,
    "scaled_tanh": ScaledTanh,
    "sigmoid": Sigmoid,
    "hard_sigmoid": HardSigmoid,
    "gelu": GELU,
    "silu": SiLU,
    "hard_swish": HardSwish,
    "identity": Identity,
}
