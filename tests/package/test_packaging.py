"""What the package is made of: the order of its imports, its public names, and what importing it costs."""

from __future__ import annotations

import ast
import copy
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from importlib.resources import files
from importlib.util import resolve_name
from pathlib import Path

import pytest

import aidp_sessions

PACKAGE = Path(aidp_sessions.__file__).parent
ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}

# A room (a folder, or a file beside the folders) imports only from rooms that stand before it.
ROOMS = (
    *("_version", "_checks", "_iteration", "_merge", "errors", "models", "activity", "policies", "events"),
    *("endpoints", "_convert", "_display", "results", "auth", "_operations", "_transport", "streams"),
    *("principals", "_options", "_api", "culling", "_opening", "_platform", "client", "otel", "__init__"),
    *("testing", "cli", "__main__"),
)
IMPORT_NOTHING_OF_OURS = {
    *("_version", "_checks", "_iteration", "errors", "models"),
    *("_transport.limiter", "_transport.pacer"),
}
IMPORTERS = {
    "aiohttp": {"_transport", "testing"},
    "backoff": {"policies"},
    "cattrs": {"_convert.strict", "_convert.documents"},
    "click": {"cli"},
    "cryptography": {"auth.keys", "auth.certificates", "testing"},
    "jmespath": {"cli.shaping"},
    "msgspec": {"_convert.fast"},
    "opentelemetry": {"otel"},
    "pytest": {"testing.pytest_plugin"},
    "pytest_asyncio": {"testing.pytest_plugin"},
    "rich": {"cli.report", "cli.tables", "cli.progress", "cli.live"},
    "yarl": {"_transport.exchange", "_transport.fetch"},
}
OPTIONAL = {"click", "jmespath", "opentelemetry", "pytest", "pytest_asyncio", "rich", "yarl"}
"""Behind an extra, installed by the users of our fixtures, or part of aiohttp."""
MAY_READ_FILES = {"auth.atomic_file", "auth.config", "auth.files", "_display.page", "cli.output"}
"""The last two read the page's style and script, which are files of the package, and open the null device."""
READS_DISK_OR_ENVIRONMENT = {"open", "read_text", "read_bytes", "expanduser", "stat", "environ", "getenv"}


class _WithoutTypes(ast.NodeTransformer):
    """Leaves out what stands below ``if TYPE_CHECKING``."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:  # the name that `ast` calls
        return node.orelse if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


def imports(tree: ast.AST, package: str = "") -> set[str]:
    """Return the absolute name of everything that *tree* imports, in functions and for type checkers too."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def module_of(target: str) -> str:
    """Return the module that *target* names: itself, or the one that defines it."""
    path = target.split(".")[1:]
    candidates = [".".join([*path[:end], *tail]) for end in (len(path), -1) for tail in ((), ("__init__",))]
    return next(candidate for candidate in candidates if candidate in MODULES)


def modules_imported_by(name: str) -> set[str]:
    package = ".".join(["aidp_sessions", *name.split(".")[:-1]])
    targets = imports(MODULES[name], package)
    return {module_of(target) for target in targets if room(target) == "aidp_sessions"} - {name}


def room(name: str) -> str:
    return name.partition(".")[0]


IMPORTS = {name: modules_imported_by(name) for name in MODULES}


def test_no_modules_import_each_other_in_a_circle() -> None:
    TopologicalSorter(IMPORTS).prepare()  # raises CycleError


@pytest.mark.parametrize("name", MODULES)
def test_a_room_imports_only_from_rooms_before_it(name: str) -> None:
    position = ROOMS.index(room(name))

    assert {room(other) for other in IMPORTS[name]} <= set(ROOMS[: position + 1])


@pytest.mark.parametrize("name", sorted(IMPORT_NOTHING_OF_OURS))
def test_modules_at_the_bottom_import_nothing_of_the_package(name: str) -> None:
    assert IMPORTS[name] == set()


@pytest.mark.parametrize(
    ("importer", "unknown"),
    [
        ("streams", {"_transport", "_operations", "_convert", "endpoints", "auth"}),
        ("culling", {"_transport", "_operations", "endpoints", "auth"}),
    ],
)
def test_streams_and_culling_know_no_transport(importer: str, unknown: set[str]) -> None:
    known = {room(other) for name in MODULES if room(name) == importer for other in IMPORTS[name]}

    assert known & unknown == set()


def test_only_the_command_imports_the_local_service() -> None:
    importers = {name for name in MODULES if any(room(other) == "testing" for other in IMPORTS[name])}

    assert {name for name in importers if room(name) != "testing"} == {"cli.queries"}


def test_benchmarks_import_nothing_from_the_tests() -> None:
    programs = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "benchmarks").glob("*.py")]
    imported = {room(target) for program in programs for target in imports(program, "benchmarks")}

    assert "aidp_sessions" in imported
    assert "tests" not in imported


@pytest.mark.parametrize("name", MODULES)
def test_each_dependency_is_imported_in_few_places(name: str) -> None:
    """Imports for type checkers are allowed everywhere."""
    tree = _WithoutTypes().visit(copy.deepcopy(MODULES[name]))
    libraries = {room(target) for target in imports(tree, "aidp_sessions.x.y")} - sys.stdlib_module_names
    allowed = {library for library, places in IMPORTERS.items() if name in places or room(name) in places}

    assert libraries <= allowed | {"attrs", "aidp_sessions"}


@pytest.mark.parametrize("name", [name for name in MODULES if name not in MAY_READ_FILES and room(name) != "testing"])
def test_only_the_configuration_reads_disk_or_environment(name: str) -> None:
    nodes = list(ast.walk(MODULES[name]))
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    called = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}

    assert used & READS_DISK_OR_ENVIRONMENT == set()
    assert "open" not in called


def test_the_package_has_at_most_20_files_outside_its_folders() -> None:
    assert len([path for path in PACKAGE.iterdir() if path.is_file()]) <= 20


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_at_most_300_lines_and_the_client_350(name: str) -> None:
    path = PACKAGE.joinpath(*name.split(".")).with_suffix(".py")

    assert len(path.read_text(encoding="utf-8").splitlines()) <= (350 if name == "client" else 300)


def test_at_most_ten_imports_are_inside_functions() -> None:
    inside = [
        f"{name}:{node.lineno}"
        for name, tree in MODULES.items()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]

    assert len(set(inside)) <= 10, inside


def test_all_is_sorted_and_has_every_public_name_once() -> None:
    tree = MODULES["__init__"]
    imported = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}

    assert aidp_sessions.__all__ == sorted(imported)


def test_every_error_can_be_caught_by_name() -> None:
    defined = {node.name for node in MODULES["errors"].body if isinstance(node, ast.ClassDef)}

    assert defined <= set(aidp_sessions.__all__)


def test_importing_the_package_loads_no_extra_no_sdk_and_no_server() -> None:
    unwanted = {"click", "jmespath", "rich", "oci", "requests", "opentelemetry", "pytest", "uvloop"}
    unwanted |= {"aidp_sessions.testing", "aidp_sessions._display.html"}

    assert printed(f"import sys, aidp_sessions; print(sorted({unwanted!r} & sys.modules.keys()))") == "[]\n"


def test_what_calls_and_failures_need_is_imported_with_the_first_client() -> None:
    """Not with the package, and not at a failure, when no file descriptor may be left; keys need `cryptography`."""
    libraries = {"msgspec", "cattrs", "cryptography", "backoff"}
    program = f"""
import sys, aidp_sessions
print(sorted({libraries!r} & sys.modules.keys()))
class Unused(aidp_sessions.Signer): pass
aidp_sessions.SessionsClient("ocid1.aidataplatform.oc1.iad.a", signer=Unused())
print(sorted({libraries!r} & sys.modules.keys()))
"""

    assert printed(program) == "[]\n['backoff', 'cattrs', 'msgspec']\n"


@pytest.mark.parametrize(
    "signer",
    [
        "InstancePrincipalSigner(environ={})",
        "OkeWorkloadIdentitySigner(host='h', environ={})",
        "ResourcePrincipalSigner(session_token='/t', private_key='/k', environ={})",
    ],
)
def test_a_signer_imports_all_it_needs_when_it_is_created(signer: str) -> None:
    """Later there may be no file descriptor left to import with."""
    program = f"""
import asyncio, sys, aidp_sessions
async def failing(*_): raise OSError
signer = aidp_sessions.{signer}
signer._fetch = failing
before = set(sys.modules)
try:
    asyncio.run(signer.sign(aidp_sessions.SigningRequest("GET", "h", "/", "d")))
except aidp_sessions.AidpError:
    print(sorted(set(sys.modules) - before))
"""

    assert printed(program) == "[]\n"


def printed(program: str) -> str:
    """Run *program* in a new interpreter, with warnings as errors; return what it prints."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={"PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("name", ["py.typed", "_display/report.css", "_display/report.html", "_display/report.js"])
def test_files_beside_the_modules_are_shipped(name: str) -> None:
    assert files(aidp_sessions).joinpath(name).is_file()


def test_every_dependency_is_imported_somewhere_and_has_a_lower_bound() -> None:
    required = [re.fullmatch(r"([a-z]+)>=[0-9.]+", line) for line in PYPROJECT["project"]["dependencies"]]

    assert {found and found[1] for found in required} == {*IMPORTERS, "attrs"} - OPTIONAL


def test_the_extras_are_the_documented_ones() -> None:
    assert PYPROJECT["project"]["optional-dependencies"].keys() == {"cli", "otel", "docs", "test", "bench", "dev"}


@pytest.mark.parametrize(
    "commands",
    [
        "python -m pip install '.[cli]' && aidp-sessions idle --since 2h --demo",
        "python -m pip install '.[test]' && python -m pytest",
    ],
)
def test_ci_runs_the_commands_of_the_readme(commands: str) -> None:
    assert commands in (ROOT / "README.md").read_text(encoding="utf-8")
    assert commands in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
