"""What the README states about the package is true: options, defaults, errors, limits, links, names of tests."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Final

import attrs
import pytest

import aidp_sessions
from aidp_sessions import AidpError, RetryPolicy, SessionsClient, Timeout
from aidp_sessions._merge import PARKED_PER_SLOT
from aidp_sessions._operations.messages import MAX_CLOCK_SKEW, THRESHOLD

from .readme import TEXT, anchor, code_of, headings, links, section, tables

TESTS: Final = Path(__file__).parent
PACKAGE: Final = Path(aidp_sessions.__file__).parent
OPTIONS = inspect.signature(SessionsClient.__init__).parameters
ERRORS = {
    name: value
    for name, value in vars(aidp_sessions).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}
MIB: Final = 1024 * 1024

_VARIABLE = re.compile(r'"((?:AIDP|OCI|INSTANCE|KUBERNETES)_[A-Z_]+)"')


def value_of(cell: str) -> object:
    """Evaluate a default as it is written, among the public names."""
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
def test_the_tables_of_policies_are_their_fields(policy: type[attrs.AttrsInstance]) -> None:
    rows = table("Options", f"field of `{policy.__name__}`")

    assert {code_of(name): value_of(default) for name, default, _ in rows} == attrs.asdict(policy())


def test_every_error_has_a_row_that_names_its_parents_and_no_other() -> None:
    stated = {code_of(row[0]): {code_of(name) for name in row[1].split(", ")} for row in table("Errors", "error")}

    assert stated == {name: {base.__name__ for base in error.__bases__} for name, error in ERRORS.items()}


def test_every_attribute_of_an_error_is_named() -> None:
    named = set(re.findall(r"`(\w+)`", section("Errors")))

    assert {"message", *vars(AidpError())} - named == set()
    assert {"permanent", "limit", "path", "exceptions", "sessions"} <= named


def test_the_table_of_limits_states_the_constants() -> None:
    defaults = {name: parameter.default for name, parameter in OPTIONS.items()}

    assert [limit for _, limit, _ in table("Limits", "what")] == [
        str(defaults["max_concurrency"]),
        f"{PARKED_PER_SLOT} × `max_concurrency`",
        "2 × `max_concurrency`",
        f"{THRESHOLD // MIB} MiB",
        f"{defaults['max_response_bytes'] // MIB} MiB",
        f"{Timeout().total:g} s",
        f"{RetryPolicy().retry_after_cap:g} s",
        f"{MAX_CLOCK_SKEW:g} s",
    ]
    assert {code_of(option) for _, _, option in table("Limits", "what") if option} <= OPTIONS.keys()


def test_the_number_of_faults_is_that_of_the_matrix() -> None:
    matrix = (TESTS / "faults" / "MATRIX.md").read_text(encoding="utf-8")
    rows = [line for line in matrix.splitlines() if line.startswith("|")][2:]

    assert f"{len(rows)} ways to break a connection or an answer" in TEXT


def test_every_variable_of_the_environment_that_is_read_is_named() -> None:
    read = {name for path in PACKAGE.rglob("auth/*.py") for name in _VARIABLE.findall(path.read_text(encoding="utf-8"))}

    assert read
    assert read - set(re.findall(r"`([A-Z_]+)`", section("Credentials and endpoints"))) == set()


def test_every_test_that_is_named_exists() -> None:
    sources = {path.name: path.read_text(encoding="utf-8") for path in TESTS.glob("test_*.py")}
    files = set(re.findall(r"`(test_\w+\.py)`", TEXT))
    functions = set(re.findall(r"`(test_\w+)`", TEXT))

    assert files
    assert functions
    assert files - sources.keys() == set()
    assert {name for name in functions if not any(f"def {name}(" in source for source in sources.values())} == set()


def test_the_contents_lead_to_every_section_and_every_link_leads_somewhere() -> None:
    targets = {f"#{anchor(title)}" for level in (2, 3) for title in headings(level)}
    inside = {link for link in links() if link.startswith("#")}
    files = {link for link in links() if not link.startswith(("#", "http"))}

    assert inside - targets == set()
    assert {f"#{anchor(title)}" for title in headings(2)} - {"#try-it", "#contents"} <= inside
    assert [link for link in files if not (TESTS.parent / link).is_file()] == []
