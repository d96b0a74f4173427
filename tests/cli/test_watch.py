"""``aidp-sessions watch``: what its view and its lines show while a real service changes."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from aidp_sessions import AidpError, SessionChange, SessionSummary
from aidp_sessions.cli.live import LineView, LiveView, change_line
from aidp_sessions.cli.running import background_task
from aidp_sessions.cli.watching import watch_sessions
from aidp_sessions.testing import Fault, LocalService
from aidp_sessions.testing.demo import populate_demo, simulate_activity

from ..helpers.cli_runner import (
    OPTIONS,
    forget_settings,
    invoke,
    point_to,
    wire,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SOON = timedelta(milliseconds=5)


class Told:
    """A view that records what it gets."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[str, str | None]] = asyncio.Queue()

    def listed(self, key: str, at: datetime) -> None:
        pass

    def changed(self, change: SessionChange, at: datetime) -> None:
        self.queue.put_nowait((change.kind, change.session.id))

    def named(self, names: Mapping[str, str]) -> None:
        pass

    def outage(self, key: str | None, error: AidpError | None) -> None:
        self.queue.put_nowait(("silent" if error else "answers again", key))


@pytest.fixture
def platform(service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LocalService:
    forget_settings(monkeypatch, tmp_path)
    point_to(service, monkeypatch, tmp_path)
    return service


async def test_a_watch_reports_each_change_once(platform: LocalService) -> None:
    platform.add_workspace("a", [wire("x")])
    told = Told()

    async with background_task(watch_sessions(OPTIONS, SOON, lambda stream: stream, told)):
        seen = [await told.queue.get()]
        platform.set_sessions("a", [wire("x", execution_state="busy")])
        seen.append(await told.queue.get())
        platform.set_sessions("a", [])
        seen.append(await told.queue.get())

    assert seen == [("appeared", "x"), ("changed", "x"), ("vanished", "x")]


async def test_activity_can_be_simulated_on_the_demo(service: LocalService) -> None:
    held = populate_demo(service, now=datetime.now(UTC))
    before = {key: list(sessions) for key, sessions in held.items()}
    naps = iter(range(60))

    async def nap(seconds: float) -> None:
        if next(naps, None) is None:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        await simulate_activity(service, held, sleep=nap)
    async with service.client() as client:
        now = {key: list(await client.list_sessions(key)) for key in held if before[key]}

    moves = [
        (old.kernel and old.kernel.execution_state, new.kernel and new.kernel.execution_state)
        for key, sessions in now.items()
        for old, new in zip(before[key], sessions, strict=True)
        if old.kernel != new.kernel
    ]
    assert set(moves) >= {("idle", "busy"), ("busy", "idle")}
    assert {state for move in moves for state in move} == {"idle", "busy"}


async def test_a_duration_counts_back_from_each_round(platform: LocalService) -> None:
    platform.add_workspace("a", [wire("x", last_activity=datetime.now(UTC).isoformat())])
    told = Told()

    async with background_task(
        watch_sessions(OPTIONS, SOON, lambda stream: stream.idle_since(timedelta(milliseconds=100)), told)
    ):
        first = await told.queue.get()

    assert first == ("appeared", "x")


async def test_an_outage_and_its_end_are_reported_once_each(platform: LocalService) -> None:
    platform.add_workspace("a", [wire("x")])
    platform.fail("a", Fault(status=403, times=2))
    told = Told()

    async with background_task(watch_sessions(OPTIONS, SOON, lambda stream: stream, told)):
        seen = [await told.queue.get() for _ in range(3)]

    assert seen == [("silent", "a"), ("answers again", "a"), ("appeared", "x")]


async def test_a_listed_workspace_with_an_invalid_key_is_an_outage(platform: LocalService) -> None:
    platform.add_workspace("..")
    platform.add_workspace("a", [wire("x")])
    told = Told()

    async with background_task(watch_sessions(OPTIONS, SOON, lambda stream: stream, told)):
        seen = [await told.queue.get()]
        seen.append(await told.queue.get())
        platform.set_sessions("a", [])
        seen.append(await told.queue.get())

    assert seen == [("silent", ".."), ("appeared", "x"), ("vanished", "x")]


async def test_a_listing_that_keeps_failing_after_its_first_page_is_reported_once(platform: LocalService) -> None:
    platform.add_workspace("a", [wire("x")])
    platform.fail(None, Fault(), Fault(), *[Fault(), Fault(status=403)] * 2)  # one request for each kind of network
    told = Told()

    async with background_task(watch_sessions(OPTIONS, SOON, lambda stream: stream, told)):
        seen = [await told.queue.get() for _ in range(3)]

    assert seen == [("appeared", "x"), ("silent", None), ("answers again", None)]


async def test_a_first_round_that_fails_ends_the_watch_with_status_4_and_one_line(platform: LocalService) -> None:
    platform.fail(None, Fault(status=403, times=None))

    result = await invoke("watch")

    assert (result.exit_code, result.stdout) == (4, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("failed: list_workspaces: 403 ")


def test_the_view_holds_the_current_sessions() -> None:
    board = LiveView(title="All", clock=lambda: NOW)
    first, second = (SessionSummary(id="1", path=path, workspace_key="w") for path in ("before", "after"))
    gone = SessionSummary(path="without an id", workspace_key="w")
    for change in (
        SessionChange(kind="appeared", session=first),
        SessionChange(kind="appeared", session=gone),
        SessionChange(kind="changed", session=second, previous=first),
        SessionChange(kind="vanished", session=gone, previous=gone),
    ):
        board.changed(change, NOW)
    board.outage("w", AidpError("down"))
    board.outage("w", None)
    screen = Console(file=StringIO(), width=80, height=30)

    screen.print(board)

    assert isinstance(screen.file, StringIO)
    shown = re.sub(r"\d\d:00:00 \S+", "TIME", screen.file.getvalue())
    assert [line.rstrip() for line in shown.splitlines()] == [
        "All · 1 session",
        "",
        "Workspace  Session  State      Id",
        "─────────────────────────────────",
        "w          after    no kernel  1",
        "",
        "TIME  appeared  no kernel  w  before",
        "TIME  appeared  no kernel  w  without an id",
        "TIME  changed   no kernel  w  after",
        "TIME  vanished  no kernel  w  without an id",
    ]


def test_the_view_shows_when_it_last_asked_and_leaves_out_what_the_first_round_found() -> None:
    board = LiveView(title="All", clock=lambda: NOW)
    sessions = [SessionSummary(id=name, path=name, workspace_key=key) for name, key in (("1", "a"), ("2", "b"))]
    for session in sessions:
        board.listed(session.workspace_key, NOW)
        board.changed(SessionChange(kind="appeared", session=session), NOW)
    later = NOW + timedelta(minutes=5)
    board.listed("b", later)
    board.changed(SessionChange(kind="vanished", session=sessions[1], previous=sessions[1]), later)
    board.listed("c", later)
    board.changed(SessionChange(kind="appeared", session=SessionSummary(path="3", workspace_key="c")), later)
    screen = Console(file=StringIO(), width=80, height=30)

    screen.print(board)

    assert isinstance(screen.file, StringIO)
    zone = f"{later.astimezone():%H:%M:%S %Z}"
    shown = [line.rstrip() for line in screen.file.getvalue().splitlines()]
    assert shown[0] == f"All · 2 sessions · asked at {zone}"
    assert shown[-2:] == [f"{zone}  vanished  no kernel  b  2", f"{zone}  appeared  no kernel  c  3"]
    assert len([line for line in shown if zone in line]) == 3


def test_a_line_names_both_states_of_a_changed_kernel_and_cannot_control_the_terminal() -> None:
    session = SessionSummary(path="\x1b[2Jx", workspace_key="w")

    line = change_line(SessionChange(kind="appeared", session=session), NOW, "Churn")

    assert line == "2026-11-23T12:00:00Z  appeared  no kernel  Churn  \ufffd[2Jx\n"


def test_standard_error_names_workspaces_that_stop_answering_and_that_answer_again() -> None:
    error_console = Console(file=StringIO(), width=20)
    lines = LineView(lambda *_: None, error_console)
    lines.named({"w": "Churn", "v": "Pricing"})

    lines.outage("w", AidpError("a long reason that takes more than a line"))
    lines.outage("w", None)
    lines.outage(None, None)

    assert isinstance(error_console.file, StringIO)
    assert error_console.file.getvalue() == (
        "failed: a long reason that takes more than a line\nanswers again: Churn\n"
        "answers again: the listing of workspaces\n"
    )
