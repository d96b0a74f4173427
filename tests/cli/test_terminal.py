"""The command on a real terminal: tables, colours, the bar, the view of ``watch``, and Ctrl-C."""

from __future__ import annotations

import asyncio
import math
import re
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from aidp_sessions.testing import Fault, LocalService

from ..helpers.cli_runner import forget_settings, lines, point_to, wire
from ..helpers.terminal import on_terminal

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9]m")


@pytest.fixture(autouse=True)
def _an_ordinary_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_settings(monkeypatch, tmp_path)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture
def platform(service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LocalService:
    point_to(service, monkeypatch, tmp_path)
    return service


@pytest.mark.parametrize(
    ("arguments", "heading", "last"),
    [
        (
            ["busy", "--workspace", "customer churn"],
            "Workspace +Session +.*State +Conn.",
            r"\d+ busy of 27 sessions in 1 ",
        ),
        (["workspaces"], "Key +Name +State +Created by", "13 workspaces$"),
        (["whoami"], "signer +ApiKeySigner", r"clock difference +[+-][01] s"),
    ],
)
async def test_a_terminal_gets_a_table_in_colour_within_its_width(
    arguments: list[str], heading: str, last: str
) -> None:
    async with on_terminal(*arguments, "--demo", columns=100) as terminal:
        status = await terminal.end()

    assert status == 0
    assert re.search(f"^{heading}", terminal.text, re.MULTILINE)
    assert re.match(last, terminal.text.splitlines()[-1])
    assert arguments == ["whoami"] or COLOUR.search(terminal.raw)


async def test_no_color_disables_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async with on_terminal("list", "--demo", "--workspace", "Customer*") as terminal:
        status = await terminal.end()

    assert status == 0
    assert re.search(r"^27 sessions in 1 workspace$", terminal.text, re.MULTILINE)
    assert not COLOUR.search(terminal.raw)


async def test_the_bar_counts_workspaces_and_ctrl_c_prints_the_table_of_the_sessions_found(
    platform: LocalService,
) -> None:
    platform.add_workspace("fast", [wire("a")])
    platform.add_workspace("bad")
    platform.fail("bad", Fault(status=403, times=None))
    platform.add_workspace("hesitant", [wire("b")])
    platform.fail("hesitant", Fault(status=503, retry_after=0.01))
    platform.add_workspace("never")
    platform.fail("never", Fault(delay=math.inf))

    async with on_terminal("list", columns=100) as terminal:
        await terminal.until(r" 3/4 workspaces .*· 1 failed · 1 retry")
        terminal.process.send_signal(signal.SIGINT)
        status = await terminal.end()

    assert status == 130
    assert len(re.findall("^failed: .*'bad'", terminal.text, re.MULTILINE)) == 1
    assert terminal.text.endswith("\n2 sessions in 2 workspaces; 1 workspace failed; interrupted\n")
    assert terminal.raw.rindex("\x1b[?25h") > terminal.raw.rindex("\x1b[?25l"), "the cursor is back"


async def test_the_bar_is_on_standard_error_and_only_json_is_on_standard_output(platform: LocalService) -> None:
    platform.add_workspace("a", [wire("a")])

    async with on_terminal("list", stdout=asyncio.subprocess.PIPE) as terminal:
        status = await terminal.end()
        assert terminal.process.stdout is not None
        found = await terminal.process.stdout.read()

    assert status == 0
    assert [line["id"] for line in lines(found.decode())] == ["a"]
    assert re.search("[01]/1 workspaces", terminal.text)


@pytest.mark.parametrize("arguments", [["--no-progress"], ["--output", "jsonl"]])
async def test_there_is_no_bar_with_no_progress_or_between_lines_of_output(
    platform: LocalService, arguments: list[str]
) -> None:
    platform.add_workspace("a")

    async with on_terminal("list", *arguments) as terminal:
        status = await terminal.end()

    assert status == 0
    assert "workspaces" not in terminal.text


async def test_watch_shows_a_live_view_until_ctrl_c_and_keeps_its_last_state(platform: LocalService) -> None:
    platform.add_workspace("a", [wire("first"), wire("second", execution_state="busy")])
    platform.add_workspace("bad")
    platform.fail("bad", Fault(status=403, times=None))

    async with on_terminal("watch", "--every", "7m", columns=100) as terminal:
        await terminal.until(r"All sessions, every 7 min · 2 sessions · asked at \d\d:\d\d:\d\d \S+")
        terminal.process.send_signal(signal.SIGINT)
        status = await terminal.end()

    assert status == 130
    last = terminal.text[terminal.text.rindex("All sessions") :]
    assert re.search("^a +Workspace/second.ipynb +python3 +busy", last, re.MULTILINE)
    assert "appeared" not in last
    assert re.search("^failed: .*'bad'", last, re.MULTILINE)


async def test_a_warning_stands_above_the_live_view(platform: LocalService, tmp_path: Path) -> None:
    platform.add_workspace("a", [wire("first")])
    (tmp_path / "oci_api_key.pem").chmod(0o644)

    async with on_terminal("watch", columns=100) as terminal:
        await terminal.until("All sessions, every 5 min · 1 session ")
        terminal.process.send_signal(signal.SIGINT)
        status = await terminal.end()

    assert status == 130
    assert re.search(r"^warning: .* can be read by others; run: chmod 600", terminal.text, re.MULTILINE)
    assert "warning" not in terminal.text[terminal.text.rindex("All sessions") :]


async def test_attempts_stand_above_the_bar_and_not_between_the_results(platform: LocalService) -> None:
    platform.add_workspace("a", [wire("first")])

    async with on_terminal("list", "--debug", columns=200) as terminal:
        status = await terminal.end()

    assert status == 0
    table = terminal.text[terminal.text.index("Workspace  Session") :]
    assert len(re.findall("^debug: ", terminal.text, re.MULTILINE)) == 3
    assert "debug" not in table


async def test_columns_are_a_table_on_a_terminal_and_a_query_is_indented_json(platform: LocalService) -> None:
    platform.add_workspace("a", [wire("first")])

    async with on_terminal("list", "--columns", "id,activity", "--limit", "1", "--no-progress") as terminal:
        assert await terminal.end() == 0
    async with on_terminal("list", "--query", "[].{id: id}", "--no-progress") as queried:
        assert await queried.end() == 0

    assert [line.split() for line in terminal.text.splitlines()[:3:2]] == [["id", "activity"], ["first", "idle"]]
    assert queried.text == '[\n  {\n    "id": "first"\n  }\n]\n'
