"""What a branch is weighed by: squeeze-and-excitation (Hu, Shen & Sun 2018, §3), where the whole
map says how much each channel counts, and a single factor."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.nets.activations import ReLU, Sigmoid
from cnnjax.nets.context import Context
from cnnjax.nets.layers import dense
from cnnjax.values import value


@value
class SqueezeExcite:
    """x · gate(W act(V mean(x))), with `ratio` · `base` squeezed channels.

    `base` is what the caller's paper counts from: the gated channels, or those of the block's
    input. `divisor` rounds the squeezed channels as MobileNets do. Its activations are no axis.
    """

    ratio: float = 1 / 16
    divisor: int = 1
    act: Any = ReLU()
    gate: Any = Sigmoid()

    def __call__(self, x: jax.Array, ctx: Context, base: int) -> jax.Array:
        squeezed = channels(base * self.ratio, self.divisor)
        s = self.act(dense(x.mean(axis=(1, 2)), ctx, squeezed, name="squeeze"))
        s = self.gate(dense(s, ctx, x.shape[-1], name="excite"))
        return x * jnp.expand_dims(s, (1, 2))


@value
class SkipInit:
    """scale · x, one trainable number that starts from `start`: deep residual nets train without
    norms where every branch starts from nothing (De & Smith 2020, §3)."""

    start: float = 0.0

    def __call__(self, x: jax.Array, ctx: Context, base: int) -> jax.Array:
        return _Factor(self.start, ctx.dtypes(x)["param_dtype"], name="skip_init")(x)


class _Factor(nn.Module):
    start: float
    param_dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.constant(self.start), (), self.param_dtype)
        return x * scale.astype(x.dtype)


def channels(wanted: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `wanted`, at least one of them and at most a tenth
    below (Sandler et al. 2018's reference code, followed by its successors)."""
    found = max(divisor, int(wanted + divisor / 2) // divisor * divisor)
    return found + divisor if found < 0.9 * wanted else found
