"""``aidp-sessions workspaces`` and ``busy``, and the completion of a shell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.shell_completion import BashComplete

from aidp_sessions.cli.commands import command
from aidp_sessions.testing import Fault, LocalService

from ..helpers.cli_runner import (
    forget_settings,
    invoke,
    lines,
    point_to,
    wire,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def platform(service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LocalService:
    forget_settings(monkeypatch, tmp_path)
    point_to(service, monkeypatch, tmp_path)
    return service


async def test_workspaces_are_listed_as_the_service_sends_them_with_those_in_private_networks(
    platform: LocalService,
) -> None:
    platform.add_workspace("a", display_name="Ä")
    platform.add_workspace("b", is_private_network_enabled=True)

    as_lines = await invoke("workspaces")
    as_array = await invoke("workspaces", "--output", "json")

    assert (as_lines.exit_code, as_lines.stderr) == (0, "")
    assert lines(as_lines.stdout) == json.loads(as_array.stdout)
    assert [(line["key"], line["displayName"], line["isPrivateNetworkEnabled"]) for line in lines(as_lines.stdout)] == [
        ("b", "b", True),
        ("a", "Ä", False),
    ]


async def test_workspaces_can_be_filtered_by_name_and_state(platform: LocalService) -> None:
    platform.add_workspace("a", display_name="Customer churn")
    platform.add_workspace("b", display_name="Churn, old", lifecycle_state="DELETED")
    platform.add_workspace("c", display_name="Pricing")

    by_name = await invoke("workspaces", "--display-name-contains", "hurn", "--output", "csv")
    by_both = await invoke("workspaces", "--display-name-contains", "hurn", "--lifecycle-state", "DELETED")

    heading, *rows = (line.partition(",")[0] for line in by_name.stdout.splitlines())
    assert (heading, sorted(rows)) == ("key", ["a", "b"])
    assert [line["key"] for line in lines(by_both.stdout)] == ["b"]


@pytest.mark.parametrize(("output", "nothing"), [("json", "[]\n"), ("jsonl", ""), ("table", "0 workspaces\n")])
async def test_a_platform_without_workspaces_is_no_failure(platform: LocalService, output: str, nothing: str) -> None:
    result = await invoke("workspaces", "--output", output)

    assert (result.exit_code, result.stdout) == (0, nothing)


async def test_workspaces_that_cannot_be_listed_are_one_line_and_status_4(platform: LocalService) -> None:
    platform.fail(None, Fault(status=403, times=None))

    result = await invoke("workspaces", "--output", "json")

    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr.startswith("failed: list_workspaces: 403 ")


async def test_busy_shows_only_kernels_that_execute(platform: LocalService) -> None:
    states = ("idle", "busy", "starting", None)
    platform.add_workspace("a", [wire(f"{state}", execution_state=state) for state in states])

    result = await invoke("busy")
    table = await invoke("busy", "--output", "table")

    assert [line["id"] for line in lines(result.stdout)] == ["busy"]
    assert table.stdout.splitlines()[-1] == "1 busy of 4 sessions in 1 workspace"


def completions(arguments: list[str], incomplete: str) -> list[str]:
    shell = BashComplete(command, {}, "aidp-sessions", "_AIDP_SESSIONS_COMPLETE")
    return [item.value for item in shell.get_completions(arguments, incomplete)]


def test_bash_completes_commands_options_and_choices() -> None:
    assert completions([], "") == [
        *("busy", "clusters", "completion", "cull", "delete", "get", "idle", "list", "watch", "whoami", "workspaces"),
    ]
    assert completions(["idle"], "--si") == ["--since"]
    assert completions(["idle", "--output"], "js") == ["jsonl", "json"]
    assert completions(["idle", "--auth"], "i") == ["instance_principal", "instance_obo_user"]


def test_profiles_are_completed_from_the_configuration_file(platform: LocalService, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("[DEFAULT]\nuser=x\n[TEAM]\n[TEST]\n")

    assert completions(["list", "--profile"], "") == ["DEFAULT"]
    assert completions(["list", "--config-file", str(other), "--profile"], "T") == ["TEAM", "TEST"]
    assert completions(["--config-file", str(other), "list", "-p"], "T") == ["TEAM", "TEST"]
    assert completions(["list", "--config-file", str(tmp_path / "absent"), "--profile"], "") == []
