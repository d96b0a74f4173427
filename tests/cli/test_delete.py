"""``aidp-sessions delete``: what it shows, what it refuses, what it deletes, and its exit statuses."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from aidp_sessions.testing import Fault, LocalService

from ..helpers.cli_runner import LONG_AGO, forget_settings, invoke, lines, point_to, start, wire
from ..helpers.terminal import on_terminal

if TYPE_CHECKING:
    from pathlib import Path

    from aidp_sessions.testing import RecordedRequest


@pytest.fixture
def platform(service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LocalService:
    """Two idle kernels, of which one has two sessions, and one that is busy; a session without a kernel elsewhere."""
    forget_settings(monkeypatch, tmp_path)
    monkeypatch.setenv("TERM", "xterm-256color")
    point_to(service, monkeypatch, tmp_path)
    sessions = [session("idle"), session("left", id="shared"), session("right", id="shared")]
    service.add_workspace("one", [*sessions, session("busy", execution_state="busy")])
    service.add_workspace("two", [{"id": "new", "path": "new.ipynb"}])
    return service


def session(name: str, **kernel: object) -> dict[str, object]:
    return wire(name, **{"id": f"kernel-{name}", **kernel})


def deleted(service: LocalService) -> list[str | None]:
    return [session.id for session in service.deleted]


def left(service: LocalService) -> set[str | None]:
    return {session.id for key in ("one", "two") for session in service.sessions(key)}


def decisions(text: str) -> list[tuple[object, ...]]:
    return [(line["decision"], line.get("reason"), line["named"]) for line in lines(text) if "decision" in line]


def results(text: str) -> list[tuple[object, object]]:
    return [(line["kernelId"], line["result"]) for line in lines(text) if "result" in line]


async def test_without_yes_it_shows_what_would_be_deleted_and_kept_and_writes_nothing(platform: LocalService) -> None:
    result = await invoke("delete", "idle", "left", "busy", "new")

    assert result.exit_code == 0
    assert decisions(result.stdout) == [
        ("keep", "busy", ["busy"]),
        ("delete", None, ["idle"]),
        ("keep", "shared", ["left"]),
        ("delete", None, ["new"]),
    ]
    assert result.stderr.splitlines() == [
        "kept: session 'busy': its kernel is busy; --allow-busy permits to delete it",
        "kept: session 'left': its kernel has other sessions; --allow-shared permits to delete it",
    ]
    assert {request.method for request in platform.requests} == {"GET"}


async def test_a_table_marks_the_sessions_that_would_end_too(platform: LocalService) -> None:
    result = await invoke("delete", "left", "busy", "--allow-shared", "--output", "table")

    text = result.stdout
    assert result.exit_code == 0
    assert re.search(r"^one +Workspace/left.ipynb .* left +delete *$", text, re.MULTILINE)
    assert re.search(r"^one +Workspace/right.ipynb .* right +ends too *$", text, re.MULTILINE)
    assert re.search(r"^one +Workspace/busy.ipynb .* busy +kept: busy *$", text, re.MULTILINE)
    assert text.splitlines()[-1] == "1 session would be deleted, and 1 other session would end with the same kernels"


@pytest.mark.parametrize(
    ("arguments", "status", "gone"),
    [
        (("idle", "new"), 0, {"idle", "new"}),
        (("idle", "idle"), 0, {"idle"}),
        (("busy",), 1, set()),
        (("busy", "--allow-busy"), 0, {"busy"}),
        (("busy", "--allow-shared"), 1, set()),
        (("left",), 1, set()),
        (("left", "--allow-busy"), 1, set()),
        (("left", "--allow-shared"), 0, {"left", "right"}),
        (("right", "left"), 0, {"left", "right"}),
        (("busy", "left", "idle"), 1, {"idle"}),
        (("idle", "--workspace", "two"), 1, set()),
        (("idle", "--workspace", "one", "--workspace", "two"), 0, {"idle"}),
        (("nowhere", "idle"), 1, {"idle"}),
    ],
)
async def test_yes_deletes_what_was_named_and_permitted(
    platform: LocalService, arguments: tuple[str, ...], status: int, gone: set[str]
) -> None:
    before = left(platform)

    result = await invoke("delete", *arguments, "--yes")

    assert result.exit_code == status
    assert before - left(platform) == gone
    assert set(deleted(platform)) <= set(arguments)
    assert {request.operation for request in platform.requests if request.method != "GET"} <= {"delete_session"}


async def test_a_kernel_of_which_all_sessions_are_named_is_deleted_once(platform: LocalService) -> None:
    result = await invoke("delete", "right", "left", "--yes")

    assert results(result.stdout) == [("shared", "deleted")]
    assert deleted(platform) == ["left"]


async def test_a_table_of_outcomes_names_the_deleted_session(platform: LocalService) -> None:
    result = await invoke("delete", "right", "--allow-shared", "--yes", "--output", "table")

    assert re.search(r"^one +Workspace/right.ipynb +deleted +shared$", result.stdout, re.MULTILINE)
    assert result.stdout.splitlines()[-1] == "1 deleted"


@pytest.mark.parametrize(("state", "moment"), [("busy", LONG_AGO), ("idle", "now")])
async def test_a_session_whose_kernel_was_used_in_the_meantime_is_kept_with_status_1(
    platform: LocalService, state: str, moment: str
) -> None:
    moment = datetime.now(UTC).isoformat() if moment == "now" else moment

    def wake_up(request: RecordedRequest) -> None:
        if request.operation == "get_session":
            platform.set_session("one", session("idle", execution_state=state, last_activity=moment))

    platform.on_request = wake_up
    result = await invoke("delete", "idle", "--yes")

    assert (result.exit_code, results(result.stdout)) == (1, [("kernel-idle", "changed")])
    assert deleted(platform) == []


async def test_a_session_that_is_gone_is_status_0(platform: LocalService) -> None:
    def remove(request: RecordedRequest) -> None:
        if request.operation == "get_session":
            platform.set_sessions("one", [])

    platform.on_request = remove
    result = await invoke("delete", "idle", "--yes")

    assert (result.exit_code, results(result.stdout)) == (0, [("kernel-idle", "gone")])


async def test_a_deletion_that_fails_makes_the_status_1_and_spoils_no_other(platform: LocalService) -> None:
    platform.fail("one", Fault(status=403), operation="delete_session")

    result = await invoke("delete", "idle", "new", "--yes")

    assert result.exit_code == 1
    assert result.stderr.startswith("failed: delete_session of workspace 'one': 403")
    assert results(result.stdout) == [("kernel-idle", "failed"), (None, "deleted")]


async def test_a_workspace_that_cannot_be_read_makes_the_status_1(platform: LocalService) -> None:
    platform.fail("two", Fault(status=403), operation="list_sessions")

    result = await invoke("delete", "idle", "--yes")

    assert result.exit_code == 1
    assert deleted(platform) == ["idle"]


async def test_an_id_that_two_workspaces_list_is_refused_unless_one_is_chosen(platform: LocalService) -> None:
    platform.set_session("two", session("idle"))

    both = await invoke("delete", "idle", "--yes")
    one = await invoke("delete", "idle", "--yes", "--workspace", "two")

    assert both.exit_code == 2
    assert "session 'idle' is in 'one' and in 'two': choose with --workspace" in both.stderr
    assert one.exit_code == 0
    assert "idle" in {session.id for session in platform.sessions("one")}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "Missing argument"),
        (("idle", "--audit", "{folder}/audit"), "--audit needs --yes"),
        (("a", "--workspace", ""), ""),
    ],
)
async def test_wrong_usage_is_status_2_and_sends_nothing(
    platform: LocalService, tmp_path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    result = await invoke("delete", *(argument.format(folder=tmp_path) for argument in arguments))

    assert (result.exit_code, result.stdout) == (2, "")
    assert reason in result.stderr
    assert platform.request_count == 0


async def test_the_audit_has_decisions_and_outcomes_with_signer_platform_and_requests(
    platform: LocalService, tmp_path: Path
) -> None:
    audit = tmp_path / "audit.jsonl"

    result = await invoke("delete", "idle", "busy", "--yes", "--audit", str(audit))

    busy, idle, outcome = lines(audit.read_text())
    signer = {
        "type": "ApiKeySigner",
        **{name: platform.oci_config()[name] for name in ("tenancy", "user", "fingerprint")},
    }
    assert result.exit_code == 1
    assert [(line["decision"], line["named"]) for line in (busy, idle)] == [("keep", ["busy"]), ("delete", ["idle"])]
    assert idle["platformId"] == platform.platform_id
    assert idle["sessions"] == [{"workspaceKey": "one", "workspaceName": "one", **session("idle")}]
    assert (outcome["result"], outcome["error"], outcome["signer"]) == ("deleted", None, signer)
    assert outcome["requestIds"] == [
        request.headers["opc-request-id"] for request in platform.requests if request.session_id == "idle"
    ]


async def test_an_audit_that_cannot_be_written_ends_the_run_before_the_first_deletion(platform: LocalService) -> None:
    result = await invoke("delete", "idle", "--yes", "--audit", "/dev/full")

    assert (result.exit_code, result.stderr) == (1, "failed: /dev/full: No space left on device\n")
    assert deleted(platform) == []


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
@pytest.mark.parametrize(("answer", "status", "gone"), [("y\n", 0, ["left"]), ("\n", 0, []), ("\x04", 130, [])])
async def test_on_a_terminal_yes_asks_once_with_the_numbers(
    platform: LocalService, answer: str, status: int, gone: list[str]
) -> None:
    async with on_terminal("delete", "left", "--allow-shared", "--yes") as terminal:
        await terminal.until(r"Delete 1 session, and end 1 other session\? \[y/N\]: ")
        terminal.type(answer)
        assert await terminal.end() == status

    assert deleted(platform) == gone


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
async def test_on_a_terminal_no_input_asks_nothing(platform: LocalService) -> None:
    async with on_terminal("delete", "idle", "--yes", "--no-input") as terminal:
        assert await terminal.end() == 0

    assert "[y/N]" not in terminal.text
    assert terminal.text.splitlines()[-1] == "1 deleted"
    assert deleted(platform) == ["idle"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
async def test_sigterm_ends_the_run_after_the_deletion_under_way(platform: LocalService) -> None:
    stopping = asyncio.Event()
    platform.on_request = lambda request: stopping.set() if request.method == "DELETE" else None
    platform.fail("one", Fault(delay=1.0), operation="delete_session")
    process = await start("delete", "idle", "new", "--yes")
    await stopping.wait()
    process.send_signal(signal.SIGTERM)
    stdout, _ = await process.communicate()

    assert process.returncode == 130
    assert results(stdout.decode()) == [("kernel-idle", "deleted")]
    assert deleted(platform) == ["idle"]
