"""What of a net trains, when, and at what rate: read off the parameters' paths, all of it static.

What is frozen takes no gradient, so that no program computes its backward pass; its batch norms are
those of inference, and its statistics stay.
"""

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from cnnjax.errors import UserError
from cnnjax.nets.context import Context
from cnnjax.nets.net import Net
from cnnjax.nets.norms import BatchNorm
from cnnjax.train import resolution
from cnnjax.train.recipe import GradualUnfreezing, Recipe
from cnnjax.train.scan import STACKED
from cnnjax.values import fields, is_value, value

Tree = dict[str, Any]


class Phase(NamedTuple):
    """The steps before `end` that no phase before has; `frozen` are scopes of the net's own, `side`
    the height of the images, 0 as they are."""

    frozen: frozenset[str]
    end: int
    side: int = 0


def parts(net: Net, recipe: Recipe) -> tuple[tuple[str, ...], ...]:
    """The stages' scopes in the order in which parts of them begin to train, after the head; none
    where everything trains at once."""
    if not isinstance(recipe.fine_tune, GradualUnfreezing):
        return ()
    names = list(net.named_stages)[::-1]
    cut = np.array_split(np.arange(len(names)), min(recipe.fine_tune.parts, len(names)))
    return tuple(tuple(names[i] for i in part) for part in cut)


def phases(net: Net, recipe: Recipe, steps: int) -> tuple[Phase, ...]:
    """The phases of a training of so many steps, none of them empty."""
    sizes = resolution.stages(recipe, steps)
    thawed = _thawing(net, recipe, steps)
    ends = sorted({end for _, end in (*sizes, *thawed)} - {0})
    return tuple(
        Phase(
            next(frozen for frozen, until in thawed if until >= end),
            end,
            next(side for side, until in sizes if until >= end),
        )
        for end in ends
    )


def _thawing(net: Net, recipe: Recipe, steps: int) -> list[tuple[frozenset[str], int]]:
    """What is frozen, and the step before which that ends."""
    waiting = parts(net, recipe)
    if not waiting:
        return [(frozenset(), steps)]
    ends = [
        round(steps * recipe.fine_tune.share * i / len(waiting)) for i in range(1, len(waiting) + 1)
    ]
    frozen = [frozenset(name for part in waiting[i:] for name in part) for i in range(len(ends))]
    return list(zip([*frozen, frozenset()], [*ends, steps], strict=True))


def check(net: Any, recipe: Recipe) -> None:
    """Refuse what can't be done to this net.

    Raises:
      UserError: naming the field of the recipe.
    """
    base = Recipe()
    for name in ("fine_tune", "layer_decay", "frozen_norms"):
        if getattr(recipe, name) != getattr(base, name) and not isinstance(net, Net):
            raise UserError(
                f"{name} needs a net of stages (cnnjax.Net); {type(net).__name__} is a module of "
                "its own, which trains as a whole"
            )


@value
class AsInInference:
    """norm(x) with the running statistics, which stay as they are."""

    norm: Any

    def __call__(self, x: jax.Array, ctx: Context, name: str) -> jax.Array:
        return self.norm(x, dataclasses.replace(ctx, train=False), name)


def held(net: Net, recipe: Recipe, frozen: Collection[str] = ()) -> Net:
    """The net as a step runs it: the batch norms of the frozen scopes, or all of them where the
    recipe says so, as in inference. Parameters and their names are the net's."""
    if recipe.frozen_norms:
        frozen = [*net.named_stages, "head"]
    if not frozen:
        return net
    new = {name: _still(stage) if name in frozen else stage
           for name, stage in net.named_stages.items()}  # fmt: skip
    stages = tuple(new.pop(f"stage{i}") for i in range(1, len(net.stages) + 1))
    head = _still(net.head) if "head" in frozen else net.head
    return net.clone(stages=stages, head=head, **new)


def _still(v: Any) -> Any:
    if isinstance(v, BatchNorm):
        return AsInInference(v)
    if isinstance(v, tuple):
        return tuple(map(_still, v))
    if not is_value(v):
        return v
    old = {f.name: getattr(v, f.name) for f in fields(v)}
    new = {name: _still(x) for name, x in old.items()}
    return v if new == old else dataclasses.replace(v, **new)


def by_parts(
    rule: optax.GradientTransformation, waiting: Sequence[Sequence[str]], frozen: Collection[str]
) -> optax.GradientTransformation:
    """The rule for each part apart, with a state of its own that begins when the part does: moments
    that are corrected for their first steps must not count those before."""
    stages = [name for part in waiting for name in part]

    def split(tree: Tree) -> list[Tree]:
        head = {k: v for k, v in tree.items() if k not in stages}
        return [head, *({k: tree[k] for k in part if k in tree} for part in waiting)]

    def init(params: Tree) -> tuple[Any, ...]:
        return tuple(map(rule.init, split(params)))

    def update(gradient: Tree, state: Any, params: Tree) -> tuple[Tree, Any]:
        updates, states = {}, []
        for g, s, p in zip(split(gradient), state, split(params), strict=True):
            if frozen.isdisjoint(p):
                g, s = rule.update(g, s, p)
            updates |= g  # What is frozen has a gradient of zeros.
            states.append(s)
        return {k: updates[k] for k in gradient}, tuple(states)

    return optax.GradientTransformation(init, update)


def by_depth(net: Net, decay: float) -> optax.GradientTransformation:
    """Updates times `decay` to the power of how many blocks away from the head they are (Clark et
    al. 2020, "ELECTRA"; Bao et al. 2021, "BEiT")."""
    factor = _factors(net, decay)

    def scale(path: tuple[Any, ...], update: jax.Array) -> jax.Array:
        by = np.asarray(factor(tuple(k.key for k in path)), update.dtype)
        return update * by.reshape(by.shape + (1,) * (update.ndim - by.ndim))

    def update(updates: Tree, state: Any, params: Tree | None = None) -> tuple[Tree, Any]:
        return jax.tree_util.tree_map_with_path(scale, updates), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def depths(net: Net) -> Mapping[tuple[str, str], int]:
    """How many blocks each block is away from the head: 1 for the last, by stage and name; what
    stands before a stage's blocks goes with the first, its pool with the last."""
    found: dict[tuple[str, str], int] = {}
    below = 0
    for name, stage in reversed(net.named_stages.items()):
        count = len(stage.blocks)
        found |= {(name, f"block{i}"): below + count - i + 1 for i in range(1, count + 1)}
        found |= {(name, "before"): below + count, (name, "pool"): below + 1}
        below += count
    return found


def _factors(net: Net, decay: float) -> Callable[[tuple[str, ...]], Any]:
    """From a parameter's path to its factor; of stacked blocks one a block, along axis 0."""
    away = depths(net)

    @functools.cache
    def factor(scope: str, inside: str) -> Any:
        if inside == STACKED:
            rows = net.named_stages[scope].repeated
            return np.array([decay ** away[scope, f"block{i}"] for i in rows])
        return decay ** away.get((scope, inside), 0)

    return lambda path: factor(*path[:2])
