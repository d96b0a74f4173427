"""CSV that a spreadsheet may open, and JSON lines of changes."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from unicodedata import category

from hypothesis import given
from hypothesis import strategies as st

from aidp_sessions import KernelSummary, SessionChange, SessionSummary, WorkspaceSummary
from aidp_sessions.cli.formats import (
    SESSION_COLUMNS,
    WORKSPACE_COLUMNS,
    csv_text,
    json_change,
    session_record,
    workspace_record,
)

from .test_output import NAMES_THAT_PEOPLE_USE

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
KERNEL = KernelSummary(
    id="k1", name="python3", execution_state="idle", last_activity=NOW - timedelta(hours=2), connections=0
)
SESSION = SessionSummary(
    id="s1",
    name="churn.ipynb",
    path="Workspace/churn, again.ipynb",
    type="notebook",
    cluster_id="c1",
    agent_flow_key="f1",
    lifecycle_state="ACTIVE",
    kernel=KERNEL,
    workspace_key="analytics",
)


def sessions_as_csv(sessions: list[SessionSummary], now: datetime) -> str:
    return csv_text(
        SESSION_COLUMNS, (session_record(session, now, {"analytics": "Ada"}).values() for session in sessions)
    )


def test_a_session_is_one_line_of_csv_with_its_activity_and_its_idle_time_in_seconds() -> None:
    assert sessions_as_csv([SESSION, SessionSummary()], NOW) == (
        "workspace_key,workspace_name,id,name,path,type,cluster_id,agent_flow_key,lifecycle_state,"
        "kernel_id,kernel_name,execution_state,last_activity,connections,activity,idle_seconds,workspace_created_by\n"
        'analytics,,s1,churn.ipynb,"Workspace/churn, again.ipynb",notebook,c1,f1,ACTIVE,'
        "k1,python3,idle,2026-11-23T10:00:00Z,0,idle,7200,Ada\n"
        ",,,,,,,,,,,,,,no_kernel,,\n"
    )


def test_a_workspace_is_one_line_of_csv() -> None:
    workspace = WorkspaceSummary(
        key="w",
        display_name="W",
        type="USER",
        lifecycle_state="ACTIVE",
        time_created=NOW,
        description="+1",
        created_by_name="Ada",
    )

    assert csv_text(WORKSPACE_COLUMNS, [workspace_record(workspace).values()]) == (
        "key,display_name,lifecycle_state,type,is_private_network_enabled,time_created,description,created_by_name\n"
        "w,W,ACTIVE,USER,,2026-11-23T12:00:00Z,'+1,Ada\n"
    )


def test_a_name_stays_as_the_service_has_it() -> None:
    for name in NAMES_THAT_PEOPLE_USE:
        (row,) = csv.DictReader(io.StringIO(sessions_as_csv([SessionSummary(path=name)], NOW)))
        assert row["path"] == name


@given(st.lists(st.text() | st.from_regex(r"\A\s*[=+@＝-].*", fullmatch=False), max_size=5))
def test_no_cell_of_csv_is_a_formula_or_breaks_its_line_and_each_text_can_be_recovered(names: list[str]) -> None:
    text = sessions_as_csv([SessionSummary(name=name, workspace_key="w") for name in names], NOW)

    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert text.count("\n") == 1 + len(rows) == 1 + len(names)
    for name, row in zip(names, rows, strict=True):
        shown = row["name"].removeprefix("'") if not name.startswith("'") else row["name"]
        assert len(shown) == len(name)
        assert all(new == old for new, old in zip(shown, name, strict=True) if category(old) not in ("Cc", "Cs"))
        assert not row["name"].lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))


def test_a_change_is_one_line_of_json_with_the_previous_session_only_if_it_differs() -> None:
    busy = SessionSummary(id="s", workspace_key="w", workspace_name="W", name="before")
    idle = SessionSummary(id="s", workspace_key="w", workspace_name="W", name="after")

    changed = json.loads(json_change(SessionChange(kind="changed", session=idle, previous=busy), NOW))
    vanished = json.loads(json_change(SessionChange(kind="vanished", session=idle, previous=idle), NOW))

    after = {
        "workspaceKey": "w",
        "workspaceName": "W",
        "activity": "no_kernel",
        "idleSeconds": None,
        "id": "s",
        "name": "after",
    }
    assert changed == {
        "time": "2026-11-23T12:00:00Z",
        "kind": "changed",
        "session": after,
        "previous": {"workspaceKey": "w", "workspaceName": "W", "id": "s", "name": "before"},
    }
    assert vanished == {"time": "2026-11-23T12:00:00Z", "kind": "vanished", "session": after}
