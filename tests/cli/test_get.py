"""``aidp-sessions get``: single sessions, and the other sessions of their kernels."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from aidp_sessions.testing import Fault, LocalService

from ..helpers.cli_runner import LONG_AGO, forget_settings, invoke, lines, point_to, wire

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def platform(service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LocalService:
    """One kernel with two sessions, one that is busy, and a session without a kernel in another workspace."""
    forget_settings(monkeypatch, tmp_path)
    point_to(service, monkeypatch, tmp_path)
    sessions = [wire("a", id="k"), wire("b", id="k"), wire("c", id="l", execution_state="busy")]
    service.add_workspace("one", sessions, display_name="One")
    service.add_workspace("two", [{"id": "d", "name": "D"}])
    return service


async def test_it_shows_the_service_s_json_what_it_means_and_who_shares_the_kernel(platform: LocalService) -> None:
    as_lines = await invoke("get", "d", "a", "c")
    as_array = await invoke("get", "d", "a", "c", "--output", "json")

    a, c, d = lines(as_lines.stdout)
    seconds = a.pop("idleSeconds")
    assert (as_lines.exit_code, as_lines.stderr) == (0, "")
    assert a == {
        "workspaceKey": "one",
        "workspaceName": "One",
        **wire("a", id="k"),
        "activity": "idle",
        "sameKernel": [{"workspaceKey": "one", "workspaceName": "One", **wire("b", id="k")}],
    }
    assert isinstance(seconds, int)
    assert (c["id"], c["activity"], c["idleSeconds"], c["sameKernel"]) == ("c", "busy", None, [])
    assert d == {
        "workspaceKey": "two",
        "workspaceName": "two",
        "id": "d",
        "name": "D",
        "activity": "no_kernel",
        "idleSeconds": None,
        "sameKernel": [],
    }
    assert [each["id"] for each in json.loads(as_array.stdout)] == ["a", "c", "d"]
    assert {request.method for request in platform.requests} == {"GET"}


async def test_a_table_is_one_block_of_lines_per_session(platform: LocalService) -> None:
    platform.set_sessions("two", [{"id": "d", "name": "D\x1b[2J"}])
    result = await invoke("get", "a", "d", "--output", "table")

    first, second = result.stdout.split("\n\n")
    facts = dict(line.split("  ", 1) for line in first.splitlines())
    assert result.exit_code == 0
    assert facts.pop("idle for").strip().endswith(" h")
    assert {name: value.strip() for name, value in facts.items()} == {
        "session": "a",
        "workspace": "One (one)",
        "path": "Workspace/a.ipynb",
        "type": "notebook",
        "kernel": "k (python3)",
        "state": "idle",
        "last activity": LONG_AGO,
        "connections": "0",
        "same kernel": "Workspace/b.ipynb (b)",
    }
    assert [line.split()[0] for line in second.splitlines()] == ["session", "workspace", "name", "state"]
    assert "\x1b" not in second


async def test_a_session_that_is_not_there_makes_the_status_1_and_hides_no_other(platform: LocalService) -> None:
    result = await invoke("get", "nowhere", "c")

    assert (result.exit_code, result.stderr) == (1, "failed: session 'nowhere' was not found\n")
    assert [line["id"] for line in lines(result.stdout)] == ["c"]


async def test_only_the_named_workspaces_are_asked(platform: LocalService) -> None:
    result = await invoke("get", "d", "--workspace", "one")

    assert result.exit_code == 1
    assert {request.workspace_key for request in platform.requests} == {None, "one"}


async def test_a_workspace_that_cannot_be_read_makes_the_status_1(platform: LocalService) -> None:
    """The session might be there too."""
    platform.fail("two", Fault(status=403))

    result = await invoke("get", "a")

    assert result.exit_code == 1
    assert result.stderr.startswith("failed: list_sessions of workspace 'two': 403")
    assert [line["id"] for line in lines(result.stdout)] == ["a"]


async def test_workspaces_that_cannot_be_listed_make_the_status_4(platform: LocalService) -> None:
    platform.fail(None, Fault(status=403, times=None))

    result = await invoke("get", "a", "--output", "json")

    assert (result.exit_code, result.stdout) == (4, "")
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["failed", "failed"]


@pytest.mark.parametrize("arguments", [(), ("a", "--workspace", "..")])
async def test_wrong_usage_is_status_2_and_sends_nothing(platform: LocalService, arguments: tuple[str, ...]) -> None:
    result = await invoke("get", *arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert platform.request_count == 0
