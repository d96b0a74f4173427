"""`to_record`: one row of a table for any session."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_sessions import KernelSummary, SessionSummary, activity_of, idle_for, to_record
from aidp_sessions.testing import LocalService, ManualClock, make_session

from ..helpers.strategies import brief, moments, states

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
COLUMNS = [
    *("workspace_key", "workspace_name", "id", "name", "path", "type", "cluster_id", "agent_flow_key"),
    "lifecycle_state",
    *("kernel_id", "kernel_name", "execution_state", "last_activity", "connections", "activity", "idle_seconds"),
]


async def test_sessions_that_were_found_become_rows_of_one_table(service: LocalService) -> None:
    """One line with pandas: ``DataFrame(map(to_record, found))``."""
    clock = ManualClock(NOW)
    sessions = [make_session(idle_for=timedelta(hours=hours), now=NOW) for hours in (1, 2)]
    service.add_workspace("analytics", sessions)
    async with service.client(clock=clock) as client:
        found = await client.list_sessions("analytics")

    table = [to_record(session, NOW) for session in found]

    assert [row["idle_seconds"] for row in table] == [3600, 7200]
    assert {row["workspace_key"] for row in table} == {"analytics"}
    assert [list(row) for row in table] == [COLUMNS] * 2


def test_a_record_holds_the_fields_of_the_session_and_of_its_kernel() -> None:
    kernel = KernelSummary(id="k", name="python3", execution_state="idle", last_activity=NOW, connections=0)
    session = SessionSummary(
        id="s",
        name="n",
        path="p",
        type="notebook",
        cluster_id="c",
        agent_flow_key="f",
        lifecycle_state="ACTIVE",
        kernel=kernel,
        workspace_key="w",
        workspace_name="Demand",
        extra={"owner": "left out"},
    )

    assert to_record(session, NOW + timedelta(seconds=90.9)) == {
        "workspace_key": "w",
        "workspace_name": "Demand",
        "id": "s",
        "name": "n",
        "path": "p",
        "type": "notebook",
        "cluster_id": "c",
        "agent_flow_key": "f",
        "lifecycle_state": "ACTIVE",
        "kernel_id": "k",
        "kernel_name": "python3",
        "execution_state": "idle",
        "last_activity": NOW,
        "connections": 0,
        "activity": "idle",
        "idle_seconds": 90,
    }


def test_a_session_without_fields_has_all_columns() -> None:
    expected = dict.fromkeys(COLUMNS) | {"workspace_key": "", "workspace_name": "", "activity": "no_kernel"}

    assert to_record(SessionSummary()) == expected


@brief
@given(st.builds(KernelSummary, name=st.text(), execution_state=st.none() | states, last_activity=st.none() | moments))
def test_activity_and_idle_time_are_those_of_the_functions(kernel: KernelSummary) -> None:
    session = SessionSummary(kernel=kernel)
    idle, record = idle_for(session, NOW), to_record(session, NOW)

    assert list(record) == COLUMNS
    assert record["activity"] == activity_of(session).value
    assert type(record["activity"]) is str
    assert record["idle_seconds"] == (None if idle is None else idle // timedelta(seconds=1))


def test_its_docstring_names_the_columns_in_their_order() -> None:
    named = re.findall(r"``(\w+)``", (to_record.__doc__ or "").partition("in this order:")[2])

    assert [name for name in named if name in COLUMNS] == COLUMNS


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        to_record(SessionSummary(), datetime(2026, 11, 23))  # noqa: DTZ001  # on purpose
