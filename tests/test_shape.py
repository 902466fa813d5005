"""The architecture, held to what ARCHITECTURE.md says of it: the tree, its floors, its names.

`make floors` checks who imports whom; here stands what a linter does not know.
"""

import ast
import functools
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from proxy.dialect import Dialect
from proxy.processor import Processor
from proxy.registry import FAMILIES
from proxy.token import Token
from proxy.url import Url

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "proxy"
UNIT = ROOT / "tests" / "unit"
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
UNIT_TESTS = sorted(path.relative_to(UNIT).as_posix() for path in UNIT.rglob("test_*.py"))

MAX_LINES = 400
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}

CONTRACTS = {"processors": Processor, "dialects": Dialect, "tokens": Token, "urls": Url}

SANS_IO = {"errors.py", "units.py", "headers.py", "exchange.py", "dialect.py", "router.py"}
"""With the folders `framing` and `dialects`: what can neither read, nor write, nor wait."""

END_TO_END = {
    "admin/__init__.py",
    "cli/serve.py",
    "downstream.py",
    "front.py",
    "handshake.py",
    "mock/server.py",
    "request.py",
    "server.py",
    "sockets.py",
    "supervisor/__init__.py",
    "supervisor/crew.py",
    "supervisor/process.py",
    "supervisor/sockets.py",
    "takeover.py",
    "testing/connection.py",
    "testing/secured.py",
    "testing/upstream.py",
    "transport.py",
}
"""The edges: nothing of them is left without sockets or processes, so tests/e2e tests them."""

NAMED_APART = {"cli/init.py": "cli/test_init_verb.py"}
"""A module whose tests would have the name of those of its package's `__init__`."""


@functools.cache
def tree(module: str) -> ast.Module:
    return ast.parse((PACKAGE / module).read_text("utf-8"))


def modules_of(folder: str) -> list[str]:
    return [module for module in MODULES if module.startswith(f"{folder}/")]


def test_a_module_that_grows_too_long_is_split() -> None:
    lines = {module: (PACKAGE / module).read_text("utf-8").count("\n") for module in MODULES}

    assert {module: number for module, number in lines.items() if number > MAX_LINES} == {}


def test_a_module_says_in_its_first_line_what_it_is() -> None:
    first = {module: (ast.get_docstring(tree(module)) or "").split("\n")[0] for module in MODULES}

    assert {module: line for module, line in first.items() if not line.endswith((".", ":"))} == {}


def test_a_module_is_named_for_what_is_in_it() -> None:
    parts = {module: Path(module).with_suffix("").parts for module in MODULES}
    words = {module: {part.strip("_") for part in parts[module]} for module in MODULES}

    assert [module for module in MODULES if words[module] & FORBIDDEN_NAMES] == []


@pytest.mark.parametrize(
    "module", sorted({*SANS_IO, *modules_of("framing"), *modules_of("dialects")})
)
def test_what_is_sans_io_cannot_wait(module: str) -> None:
    """A protocol may say that somebody else waits: an `async def` of a docstring alone."""
    waits = (ast.Await, ast.AsyncFor, ast.AsyncWith)
    for node in ast.walk(tree(module)):
        where = f"{module}:{getattr(node, 'lineno', 0)}"
        assert not isinstance(node, waits), where
        assert not isinstance(node, ast.AsyncFunctionDef) or _only_declares(node), where
        if isinstance(node, ast.Import):
            imported = {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported = {(node.module or "").partition(".")[0]}
        else:
            continue
        assert not imported & {"asyncio", "socket", "threading", "selectors"}, where


def entry_points(family: str) -> dict[str, str]:
    """The family's entry points: their values by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found: dict[str, str] = project["entry-points"][f"llm_proxy.{family}"]
    return found


def test_every_family_has_a_folder_a_contract_and_entry_points() -> None:
    assert set(CONTRACTS) == set(FAMILIES)
    for family, kind in FAMILIES.items():
        assert f"{family}/__init__.py" in MODULES
        assert CONTRACTS[family].__module__ == f"proxy.{kind}"
        assert entry_points(family)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_member_of_a_family_has_an_entry_point(family: str) -> None:
    # A member is a module of the folder, or a folder in it that has several.
    members = {
        f"{family}.{Path(module).parts[1].removesuffix('.py')}"
        for module in modules_of(family)
        if not Path(module).parts[1].startswith("_")
    }
    offered = {value.partition(":")[0] for value in entry_points(family).values()}

    assert offered == {f"proxy.{member}" for member in members}


@pytest.mark.parametrize(
    ("family", "name"), [(family, name) for family in FAMILIES for name in entry_points(family)]
)
def test_every_entry_point_is_a_class_of_its_family(family: str, name: str) -> None:
    loaded = EntryPoint(name, entry_points(family)[name], f"llm_proxy.{family}").load()

    assert issubclass(loaded, CONTRACTS[family])
    if family == "dialects":
        assert loaded().name == name


def unit_test_of(module: str) -> str:
    """Where the unit tests of a module are: tests/unit mirrors the package."""
    path = Path(module)
    name = {"__init__": "init", "__main__": "main"}.get(path.stem, path.stem)
    return NAMED_APART.get(module, (path.parent / f"test_{name}.py").as_posix())


def test_every_module_has_its_unit_tests_but_the_edges() -> None:
    needed = {module for module in MODULES if not _only_declares(tree(module))} - END_TO_END

    assert sorted(module for module in needed if unit_test_of(module) not in UNIT_TESTS) == []


def test_no_exemption_is_out_of_date() -> None:
    for module in END_TO_END:
        assert module in MODULES
        assert unit_test_of(module) not in UNIT_TESTS, "it has unit tests after all"


def test_every_unit_test_is_that_of_a_module() -> None:
    mirrored = {unit_test_of(module) for module in MODULES}
    mine = {path for path in UNIT_TESTS if not path.startswith("bench/")}

    assert sorted(mine - mirrored) == []


def test_a_unit_test_never_sleeps() -> None:
    sleeps = [
        f"{path}:{node.lineno}: {ast.unparse(node)}"
        for path in (*UNIT_TESTS, "conftest.py")
        for node in ast.walk(ast.parse((UNIT / path).read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("asyncio.sleep", "time.sleep")
    ]

    assert [call for call in sleeps if not call.endswith(": asyncio.sleep(0)")] == []


def _only_declares(node: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether nothing happens in it: a docstring, or functions that are one, or a constructor."""
    if isinstance(node, ast.Module):
        functions = [
            each
            for each in ast.walk(node)
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name != "__init__"
        ]
        return all(map(_only_declares, functions))
    return all(
        isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) for each in node.body
    )
