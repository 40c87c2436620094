"""Net = stem + stages + neck + head: an architecture as a value, and the Linen module that
computes it."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax

from cnnjax.nets.activations import ReLU
from cnnjax.nets.context import Context, Step, axis, wide
from cnnjax.nets.layers import dense, dropout
from cnnjax.nets.norms import NoNorm
from cnnjax.nets.pools import Pool, Strided
from cnnjax.values import register, value


class Scope(nn.Module):
    """Runs a value in a Linen scope of its own, so that its layers are named inside it."""

    value: Any

    @nn.compact
    def __call__(self, x: jax.Array, ctx: Context, *rest: Any) -> jax.Array:
        return self.value(x, dataclasses.replace(ctx, path="/".join(self.path)), *rest)


@value
class Stage:
    """`depth` blocks, the first with the stride, then an optional pool.

    `block` is one value, or a tuple where the paper's table varies within the stage: its first
    `depth` ones, the last repeated where there are fewer. `before` is run first and takes the
    stride in the first block's place. `rate` is how far apart the units of the map are that
    comes in, and `traded` the stride that was traded for dilation (`vary.output_stride`).
    """

    block: Any
    depth: int = axis("depth", 1)
    stride: int = axis("stride", 1)
    pool: Pool | None = None
    before: Any = None
    rate: int = 1
    traded: int = 1

    @property
    def first(self) -> Step:
        """The step of what comes first."""
        return Step(self.stride, self.rate, self.rate * self.traded)

    @property
    def blocks(self) -> list[tuple[Any, Step]]:
        """Each block with its step."""
        given = self.block if isinstance(self.block, tuple) else (self.block,)
        steps = [self.first.then if self.before else self.first]
        steps += [self.first.then] * (self.depth - 1)
        if self.pool and isinstance(self.pool.kind, Strided):
            last, pool = steps[-1], self.pool
            steps[-1] = Step(last.by * pool.stride, last.rate, last.after * pool.traded)
        return [(given[min(i, len(given) - 1)], step) for i, step in enumerate(steps)]

    @property
    def repeated(self) -> range:
        """The numbers of the longest run of equal blocks, the first block left out."""
        found, blocks = range(0), self.blocks
        for start in range(2, len(blocks) + 1):
            stop = start
            while stop <= len(blocks) and blocks[stop - 1] == blocks[start - 1]:
                stop += 1
            found = max(found, range(start, stop), key=len)
        return found

    def __call__(self, x: jax.Array, ctx: Context) -> jax.Array:
        if self.before:
            x = Scope(self.before, name="before")(x, ctx, self.first)
        scanned = self.repeated if ctx.path in ctx.scan else range(0)
        for i, (block, step) in enumerate(self.blocks, 1):
            if i not in scanned:
                x = _block(block, step, i, x, ctx, f"block{i}")
            elif i == scanned.start:
                x = _scan(block, step, scanned, x, ctx)
        return Scope(self.pool, name="pool")(x, ctx) if self.pool else x


class _Numbered(nn.Module):
    """A block, with what of its context is traced handed in, as Flax's transforms want it."""

    block: Any
    step: Step
    ctx: Context

    @nn.compact
    def __call__(self, x: jax.Array, i: jax.Array, keys: jax.Array | None) -> jax.Array:
        path = "/".join(self.path)
        ctx = dataclasses.replace(self.ctx, block=i, keys=keys, path=path)
        return self.block(x, ctx, self.step)


def _block(block: Any, step: Step, i: Any, x: jax.Array, ctx: Context, name: str) -> jax.Array:
    """A block, whose inside the backward pass computes again where that is asked for (Chen et al.
    2016, "Training deep nets with sublinear memory cost"). XLA:CPU keeps it all the same where
    blocks are not scanned."""
    if not (ctx.remat and ctx.train):
        return Scope(block, name=name)(x, dataclasses.replace(ctx, block=i), step)
    bare = dataclasses.replace(ctx, keys=None)
    return nn.remat(_Numbered)(block, step, bare, name=name)(x, i, ctx.keys)


class _Round(nn.Module):
    """One round of a scan over equal blocks."""

    block: Any
    step: Step
    ctx: Context

    @nn.compact
    def __call__(self, x: jax.Array, i: jax.Array, keys: jax.Array | None) -> tuple:
        ctx = dataclasses.replace(self.ctx, keys=keys)
        return _block(self.block, self.step, i, x, ctx, "block"), None


def _scan(block: Any, step: Step, numbers: range, x: jax.Array, ctx: Context) -> jax.Array:
    """Equal blocks one after another, compiled once, their variables stacked along axis 0."""
    rounds = nn.scan(
        _Round,
        variable_axes={"params": 0, "batch_stats": 0},
        split_rngs={"params": True},
        in_axes=(0, nn.broadcast),
        length=len(numbers),
    )
    bare = dataclasses.replace(ctx, keys=None)
    indices = jax.numpy.arange(numbers.start, numbers.stop)
    return rounds(block, step, bare, name="scanned")(x, indices, ctx.keys)[0]


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
    """Logits from the last map: reduce, hidden dense layers each with dropout, a dense layer.

    `dropout` follows each hidden layer, `reduced_dropout` the reduced map.
    """

    classes: int = 10
    reduce: Any = GlobalAverage()
    hidden: tuple[int, ...] = axis("width", ())
    act: Any = axis("activation", ReLU())
    dropout: float = 0.0
    reduced_dropout: float = 0.0
    norm: Any = NoNorm()  # Of the reduced map; no block's norm, so its axis leaves it.

    def __call__(self, x: jax.Array, ctx: Context) -> jax.Array:
        x = self.norm(self.reduce(x), ctx, "norm")
        x = dropout(x, ctx, self.reduced_dropout, "reduced")
        for i, features in enumerate(self.hidden, 1):
            x = self.act(dense(x, ctx, features, name=f"dense{i}"))
            x = dropout(x, ctx, self.dropout, f"dense{i}")
        return dense(x, ctx, self.classes, name="logits", init=nn.initializers.lecun_normal())


@register
class Net(nn.Module):
    """A convolutional network: [B, H, W, C] normalised images → [B, classes] logits.

    `neck` stands between the last stage and the head; like the stem it is no stage: depth and
    stride leave both alone. `adapted` says in words what differs from the paper's net, where
    something does.
    """

    stages: tuple[Stage, ...]
    head: Any = Head()
    stem: Stage | None = None
    neck: Stage | None = None
    adapted: str = ""

    @property
    def named_stages(self) -> dict[str, Stage]:
        """Stem, stages and neck by the names of their scopes, in order."""
        stem = {"stem": self.stem} if self.stem else {}
        neck = {"neck": self.neck} if self.neck else {}
        return stem | {f"stage{i}": s for i, s in enumerate(self.stages, 1)} | neck

    @nn.compact
    def __call__(
        self, x: jax.Array, train: bool = False, context: Context | None = None
    ) -> jax.Array:
        ctx = dataclasses.replace(context or Context(), train=train)
        x = x.astype(ctx.dtype or x.dtype)
        for name, stage in self.named_stages.items():
            x = Scope(stage, name=name)(x, ctx)
        logits = Scope(self.head, name="head")(x, ctx)
        return logits.astype(wide(logits.dtype))
