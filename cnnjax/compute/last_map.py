"""The last map of a net, before global pooling or flattening, as a function of the image.

Found in the traced program, so that it is there in any net: nothing need be named or returned.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
from jax.extend.core import ClosedJaxpr, JaxprEqn, Literal, jaxpr_as_fun

from cnnjax.compute.spatial import DATA, IMAGE, Field, State
from cnnjax.compute.walk import called, equation, live
from cnnjax.errors import UserError

if TYPE_CHECKING:
    import flax.linen as nn


def last_map(
    net: "nn.Module", variables: Any, image: jax.ShapeDtypeStruct
) -> tuple[Callable[[Any, jax.Array], jax.Array], Field]:
    """(variables, image [1, H, W, C]) → the last map, and what one of its units sees.

    The map's dimensions are the program's: `field.axes` say along which the image's rows and
    columns run.

    Raises:
      UserError: the net has no map that depends on the image.
      Unfollowed: a primitive that the receptive field can't be followed through.
    """
    program = jax.make_jaxpr(lambda v, x: net.apply(v, x, train=False))(variables, image)
    states = [DATA] * (len(program.in_avals) - 1) + [IMAGE]
    found = _last(program, states)
    if found is None:
        raise UserError("the net computes no map of the image: use one with a spatial layer")
    parts, field = found

    def run(variables: Any, image: jax.Array) -> jax.Array:
        values = [*jax.tree.leaves(variables), image]
        for part in parts:
            values = jaxpr_as_fun(part)(*values)
        return values[0]

    return run, field


def _last(program: ClosedJaxpr, inputs: Sequence[State]) -> tuple[list[ClosedJaxpr], Field] | None:
    """Programs that, run one on the other's outputs, give the last map; its field."""
    jaxpr = program.jaxpr
    states: dict = dict.fromkeys(jaxpr.constvars, DATA) | dict(
        zip(jaxpr.invars, inputs, strict=True)
    )
    eqns, needed = live(jaxpr, [True] * len(jaxpr.outvars))
    found: tuple[list[ClosedJaxpr], Field] | None = None
    for i, eqn in enumerate(eqns):
        ins = [_literal(v) if isinstance(v, Literal) else states[v] for v in eqn.invars]
        used = [v in needed for v in eqn.outvars]
        outs, steps = equation(eqn, ins, (), used)
        states.update(zip(eqn.outvars, outs, strict=True))
        maps = [(v, s) for v, s, u in zip(eqn.outvars, outs, used, strict=True) if u and _is_map(s)]
        if maps:
            variable, field = maps[0]
            found = [_cut(program, eqns[: i + 1], [variable])], field
        elif any(_is_map(step.output) for step in steps) and (body := _body(eqn)):
            # The map lives and ends inside a call.
            deeper = _last(body, ins)
            if deeper:
                parts, field = deeper
                found = [_cut(program, eqns[:i], eqn.invars), *parts], field
    return found


def _is_map(state: State) -> bool:
    return isinstance(state, Field) and state.is_map


def _literal(v: Literal) -> State:
    return DATA if getattr(v.aval, "shape", ()) else None


def _body(eqn: JaxprEqn) -> ClosedJaxpr | None:
    body = called(eqn)
    return body if body is None or isinstance(body, ClosedJaxpr) else ClosedJaxpr(body, ())


def _cut(program: ClosedJaxpr, eqns: Sequence[JaxprEqn], outputs: Sequence[Any]) -> ClosedJaxpr:
    """The program's beginning, with other outputs."""
    cut = program.jaxpr.replace(eqns=list(eqns), outvars=list(outputs))
    return ClosedJaxpr(cut, program.consts)
