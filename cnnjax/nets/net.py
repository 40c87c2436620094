"""Net = stem + stages + head: an architecture as a value, and the Linen module that computes it."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax

from cnnjax.nets.layers import Context, Pool, ReLU, axis, dense, dropout, wide
from cnnjax.values import register, value


class Scope(nn.Module):
    """Runs a value in a Linen scope of its own, so that its layers are named inside it."""

    value: Any

    @nn.compact
    def __call__(self, x: jax.Array, ctx: Context, *rest: Any) -> jax.Array:
        return self.value(x, ctx, *rest)


@value
class Stage:
    """`depth` equal blocks, the first with the stride, then an optional pool."""

    block: Any
    depth: int = axis("depth", 1)
    stride: int = axis("stride", 1)
    pool: Pool | None = None

    def __call__(self, x: jax.Array, ctx: Context) -> jax.Array:
        for i in range(1, self.depth + 1):
            x = Scope(self.block, name=f"block{i}")(x, ctx, self.stride if i == 1 else 1)
        return x


@value
class GlobalAverage:
    """[B, H, W, C] → [B, C]"""

    def __call__(self, x: jax.Array) -> jax.Array:
        return x.mean(axis=(1, 2))


@value
class Flatten:
    """[B, H, W, C] → [B, H·W·C]"""

    def __call__(self, x: jax.Array) -> jax.Array:
        return x.reshape(x.shape[0], -1)


@value
class Head:
    """Logits from the last map: reduce, hidden dense layers with dropout, a dense layer."""

    classes: int = 10
    reduce: Any = GlobalAverage()
    hidden: tuple[int, ...] = axis("width", ())
    act: Any = axis("activation", ReLU())
    dropout: float = 0.0

    def __call__(self, x: jax.Array, ctx: Context) -> jax.Array:
        x = self.reduce(x)
        for i, features in enumerate(self.hidden, 1):
            x = self.act(dense(x, ctx, features, name=f"dense{i}"))
            x = dropout(x, ctx, self.dropout, i)
        return dense(x, ctx, self.classes, name="logits", init=nn.initializers.lecun_normal())


@register
class Net(nn.Module):
    """A convolutional network: [B, H, W, C] normalised images → [B, classes] logits.

    `adapted` says in words what differs from the paper's net, where something does.
    """

    stages: tuple[Stage, ...]
    head: Head = Head()
    stem: Stage | None = None
    adapted: str = ""

    @nn.compact
    def __call__(
        self, x: jax.Array, train: bool = False, context: Context | None = None
    ) -> jax.Array:
        ctx = dataclasses.replace(context or Context(), train=train)
        x = x.astype(ctx.dtype or x.dtype)
        named = [("stem", self.stem)] if self.stem else []
        named += [(f"stage{i}", stage) for i, stage in enumerate(self.stages, 1)]
        for name, stage in named:
            x = Scope(stage, name=name)(x, ctx)
            x = stage.pool(x, ctx, f"{name}/pool") if stage.pool else x
        logits = Scope(self.head, name="head")(x, ctx)
        return logits.astype(wide(logits.dtype))
