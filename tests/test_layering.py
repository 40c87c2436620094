"""The house's order, read from the imports: one way, without cycles, in modules that fit a head."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = [*sorted(ROOT.glob("cnnjax/**/*.py")), *sorted(ROOT.glob("experiments/*.py"))]
FILES += [path for path in [ROOT / "launch.py"] if path.exists()]

# What each part stands on directly; what lies below that it may import too.
STANDS_ON = {
    "errors": [],
    "signals": [],
    "values": ["errors"],
    "extension": ["errors"],
    "nets": ["values", "extension"],
    "data": ["values", "extension", "signals"],
    "compute": ["nets"],
    "train": ["compute", "data"],
    "transfer": ["train"],  # The project's own runs are a source of weights too.
    "study": ["transfer"],
    "peers": ["study"],  # Other frameworks' versions of our nets, which the benchmark imports.
    "report": ["study"],
    "api": ["report"],
    "cnnjax": ["api"],  # The package's own __init__.
    "cli": ["cnnjax"],
    "experiments": ["cnnjax", "peers"],
    "launch": ["cli", "cnnjax"],
}
DEVICES = {"jax", "jaxlib", "flax", "optax", "orbax"}  # The report reads results and nothing else.
HEAVY = DEVICES | {"tensorflow_datasets", "sklearn", "scipy", "altair", "PIL", "h5py"}


def module(path: Path) -> str:
    """The dotted name of a file below the root; a package's for its `__init__.py`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(path): path for path in FILES}


def part(name: str) -> str:
    """`nets` for `cnnjax.nets.vgg`, `experiments` for `experiments.depth`."""
    top, *rest = name.split(".")
    return rest[0] if top == "cnnjax" and rest else top


def below(name: str) -> set[str]:
    """Everything that a part may import beside itself."""
    return {lower for direct in STANDS_ON[name] for lower in {direct, *below(direct)}}


def imports(tree: ast.AST, name: str, package: bool = False) -> Iterator[str]:
    """The dotted names that a module imports, those inside functions and `import_module` too."""
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                up = name.split(".")[: None if package else -1]
                up = up[: len(up) - (node.level - 1)] if node.level else []
                base = [*up, *([node.module] if node.module else [])]
                yield from (".".join([*base, alias.name]) for alias in node.names)
            case ast.Call(func=ast.Name("import_module") | ast.Attribute(attr="import_module")):
                match node.args[:1]:
                    case [ast.Constant(str(text))]:
                        yield text
                    case [ast.JoinedStr([ast.Constant(str(text)), *_])]:
                        yield text.rstrip(".")


def known(name: str) -> str | None:
    """The project's module that an imported name is or stands in; None for others' modules."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or None


def _imports_of(name: str) -> set[str]:
    path = MODULES[name]
    return set(imports(ast.parse(path.read_text("utf-8")), name, path.name == "__init__.py"))


def _graph() -> dict[str, set[str]]:
    found = {name: {known(target) for target in _imports_of(name)} for name in MODULES}
    return {name: targets - {None, name} for name, targets in found.items()}


def test_every_part_has_its_place():
    parts = {part(name) for name in MODULES}
    assert parts - {*STANDS_ON} == set(), "say in STANDS_ON what the new part may import"


def test_imports_point_one_way():
    wrong = [
        f"{name} imports {target}"
        for name, targets in _graph().items()
        for target in sorted(targets)
        if part(target) not in {part(name), *below(part(name))}
    ]
    assert wrong == []


def test_no_cycles():
    try:
        graphlib.TopologicalSorter(_graph()).prepare()
    except graphlib.CycleError as e:
        pytest.fail(" → ".join(reversed(e.args[1])))


def test_report_reads_results_without_jax():
    wrong = [
        f"{name} imports {target}"
        for name in MODULES
        if part(name) == "report"
        for target in _imports_of(name)
        if target.split(".")[0] in DEVICES
    ]
    assert wrong == []


def test_modules_fit_in_the_head():
    lines = {name: len(path.read_text("utf-8").splitlines()) for name, path in MODULES.items()}
    assert {name: count for name, count in lines.items() if count > 300} == {}


@pytest.mark.parametrize("name", ["cnnjax", "launch"])
def test_import_is_light(name: str):
    code = f"import sys, {name}; print(*{HEAVY!r} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [], "")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import a.b, c", {"a.b", "c"}),
        ("from cnnjax import values", {"cnnjax.values"}),
        ("from . import net", {"cnnjax.nets.net"}),
        ("from ..data.cache import load", {"cnnjax.data.cache.load"}),
        ("def f():\n    from flax import linen", {"flax.linen"}),
        ("import_module('cnnjax.study')", {"cnnjax.study"}),
        ("importlib.import_module(f'cnnjax.data.{name}')", {"cnnjax.data"}),
        ("importlib.import_module(name)", set()),
    ],
)
def test_imports_are_found(source: str, expected: set[str]):
    assert set(imports(ast.parse(source), "cnnjax.nets.vgg")) == expected


def test_relative_imports_of_a_package_start_in_it():
    tree = ast.parse("from .net import Net")
    assert set(imports(tree, "cnnjax.nets", package=True)) == {"cnnjax.nets.net.Net"}
