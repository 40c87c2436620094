"""A user's own experiment or net: a module by import path, or a file by its path."""

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from cnnjax.errors import UserError


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
