"""Which values of a traced program exist together.

A program is read as the chain of its equations, in order, calls written out. Only values that
depend on the image are followed, so that weights and what is made of them are left out.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf

from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

from cnnjax.compute.flow import is_elementwise
from cnnjax.compute.walk import called, live

VIEWS = frozenset({"reshape", "squeeze", "expand_dims", "broadcast_in_dim", "optimization_barrier"})


@dataclass(frozen=True, eq=False)
class Array:
    """One array in memory; two of equal size are still two."""

    bytes: int


@dataclass(frozen=True)
class Op:
    """An equation that makes arrays; `inside` are the bytes that only its own rounds hold."""

    eqn: JaxprEqn
    reads: tuple[Array, ...]
    writes: tuple[Array, ...]
    inside: int = 0

    @property
    def is_elementwise(self) -> bool:
        return is_elementwise(self.eqn) and not any(inner(self.eqn))


Value = Array | None  # None: nothing of the image.


@dataclass(frozen=True)
class Chain:
    """A program's equations that work on the image, in order."""

    inputs: tuple[Array, ...]
    ops: tuple[Op, ...]
    outputs: tuple[Value, ...]

    def held(self) -> list[int]:
        """Bytes that exist while each equation runs: what is still needed, inputs and outputs."""
        last: dict[Array, float] = {a: i for i, op in enumerate(self.ops) for a in op.reads}
        last |= {a: inf for a in self.outputs if a}
        now, found = sum(a.bytes for a in self.inputs), []
        for i, op in enumerate(self.ops):
            new = sum(a.bytes for a in op.writes)
            freed = [a.bytes for a in op.reads if last[a] == i]
            # An elementwise equation writes over an input that nothing needs afterwards.
            over = new if op.is_elementwise and new in freed else 0
            found.append(now + new - over + op.inside)
            now += new - sum(freed) - sum(a.bytes for a in op.writes if a not in last)
        return found

    def peak(self) -> int:
        """The most bytes that exist at a time."""
        return max(self.held(), default=sum(a.bytes for a in self.inputs))


def chain(program: Jaxpr | ClosedJaxpr, of_image: Sequence[bool]) -> Chain:
    """The chain of a program; `of_image` says which of its inputs depend on the image."""
    jaxpr = _open(program)
    inputs = [
        Array(_bytes(v)) if seen else None for v, seen in zip(jaxpr.invars, of_image, strict=True)
    ]
    ops: list[Op] = []
    outputs = _run(jaxpr, inputs, [True] * len(jaxpr.outvars), ops.append)
    return Chain(tuple(filter(None, inputs)), tuple(ops), tuple(outputs))


def inner(eqn: JaxprEqn) -> Iterator[Jaxpr]:
    """The programs that an equation holds: the body of a loop, the branches of a conditional."""
    for held in eqn.params.values():
        for one in held if isinstance(held, tuple) else (held,):
            if isinstance(one, Jaxpr | ClosedJaxpr):
                yield _open(one)


def _run(
    jaxpr: Jaxpr, inputs: Sequence[Value], used: list[bool], add: Callable[[Op], None]
) -> list[Value]:
    values: dict = dict.fromkeys(jaxpr.constvars) | dict(zip(jaxpr.invars, inputs, strict=True))

    def read(v) -> Value:
        return None if isinstance(v, Literal) else values[v]

    eqns, needed = live(jaxpr, used)
    for eqn in eqns:
        ins = [read(v) for v in eqn.invars]
        body = called(eqn)
        if body is not None:
            outs = _run(_open(body), ins, [v in needed for v in eqn.outvars], add)
        elif not any(ins):
            outs = [None] * len(eqn.outvars)
        elif eqn.primitive.name in VIEWS and ins[0]:
            outs = ins[: len(eqn.outvars)]
        else:
            outs = [Array(_bytes(v)) for v in eqn.outvars]
            reads = tuple(dict.fromkeys(filter(None, ins)))
            add(Op(eqn, reads, tuple(outs), _inside(eqn)))
        values.update(zip(eqn.outvars, outs, strict=True))
    return [read(v) if u else None for v, u in zip(jaxpr.outvars, used, strict=True)]


def _inside(eqn: JaxprEqn) -> int:
    """What the dearest program inside holds at its peak beyond its own inputs and outputs."""
    return max(map(_beyond, inner(eqn)), default=0)


def _beyond(jaxpr: Jaxpr) -> int:
    inside = chain(jaxpr, [True] * len(jaxpr.invars))
    ends = tuple({*inside.inputs, *filter(None, inside.outputs)})  # The caller holds them.
    held = replace(inside, outputs=ends).peak()
    return max(0, held - sum(a.bytes for a in ends))


def _open(program: Jaxpr | ClosedJaxpr) -> Jaxpr:
    return program.jaxpr if isinstance(program, ClosedJaxpr) else program


def _bytes(v) -> int:
    return v.aval.size * v.aval.dtype.itemsize
