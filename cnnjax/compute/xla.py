"""What XLA says that a net costs, beside our own counts.

XLA's rules differ from the convention of papers: it counts FLOPs of everything, norms and
activations too, leaves out taps on padding, counts functions such as exp and tanh apart, and a
loop's body once however often it runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax.extend.core import JaxprEqn

from cnnjax.compute import inside_macs, macs, operations
from cnnjax.compute.flow import is_elementwise
from cnnjax.compute.forward import abstract_variables
from cnnjax.compute.spatial import DATA, IMAGE
from cnnjax.compute.trace import Trace, checked_batch, checked_shape, trace
from cnnjax.compute.walk import walk

if TYPE_CHECKING:
    import flax.linen as nn

# What XLA counts as transcendental operations instead of FLOPs.
_TRANSCENDENTAL = frozenset(
    {"atan2", "cbrt", "cos", "erf", "exp", "expm1", "log", "log1p", "logistic"}
    | {"pow", "rsqrt", "sin", "sqrt", "tan", "tanh"}
)


@dataclass(frozen=True)
class FlopCount:
    """FLOPs of one image in inference, ours and XLA's.

    Attributes:
      conventional: 2 · MACs of convolutions and dense layers, as papers count (see `macs`).
      padding: of these, on taps outside the map, which XLA leaves out (see `inside_macs`).
      around: elementwise operations (norms, activations, bias, shortcuts), pooling and means, which
        XLA counts: one for each output element, or one for each element but the first of a sum.
      xla: XLA's own count, of the program before its optimisation.
    """

    conventional: int
    padding: int
    around: int
    xla: float

    @property
    def inside(self) -> int:
        """2 · MACs whose tap falls inside the map."""
        return self.conventional - self.padding

    @property
    def unexplained(self) -> float:
        """What XLA counts beyond MACs inside the map and what is around them."""
        return self.xla - self.inside - self.around

    def __str__(self) -> str:
        rows = [
            (f"{self.conventional:,}", "2 · MACs of convolutions and dense layers"),
            (f"{-self.padding:,}", "taps on padding, which XLA leaves out"),
            (f"{self.around:+,}", "norms, activations, bias, shortcuts and pooling, no MACs"),
            (f"{self.unexplained:+,.0f}", "the rest: functions that XLA writes out, loops"),
            (f"{self.xla:,.0f}", "FLOPs by XLA's count"),
        ]
        width = max(len(number) for number, _ in rows)
        return "\n".join(f"{number:>{width}}  {what}" for number, what in rows)


def compare_flops(net: "nn.Module", input_shape: Sequence[int]) -> FlopCount:
    """Our FLOPs of one image (H, W, C) in inference beside XLA's; printed, it says what differs.

    Lowers the program and compiles nothing.

    Raises:
      UserError: an input shape that is not (H, W, C), or too small for the net.
    """
    traced = trace(net, input_shape)
    conventional = 2 * macs.total(traced)
    inside = 2 * inside_macs.total(traced)
    lowered = _forward(net).lower(*_arguments(net, traced.input_shape, 1))
    counted = float(lowered.cost_analysis()["flops"])
    return FlopCount(conventional, conventional - inside, _around(traced), counted)


def temp_memory(net: "nn.Module", input_shape: Sequence[int], batch_size: int = 1) -> int:
    """Bytes that XLA's compiled inference on a batch [batch_size, H, W, C] needs beside weights,
    images and logits, on this machine's device: its own `activation_memory`. Compiles: seconds.

    Raises:
      UserError: an input shape that is not (H, W, C), or a batch size below 1.
    """
    arguments = _arguments(net, checked_shape(input_shape), checked_batch(batch_size))
    return _forward(net).lower(*arguments).compile().memory_analysis().temp_size_in_bytes


def _forward(net: "nn.Module"):
    return jax.jit(lambda variables, images: net.apply(variables, images, train=False))


def _arguments(net: "nn.Module", shape: tuple[int, int, int], batch_size: int) -> tuple:
    images = jax.ShapeDtypeStruct((batch_size, *shape), jnp.float32)
    return abstract_variables(net, shape), images


def _around(traced: Trace) -> int:
    inputs = [DATA] * (len(traced.program.in_avals) - 1) + [IMAGE]
    _, steps = walk(traced.program, inputs)
    return sum(step.times * _flops(step.eqn) for step in steps if not step.is_operation)


def _flops(eqn: JaxprEqn) -> int:
    """By XLA's rules, of an equation that is no convolution or dense layer."""
    name, out = eqn.primitive.name, eqn.outvars[0].aval.size
    if operations.is_operation(eqn):  # One that extracts patches.
        return 2 * inside_macs.inside_macs(eqn)
    if name.startswith("reduce_window"):
        return out * (prod(eqn.params["window_dimensions"]) - 1)
    if name.startswith("reduce_") and "axes" in eqn.params:
        return eqn.invars[0].aval.size - out
    return out if is_elementwise(eqn) and name not in _TRANSCENDENTAL else 0
