"""Options before the command, options from the environment, and the completion of shells."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import aidp_sessions

from ..helpers.cli_runner import forget_settings, invoke, lines, point_to, wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aidp_sessions.testing import LocalService


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_settings(monkeypatch, tmp_path)


@pytest.fixture
def platform(service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LocalService:
    """A service that is named by the profile DEV only."""
    point_to(service, monkeypatch, tmp_path)
    monkeypatch.setenv("OCI_CONFIG_FILE", str(service.write_config(tmp_path, profile="DEV")))
    service.add_workspace("analytics", [wire("a")])
    return service


@pytest.mark.parametrize(
    "line",
    [
        "--profile DEV list",
        "-p DEV list",
        "list --profile DEV",
        "list -p DEV",
        "-p ABSENT list -p DEV",
        "-p ABSENT -p DEV list",
        "-p DEV workspaces",
        "-p DEV whoami",
        "-p DEV cull --since 8h",
        "-p DEV clusters",
        "-p DEV get a",
    ],
)
async def test_a_profile_may_stand_before_and_after_the_command_and_the_last_one_wins(
    platform: LocalService, line: str
) -> None:
    result = await invoke(*line.split())

    assert (result.exit_code, result.stderr) == (0, "")
    assert platform.request_count > 0


async def test_every_option_of_the_connection_may_stand_before_the_command(
    platform: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = os.environ["OCI_CONFIG_FILE"]
    for name in ("OCI_CONFIG_FILE", "AIDP_INSTANCE_ID", "AIDP_ENDPOINT"):
        monkeypatch.delenv(name)

    result = await invoke(
        *("--instance-id", platform.platform_id, "--endpoint", platform.url, "--region", "us-ashburn-1"),
        *("--config-file", config, "--profile", "DEV", "--auth", "api_key", "--timeout", "60", "--debug", "list"),
    )

    assert result.exit_code == 0
    assert "opc-request-id" in result.stderr
    assert [line["id"] for line in lines(result.stdout)] == ["a"]


async def test_the_demo_may_stand_before_the_command() -> None:
    result = await invoke("--demo", "whoami", "-o", "json")

    assert (result.exit_code, json.loads(result.stdout)["signer"]) == (0, "ApiKeySigner")


@pytest.mark.parametrize("line", ["-p DEV --demo list", "-p DEV list --demo", "--demo list -p DEV"])
async def test_the_demo_has_no_profiles_wherever_they_are_given(line: str) -> None:
    result = await invoke(*line.split())

    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == "Error: --demo cannot be combined with --profile"


async def test_a_wrong_value_before_the_command_is_wrong_usage() -> None:
    result = await invoke("--auth", "password", "list")

    assert result.exit_code == 2
    assert "Invalid value for '--auth': 'password' is not one of " in result.stderr


@pytest.mark.parametrize(
    ("line", "variables", "ids"),
    [
        ("list", {"AIDP_SESSIONS_PROFILE": "DEV"}, {"idle", "busy"}),
        ("list -p DEV", {"AIDP_SESSIONS_PROFILE": "ABSENT"}, {"idle", "busy"}),
        ("-p DEV list", {"AIDP_SESSIONS_PROFILE": "ABSENT"}, {"idle", "busy"}),
        ("list", {"AIDP_SESSIONS_PROFILE": "DEV", "OCI_CLI_PROFILE": "ABSENT"}, {"idle", "busy"}),
        ("-p DEV idle", {"AIDP_SESSIONS_IDLE_SINCE": "1h"}, {"idle"}),
        ("-p DEV idle --since 1h", {"AIDP_SESSIONS_IDLE_SINCE": "1000w"}, {"idle"}),
        ("-p DEV list", {"AIDP_SESSIONS_LIST_WORKSPACE": "two three"}, {"busy"}),
        ("-p DEV busy", {"AIDP_SESSIONS_BUSY_OUTPUT": "jsonl", "AIDP_SESSIONS_BUSY_PROGRESS": ""}, {"busy"}),
    ],
)
async def test_a_variable_of_the_environment_sets_an_option_unless_it_is_given(
    platform: LocalService, line: str, variables: Mapping[str, str], ids: set[str]
) -> None:
    platform.set_sessions("analytics", [wire("idle")])
    platform.add_workspace("two", [wire("busy", execution_state="busy")])
    platform.add_workspace("three")

    result = await invoke(*line.split(), env=dict(variables))

    assert (result.exit_code, result.stderr) == (0, "")
    assert {line["id"] for line in lines(result.stdout)} == ids


async def test_a_wrong_value_in_a_variable_is_wrong_usage() -> None:
    result = await invoke("list", "--demo", env={"AIDP_SESSIONS_LIST_OUTPUT": "xml"})

    assert result.exit_code == 2
    assert "'xml' is not one of 'table'" in result.stderr


async def test_no_variable_shuts_kernels_down(platform: LocalService) -> None:
    variables = {"AIDP_SESSIONS_CULL_YES": "1", "AIDP_SESSIONS_DELETE_YES": "1"}

    culled = await invoke("-p", "DEV", "cull", "--since", "8h", env=variables)
    deleted = await invoke("-p", "DEV", "delete", "a", env=variables)

    assert (culled.exit_code, deleted.exit_code) == (0, 0)
    assert not platform.deleted


async def test_a_variable_with_the_version_of_the_package_is_no_option() -> None:
    result = await invoke("list", "--demo", "--workspace", "Customer churn", env={"AIDP_SESSIONS_VERSION": "0.1.0"})

    assert result.exit_code == 0


async def shell(program: str, script: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    source = str(Path(aidp_sessions.__file__).parents[1])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": source}
    process = await asyncio.create_subprocess_exec(program, "-c", script, env=environment, stdout=-1, stderr=-1)
    stdout, stderr = await process.communicate()
    assert (process.returncode, stderr) == (0, b"")
    return stdout.decode()


@pytest.mark.parametrize(
    ("words", "expected"),
    [(["wo"], "workspaces"), (["idle", "--si"], "--since"), (["list", "--auth", "instance_p"], "instance_principal")],
)
async def test_bash_completes_after_its_script_was_evaluated(words: list[str], expected: str) -> None:
    line = f"COMP_WORDS=(aidp-sessions {' '.join(words)}); COMP_CWORD={len(words)}"
    script = f'eval "$(aidp-sessions completion bash)"; {line}; _aidp_sessions_completion aidp-sessions'

    assert await shell("bash", f'{script}; echo "${{COMPREPLY[@]}}"') == f"{expected}\n"


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
async def test_a_script_is_accepted_by_its_shell_and_asks_the_command(name: str, tmp_path: Path) -> None:
    result = await invoke("completion", name)
    script = tmp_path / "script"
    script.write_text(result.stdout)

    assert result.exit_code == 0
    assert f"_AIDP_SESSIONS_COMPLETE={name}_complete" in result.stdout
    if shutil.which(name):
        assert await shell(name, f"{name} -n {script}") == ""


async def test_completion_of_another_shell_is_wrong_usage() -> None:
    result = await invoke("completion", "tcsh")

    assert result.exit_code == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in result.stderr
