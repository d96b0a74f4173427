"""Whole screens of the command, for the demo's platform with one failure, at a fixed time and several widths."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from aidp_sessions import SessionChange
from aidp_sessions._convert.records import to_record
from aidp_sessions.activity import idle_predicate
from aidp_sessions.cli.formats import SESSION_COLUMNS
from aidp_sessions.cli.live import LiveView
from aidp_sessions.cli.options import ShapeOptions
from aidp_sessions.cli.report import Report
from aidp_sessions.cli.report_tables import Shown, print_report
from aidp_sessions.cli.shaping import Rows
from aidp_sessions.cli.tables import fit_sessions, fit_workspaces, print_workspaces
from aidp_sessions.testing import Fault, LocalService, populate_demo
from aidp_sessions.testing.demo import demo_key

from ..golden import assert_golden

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from aidp_sessions import SessionsClient, SessionSummary

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
async def demo() -> AsyncIterator[SessionsClient]:
    async with LocalService() as service, service.client() as client:
        populate_demo(service, now=NOW)
        service.fail(demo_key("Legacy migration"), Fault(status=404))
        yield client


def console(columns: int, lines: int = 24) -> Console:
    return Console(file=StringIO(), width=columns, height=lines, force_terminal=True, color_system=None)


def shown(screen: Console) -> str:
    assert isinstance(screen.file, StringIO)
    return screen.file.getvalue()


async def collect_report(client: SessionsClient, keep: Callable[[SessionSummary], bool], adjective: str = "") -> Report:
    report = Report(now=NOW, adjective=adjective)
    async for outcome in client.sessions().by_workspace():
        report.kept += report.record(outcome, keep)
    return report


@pytest.mark.parametrize("columns", [80, 120])
async def test_idle_kernels_of_the_demo(demo: SessionsClient, columns: int) -> None:
    screen = console(columns)

    print_report(await collect_report(demo, idle_predicate(NOW - timedelta(days=7)), adjective="idle"), screen)

    assert_golden(f"demo-idle-{columns}", shown(screen))


@pytest.mark.parametrize("columns", [80, 120])
async def test_every_session_of_the_demo(demo: SessionsClient, columns: int) -> None:
    screen = console(columns)

    print_report(
        await collect_report(demo, lambda session: session.workspace_name in ("Customer churn", "Pricing")), screen
    )

    assert_golden(f"demo-list-{columns}", shown(screen))


@pytest.mark.parametrize("columns", [80, 120])
async def test_chosen_rows_and_columns_of_the_demo(demo: SessionsClient, columns: int) -> None:
    screen, report = console(columns), await collect_report(demo, lambda session: True)
    rows = Rows(
        items=report.kept,
        columns=SESSION_COLUMNS,
        record=lambda session: to_record(session, NOW),
        document=lambda session: {},
    )
    names = ("workspace_name", "path", "execution_state", "connections", "id")
    options = ShapeOptions(
        sort_by="-idle_seconds",
        limit=5,
        columns=names,
        query=None,
        summary=False,
        no_header=False,
        local_time=False,
    )
    table = rows.table(options, columns, lambda items: fit_sessions(items, NOW, screen))

    print_report(report, screen, Shown(table, omitted=len(report.kept) - 5))

    assert_golden(f"demo-columns-{columns}", shown(screen))


@pytest.mark.parametrize("columns", [60, 80])
async def test_the_workspaces_of_the_demo(demo: SessionsClient, columns: int) -> None:
    screen = console(columns)

    found = [workspace async for workspace in demo.workspaces()]
    found.sort(key=lambda workspace: workspace.display_name)
    print_workspaces(fit_workspaces(found, columns), len(found), screen)

    assert_golden(f"demo-workspaces-{columns}", shown(screen))


@pytest.mark.parametrize("columns", [80, 120])
async def test_the_view_of_watch_fits_its_terminal(
    demo: SessionsClient, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen, board = console(columns), LiveView(title="Idle for 7 d 0 h, every 5 min", clock=lambda: NOW)
    report = await collect_report(demo, idle_predicate(NOW - timedelta(days=7)))
    for session in sorted(report.kept, key=lambda session: session.id or ""):
        board.changed(SessionChange(kind="appeared", session=session), NOW)
    for error in report.failures:
        board.outage(error.workspace_key, error)

    screen.print(board)

    text = shown(screen)
    assert len(text.splitlines()) < 24
    assert_golden(f"demo-watch-{columns}", text)
