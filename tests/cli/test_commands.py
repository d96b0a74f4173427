"""The results, failures and settings of the command."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

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


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_settings(monkeypatch, tmp_path)


@pytest.fixture
def platform(service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LocalService:
    """A service that the environment points to."""
    point_to(service, monkeypatch, tmp_path)
    return service


async def test_each_session_is_one_json_line_with_its_workspace_first_and_every_field_of_the_service(
    platform: LocalService,
) -> None:
    session = {**wire("a"), "notYetDocumented": {"deep": [1, None]}}
    platform.add_workspace("analytics", [session], display_name="Analytics")

    result = await invoke("list")

    assert (result.exit_code, result.stderr) == (0, "")
    (line,) = lines(result.stdout)
    seconds = line.pop("idleSeconds")
    assert isinstance(seconds, int)
    assert seconds > 3600
    assert line == {"workspaceKey": "analytics", "workspaceName": "Analytics", "activity": "idle", **session}
    assert next(iter(line)) == "workspaceKey"


async def test_idle_shows_only_kernels_that_are_idle_since_then(platform: LocalService) -> None:
    platform.add_workspace("one", [wire("old"), wire("busy", execution_state="busy"), {"id": "kernel-less"}])
    platform.add_workspace(
        "two", [wire("later", last_activity="2026-01-05T10:00:00.5Z"), wire("silent", last_activity=None)]
    )

    at_nine = await invoke("idle", "--since", "2026-01-05T09:00Z")
    at_noon = await invoke("idle", "--since", "2026-01-05T12:00+01:00")
    for_an_hour = await invoke("idle", "--since", "1h")

    assert [line["id"] for line in lines(at_nine.stdout)] == ["old"]
    assert {str(line["id"]) for line in lines(at_noon.stdout)} == {"old", "later"}
    assert {str(line["id"]) for line in lines(for_an_hour.stdout)} == {"old", "later"}


@pytest.mark.parametrize(
    ("option", "expected"),
    [((), {"alone", "watched", "uncounted"}), (("--connected",), {"watched"}), (("--not-connected",), {"alone"})],
)
async def test_idle_can_be_filtered_by_connections(
    platform: LocalService, option: tuple[str, ...], expected: set[str]
) -> None:
    sessions = [wire("alone"), wire("watched", connections=2), wire("uncounted", connections=None)]
    platform.add_workspace("analytics", sessions)

    result = await invoke("idle", "--since", "1h", *option)

    assert {str(line["id"]) for line in lines(result.stdout)} == expected


async def test_json_is_one_array_of_the_same_objects(platform: LocalService) -> None:
    platform.add_workspace("analytics", [wire("a"), wire("b")])

    as_lines = await invoke("list", "--output", "jsonl")
    as_array = await invoke("list", "--output", "json")

    found = json.loads(as_array.stdout)
    assert [each["id"] for each in found] == ["a", "b"]
    assert [list(each) for each in found] == [list(each) for each in lines(as_lines.stdout)]


async def test_without_sessions_json_is_an_empty_array_and_jsonl_is_empty(platform: LocalService) -> None:
    platform.add_workspace("empty")

    assert (await invoke("list", "--output", "json")).stdout == "[]\n"
    assert (await invoke("list", "--output", "jsonl")).stdout == ""


async def test_only_the_named_workspaces_are_asked(platform: LocalService) -> None:
    for key in ("a", "b", "c"):
        platform.add_workspace(key, [wire(f"in-{key}")])

    result = await invoke("list", "--workspace", "a", "--workspace", "c")

    assert {str(line["workspaceKey"]) for line in lines(result.stdout)} == {"a", "c"}
    assert {request.workspace_key for request in platform.requests} == {None, "a", "c"}


async def test_filters_are_sent_to_the_service(platform: LocalService) -> None:
    platform.add_workspace("analytics", [wire("a")])

    await invoke("list", "--workspace", "analytics", "--path", "a b", "--cluster-id", "c/1", "--agent-flow-key", "ü")

    request = platform.requests[-1]
    assert set(request.target.partition("?")[2].split("&")) == {"path=a%20b", "cluster_id=c%2F1", "agentFlowKey=%C3%BC"}


async def test_max_concurrency_bounds_the_requests_in_flight(platform: LocalService) -> None:
    for key in ("a", "b", "c", "d"):
        platform.add_workspace(key, [wire("a")])
        platform.fail(key, Fault(delay=0.01))

    await invoke("list", "--max-concurrency", "1")

    assert platform.peak_in_flight == 1


async def test_a_workspace_that_fails_is_one_line_on_stderr_and_status_1_and_the_others_are_shown(
    platform: LocalService,
) -> None:
    platform.add_workspace("good", [wire("a")])
    platform.add_workspace("bad")
    platform.fail("bad", Fault(status=403, times=None))

    result = await invoke("list")

    assert result.exit_code == 1
    assert [line["id"] for line in lines(result.stdout)] == ["a"]
    (line,) = result.stderr.splitlines()
    assert line.startswith("failed: list_sessions of workspace 'bad': 403 ")


@pytest.mark.parametrize("key", ["", " ", ".", "..", "a\x1bb", "a\nb"])
async def test_of_the_listed_workspaces_only_one_with_an_invalid_key_fails(platform: LocalService, key: str) -> None:
    platform.add_workspace(key, [wire("unreachable")])
    platform.add_workspace("good", [wire("a")])

    result = await invoke("list")

    assert result.exit_code == 1
    assert [line["id"] for line in lines(result.stdout)] == ["a"]
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"failed: list_workspaces of workspace {key!r}: the service listed a workspace that ")


async def test_the_totals_count_answers_and_failures(platform: LocalService) -> None:
    platform.add_workspace("good", [wire("a"), wire("b", execution_state="busy")])
    platform.add_workspace("bad")
    platform.fail("bad", Fault(status=403, times=None))

    of_idle = await invoke("idle", "--since", "1h", "--output", "table")
    of_all = await invoke("list", "--output", "table")

    assert of_idle.stdout.splitlines()[-1] == "1 idle of 2 sessions in 1 workspace; 1 workspace failed"
    assert of_all.stdout.splitlines()[-1] == "2 sessions in 1 workspace; 1 workspace failed"


async def test_workspaces_that_cannot_be_listed_are_one_line_and_status_4(platform: LocalService) -> None:
    platform.fail(None, Fault(status=403, times=None))

    result = await invoke("list", "--output", "json")

    assert (result.exit_code, result.stdout) == (4, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("failed: list_workspaces: 403 ")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["idle"], "Missing option '--since'"),
        (["idle", "--since", "soon"], "'soon' is neither a span"),
        (["list", "--instance-id", "nonsense"], "'nonsense'"),
        (["list", "--endpoint", "http://aidp.example.com"], "https"),
        (["list", "--auth", "password"], "'password'"),
        (["list", "--workspace", ".."], "'..'"),
        (["list", "--workspace", " "], "' '"),
        (["list", "--max-concurrency", "0"], "0"),
        (["list", "--output", "xml"], "'xml'"),
        (["list", "--demo", "--profile", "TEAM"], "--profile"),
        (["list", "--demo", "--config-file", "x"], "--config-file"),
        (["idle", "--since", "9999999w"], "'9999999w' is too long: it starts before the year 1"),
        (["watch", "--every", "0m"], "'0m' is not a period such as 5m, 1h30m or 90s"),
        (["watch", "--every", "often"], "'often'"),
        (["watch", "--output", "csv"], "'csv'"),
        (["watch", "--connected"], "--since"),
        (["list", "--watch"], "--watch is a command of its own: aidp-sessions watch"),
        (["idle", "--since", "2h", "--watch"], "--watch is a command of its own: aidp-sessions watch"),
        (["workspaces", "--workspace", "a"], "--workspace"),
        (["workspaces", "--display-name-contains", "\udcff"], "surrogate"),
        (["list", "--path", "\udcff"], "surrogate"),
        (["nap"], "'nap'"),
    ],
)
async def test_wrong_usage_is_status_2_names_the_value_and_sends_nothing(
    platform: LocalService, arguments: list[str], reason: str
) -> None:
    result = await invoke(*arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert reason in result.stderr.splitlines()[-1]
    assert platform.request_count == 0


async def test_unusable_settings_are_one_line_and_status_4(platform: LocalService, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("not a key")
    garbage.chmod(0o600)
    damaged = tmp_path / "damaged"
    damaged.write_text(re.sub("key_file ?=.*", f"key_file={garbage}", platform.write_config(tmp_path).read_text()))

    no_file = await invoke("list", "--config-file", str(tmp_path / "absent"))
    no_profile = await invoke("list", "--profile", "ABSENT")
    no_key = await invoke("list", "--config-file", str(damaged))

    for result, culprit in ((no_file, "absent"), (no_profile, "ABSENT"), (no_key, "garbage.pem")):
        assert (result.exit_code, result.stdout) == (4, "")
        (line,) = result.stderr.splitlines()
        assert line.startswith("failed: ")
        assert culprit in line
    assert platform.request_count == 0


async def test_without_an_instance_the_message_says_how_to_give_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIDP_INSTANCE_ID", raising=False)

    result = await invoke("list")

    assert result.exit_code == 4
    assert "AIDP_INSTANCE_ID" in result.stderr


async def test_every_setting_of_the_environment_can_be_an_option(service: LocalService, tmp_path: Path) -> None:
    service.add_workspace("analytics", [wire("a")])
    config = service.write_config(tmp_path, profile="TEAM")

    result = await invoke(
        *("list", "--instance-id", service.platform_id, "--endpoint", service.url, "--region", "us-ashburn-1"),
        *("--config-file", str(config), "--profile", "TEAM", "--auth", "api_key"),
    )

    assert (result.exit_code, result.stderr) == (0, "")
    assert [line["id"] for line in lines(result.stdout)] == ["a"]


async def test_an_option_takes_precedence_over_the_environment(
    platform: LocalService, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.add_workspace("analytics", [wire("a")])
    monkeypatch.setenv("AIDP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OCI_CLI_PROFILE", "ABSENT")

    result = await invoke("list", "--endpoint", platform.url, "--profile", "DEFAULT")

    assert (result.exit_code, result.stderr) == (0, "")
