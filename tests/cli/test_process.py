"""The command in a child process: the demo, Ctrl-C, a closed pipe, and without its extra."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import signal
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from aidp_sessions import __version__
from aidp_sessions.testing import Fault, LocalService

from ..helpers.cli_runner import (
    forget_settings,
    lines,
    point_to,
    start,
    wire,
)

if TYPE_CHECKING:
    from pathlib import Path

WITHOUT = "import sys; sys.modules[{!r}] = None; from aidp_sessions.__main__ import main; main()"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_settings(monkeypatch, tmp_path)


async def finish(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    stdout, stderr = await process.communicate()
    return process.returncode, (stdout or b"").decode(), (stderr or b"").decode()


async def test_the_demo_finds_idle_kernels_in_many_workspaces_without_an_account() -> None:
    before = datetime.now(UTC)
    status, stdout, stderr = await finish(await start("idle", "--since", "2h", "--demo"))

    found = lines(stdout)
    kernels = [line["kernel"] for line in found]
    assert (status, stderr) == (0, "")
    assert len({line["workspaceKey"] for line in found}) >= 5
    assert {kernel["execution_state"] for kernel in kernels if isinstance(kernel, dict)} == {"idle"}
    latest = max(datetime.fromisoformat(kernel["last_activity"]) for kernel in kernels if isinstance(kernel, dict))
    assert latest <= datetime.now(UTC) - timedelta(hours=2)
    assert latest < before


async def test_the_demo_shows_a_failure_for_the_workspace_that_is_being_deleted() -> None:
    status, stdout, stderr = await finish(
        await start("list", "--demo", "--workspace", "Customer churn", "--workspace", "Hackathon 2025")
    )

    assert status == 1
    assert {line["workspaceName"] for line in lines(stdout)} == {"Customer churn"}
    (line,) = stderr.splitlines()
    assert re.fullmatch(r"failed: list_sessions of workspace 'Hackathon 2025' \(.{36}\): 404 .+", line)


async def test_list_shows_more_of_the_demo_than_idle() -> None:
    _, of_idle, _ = await finish(await start("idle", "--since", "2h", "--demo", "--output", "json"))
    _, of_all, _ = await finish(await start("list", "--demo", "--output", "json"))

    assert {line["id"] for line in json.loads(of_idle)} < {line["id"] for line in json.loads(of_all)}


async def test_version_is_that_of_the_package() -> None:
    assert await finish(await start("--version")) == (0, f"aidp-sessions, version {__version__}\n", "")


async def test_ctrl_c_ends_with_status_130_after_the_sessions_found_so_far(
    service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    point_to(service, monkeypatch, tmp_path)
    service.add_workspace("fast", [wire("a")])
    service.add_workspace("never")
    service.fail("never", Fault(delay=math.inf))
    process = await start("list", "--output", "jsonl")
    assert process.stdout is not None
    first = await process.stdout.readline()

    process.send_signal(signal.SIGINT)

    assert json.loads(first)["id"] == "a"
    assert await finish(process) == (130, "", "")


async def test_watch_prints_a_line_per_change_until_ctrl_c() -> None:
    process = await start("watch", "--since", "1w", "--demo", "--workspace", "Customer churn")
    assert process.stdout is not None
    first = json.loads(await process.stdout.readline())

    process.send_signal(signal.SIGINT)

    status, rest, stderr = await finish(process)
    assert (first["kind"], first["session"]["workspaceName"]) == ("appeared", "Customer churn")
    assert {line["kind"] for line in lines(rest)} <= {"appeared"}
    assert (status, stderr) == (130, "")


async def test_ctrl_c_prints_the_table_of_the_sessions_found_so_far(
    service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    point_to(service, monkeypatch, tmp_path)
    service.add_workspace("fast", [wire("a")])
    service.add_workspace("bad")
    service.fail("bad", Fault(status=403, times=None))
    service.add_workspace("never")
    service.fail("never", Fault(delay=math.inf))
    named = [word for key in ("fast", "bad", "never") for word in ("--workspace", key)]  # one after the other
    process = await start("list", "--output", "table", "--max-concurrency", "1", *named)
    assert process.stderr is not None
    failure = await process.stderr.readline()

    process.send_signal(signal.SIGINT)

    status, stdout, stderr = await finish(process)
    assert failure.startswith(b"failed: list_sessions of workspace 'bad': 403 ")
    assert (status, stderr) == (130, "")
    assert stdout.splitlines()[-1] == "1 session in 1 workspace; 1 workspace failed; interrupted"


@pytest.mark.parametrize(
    ("command", "output"), [("list", "jsonl"), ("list", "json"), ("list", "csv"), ("list", "table"), ("watch", "jsonl")]
)
async def test_a_closed_pipe_ends_the_command_without_a_message(command: str, output: str) -> None:
    ours, theirs = os.pipe()
    os.close(ours)

    process = await start(command, "--demo", "--workspace", "Customer churn", "--output", output, stdout=theirs)
    os.close(theirs)

    assert await finish(process) == (141, "", "")


@pytest.mark.parametrize("package", ["click", "jmespath", "rich"])
async def test_without_its_extra_the_command_says_how_to_install_it(package: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", WITHOUT.format(package)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )

    status, stdout, stderr = await finish(process)

    assert (status, stdout) == (4, "")
    (line,) = stderr.splitlines()
    assert repr(package) in line
    assert "in the folder of the project's source, run: python -m pip install '.[cli]'" in line
