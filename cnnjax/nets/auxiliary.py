"""Auxiliary classifiers: heads on a map in the middle of a net, which only training sees.

Szegedy et al. 2015, "Going deeper with convolutions", §5.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax

from cnnjax.nets.activations import ReLU
from cnnjax.nets.blocks import Plain
from cnnjax.nets.context import ONE, Context, Step, axis, wide
from cnnjax.nets.net import Flatten, Head, Scope
from cnnjax.nets.norms import NoNorm
from cnnjax.nets.pools import Average, Pool, Strided
from cnnjax.values import value

COLLECTION = "auxiliary"


class Sowed(NamedTuple):
    """What an auxiliary head sows: logits [B, classes], and the weight of their loss."""

    logits: jax.Array
    weight: float


def sowed(variables: Mapping[str, Any]) -> list[Sowed]:
    """What the auxiliary heads sowed in a pass with train=True and mutable=["auxiliary", ...]."""
    found = variables.get(COLLECTION, {})
    return jax.tree.leaves(found, is_leaf=lambda v: isinstance(v, Sowed))


@value
class AuxiliaryHead:
    """head(act(norm(1×1(pool(x))))), its loss counted `weight` times.

    By default as in the paper's §5: average pool 5×5 of stride 3, 128 channels. Where the pooling
    axis says `stride` the 1×1 convolution takes it.
    """

    head: Head = Head(1000, reduce=Flatten(), hidden=(1024,), dropout=0.7)
    features: int = axis("width", 128)
    pool: Pool = Pool(Average(), window=5, stride=3)
    norm: Any = axis("norm", NoNorm())
    act: Any = axis("activation", ReLU())
    weight: float = 0.3

    def __call__(self, x: jax.Array, ctx: Context, rate: int) -> jax.Array:
        x = Scope(dataclasses.replace(self.pool, rate=rate), name="pool")(x, ctx)
        step = Step(self.pool.stride) if isinstance(self.pool.kind, Strided) else ONE
        unit = Plain(self.features, 1, norm=self.norm, act=self.act)
        x = Scope(unit, name="reduce")(x, ctx, step)
        return self.head(x, ctx)


@value
class Watched:
    """block(x), whose output an auxiliary head classifies too while training."""

    block: Any
    auxiliary: AuxiliaryHead

    def __call__(self, x: jax.Array, ctx: Context, step: Step) -> jax.Array:
        y = self.block(x, ctx, step)
        _Watcher(self.auxiliary, name="auxiliary")(y, ctx, step.after)
        return y


class _Watcher(nn.Module):
    """Runs the head in training, and at initialisation so that its parameters exist."""

    auxiliary: AuxiliaryHead

    @nn.compact
    def __call__(self, x: jax.Array, ctx: Context, rate: int) -> None:
        starting = self.is_initializing()
        if not (ctx.train or starting):
            return
        ctx = dataclasses.replace(ctx, path="/".join(self.path))
        logits = self.auxiliary(x, ctx, rate)
        if not starting:  # What was sowed is no variable of the net.
            logits = logits.astype(wide(logits.dtype))
            self.sow(COLLECTION, "head", Sowed(logits, self.auxiliary.weight))
