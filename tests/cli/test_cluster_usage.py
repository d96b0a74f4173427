"""The roll-up by cluster: free from the sessions alone, with names and states if they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aidp_sessions.testing import Fault, LocalService

from ..helpers.cli_runner import forget_settings, invoke, point_to, wire
from ..helpers.html_reader import Document, Table

if TYPE_CHECKING:
    from pathlib import Path

IDLE = ("idle", "--since", "2026-01-05T08:00:00Z", "--output", "table")


@pytest.fixture
def platform(service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LocalService:
    """Cluster ``c1`` is idle, ``c2`` is in use, and ``c3`` runs without sessions."""
    forget_settings(monkeypatch, tmp_path)
    point_to(service, monkeypatch, tmp_path)
    sessions = [
        {**wire("idler"), "cluster_id": "c1"},
        {**wire("sleeper"), "cluster_id": "c2"},
        {**wire("worker", execution_state="busy"), "cluster_id": "c2"},
    ]
    service.add_workspace("analytics", sessions)
    common = {"type": "USER", "timeCreated": "2026-01-05T08:00:00Z"}
    service.set_clusters(
        "analytics",
        [
            {"key": "c1", "displayName": "Nightly", "state": "STOPPED", "stoppedByName": "Ada", **common},
            {"key": "c2", "displayName": "Shared", "state": "ACTIVE", **common},
            {"key": "c3", "displayName": "Forgotten", "state": "ACTIVE", **common},
            {"key": "c4", "displayName": "Off", "state": "STOPPED", "stoppedBy": "SYSTEM", **common},
        ],
    )
    return service


def rows(text: str, title: str = "Workspace  Cluster") -> list[list[str]]:
    """The cells of the table that begins with *title*."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(title))
    table = lines[start : lines.index("", start)]
    return [line.split() for line in [table[0], *table[2:]]]


async def test_the_clusters_of_idle_sessions_are_added_up_without_a_further_request(platform: LocalService) -> None:
    plain = await invoke("workspaces")
    platform.reset_counts()

    result = await invoke(*IDLE)

    assert plain.exit_code == result.exit_code == 0
    assert {request.operation for request in platform.requests} == {"list_workspaces", "list_sessions"}
    heads, idle, shared = rows(result.stdout)
    assert " ".join(heads) == "Workspace Cluster Sessions Idle Busy Other Longest idle Unused for"
    assert idle[:6] == ["analytics", "c1", "1", "1", "-", "-"]
    assert shared[:6] == ["analytics", "c2", "2", "1", "1", "-"]
    assert shared[-2:] == ["in", "use"]


async def test_names_and_states_take_one_listing_per_workspace(platform: LocalService) -> None:
    """A cluster to which nothing is attached is shown too; stopped ones come last."""
    platform.reset_counts()

    result = await invoke(*IDLE, "--clusters")

    assert (result.exit_code, result.stderr) == (0, "")
    assert [request.operation for request in platform.requests].count("list_clusters") == 1
    _, forgotten, shared, nightly = rows(result.stdout)
    assert forgotten == ["analytics", "Forgotten", "-", "-", "-", "-", "nothing", "attached", "ACTIVE"]
    assert (shared[1], shared[-1]) == ("Shared", "ACTIVE")
    assert (nightly[1], nightly[-2:]) == ("Nightly", ["STOPPED", "Ada"])


async def test_a_failure_to_list_clusters_is_told_and_costs_only_names_and_states(
    platform: LocalService, tmp_path: Path
) -> None:
    platform.fail("analytics", Fault(status=404, times=None), operation="list_clusters")
    file = tmp_path / "report.html"

    result = await invoke(*IDLE, "--clusters", "--html", str(file))

    assert result.exit_code == 0
    assert result.stderr.startswith("clusters not listed: list_clusters of workspace 'analytics': 404")
    assert [row[1] for row in rows(result.stdout)[1:]] == ["c1", "c2"]
    failed, *others = Document(file.read_text(encoding="utf-8")).tables
    assert (failed.caption, failed.rows[0][0]) == ("1 failure", "analytics")
    assert "Stopped by" not in next(table.head for table in others if table.caption.startswith("By cluster"))


async def test_the_page_shows_every_cluster(platform: LocalService, tmp_path: Path) -> None:
    file = tmp_path / "report.html"

    await invoke("list", "--clusters", "--output", "json", "--html", str(file))

    (table,) = [
        table for table in Document(file.read_text(encoding="utf-8")).tables if table.caption.startswith("By cluster")
    ]
    age = table.rows[2][6]
    assert table == Table(
        "By cluster (4)",
        [
            *("Cluster", "Workspace", "Sessions", "Idle", "Busy", "Other", "Longest idle", "Unused for"),
            *("State", "Stopped by"),
        ],
        [
            ["Forgotten", "analytics", "0", "0", "0", "0", "", "nothing attached", "ACTIVE", ""],
            ["Shared", "analytics", "2", "1", "1", "0", age, "in use", "ACTIVE", ""],
            ["Nightly", "analytics", "1", "1", "0", "0", age, "", "STOPPED", "Ada"],
            ["Off", "analytics", "0", "0", "0", "0", "", "", "STOPPED", "SYSTEM"],
        ],
    )


@pytest.mark.parametrize("option", ["--path", "--cluster-id", "--agent-flow-key"])
async def test_a_filter_hides_sessions_so_clusters_are_not_added_up(
    platform: LocalService, tmp_path: Path, option: str
) -> None:
    file = tmp_path / "report.html"

    filtered = await invoke(*IDLE, option, "c1", "--html", str(file))
    refused = await invoke(*IDLE, option, "c1", "--clusters")

    assert "Unused for" not in filtered.stdout + file.read_text(encoding="utf-8")
    assert refused.exit_code == 2
    assert "--clusters needs all sessions of a workspace" in refused.stderr


@pytest.mark.parametrize("output", ["json", "jsonl", "csv"])
async def test_clusters_are_not_asked_for_if_they_are_shown_nowhere(platform: LocalService, output: str) -> None:
    result = await invoke("list", "--clusters", "--output", output)

    assert (result.exit_code, platform.request_count) == (2, 0)
