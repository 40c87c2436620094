"""What .ci/run runs on a second Python is something of everything."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Their modules are found by name, and no test imports them.
FOUND = {"cnnjax.transfer.formats"}


def listed() -> list[str]:
    script = (ROOT / ".ci" / "run").read_text()
    return re.search(r"^elsewhere=\((.*?)^\)", script, re.MULTILINE | re.DOTALL)[1].split()


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_the_tests_of_another_python_are_there_and_reach_every_package():
    names = {name for file in listed() for name in imported(ROOT / file)}
    folders = (path.parent for path in (ROOT / "cnnjax").rglob("__init__.py"))
    packages = {".".join(path.relative_to(ROOT).parts) for path in folders} - FOUND
    assert len(packages) > 10
    reached = {p for p in packages if any(n == p or n.startswith(f"{p}.") for n in names)}
    assert packages - reached == set()
