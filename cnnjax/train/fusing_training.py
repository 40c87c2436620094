"""A gradient whose native convolutions also do what batch norm and ReLU ask of their results: the
moments of a map while it is convolved, and of its gradient, while it is, what passes ReLU and the
sums that batch norm's own gradients are made of. Each of them by itself reads the whole map once
more, and some write it.

It is done to the traced program of a gradient, so that no block knows of it.
"""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from cnnjax.compute.flat import Equation, Flat, Known, Value, otherwise
from cnnjax.train.native import ops


def fused(gradient: Callable) -> Callable:
    """What `gradient` computes up to rounding, without derivatives."""
    return otherwise(gradient, _run)


@dataclasses.dataclass(frozen=True)
class _Joint:
    """What comes in place of some equations: what `compute` makes of `ins` is `outs`."""

    compute: Callable[..., tuple[jax.Array, ...]]
    ins: tuple[Value | Known, ...]
    outs: tuple[Value, ...]


def _run(program: Flat, args: list[Any]) -> list[Any]:
    joints = _joints(program)
    values = dict(zip(program.ins, args, strict=True))

    def read(v: Value | Known) -> Any:
        return v.value if isinstance(v, Known) else values[v]

    for equation in program.equations:
        joint = joints.get(equation, equation)
        if isinstance(joint, _Joint):
            values.update(zip(joint.outs, joint.compute(*map(read, joint.ins)), strict=True))
        elif joint:
            values.update(zip(joint.outs, joint.bind([*map(read, joint.ins)]), strict=True))
    return [read(v) for v in program.outs]


def _joints(program: Flat) -> dict[Equation, _Joint | None]:
    """By equation what comes in its place, which is nothing for those that joined another."""
    graph = _Graph(program)
    found: dict[Equation, _Joint | None] = {}
    for equation in program.equations:
        call = ops.called(equation)
        if call == "moments":
            found |= _measured(graph, equation)
        elif call == "slopes":
            joined = _returned(graph, equation)
            found |= {} if found.keys() & joined.keys() else joined
    return found


class _Graph:
    """Which equation computes a value and which read it."""

    def __init__(self, program: Flat):
        self.position = {e: i for i, e in enumerate(program.equations)}
        self.maker = {v: e for e in program.equations for v in e.outs}
        self.readers: dict[Any, list[Equation | None]] = defaultdict(list)
        for equation in program.equations:
            for v in equation.ins:
                self.readers[v].append(equation)
        for v in program.outs:
            self.readers[v].append(None)

    def there(self, v: Value | Known, before: Equation) -> bool:
        """Whether it has been computed when `before` comes."""
        return v not in self.maker or self.position[self.maker[v]] < self.position[before]

    def made_by(self, v: Value | Known, name: str) -> Equation | None:
        """The equation of that name, or the native call, that computes it."""
        made = self.maker.get(v)
        return made if made and name in (made.name, ops.called(made)) else None

    def alone(self, v: Value | Known, name: str) -> Equation | None:
        """Likewise, where no more than one equation reads it."""
        return self.made_by(v, name) if len(self.readers[v]) == 1 else None

    def map_of(self, rows: Value | Known) -> Value | Known | None:
        """The map [B, H, W, C] that was made [B · H · W, C]."""
        shaped = self.made_by(rows, "reshape")
        return shaped.ins[0] if shaped else None


def _measured(graph: _Graph, moments: Equation) -> dict[Equation, _Joint | None]:
    """The convolution of whose map those are computes them as well."""
    rows, scale = moments.ins
    convolution = graph.made_by(graph.map_of(rows), "convolve")
    if convolution is None or not graph.there(scale, convolution):
        return {}
    epsilon = ops.attributes(moments)["epsilon"]
    compute = partial(ops.measured, convolution, epsilon=epsilon)
    outs = (*convolution.outs, *moments.outs)
    return {convolution: _Joint(compute, (*convolution.ins, scale), outs), moments: None}


def _returned(graph: _Graph, slopes: Equation) -> dict[Equation, _Joint | None]:
    """The convolution that a map's gradient comes from, if what passes ReLU of it are the gradients
    whose slopes those are, computes both; what else the gradient comes from is added in it."""
    g_rows, x_rows, *at = slopes.ins
    kept = graph.made_by(graph.map_of(g_rows), "select_n")
    x = graph.map_of(x_rows)
    if kept is None or x is None or len(kept.ins) != 3 or not _is_zero(graph, kept.ins[1]):
        return {}
    passed = _passed(graph, kept.ins[0])
    total = graph.alone(kept.ins[2], "add_any")
    parts = total.ins if total else kept.ins[2:]
    convolutions = [graph.alone(part, "convolve") for part in parts]
    here = next((i for i, made in enumerate(convolutions) if made), None)
    if passed is None or here is None:
        return {}
    z, least, most = passed
    beside = [part for i, part in enumerate(parts) if i != here]
    ins = (*convolutions[here].ins, z, x, *at, *beside)
    if not all(graph.there(v, kept) for v in ins):
        return {}
    compute = partial(ops.returned, convolutions[here], bounds=(least, most))
    joint = _Joint(compute, ins, (*kept.outs, *slopes.outs))
    return {kept: joint, slopes: None, convolutions[here]: None} | ({total: None} if total else {})


def _passed(graph: _Graph, mask: Value | Known) -> tuple[Value, float, float] | None:
    """The map that was cut off, and between which bounds it passed, as `jax.nn.relu` and `relu6`
    have it."""
    both = graph.made_by(mask, "and")
    above = graph.made_by(both.ins[0] if both else mask, "gt")
    if above is None or (least := _number(above.ins[1])) is None:
        return None
    cut = _cut(graph, above.ins[0], "max", least)
    if both is None or cut is None:
        return cut and (cut, least, math.inf)
    below = graph.made_by(both.ins[1], "lt")
    if below is None or below.ins[0] is not above.ins[0]:
        return None
    most = _number(below.ins[1])
    cut = None if most is None else _cut(graph, cut, "min", most)
    return cut and (cut, least, most)


def _cut(graph: _Graph, x: Value | Known, name: str, bound: float) -> Value | None:
    """What an equation of that name made of x and the bound."""
    for reader in graph.readers[x]:
        if reader and reader.name == name and _number(reader.ins[1]) == bound:
            return reader.outs[0]
    return None


def _is_zero(graph: _Graph, v: Value | Known) -> bool:
    filled = graph.made_by(v, "broadcast_in_dim")
    return _number(filled.ins[0] if filled else v) == 0


def _number(v: Value | Known) -> float | None:
    """Where it is known before the program runs."""
    return float(v.value) if isinstance(v, Known) and np.ndim(v.value) == 0 else None
