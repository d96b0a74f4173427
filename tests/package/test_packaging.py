"""What the package is made of: the walls between its modules, its public names, and what importing it costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import aidp_sessions

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(aidp_sessions.__file__).parent
ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NAMES = sorted(".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in PACKAGE.rglob("*.py"))

# A room (a folder, or a file beside the folders) imports only from rooms that stand before it.
ROOMS = (
    *("_version", "errors", "models", "activity", "policies", "events", "endpoints", "_iteration", "_merge"),
    *("_convert", "_display", "results", "auth", "_operations", "_transport", "streams", "culling"),
    *("principals", "_options", "_api", "client", "otel", "__init__", "testing", "cli", "__main__"),
)
# The same inside each folder, for the folders whose files import one another.
FILES = {
    "_convert": ("wire_format", "limits", "scanning", "strict", "fast", "documents", "codec", "incremental"),
    "_display": ("text", "html"),
    "auth": (
        *("atomic_file", "secrets", "keys", "certificates", "threads", "signing", "token"),
        *("files", "config", "proxies", "regions"),
    ),
    "_operations": ("encoding", "messages", "redaction", "failures", "listings", "generic", "buffering"),
    "_transport": (
        *("limiter", "pacer", "exceptions", "connector", "inflate", "pool"),
        *("observer", "exchange", "call", "fetch"),
    ),
    "streams": ("keys", "changes", "stream"),
    "culling": ("policy", "plan"),
    "principals": (
        *("token_service", "refresh", "api_key", "session_token", "instance", "resource", "oke", "delegation"),
        *("oci_adapter", "factories", "settings"),
    ),
    "testing": ("_service", "factories", "clock", "principals", "service", "demo", "__init__", "pytest_plugin"),
    "cli": ("output", "options", "report", "running", "queries", "tables", "formats", "progress", "live", "commands"),
}
ON_THEIR_OWN = {"_version", "errors", "models", "_iteration", "_transport.limiter", "_transport.pacer"}
UNKNOWN_TO_STREAMS = {"_transport", "_operations", "_convert", "endpoints", "auth"}
DOORS = {
    "aiohttp": {"_transport", "testing"},
    "backoff": {"policies"},
    "cattrs": {"_convert.strict", "_convert.documents"},
    "click": {"cli.options", "cli.output", "cli.queries", "cli.commands"},
    "cryptography": {"auth.keys", "auth.certificates", "testing"},
    "msgspec": {"_convert.fast"},
    "opentelemetry": {"otel"},
    "pytest": {"testing.pytest_plugin"},
    "pytest_asyncio": {"testing.pytest_plugin"},
    "rich": {"cli.report", "cli.tables", "cli.progress", "cli.live"},
    "yarl": {"_transport.exchange", "_transport.fetch"},
}
OPTIONAL = {"click", "opentelemetry", "pytest", "pytest_asyncio", "rich", "yarl"}
"""Behind an extra, brought along by whoever wants fixtures, or part of aiohttp."""
MAY_READ_FILES = {"auth.atomic_file", "auth.config", "auth.files", "_display.html", "cli.output"}
"""The last two read the page's style and script, which are files of the package, and open the null device."""
READS_DISK_OR_ENVIRONMENT = {"open", "read_text", "read_bytes", "expanduser", "stat", "environ", "getenv"}


def module(name: str) -> ast.Module:
    return ast.parse((PACKAGE / Path(*name.split("."))).with_suffix(".py").read_text(encoding="utf-8"))


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk what runs: annotations' imports behind ``TYPE_CHECKING`` do not."""
    yield tree
    if isinstance(tree, ast.If) and isinstance(tree.test, ast.Name) and tree.test.id == "TYPE_CHECKING":
        children: list[ast.stmt] = tree.orelse
    else:
        children = list(ast.iter_child_nodes(tree))  # type: ignore[arg-type]  # any node will do
    for child in children:
        yield from nodes(child)


def imports(name: str) -> tuple[set[str], set[str]]:
    """Return the modules of the package and the other top-level packages that *name* imports when it runs."""
    inside: set[str] = set()
    outside: set[str] = set()
    for node in nodes(module(name)):
        if isinstance(node, ast.Import):
            outside |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            outside.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            inside |= set(targets(name, node))
    return inside, outside - sys.stdlib_module_names - {"aidp_sessions"}


def targets(importer: str, node: ast.ImportFrom) -> Iterator[str]:
    """Resolve a relative import: ``from . import config`` names modules, ``from .config import x`` names one."""
    base = importer.split(".")[: -node.level]
    for alias in node.names:
        parts = [*base, *(node.module.split(".") if node.module else [alias.name])]
        yield next(found for found in (".".join(parts), ".".join([*parts, "__init__"])) if found in NAMES)


def room(name: str) -> str:
    return name.partition(".")[0]


def place(name: str) -> tuple[int, int]:
    """Where *name* stands: its room's place, and its own inside that room."""
    folder, _, file = name.partition(".")
    inside = FILES.get(folder, ())
    return ROOMS.index(folder), inside.index(room(file)) if room(file) in inside else -1


@pytest.mark.parametrize("name", NAMES)
def test_imports_run_one_way(name: str) -> None:
    inside, _ = imports(name)

    later = {other for other in inside if place(other) > place(name)}

    assert later == set()
    assert name not in ON_THEIR_OWN or inside == set()


def test_streams_know_no_transport() -> None:
    inside = {other for name in NAMES if room(name) == "streams" for other in imports(name)[0]}

    assert {room(other) for other in inside} & UNKNOWN_TO_STREAMS == set()


def test_culling_knows_no_transport() -> None:
    inside = {other for name in NAMES if room(name) == "culling" for other in imports(name)[0]}

    assert {room(other) for other in inside} & {"_transport", "_operations", "endpoints", "auth"} == set()


def test_only_the_command_imports_the_local_service() -> None:
    importers = {name for name in NAMES if any(other.startswith("testing") for other in imports(name)[0])}

    assert {name for name in importers if room(name) != "testing"} == {"cli.queries"}


def test_benchmarks_import_nothing_from_the_tests() -> None:
    programs = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "benchmarks").glob("*.py")]
    imported = {
        name
        for node in (node for program in programs for node in ast.walk(program))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }

    assert programs
    assert {name for name in imported if room(name) == "tests"} == set()


@pytest.mark.parametrize("name", NAMES)
def test_each_dependency_has_one_door(name: str) -> None:
    _, outside = imports(name)

    allowed = {package for package, modules in DOORS.items() if name in modules or room(name) in modules}

    assert outside <= allowed | {"attrs"}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in MAY_READ_FILES and room(name) != "testing"])
def test_nothing_but_the_configuration_reads_disk_or_environment(name: str) -> None:
    used = {node.attr for node in nodes(module(name)) if isinstance(node, ast.Attribute)}
    called = {
        node.func.id for node in nodes(module(name)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }

    assert used & READS_DISK_OR_ENVIRONMENT == set()
    assert "open" not in called


def test_all_is_sorted_and_holds_every_public_name_once() -> None:
    tree = module("__init__")
    imported = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}

    assert aidp_sessions.__all__ == sorted(imported)


def test_every_error_can_be_caught_by_name() -> None:
    defined = {node.name for node in module("errors").body if isinstance(node, ast.ClassDef)}

    assert defined <= set(aidp_sessions.__all__)


def test_importing_the_package_loads_no_extra_no_sdk_and_no_server() -> None:
    unwanted = {"click", "rich", "oci", "requests", "opentelemetry", "pytest", "uvloop"}
    unwanted |= {"aidp_sessions.testing", "aidp_sessions._display.html"}

    assert printed(f"import sys, aidp_sessions; print(sorted({unwanted!r} & sys.modules.keys()))") == "[]\n"


def test_what_calls_and_failures_need_is_imported_with_the_first_client() -> None:
    """Not with the package, and not at a failure, when no file descriptor may be left; keys need `cryptography`."""
    libraries = {"msgspec", "cattrs", "cryptography", "backoff"}
    program = f"""
import sys, aidp_sessions
print(sorted({libraries!r} & sys.modules.keys()))
aidp_sessions.SessionsClient("ocid1.aidataplatform.oc1.iad.a", signer=aidp_sessions.Signer)
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
    """What a new interpreter prints that runs *program*, with warnings as errors."""
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


def test_every_dependency_has_a_door_and_a_lower_bound() -> None:
    required = [re.fullmatch(r"([a-z]+)>=[0-9.]+", line) for line in PYPROJECT["project"]["dependencies"]]

    assert {found and found[1] for found in required} == {*DOORS, "attrs"} - OPTIONAL


def test_extras_are_those_that_are_promised() -> None:
    assert PYPROJECT["project"]["optional-dependencies"].keys() == {"cli", "otel", "docs", "test", "bench", "dev"}


@pytest.mark.parametrize(
    "commands",
    [
        "python -m pip install '.[cli]' && aidp-sessions idle --since 2h --demo",
        "python -m pip install '.[test]' && python -m pytest",
    ],
)
def test_what_the_readme_tells_a_newcomer_to_type_is_what_ci_runs(commands: str) -> None:
    assert commands in (ROOT / "README.md").read_text(encoding="utf-8")
    assert commands in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
