"""Clusters in the order in which they may cost money for nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest

from aidp_sessions import AttachedSession, ClusterSummary
from aidp_sessions._display.cluster_use import Use
from aidp_sessions._display.clusters import cluster_rows
from aidp_sessions._display.rollup import Usage

if TYPE_CHECKING:
    from aidp_sessions._display.rollup import Cluster

NOW: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
IDLE: Final = Usage(sessions=1, idle=1, kernels=1, idle_kernels=1, longest_idle=HOUR, idle_time=HOUR, unused_for=HOUR)
BUSY: Final = Usage(sessions=1, busy=1, kernels=1)
UNKNOWN: Final = Usage(sessions=1, kernels=1)


def test_clusters_that_are_unused_for_the_longest_time_come_first() -> None:
    """Then those to which nothing is attached, that are in an unknown state, in use, stopped, and last none at all."""
    long = Usage(sessions=1, idle=1, unused_for=9 * HOUR)
    usage: dict[Cluster, Usage] = {
        ("w", "busy"): BUSY,
        ("w", None): long,
        ("w", "unknown"): UNKNOWN,
        ("w", "short"): IDLE,
        ("w", "stopped"): long,
        ("w", "long"): long,
    }
    listed: dict[Cluster, ClusterSummary] = {
        ("w", "stopped"): ClusterSummary(key="stopped", state="STOPPED", stopped_by="SYSTEM"),
        ("w", "empty"): ClusterSummary(key="empty", state="ACTIVE", display_name="Forgotten"),
    }

    rows = cluster_rows(usage, listed, NOW)

    assert [(row.name, row.use, row.unused_for, row.state, row.stopped_by) for row in rows] == [
        ("long", Use.IDLE, "9 h 0 min", "", ""),
        ("short", Use.IDLE, "1 h 0 min", "", ""),
        ("Forgotten", Use.UNATTACHED, "nothing attached", "ACTIVE", ""),
        ("unknown", Use.UNKNOWN, "not known", "", ""),
        ("busy", Use.BUSY, "in use", "", ""),
        ("stopped", Use.STOPPED, "", "STOPPED", "SYSTEM"),
        ("no cluster", Use.IDLE, "9 h 0 min", "", ""),
    ]


@pytest.mark.parametrize(
    "cluster",
    [
        ClusterSummary(key="c", state="ACTIVE", attached_agent_count=1),
        ClusterSummary(key="c", state="ACTIVE", attached_sessions=(AttachedSession(state="ACTIVE"),)),
    ],
)
def test_a_cluster_with_an_agent_or_an_active_session_is_in_use_although_its_kernels_are_idle(
    cluster: ClusterSummary,
) -> None:
    (row,) = cluster_rows({("w", "c"): IDLE}, {("w", "c"): cluster}, NOW)

    assert (row.use, row.unused_for) == (Use.BUSY, "in use")
