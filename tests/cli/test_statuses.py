"""The exit statuses: the same reason gives the same status in every command."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from aidp_sessions.cli.statuses import Status
from aidp_sessions.testing import Fault, LocalService

from ..helpers.cli_runner import forget_settings, invoke, lines, point_to, start, wire

if TYPE_CHECKING:
    from pathlib import Path

ONCE = (
    *("list", "idle --since 1h", "busy", "workspaces", "clusters", "whoami"),
    *("get a", "delete a", "cull --since 1h"),
)
PARTLY = ("list", "idle --since 1h", "busy", "clusters", "get a", "delete a", "cull --since 1h")
EVERY = (*ONCE, "watch")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_settings(monkeypatch, tmp_path)


@pytest.fixture
def platform(service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LocalService:
    point_to(service, monkeypatch, tmp_path)
    service.add_workspace("good", [{**wire("a"), "id": "a"}])
    service.add_workspace("bad")
    return service


@pytest.mark.parametrize("command", ONCE)
async def test_0_if_every_workspace_answered(platform: LocalService, command: str) -> None:
    assert (await invoke(*command.split())).exit_code == 0


@pytest.mark.parametrize("command", PARTLY)
async def test_1_if_one_workspace_failed_and_another_answered(platform: LocalService, command: str) -> None:
    platform.fail("bad", Fault(status=403, times=None))

    assert (await invoke(*command.split(), "--workspace", "good", "--workspace", "bad")).exit_code == 1


@pytest.mark.parametrize("command", ["list", "workspaces"])
async def test_1_if_the_listing_of_workspaces_ended_early(platform: LocalService, command: str) -> None:
    platform.fail(None, Fault(), Fault(status=403))  # the second request is for private networks

    result = await invoke(command)

    assert result.exit_code == 1
    assert len(lines(result.stdout)) == (1 if command == "list" else 2)


@pytest.mark.parametrize("command", EVERY)
async def test_2_for_an_unknown_option(platform: LocalService, command: str) -> None:
    assert (await invoke(*command.split(), "--no-such-option")).exit_code == 2
    assert platform.request_count == 0


@pytest.mark.parametrize("command", EVERY)
async def test_4_without_configuration(command: str) -> None:
    assert (await invoke(*command.split())).exit_code == 4


@pytest.mark.parametrize("command", EVERY)
async def test_4_if_the_credentials_cannot_be_used(platform: LocalService, command: str) -> None:
    assert (await invoke(*command.split(), "--profile", "ABSENT")).exit_code == 4
    assert platform.request_count == 0


@pytest.mark.parametrize("command", EVERY)
async def test_4_if_the_service_refuses_to_list_workspaces(platform: LocalService, command: str) -> None:
    platform.fail(None, Fault(status=403, times=None, headers={"Date": ""}))

    assert (await invoke(*command.split())).exit_code == 4


@pytest.mark.parametrize("command", PARTLY)
async def test_4_if_no_workspace_answered(platform: LocalService, command: str) -> None:
    platform.fail("bad", Fault(status=403, times=None))

    assert (await invoke(*command.split(), "--workspace", "bad")).exit_code == 4


async def test_4_if_the_service_cannot_be_reached(platform: LocalService) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and does not listen
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        result = await invoke("whoami", "--endpoint", endpoint)

    assert result.exit_code == 4
    assert result.stderr.startswith("failed: list_workspaces: ")


@pytest.mark.parametrize("arguments", [("--help",), ("list", "--help"), ("list", "--demo"), ("workspaces", "--demo")])
async def test_141_and_no_message_if_the_output_pipe_was_closed(arguments: tuple[str, ...]) -> None:
    ours, theirs = os.pipe()
    os.close(ours)

    process = await start(*arguments, stdout=theirs)
    os.close(theirs)
    _, stderr = await process.communicate()

    assert (process.returncode, stderr) == (141, b"")


async def test_head_ends_the_command_as_it_ends_other_tools() -> None:
    """A shell with ``pipefail`` gets the status that ``seq 100000 | head -1`` has."""
    line = f"set -o pipefail; {sys.executable} -m aidp_sessions list --demo | head -1 >/dev/null; echo $?; "
    line += "seq 100000 | head -1 >/dev/null; echo $?"

    process = await asyncio.create_subprocess_exec("bash", "-c", line, stdout=-1, stderr=-1)

    assert await process.communicate() == (b"141\n141\n", b"")


async def test_the_main_help_names_every_status() -> None:
    shown = (await invoke("--help")).stdout

    assert [int(number) for number in re.findall(r"^    (\d+)  ", shown, re.MULTILINE)] == list(Status)
