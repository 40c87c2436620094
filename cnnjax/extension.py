"""Modules by name: those of a package of ours, and a user's own by import path or file."""

import hashlib
import importlib
import importlib.util
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

from cnnjax.errors import UserError, unknown


def names(package: ModuleType) -> list[str]:
    """The modules of a package, in order."""
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def named(package: ModuleType, name: str, what: str) -> ModuleType:
    """The module of that name in a package; `what` it is called in the message.

    Raises:
      UserError: there is none, with the nearest name.
    """
    if name not in names(package):
        raise unknown(what, name, names(package))
    return importlib.import_module(f"{package.__name__}.{name}")


def load_module(where: str, name: str | None = None) -> ModuleType:
    """The module at `package.module` or `path/to/file.py`, imported once; a file under `name` where
    another process knows its types by that.

    Raises:
      UserError: there is no such module or file, or it can't be imported (the reason in one line).
    """
    try:
        if not where.endswith(".py"):
            return importlib.import_module(where)
        path = Path(where).expanduser().resolve()
        if not path.is_file():
            raise UserError(f"there is no file {where}")
        if (loaded := sys.modules.get(path.stem)) and getattr(loaded, "__file__", "") == str(path):
            return loaded
        # A taken name gets a digest that stays: types are known by their module's name.
        digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
        name = name or (f"{path.stem}_{digest}" if path.stem in sys.modules else path.stem)
        if name in sys.modules:
            return sys.modules[name]
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # Before running it: dataclasses look their module up there.
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module
    except UserError:
        raise
    except Exception as e:
        raise UserError(f"can't import {where}: {type(e).__name__}: {e}") from e
