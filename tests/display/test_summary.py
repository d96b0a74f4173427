"""The idle times of kernels as sentences: how long in all, and where most."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from aidp_sessions import KernelSummary, SessionSummary
from aidp_sessions._display.rollup import usage_by_cluster
from aidp_sessions._display.summary import idle_time_sentences

NOW: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)


def kernel(workspace: str, cluster: str | None, hours: float, *, id_: str | None = None) -> SessionSummary:
    idle = KernelSummary(name="", id=id_, execution_state="idle", last_activity=NOW - timedelta(hours=hours))
    return SessionSummary(workspace_key=workspace, cluster_id=cluster, kernel=idle)


def sentences(*sessions: SessionSummary) -> list[str]:
    return idle_time_sentences(usage_by_cluster(sessions, NOW), {"b": "Churn"}, {("a", "x"): "Nightly"})


def test_the_workspaces_and_the_clusters_with_most_idle_time_are_named() -> None:
    """By their names where these are known; three of each, and none that would have 0.0 hours."""
    found = [kernel("a", "x", 1000), kernel("b", None, 3000), kernel("b", "y", 500), kernel("c", "z", 0.05)]
    found += [kernel("d", "u", 30), kernel("e", "v", 2)]

    assert sentences(*found) == [
        "6 kernels idle for 4,532 hours in all.",
        "Most of it in Churn (3,500 hours), a (1,000 hours), d (30 hours).",
        "Most of it on the clusters Nightly (1,000 hours), y (500 hours), u (30 hours).",
    ]
    assert sentences(kernel("a", "x", 0), kernel("b", "y", 0)) == ["2 kernels idle for 0.0 hours in all."]


def test_a_kernel_that_sessions_share_is_idle_once() -> None:
    shared = [kernel("a", "x", 9, id_="k")] * 2

    assert sentences(*shared) == ["1 kernel idle for 9.0 hours in all."]


def test_without_idle_kernels_nothing_is_said() -> None:
    assert sentences(SessionSummary(workspace_key="a")) == []
