"""A traced program without the calls in it: one list of equations, each of which knows its values.

What was called is what it computes, so it must be asked for no derivatives any more. Loops stay,
and what is computed again in a backward pass.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

from cnnjax.compute.walk import called, live

AGAIN = ("checkpoint", "remat", "remat2")  # Among others' results XLA would keep the first ones.


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """What an equation computes, or an input."""

    aval: Any


@dataclasses.dataclass(frozen=True, eq=False)
class Known:
    """A number or array that the program holds."""

    value: Any


@dataclasses.dataclass(frozen=True, eq=False)
class Equation:
    """As in the program, with its values in place of variables."""

    eqn: JaxprEqn
    ins: tuple[Value | Known, ...]
    outs: tuple[Value, ...]

    @property
    def name(self) -> str:
        return self.eqn.primitive.name

    @property
    def params(self) -> dict[str, Any]:
        return self.eqn.params

    def bind(self, ins: Sequence[Any]) -> list[Any]:
        """What it computes of these, in the trace under way."""
        primitive = self.eqn.primitive
        found = primitive.bind(*ins, **primitive.get_bind_params(self.params))
        return list(found) if primitive.multiple_results else [found]


@dataclasses.dataclass(frozen=True)
class Flat:
    """Of a program: what it is given, what it does, in order, and what it gives."""

    ins: tuple[Value, ...]
    equations: list[Equation]
    outs: list[Value | Known]


def otherwise(f: Callable, run: Callable[[Flat, list[Any]], list[Any]]) -> Callable:
    """A function of what `f` is of, which is what `run(f's program, arguments)` gives."""

    def run_otherwise(*args: Any) -> Any:
        program, shapes = jax.make_jaxpr(f, return_shape=True)(*args)
        return jax.tree.unflatten(
            jax.tree.structure(shapes), run(flat(program), jax.tree.leaves(args))
        )

    return run_otherwise


def flat(program: ClosedJaxpr) -> Flat:
    """The program's equations that any of its outputs needs."""
    equations: list[Equation] = []

    def follow(jaxpr: Jaxpr, consts: Sequence[Any], ins: Sequence[Any]) -> list[Value | Known]:
        values = dict(zip(jaxpr.constvars, map(Known, consts), strict=True))
        values |= zip(jaxpr.invars, ins, strict=True)

        def read(v: Any) -> Value | Known:
            return Known(v.val) if isinstance(v, Literal) else values[v]

        for eqn in live(jaxpr, [True] * len(jaxpr.outvars))[0]:
            given = tuple(map(read, eqn.invars))
            inner = None if eqn.primitive.name in AGAIN else called(eqn)
            if inner is None:
                outs = tuple(Value(v.aval) for v in eqn.outvars)
                equations.append(Equation(eqn, given, outs))
            elif isinstance(inner, ClosedJaxpr):
                outs = follow(inner.jaxpr, inner.consts, given)
            else:
                outs = follow(inner, (), given)
            values.update(zip(eqn.outvars, outs, strict=True))
        return [read(v) for v in jaxpr.outvars]

    ins = tuple(Value(v.aval) for v in program.jaxpr.invars)
    outs = follow(program.jaxpr, program.consts, ins)
    return Flat(ins, equations, outs)
