"""Which experiments there are, read without importing them."""

import ast
import re
from pathlib import Path

from cnnjax.errors import UserError, unknown

_NAME = re.compile(r"[A-Za-z0-9_]+")


def questions(folder: Path) -> dict[str, str]:
    """Each experiment of the folder and the question on the first line of its docstring."""
    found = {}
    for path in sorted(folder.glob("*.py")):
        if not path.name.startswith("_"):
            doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
            found[path.stem] = first_line(doc or "")
    return found


def first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def find(name: str, folder: Path) -> Path:
    """The file of an experiment of the folder, or of the user's own by a path that ends in .py.

    Raises:
      UserError: no such experiment, with the nearest one; a path without .py.
    """
    if name.endswith(".py"):
        return Path(name)
    known = questions(folder)
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} is no experiment's name; a file of your own is given with its .py. "
            f"There are: {', '.join(known)}"
        )
    if name not in known:
        raise unknown("experiment", name, known)
    return folder / f"{name}.py"
