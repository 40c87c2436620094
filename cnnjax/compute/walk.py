"""Walks a traced program in order of execution, through nested calls, loops and branches."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

from cnnjax.compute import operations
from cnnjax.compute.flow import flow
from cnnjax.compute.spatial import DATA, PATTERN, State, Unfollowed, join, stack, unstack


@dataclass(frozen=True)
class Step:
    """One equation as it was executed.

    Attributes:
      scope: the names it stands under, outermost first, those of its callers before its own.
      inputs, output: what the inputs and the first output see of the image.
      times: how often it runs.
    """

    eqn: JaxprEqn
    scope: tuple[str, ...]
    inputs: tuple[State, ...]
    output: State
    times: int = 1

    @property
    def is_operation(self) -> bool:
        """A convolution or matrix product of data with data.

        A product with a pattern, as the identity kernel is that extracts patches, only moves data.
        """
        return operations.is_operation(self.eqn) and PATTERN not in self.inputs[:2]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all times together."""
        return operations.macs(self.eqn) * self.times if self.is_operation else 0


Walked = tuple[list[State], list[Step]]


def walk(program: ClosedJaxpr, inputs: Sequence[State]) -> Walked:
    """The states of the program's outputs and the steps that lead to them; dead code is left out.

    Raises:
      Unfollowed: a primitive that can't be followed, or operations inside a loop
        whose number of rounds is not known before it runs.
    """
    return _walk(program, inputs, (), [True] * len(program.out_avals))


def total_macs(steps: Sequence[Step]) -> int:
    """Multiply-accumulates of all steps."""
    return sum(step.macs for step in steps)


def _walk(
    program: Jaxpr | ClosedJaxpr, inputs: Sequence[State], scope: tuple[str, ...], used: list[bool]
) -> Walked:
    jaxpr = program.jaxpr if isinstance(program, ClosedJaxpr) else program
    states = dict.fromkeys(jaxpr.constvars, DATA) | dict(zip(jaxpr.invars, inputs, strict=True))

    def read(v) -> State:
        if isinstance(v, Literal):
            return DATA if getattr(v.aval, "shape", ()) else None
        return states[v]

    eqns, needed = live(jaxpr, used)
    steps = []
    for eqn in eqns:
        ins = [read(v) for v in eqn.invars]
        inside = (*scope, *_names(eqn))
        outs, more = equation(eqn, ins, inside, [v in needed for v in eqn.outvars])
        states.update(zip(eqn.outvars, outs, strict=True))
        steps += more
    return [read(v) if u else None for v, u in zip(jaxpr.outvars, used, strict=True)], steps


def live(jaxpr: Jaxpr, used: Sequence[bool], given: Collection = ()) -> tuple[list[JaxprEqn], set]:
    """The equations that the used outputs need, in order, and all variables that are needed, but
    for those that are `given`."""
    needed = {v for v, u in zip(jaxpr.outvars, used, strict=True) if u and _is_var(v)}
    found = []
    for eqn in reversed(jaxpr.eqns):
        if not needed.isdisjoint(eqn.outvars):
            found.append(eqn)
            needed.update(v for v in eqn.invars if _is_var(v) and v not in given)
    return found[::-1], needed


def _is_var(v) -> bool:
    return not isinstance(v, Literal)


def _names(eqn: JaxprEqn) -> tuple[str, ...]:
    """The names on the equation's stack, without transformations: `vmap(Net)/conv` is Net, conv."""
    names = str(eqn.source_info.name_stack).replace(")", "").split("/")
    return tuple(name.rpartition("(")[2] for name in names if name)


def equation(eqn: JaxprEqn, ins: list[State], scope: tuple[str, ...], used: list[bool]) -> Walked:
    """The states of one equation's outputs, from those of its inputs, and its steps."""
    name = eqn.primitive.name
    if name == "scan":
        return _scan(eqn, ins, scope)
    if name == "while":
        return _while(eqn, ins, scope)
    if name == "cond":
        return _cond(eqn, ins, scope, used)
    inner = called(eqn)
    if inner is not None:
        return _walk(inner, ins, scope, used)
    outs = flow(eqn, ins)
    return outs, [Step(eqn, scope, tuple(ins), outs[0])] if outs else []


def called(eqn: JaxprEqn) -> Jaxpr | ClosedJaxpr | None:
    """The program that the equation calls on its inputs as they are (jit, custom_jvp, remat …)."""
    if eqn.primitive.name == "scan":  # Its body runs on slices and a carry, and many times.
        return None
    for name in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        inner = eqn.params.get(name)
        if isinstance(inner, Jaxpr | ClosedJaxpr):
            jaxpr = inner.jaxpr if isinstance(inner, ClosedJaxpr) else inner
            # Reductions carry the program of their scalar step under the same name.
            if _shapes(jaxpr.invars) == _shapes(eqn.invars):
                return inner
    return None


def _shapes(variables) -> list[tuple[int, ...] | None]:
    return [getattr(v.aval, "shape", None) for v in variables]


def _scan(eqn: JaxprEqn, ins: list[State], scope: tuple[str, ...]) -> Walked:
    body, length, where = eqn.params["jaxpr"], eqn.params["length"], eqn.primitive.name
    shapes = _shapes(eqn.outvars)
    held, carry, slices = scanned(eqn, ins)
    slices = [unstack(s) for s in slices]
    stacked: list[State] = [None] * (len(shapes) - len(carry))
    steps: list[Step] = []
    for _ in range(length):
        outs, steps = _walk(body, [*held, *carry, *slices], scope, [True] * len(shapes))
        before, carry = carry, outs[: len(carry)]
        new = [stack(s) for s in outs[len(carry) :]]
        joined = zip(stacked, new, shapes[len(carry) :], strict=True)
        stacked = [join(pair, shape, where) for *pair, shape in joined]
        if carry == before:
            break  # Further rounds change nothing.
    return [*carry, *stacked], [replace(s, times=s.times * length) for s in steps]


def scanned(eqn: JaxprEqn, ins: list[Any]) -> tuple[list[Any], list[Any], list[Any]]:
    """Which of a scan's inputs its body sees as they are, which first, and which slice by slice."""
    body = eqn.params["jaxpr"]
    # Inputs are constants, carry, slices; outputs carry, slices. How many of each is written down
    # differently from one JAX to the next, but slices have a dimension more outside the body.
    n_carry = _whole(body.out_avals, eqn.outvars)
    n_whole = _whole(body.in_avals, eqn.invars)
    return ins[: n_whole - n_carry], ins[n_whole - n_carry : n_whole], ins[n_whole:]


def _whole(inside, outside) -> int:
    """How many of a scan's variables its body has with as many dimensions as its caller."""
    pairs = zip(inside, outside, strict=True)
    return sum(len(aval.shape) == len(v.aval.shape) for aval, v in pairs)


def _while(eqn: JaxprEqn, ins: list[State], scope: tuple[str, ...]) -> Walked:
    p = eqn.params
    held = p["cond_nconsts"] + p["body_nconsts"]
    consts, carry = ins[p["cond_nconsts"] : held], ins[held:]
    shapes = _shapes(eqn.outvars)
    for _ in range(8):
        outs, steps = _walk(p["body_jaxpr"], [*consts, *carry], scope, [True] * len(shapes))
        if any(step.is_operation for step in steps):
            raise Unfollowed("can't count a 'while' loop's operations: use a scan")
        pairs = zip(carry, outs, shapes, strict=True)
        before, carry = carry, [join((a, b), shape, "while") for a, b, shape in pairs]
        if carry == before:
            return carry, steps
    raise Unfollowed("can't follow the receptive field through a 'while' loop: use a scan")


def _cond(eqn: JaxprEqn, ins: list[State], scope: tuple[str, ...], used: list[bool]) -> Walked:
    """Sees what any branch sees, and costs what the dearest costs."""
    walked = [_walk(branch, ins[1:], scope, used) for branch in eqn.params["branches"]]
    shapes = _shapes(eqn.outvars)
    outs = zip(*(outs for outs, _ in walked), strict=True)
    joined = [join(states, shape, "cond") for states, shape in zip(outs, shapes, strict=True)]
    return joined, max((steps for _, steps in walked), key=total_macs)
