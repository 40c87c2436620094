"""What a net costs, read off the traced program.

A measure is a module here that has `UNIT`, `total(trace)` and `per_layer(trace)`; it is found by
its name, and a new one is one new file. `measure` reads them all off one trace, in well under a
second. What compiles or runs something is a function of its own: `compare_flops`, `temp_memory`,
`train_memory`, `effective_field`, `gradient_flow`, `see`. JAX is imported when something is traced,
not before.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cnnjax.errors import unknown

if TYPE_CHECKING:
    import flax.linen as nn

    from cnnjax.compute.trace import Trace

_WHERE = {
    "compare_flops": "xla",
    "temp_memory": "xla",
    "train_memory": "backward",
    "effective_field": "effective",
    "gradient_flow": "gradients",
    "see": "seen",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)


def measures() -> dict[str, ModuleType]:
    """The modules that measure a trace, by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    return {n: m for n, m in modules.items() if hasattr(m, "UNIT") and hasattr(m, "total")}


def units() -> dict[str, str]:
    """The unit of each measure."""
    return {name: module.UNIT for name, module in measures().items()}


def measure(net: nn.Module, input_shape: Sequence[int]) -> dict[str, Any]:
    """All measures of a net on images of shape (H, W, C), as plain numbers by name.

    Raises:
      UserError: an input shape that is not (H, W, C), or too small for the net.
    """
    from cnnjax.compute.trace import trace

    traced = trace(net, input_shape)
    return {name: module.total(traced) for name, module in measures().items()}


def total(net: nn.Module, input_shape: Sequence[int], name: str) -> Any:
    """One of the measures of a net on images of shape (H, W, C).

    Raises:
      UserError: as `measure`, or there is no such measure.
    """
    from cnnjax.compute.trace import trace

    found = measures()
    if name not in found:
        raise unknown("measure", name, found)
    return found[name].total(trace(net, input_shape))


def layers(traced: Trace) -> list[dict[str, Any]]:
    """A row a layer of plain data; see `cnnjax.compute.table.layers`."""
    from cnnjax.compute import table

    return table.layers(traced)


def summary(net: nn.Module, input_shape: Sequence[int]) -> str:
    """The per-layer table of a net as text, totals at the bottom.

    Raises:
      UserError: an input shape that is not (H, W, C), or too small for the net.
    """
    from cnnjax.compute import table
    from cnnjax.compute.trace import trace

    return table.summary(trace(net, input_shape))


def train_step_macs(
    net: nn.Module,
    input_shape: Sequence[int],
    batch_size: int,
    frozen: frozenset[str] = frozenset(),
) -> int:
    """MACs of one training step; see `cnnjax.compute.train_macs`."""
    from cnnjax.compute import train_macs

    return train_macs.train_step_macs(net, input_shape, batch_size, frozen)
