"""Standard output or standard error is closed or full: one line, status 1, and nothing else is lost."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import aidp_sessions
from aidp_sessions.cli.commands import command
from aidp_sessions.testing import Fault, LocalService

from ..helpers.cli_runner import forget_settings, invoke, lines, point_to, start, wire

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full device is a device of Linux")
FULL: Final = "failed: standard output: No space left on device\n"
CLOSED: Final = "failed: standard output: Bad file descriptor\n"
COMMANDS: Final = [
    f"{words} --output {output}"
    for words, outputs in {
        "list": "table jsonl json csv",
        "idle --since 1h": "table jsonl json csv",
        "busy": "table json csv",
        "workspaces": "table jsonl json csv",
        "whoami": "table json",
        "watch": "table jsonl",
    }.items()
    for output in outputs.split()
]


@pytest.fixture(autouse=True)
def platform(service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LocalService:
    forget_settings(monkeypatch, tmp_path)
    point_to(service, monkeypatch, tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(aidp_sessions.__file__).parents[1]))
    service.add_workspace("analytics", [wire("a")])
    return service


def run(arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        command.main(arguments.split(), prog_name="aidp-sessions")
    assert isinstance(caught.value.code, int)
    return caught.value.code


async def run_in_shell(arguments: str, redirections: str) -> tuple[int, str, str]:
    """Run the command with the redirections of a shell, and return its status and what it wrote."""
    line = f'"$0" -W error -m aidp_sessions {arguments} {redirections}'
    done = await asyncio.to_thread(
        subprocess.run, ["sh", "-c", line, sys.executable], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("arguments", COMMANDS)
async def test_a_full_device_is_one_line_and_status_1_for_every_command_and_format(
    arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open("/dev/full", "w") as full:  # noqa: ASYNC230, PTH123
        monkeypatch.setattr("sys.stdout", full)
        status = await asyncio.to_thread(run, arguments)

    assert (status, capsys.readouterr().err) == (1, FULL)


@pytest.mark.parametrize(
    ("arguments", "redirection", "line"),
    [
        ("list --output table", ">&-", CLOSED),
        ("idle --since 1h", ">&-", CLOSED),
        ("workspaces --output csv", ">&-", CLOSED),
        ("whoami", ">&-", CLOSED),
        ("watch", ">&-", CLOSED),
        ("list --output csv", ">/dev/full", FULL),
    ],
)
async def test_the_process_ends_with_status_1_too(arguments: str, redirection: str, line: str) -> None:
    """Python makes it 120 if something is left to be written when it exits."""
    assert await run_in_shell(arguments, redirection) == (1, "", line)


async def test_help_that_cannot_be_written_is_one_line_and_status_1() -> None:
    assert await run_in_shell("list --help", ">/dev/full") == (1, "", "failed: No space left on device\n")


@pytest.mark.parametrize("redirection", [">&-", ">/dev/full"])
@pytest.mark.parametrize("output", ["jsonl", "table"])
async def test_the_report_is_complete_even_if_standard_output_cannot_be_written(
    tmp_path: Path, redirection: str, output: str
) -> None:
    page = tmp_path / "page.html"

    status, _, _ = await run_in_shell(f"list --output {output} --html {page}", redirection)

    assert status == 1
    assert "Workspace/a.ipynb" in page.read_text()


@pytest.mark.parametrize("output", ["jsonl", "json", "csv", "table"])
async def test_a_report_that_cannot_be_written_leaves_standard_output_complete(
    platform: LocalService, output: str
) -> None:
    platform.set_sessions(
        "analytics", [wire("a", execution_state="busy")]
    )  # an idle time would change between the runs
    whole = await invoke("list", "--output", output)

    result = await invoke("list", "--output", output, "--html", "/dev/full")

    assert (result.exit_code, result.stderr) == (1, "failed: /dev/full: No space left on device\n")
    assert result.stdout == whole.stdout


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
async def test_messages_that_cannot_be_written_leave_the_results_complete(
    platform: LocalService, redirection: str
) -> None:
    platform.add_workspace("bad")
    platform.fail("bad", Fault(status=403, times=None))

    status, stdout, stderr = await run_in_shell("list", redirection)

    assert (status, stderr) == (1, "")
    assert [line["id"] for line in lines(stdout)] == ["a"]


async def test_a_broken_pipe_of_messages_leaves_the_results_complete(platform: LocalService) -> None:
    platform.add_workspace("bad")
    platform.fail("bad", Fault(status=403, times=None))
    ours, theirs = os.pipe()
    os.close(ours)

    process = await start("list", "--output", "csv", stderr=theirs)
    os.close(theirs)
    stdout, _ = await process.communicate()

    assert process.returncode == 1
    assert len(stdout.splitlines()) == 2


async def test_a_report_in_the_file_of_standard_output_is_refused(platform: LocalService, tmp_path: Path) -> None:
    """One of them would overwrite the other."""
    target = tmp_path / "target"

    status, _, stderr = await run_in_shell("list --html /dev/stdout", f">{target}")

    assert status == 2
    assert stderr.splitlines()[-1] == "Error: Invalid value for '--html': '/dev/stdout' is also the standard output"
    assert (platform.request_count, target.read_text()) == (0, "")


async def test_a_report_may_go_into_the_pipe_of_standard_output() -> None:
    status, stdout, _ = await run_in_shell("list --html /dev/stdout --output csv", "| cat")

    assert status == 0
    assert stdout.startswith("<!DOCTYPE html>")
    assert stdout.splitlines()[-1].startswith("analytics,analytics,a,")


async def test_ctrl_c_after_the_requests_is_status_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("aidp_sessions.cli.tables.terminal", interrupt)

    result = await invoke("list", "--output", "table")

    assert (result.exit_code, result.output) == (130, "")
