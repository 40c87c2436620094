"""(net, input shape) → its variables and its forward pass as a program, on abstract shapes.

No weight is allocated. Nothing else takes as long to plan a study as tracing its nets, so both are
of one trace.
"""

import dataclasses
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Literal

from cnnjax.compute.walk import live
from cnnjax.errors import UserError

if TYPE_CHECKING:  # Linen itself is never needed here: a net brings its own.
    import flax.linen as nn

Shape = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Forward:
    """What a net computes of one float32 image in inference.

    Attributes:
      variables: the shapes and types of what `net.init` returns.
      program: of (variables, image [1, H, W, C]).
    """

    variables: dict[str, Any]
    program: ClosedJaxpr


def forward(net: "nn.Module", shape: Shape) -> Forward:
    """For images (H, W, C).

    Raises:
      UserError: an image too small for the net.
    """
    return (_cached if is_hashable(net) else _forward)(net, shape)


def abstract_variables(net: "nn.Module", shape: Shape) -> dict[str, Any]:
    """The shapes and types of what `net.init` returns, for images (H, W, C).

    Raises:
      UserError: an image too small for the net.
    """
    return dict(forward(net, shape).variables)


def too_small(shape: Shape, where: str) -> UserError:
    return UserError(
        f"an input of {shape[0]}×{shape[1]} is too small for the net: nothing is left of it "
        f"at {where}; use a larger one"
    )


def is_hashable(net: object) -> bool:
    """Whether the net can be the key of a cache."""
    try:
        hash(net)
    except TypeError:  # A hand-written module that holds a list or the like.
        return False
    return True


def _forward(net: "nn.Module", shape: Shape) -> Forward:
    image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)

    def both(x: jax.Array) -> Any:
        return net.init_with_output(jax.random.key(0), x, train=False)

    try:
        program, (_, variables) = jax.make_jaxpr(both, return_shape=True)(image)
    except ZeroDivisionError:  # Linen's initialisers divide by the inputs of a unit.
        raise too_small(shape, "a layer whose units have no inputs") from None
    cut = _given(program, len(jax.tree.leaves(variables))) if _computes_as_applied(net) else None
    if cut is None:
        apply = jax.make_jaxpr(lambda v, x: net.apply(v, x, train=False))
        cut = apply(variables, image)
    return Forward(variables, cut)


_cached = lru_cache(maxsize=64)(_forward)


def _computes_as_applied(net: "nn.Module") -> bool:
    """A module of another kind may do something else while it is initialised."""
    from cnnjax.nets.net import Net

    return isinstance(net, Net)


def _given(program: ClosedJaxpr, count: int) -> ClosedJaxpr | None:
    """A program whose last `count` results are what it makes of nothing, which is given instead,
    before its inputs; None where what makes one makes something else too."""
    jaxpr = program.jaxpr
    split = len(jaxpr.outvars) - count
    outs, made = jaxpr.outvars[:split], jaxpr.outvars[split:]
    known = {*jaxpr.invars, *jaxpr.constvars}
    if any(isinstance(v, Literal) or v in known for v in made) or len(given := {*made}) < count:
        return None
    eqns, needed = live(jaxpr, [True] * split + [False] * count, given)
    if any(not given.isdisjoint(eqn.outvars) for eqn in eqns):
        return None
    held = [(v, c) for v, c in zip(jaxpr.constvars, program.consts, strict=True) if v in needed]
    cut = jaxpr.replace(
        constvars=[v for v, _ in held], invars=[*made, *jaxpr.invars], outvars=outs, eqns=eqns
    )
    return ClosedJaxpr(cut, [c for _, c in held])
