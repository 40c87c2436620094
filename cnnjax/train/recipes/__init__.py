"""Recipes by name, as published: a module each with a `RECIPE`, whose docstring begins with what it
came to."""

import importlib
import pkgutil

from cnnjax.errors import unknown
from cnnjax.train.recipe import Recipe


def names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def get(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
      UserError: there is none, with the nearest one.
    """
    if name not in names():
        raise unknown("recipe", name, names())
    return importlib.import_module(f"{__name__}.{name}").RECIPE


def about() -> str:
    """The names, each with the first line of its docstring."""
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names()}
    return "; ".join(f"{name}: {m.__doc__.partition(chr(10))[0]}" for name, m in modules.items())
