"""Sessions added up: kernels count once, and what is not known is never taken for unused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_sessions import KernelSummary, SessionSummary, idle_for
from aidp_sessions._display.rollup import Usage, total, total_by_workspace, usage_by_cluster

from ..helpers.strategies import brief, moments, states

NOW: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)


def session(
    kernel: str | None, hours: float | None, state: str = "idle", *, workspace: str = "a", cluster: str | None = "c"
) -> SessionSummary:
    """A session whose *kernel* has been used last *hours* ago."""
    last = None if hours is None else NOW - hours * HOUR
    summary = KernelSummary(name="python3", id=kernel, execution_state=state, last_activity=last)
    return SessionSummary(workspace_key=workspace, cluster_id=cluster, kernel=summary)


def usage_of(sessions: list[SessionSummary]) -> Usage:
    return total(usage_by_cluster(sessions, NOW).values())


def test_sessions_that_share_a_kernel_count_as_one_kernel() -> None:
    """The same id in another workspace is another kernel; so is each kernel without an id."""
    shared = [session("k", 3), session("k", 2), session("k", 5)]
    others = [session("k", 10, workspace="b"), session(None, 1), session(None, 1), SessionSummary(workspace_key="a")]

    assert usage_of([*shared, *others]) == Usage(
        sessions=7, idle=6, kernels=4, idle_kernels=4, longest_idle=10 * HOUR, idle_time=14 * HOUR
    )


def test_a_kernel_that_one_session_reports_as_busy_is_not_idle() -> None:
    assert usage_of([session("k", 3), session("k", 0, "busy")]) == Usage(sessions=2, idle=1, busy=1, kernels=1)


def test_each_cluster_is_added_up_by_itself() -> None:
    """Sessions without a cluster are a group of their workspace."""
    found = [
        *(session("1", 3, cluster="x"), session("2", 5, cluster="x"), session("3", 1, "busy", cluster="y")),
        *(session("4", 2, cluster=None), session("5", 8, cluster="x", workspace="b"), session("6", 2, cluster="")),
    ]

    usage = usage_by_cluster(found, NOW)

    assert {place: (each.sessions, each.idle, each.busy, each.unused_for) for place, each in usage.items()} == {
        ("a", "x"): (2, 2, 0, 3 * HOUR),
        ("a", "y"): (1, 0, 1, None),
        ("a", None): (2, 2, 0, 2 * HOUR),
        ("b", "x"): (1, 1, 0, 8 * HOUR),
    }


def test_a_kernel_belongs_to_the_first_cluster_that_its_sessions_name() -> None:
    found = [session("k", 3, cluster=None), session("k", 3, cluster="x"), session("k", 3, cluster="y")]

    assert {place: each.sessions for place, each in usage_by_cluster(found, NOW).items()} == {("a", "x"): 3}


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (session("2", 1), HOUR),
        (session("2", 1, "dead"), HOUR),
        (session("2", -1), 0 * HOUR),
        (session("2", 1, "busy"), None),
        (session("2", 1, "starting"), None),
        (session("2", 1, "hibernating"), None),
        (session("2", None), None),
        (session("2", None, "dead"), None),
        (session("2", 24 * 365 * 50, "dead"), None),
        (SessionSummary(workspace_key="a", cluster_id="c"), None),
    ],
)
def test_a_cluster_is_unused_only_if_that_is_known_for_each_kernel(
    other: SessionSummary, expected: timedelta | None
) -> None:
    """Then it is unused since the last use of any kernel."""
    assert usage_of([session("1", 7), other]).unused_for == expected


def test_without_sessions_nothing_is_unused() -> None:
    assert usage_of([]) == Usage()


@brief
@given(st.lists(st.tuples(st.sampled_from("xyz"), st.none() | states, st.none() | moments, st.sampled_from("abc"))))
def test_clusters_and_workspaces_add_up_to_everything(rows: list[tuple[str, str | None, datetime | None, str]]) -> None:
    found = [
        SessionSummary(
            workspace_key=cluster,
            cluster_id=cluster,
            kernel=KernelSummary(name="", id=kernel, execution_state=state, last_activity=last),
        )
        for cluster, state, last, kernel in rows
    ]

    clusters = usage_by_cluster(found, NOW)
    everything = total(clusters.values())

    assert everything == total(total_by_workspace(clusters).values())
    assert everything.sessions == len(found)
    assert everything.idle == sum(idle_for(each, NOW) is not None for each in found)
    assert everything.busy == sum(state == "busy" for _, state, _, _ in rows)
    assert everything.kernels == len({(cluster, kernel) for cluster, _, _, kernel in rows})
    assert everything.idle_kernels <= everything.idle


def test_a_workspace_is_unused_only_if_each_of_its_clusters_is() -> None:
    found = [session("1", 3, cluster="x"), session("2", 5, cluster="y"), session("3", 1, workspace="b")]

    assert {key: each.unused_for for key, each in total_by_workspace(usage_by_cluster(found, NOW)).items()} == {
        "a": 3 * HOUR,
        "b": HOUR,
    }
    found.append(session("4", 0, "busy", cluster="y"))
    assert total_by_workspace(usage_by_cluster(found, NOW))["a"].unused_for is None
