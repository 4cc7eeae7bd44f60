"""The floors of the house: which module may import which, read from the imports of them all.

Leaves know nobody; adapters know leaves; features know these and the features to their left; the
roof knows all. Only imports under `if TYPE_CHECKING`, which are names for types, and the guide's
names (`seidra/database/__init__.py`, `__getattr__`) stand outside of this.
"""

from __future__ import annotations

import ast
import graphlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import seidra

HOUSE = Path(seidra.__file__).parent

LEAVES = (
    "errors",
    "common_passwords",
    "parsers",
    "values",
    "folding",
    "config",
    "parameters",
    "prompts",
)
ADAPTERS = ("database", "files", "engines")
FEATURES = ("auth", "nsfw", "media", "jobs", "personas")
ROOF = (
    "start",
    "studio",
    "frontend",
    "platform",
    "library",
    "exchange",
    "operations",
    "cli",
    "server",
    "gunicorn_settings",
    "seidra",
)
"""`seidra` is the package's own module, which makes the app."""

_ORDER = (*LEAVES, *ADAPTERS, "web", *FEATURES)
MAY_IMPORT: dict[str, set[str]] = {
    **{name: set(LEAVES) for name in (*LEAVES, *ADAPTERS)},
    "web": {*LEAVES, "database", "files"},
    **{name: set(_ORDER[: _ORDER.index(name)]) for name in FEATURES},
    **{name: {*_ORDER, *ROOF} for name in ROOF},
}
"""What each part of the house may import, itself aside."""


def module_name(path: Path) -> str:
    parts = path.relative_to(HOUSE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES: dict[str, Path] = {module_name(path): path for path in sorted(HOUSE.rglob("*.py"))}
"""Every module of the house by its dotted name."""


def part_of(module: str) -> str:
    """The part that a module of the house belongs to: `seidra.web.edge` to `web`."""
    return module.split(".")[1] if "." in module else module


def run_imports(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports of a module that run, sooner or later."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from run_imports(ast.Module(node.orelse, []))
        elif not (isinstance(node, ast.FunctionDef) and node.name == "__getattr__"):
            yield from run_imports(node)


def imported(path: Path) -> set[str]:
    """The modules that a module imports, each by its dotted name; of others than ours too."""
    found = set()
    for node in run_imports(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            assert node.module, f"{path}: a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else node.module)
    return found


IMPORTS: dict[str, set[str]] = {module: imported(path) for module, path in MODULES.items()}


def within(names: set[str], *packages: str) -> set[str]:
    """Those of the modules that are one of the packages or lie in one."""
    return {name for name in names for top in packages if f"{name}.".startswith(f"{top}.")}


def parts_imported(module: str) -> set[str]:
    """The other parts of the house that a module imports."""
    ours = {part_of(name) for name in within(IMPORTS[module], "seidra")}
    return ours - {part_of(module)}


@pytest.mark.parametrize("module", MODULES)
def test_each_module_knows_only_what_lies_below_it(module: str) -> None:
    assert part_of(module) in MAY_IMPORT, "stands on no floor"
    assert parts_imported(module) <= MAY_IMPORT[part_of(module)]


@pytest.mark.parametrize("module", MODULES)
def test_the_driver_stands_in_the_database_alone(module: str) -> None:
    if part_of(module) != "database":
        assert not within(IMPORTS[module], "sqlite3", "psycopg", "aiosql", "yoyo")
    if part_of(module) in FEATURES:
        assert not within(IMPORTS[module], "seidra.database.sqlite")


@pytest.mark.parametrize("module", MODULES)
def test_flask_and_click_stand_where_requests_and_commands_are_answered(module: str) -> None:
    if part_of(module) in (*LEAVES, *ADAPTERS):
        assert not within(IMPORTS[module], "flask", "click", "flask_smorest", "marshmallow")
    if part_of(module) not in ("cli", *LEAVES, *ADAPTERS):
        assert not within(IMPORTS[module], "click")


def test_errors_are_plain_exceptions() -> None:
    tops = {name.partition(".")[0] for name in IMPORTS["seidra.errors"]}
    assert tops <= sys.stdlib_module_names


def test_no_two_parts_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for module in MODULES:
        graph.setdefault(part_of(module), set()).update(parts_imported(module))
    # A circle raises CycleError, which names it.
    assert list(graphlib.TopologicalSorter(graph).static_order())


def test_the_database_loads_nothing_of_what_stands_above_it() -> None:
    """Without the package's own module, which loads everything."""
    program = f"""
import json, sys, types
package = types.ModuleType("seidra")
package.__path__ = [{str(HOUSE)!r}]
sys.modules["seidra"] = package
import seidra.database
print(json.dumps(list(sys.modules)))
"""
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(json.loads(answer.stdout))
    assert "seidra.database.sqlite.connect" in loaded
    assert {part_of(name) for name in within(loaded, "seidra")} <= {"seidra", "database", *LEAVES}
    assert not within(loaded, "argon2", "yoyo", "flask", "click", "marshmallow", "PIL")


def test_the_guides_names_are_the_exception() -> None:
    """They are the only `__getattr__` of a module, and load `seidra.start` and nothing else."""
    holders = {
        module: node
        for module, path in MODULES.items()
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name == "__getattr__"
    }
    assert list(holders) == ["seidra.database"]
    (inside,) = run_imports(holders["seidra.database"])
    assert ast.unparse(inside) == "from seidra.start import service"
