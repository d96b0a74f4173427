"""The progress bar: what it counts, and its text."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from rich.progress import Progress

from aidp_sessions import AidpError, FanOutError
from aidp_sessions.cli.progress import ProgressListener, StatusColumn
from aidp_sessions.cli.queries import collect_report
from aidp_sessions.cli.report import Report, error_console
from aidp_sessions.cli.running import background_task
from aidp_sessions.testing import Fault, LocalService

from ..helpers.cli_runner import OPTIONS, forget_settings, point_to, wire

if TYPE_CHECKING:
    from pathlib import Path


def bar(expected: int | None) -> tuple[ProgressListener, Progress]:
    """Make a bar that is not drawn, with a fixed time."""
    progress = Progress(StatusColumn(), console=Console(file=StringIO()), auto_refresh=False, get_time=lambda: 0.0)
    return ProgressListener(progress, progress.add_task("workspaces", total=expected, failed=0, retries=0)), progress


def words(progress: Progress) -> str:
    return StatusColumn().render(progress.tasks[0]).plain


async def test_it_counts_workspaces_and_failures_and_retries_but_not_their_listing(service: LocalService) -> None:
    for key in ("a", "b", "c"):
        service.add_workspace(key)
    service.fail("b", Fault(status=503, retry_after=0.0), Fault(status=429, retry_after=0.0))
    service.fail("c", Fault(status=403))
    shown, progress = bar(None)
    before = words(progress)

    async with service.client(on_event=shown.on_event) as client:
        with pytest.raises(FanOutError):
            await client.sessions().collect()

    assert before == "0 workspaces"
    assert words(progress) == "3 workspaces · 1 failed · 2 retries"
    shown.set_total(4)
    assert words(progress) == "3/4 workspaces · 1 failed · 2 retries"


@pytest.mark.parametrize(
    ("seconds", "expected", "text"),
    [
        (2.0, 10, "2/10 workspaces · 0.5/s · 0:16 left"),
        (0.02, 1000, "2/1000 workspaces · 50/s · 0:20 left"),
        (2.0, None, "2 workspaces · 0.5/s"),
        (2.0, 2, "2/2 workspaces · 0.5/s"),
    ],
)
def test_it_estimates_the_end_once_the_number_of_workspaces_is_known(
    seconds: float, expected: int | None, text: str
) -> None:
    now = 0.0
    progress = Progress(StatusColumn(), console=Console(file=StringIO()), auto_refresh=False, get_time=lambda: now)
    task = progress.add_task("workspaces", total=expected, failed=0, retries=0)
    progress.advance(task)
    now = seconds
    progress.advance(task)

    assert words(progress) == text


async def test_it_knows_the_number_of_workspaces_as_soon_as_they_are_listed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with LocalService() as service:
        forget_settings(monkeypatch, tmp_path)
        point_to(service, monkeypatch, tmp_path)
        for key in "abcdefg":
            service.add_workspace(key, [wire(key)], lifecycle_state="DELETED" if key == "g" else "ACTIVE")
            service.fail(key, Fault(delay=math.inf))
        shown, progress = bar(None)
        report = Report(now=datetime.now(UTC))

        async with background_task(
            collect_report(OPTIONS, report, bool, report.kept.extend, console=error_console(), bar=shown)
        ):
            while progress.tasks[0].total is None:
                await asyncio.sleep(0)

    assert words(progress) == "0/6 workspaces"


async def test_workspaces_found_before_their_listing_fails_are_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with LocalService() as service:
        forget_settings(monkeypatch, tmp_path)
        point_to(service, monkeypatch, tmp_path)
        service.add_workspace("a", [wire("a")])
        service.add_workspace("b", [wire("b")])
        service.add_workspace("c", [wire("c")], is_private_network_enabled=True)
        service.fail(None, Fault(), Fault(status=403))  # the second request is for private networks
        shown, progress = bar(None)
        report = Report(now=datetime.now(UTC))

        with pytest.raises(AidpError) as caught:
            await collect_report(OPTIONS, report, bool, report.kept.extend, console=error_console(), bar=shown)

    assert report.unlisted is caught.value
    assert sorted(session.id or "" for session in report.kept) == ["a", "b"]
    assert words(progress) == "2 workspaces"
