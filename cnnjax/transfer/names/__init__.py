"""What others call the layers of our nets: a module a source, found by name, with its `TABLES`."""

import functools
import importlib
import pkgutil

from cnnjax.transfer.rules import Table


@functools.cache
def tables() -> tuple[Table, ...]:
    """Every table; sources that others build on first, then in the order of the alphabet."""
    found = [
        importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)
    ]
    found.sort(key=lambda module: (getattr(module, "RANK", 1), module.__name__))
    return tuple(table for module in found for table in getattr(module, "TABLES", ()))
