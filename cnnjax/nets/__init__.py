"""The architecture family. Each module here with a `NETS` table brings its nets by name."""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any

from cnnjax.errors import UserError, unknown


@functools.cache
def _builders() -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    for module in pkgutil.iter_modules(__path__):
        found |= getattr(importlib.import_module(f"{__name__}.{module.name}"), "NETS", {})
    return found


def names() -> list[str]:
    """The names that `get` knows, in the order of the alphabet."""
    return sorted(_builders())


def get(
    name: str,
    classes: int = 10,
    input_shape: tuple[int, int, int] | None = None,
    **axes: Any,
) -> Any:
    """The net of that name for `classes` and images of `input_shape` (H, W, C), each axis set.

    `name` may also point at a function of (classes, input_shape) elsewhere: `module:function` or
    `path/to/file.py:function`. Without `input_shape` the net is that of its paper. Axes: kernel,
    dilation, depth, stride, width, activation, norm, pooling, shortcut, padding and the others of
    `cnnjax.nets.vary`.

    Raises:
      UserError: an unknown name or axis, with the nearest match; a value out of range.
    """
    from cnnjax.nets import vary

    if not isinstance(classes, int) or classes < 1:
        raise UserError(f"classes: {classes!r} is out of range: a whole number from 1 up")
    build = _foreign(name) if ":" in name else _builders().get(name)
    if build is None:
        raise unknown("net", name, names())
    net = build(classes=classes, **({"input_shape": input_shape} if input_shape else {}))
    return vary.apply(net, **axes)


def native_shape(name: str) -> tuple[int, int, int]:
    """(H, W, C) of the images that the net of that name was made for.

    Raises:
      UserError: no such net, or a function that does not say.
    """
    return _native(name, "input_shape")


def native_classes(name: str) -> int:
    """How many classes the net of that name was made for.

    Raises:
      UserError: no such net, or a function that does not say.
    """
    return _native(name, "classes")


def _native(name: str, argument: str) -> Any:
    build = _foreign(name) if ":" in name else _builders().get(name)
    if build is None:
        raise unknown("net", name, names())
    default = inspect.signature(build).parameters[argument].default
    if default is inspect.Parameter.empty:
        raise UserError(f"{name} has no {argument} of its own: give one")
    return default


def _foreign(name: str) -> Callable[..., Any]:
    from cnnjax.extension import load_module

    where, _, function = name.rpartition(":")
    module = load_module(where)
    if not callable(getattr(module, function, None)):
        raise UserError(f"{where} has no function {function!r} that builds a net")
    return getattr(module, function)


__all__ = ["get", "names"]
