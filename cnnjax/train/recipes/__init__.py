"""Recipes by name, as published: a module each with a `RECIPE`, whose docstring begins with what it
came to."""

import sys

from cnnjax import extension
from cnnjax.train.recipe import Recipe


def get(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
      UserError: there is none, with the nearest one.
    """
    return extension.named(sys.modules[__name__], name, "recipe").RECIPE


def about() -> str:
    """The names, each with the first line of its docstring."""
    here = sys.modules[__name__]
    modules = {name: extension.named(here, name, "recipe") for name in extension.names(here)}
    return "; ".join(f"{name}: {m.__doc__.partition(chr(10))[0]}" for name, m in modules.items())
