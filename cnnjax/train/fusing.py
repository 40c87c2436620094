"""Inference whose native convolutions also do what is done to their results alone: scaling and
shifting by channel, as batch norm does, adding a shortcut, cutting off, as ReLU does. Each of them
by itself reads and writes the whole map once more.

It is done to a net's traced program, so that no block knows of it.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.compute.flat import Equation, Flat, Known, Value, otherwise
from cnnjax.train.native import ops
from cnnjax.train.native.ops import End

EVERYTHING = (-math.inf, math.inf)


def fused(f: Callable) -> Callable:
    """What `f` computes up to rounding, without derivatives."""
    return otherwise(f, lambda program, args: [*map(_value, _run(program, args))])


@dataclasses.dataclass(frozen=True)
class _Pending:
    """A convolution that has not been made yet, and the end that it will come to."""

    equation: Equation
    x: jax.Array
    w: jax.Array
    end: End

    @property
    def shape(self) -> tuple[int, ...]:
        return self.equation.outs[0].aval.shape

    @property
    def linear(self) -> bool:
        """Whether it is still no more than scaled and shifted."""
        return self.end.beside is None and (self.end.least, self.end.most) == EVERYTHING

    def ending(self, **changes: Any) -> "_Pending":
        return dataclasses.replace(self, end=self.end._replace(**changes))

    def made(self) -> jax.Array:
        return ops.finished(self.equation, self.x, self.w, self.end)


def _value(x: Any) -> Any:
    return x.made() if isinstance(x, _Pending) else x


def _run(program: Flat, args: Sequence[Any]) -> list[Any]:
    """The program's results, of which some may be pending."""
    values: dict[Any, Any] = dict(zip(program.ins, args, strict=True))
    uses = Counter(v for e in program.equations for v in e.ins) + Counter(program.outs)

    def read(v: Value | Known) -> Any:
        if isinstance(v, Known):
            return v.value
        if uses[v] > 1:  # What is wanted as it is, too.
            values[v] = _value(values[v])
        return values[v]

    for equation in program.equations:
        outs = _outputs(equation, [*map(read, equation.ins)])
        values.update(zip(equation.outs, outs, strict=True))
    return [*map(read, program.outs)]


def _outputs(equation: Equation, ins: list[Any]) -> list[Any]:
    if ops.called(equation) == "convolve":
        x, w = map(_value, ins)
        ones = jnp.ones(w.shape[3:], w.dtype)
        return [_Pending(equation, x, w, End(ones, jnp.zeros_like(ones), None, *EVERYTHING))]
    if (joined := _joined(equation.name, ins)) is not None:
        return [joined]
    return equation.bind([*map(_value, ins)])


def _joined(name: str, ins: list[Any]) -> _Pending | None:
    """The convolution among the inputs with what the primitive does to it, if it can do that."""
    if len(ins) != 2 or not any(isinstance(x, _Pending) for x in ins):
        return None
    first = isinstance(ins[0], _Pending)
    y, other = ins if first else reversed(ins)
    end = y.end
    if y.linear and (row := _row(other, y.shape)) is not None:
        if name == "mul":
            return y.ending(scale=end.scale * row, shift=end.shift * row)
        if name == "add":
            return y.ending(shift=end.shift + row)
        if name == "sub" and first:
            return y.ending(shift=end.shift - row)
    if y.linear and name == "add" and _shape(other) == y.shape:
        return y.ending(beside=_value(other))
    if name in ("max", "min") and (bound := _number(other)) is not None:
        cut = max if name == "max" else min
        return y.ending(least=cut(end.least, bound), most=cut(end.most, bound))
    return None


def _shape(x: Any) -> tuple[int, ...]:
    return x.shape if isinstance(x, _Pending) else np.shape(x)


def _row(x: Any, shape: tuple[int, ...]) -> jax.Array | None:
    """[C], where x has one number for each channel of a map, or one for all."""
    *others, channels = (1, *_shape(x))
    if isinstance(x, _Pending) or {*others} != {1} or channels not in (1, shape[-1]):
        return None
    return jnp.broadcast_to(jnp.reshape(x, (-1,)), shape[-1:])


def _number(x: Any) -> float | None:
    """Where it is known before the program runs."""
    if isinstance(x, _Pending | jax.core.Tracer) or np.ndim(x):
        return None
    return float(x)
