"""The README's statements about options, defaults, errors, limits and links are true."""

from __future__ import annotations

import inspect
import re
from typing import Final

import attrs
import pytest

import aidp_sessions
from aidp_sessions import AidpError, RetryPolicy, SessionsClient, Timeout
from aidp_sessions._merge import PARKED_PER_SLOT
from aidp_sessions._operations.messages import MAX_CLOCK_SKEW, THRESHOLD
from aidp_sessions.cli.commands import command
from aidp_sessions.cli.statuses import Status

from ..helpers.readme import (
    PACKAGE,
    ROOT,
    anchor,
    blocks,
    code_of,
    headings,
    links,
    section,
    tables,
)

OPTIONS = inspect.signature(SessionsClient.__init__).parameters
ERRORS = {
    name: value
    for name, value in vars(aidp_sessions).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}
MIB: Final = 1024 * 1024

_VARIABLE = re.compile(r'"((?:AIDP|OCI|INSTANCE|KUBERNETES)_[A-Z_]+)"')


def value_of(cell: str) -> object:
    """Evaluate a default that uses public names."""
    return eval(code_of(cell), vars(aidp_sessions).copy())  # noqa: S307  # our own README


def table(title: str, heading: str) -> list[list[str]]:
    """The rows of the table of section *title* whose first column is called *heading*."""
    (rows,) = (rows for rows in tables(title) if rows[0][0] == heading)
    return rows[1:]


def test_the_table_of_options_is_the_signature_of_the_client() -> None:
    """Every option in its order, with its type and its default."""
    stated = [(code_of(name), code_of(kind), default) for name, kind, default, _ in table("Options", "option")]
    parameters = [each for each in OPTIONS.values() if each.name != "self"]

    assert [name for name, _, _ in stated] == [each.name for each in parameters]
    for (name, kind, default), parameter in zip(stated, parameters, strict=True):
        assert kind == parameter.annotation.replace("_ssl.", "ssl."), name
        if parameter.default is parameter.empty:
            assert default == "required", name
        else:
            assert value_of(default) == parameter.default, name


@pytest.mark.parametrize("policy", [Timeout, RetryPolicy])
def test_policies_are_stated_with_every_field_and_its_default(policy: type[attrs.AttrsInstance]) -> None:
    (stated,) = re.findall(rf"^- `({policy.__name__}\(.+?\))`", section("Options"), re.MULTILINE)

    assert re.findall(r"(\w+)=", stated) == list(attrs.asdict(policy()))
    assert value_of(stated) == policy()


def test_every_error_has_a_row_that_names_its_parents_and_no_other() -> None:
    stated = {code_of(row[0]): {code_of(name) for name in row[1].split(", ")} for row in table("Errors", "error")}

    assert stated == {name: {base.__name__ for base in error.__bases__} for name, error in ERRORS.items()}


def test_every_attribute_of_an_error_is_named() -> None:
    named = set(re.findall(r"`(\w+)`", section("Errors")))

    assert {"message", *vars(AidpError())} - named == set()
    assert {"permanent", "limit", "path", "exceptions", "sessions"} <= named


def test_limits_are_stated_as_they_are() -> None:
    """The limits that are no option."""
    guarantees = section("Guarantees")

    assert f"At most {PARKED_PER_SLOT} × `max_concurrency` calls wait for a retry" in guarantees
    assert f"An answer of up to {THRESHOLD // MIB} MiB is yielded completely or not at all" in guarantees
    assert f"a clock that is more than {MAX_CLOCK_SKEW:g} s off" in section("Retries")
    assert f"asks {OPTIONS['max_concurrency'].default} of them at a time" in section("aidp_sessions")


def test_the_table_of_commands_names_every_command() -> None:
    named = {code_of(name).partition(" ")[0] for name, _ in table("The command", "command")}

    assert named | {"completion"} == set(command.commands)


def test_the_table_of_exit_statuses_is_complete() -> None:
    assert [int(status) for status, _ in table("The command", "exit status")] == list(Status)


def test_every_option_of_the_command_that_the_readme_names_exists() -> None:
    """In its section, and in blocks for shells, cron and Kubernetes."""
    run = [block.code for block in blocks() if block.language != "python" and "aidp-sessions" in block.code]
    options = {
        name
        for each in (command, *command.commands.values())
        for parameter in each.params
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", "\n".join([section("The command"), *run])))

    assert len(named) > 20
    assert named - options - {"--help"} == set()


def test_every_variable_of_the_environment_that_is_read_is_named() -> None:
    """In the docstring of the package."""
    read = {name for path in PACKAGE.rglob("*.py") for name in _VARIABLE.findall(path.read_text(encoding="utf-8"))}

    assert read
    assert read - set(re.findall(r"`([A-Z_]+)`", aidp_sessions.__doc__ or "")) == set()


def test_every_link_leads_somewhere() -> None:
    targets = {f"#{anchor(title)}" for level in (2, 3) for title in headings(level)}
    inside = {link for link in links() if link.startswith("#")}
    files = {link for link in links() if not link.startswith(("#", "http"))}

    assert inside - targets == set()
    assert [link for link in files if not (ROOT / link).is_file()] == []


@pytest.mark.parametrize("name", ["benchmarks", "tests"])
def test_every_link_of_another_readme_leads_to_a_file(name: str) -> None:
    folder = ROOT / name
    files = {link for link in links((folder / "README.md").read_text(encoding="utf-8")) if not link.startswith("http")}

    assert files
    assert [link for link in files if not (folder / link.partition("#")[0]).is_file()] == []


def test_the_readme_of_the_tests_names_existing_files_every_folder_and_every_guarantee() -> None:
    tests = ROOT / "tests"
    text = (tests / "README.md").read_text(encoding="utf-8")
    folders = {f"{path.parent.name}/" for path in tests.glob("*/__init__.py")} | {"data/"}
    named = set(re.findall(r"`([\w/]+(?:/|\.py))`", text))
    programs = set(re.findall(r"python -m (tests[\w.]+)", text))
    guarded = [line for line in text.partition("## Guarantees")[2].splitlines() if ".py` |" in line]

    assert [name for name in named if not (tests / name).exists()] == []
    assert [name for name in programs if not (ROOT / f"{name.replace('.', '/')}.py").is_file()] == []
    assert folders - named == set()
    assert len(guarded) == len(re.findall("^- ", section("Guarantees"), re.MULTILINE))
