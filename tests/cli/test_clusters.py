"""``aidp-sessions clusters``: which clusters run, which are used, and when the service stops the others."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_sessions import AttachedSession, ClusterSummary, ResponseDecodeError
from aidp_sessions._display.cluster_use import ClusterUse, Use, auto_stop_of, least_needed_first, use_of
from aidp_sessions._display.rollup import Usage
from aidp_sessions.cli.cluster_formats import COLUMNS, record
from aidp_sessions.models import WorkspaceRef
from aidp_sessions.testing import Fault, LocalService

from ..helpers.cli_runner import LONG_AGO, forget_settings, invoke, lines, point_to, wire

if TYPE_CHECKING:
    from pathlib import Path

NOW: Final = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
ONE_IDLE: Final = Usage(sessions=1, idle=1, unused_for=2 * HOUR)
AN_HOUR_AGO: Final = "2026-11-25T11:00:00Z"


def attached(state: str | None = "IDLE", last_command_run: str | None = None) -> AttachedSession:
    return AttachedSession(type="NOTEBOOK", path="x.ipynb", state=state, last_command_run=last_command_run)


def judged(usage: Usage = Usage(), **cluster: Any) -> tuple[Use, timedelta | None]:  # noqa: B008  # frozen
    use = use_of(WorkspaceRef("w"), ClusterSummary(**{"key": "c", "state": "ACTIVE", **cluster}), usage, NOW)
    return use.use, use.unused_for


@pytest.mark.parametrize(
    ("usage", "sessions", "expected"),
    [
        (ONE_IDLE, (), (Use.IDLE, 2 * HOUR)),
        (ONE_IDLE, (attached(),), (Use.IDLE, 2 * HOUR)),
        (ONE_IDLE, (attached(last_command_run=AN_HOUR_AGO),), (Use.IDLE, HOUR)),
        (ONE_IDLE, (attached(last_command_run="2026-11-25T09:00:00Z"),), (Use.IDLE, 2 * HOUR)),
        (ONE_IDLE, (attached(last_command_run="2026-11-25T12:00:01Z"),), (Use.IDLE, timedelta(0))),
        (Usage(), (attached(last_command_run=AN_HOUR_AGO),), (Use.IDLE, HOUR)),
        (Usage(), (attached(),), (Use.UNKNOWN, None)),
        (ONE_IDLE, (attached(last_command_run="yesterday"),), (Use.UNKNOWN, None)),
        (ONE_IDLE, (attached(state="PENDING"),), (Use.UNKNOWN, None)),
        (ONE_IDLE, (attached(state=None),), (Use.UNKNOWN, None)),
        (ONE_IDLE, (attached(state="ACTIVE"), attached()), (Use.BUSY, None)),
        (Usage(sessions=2, idle=1, busy=1), (), (Use.BUSY, None)),
        (Usage(sessions=1), (attached(last_command_run=AN_HOUR_AGO),), (Use.UNKNOWN, None)),
        (Usage(), (), (Use.UNATTACHED, None)),
    ],
)
def test_a_cluster_is_idle_since_the_last_use_that_its_sessions_or_it_know_of(
    usage: Usage, sessions: tuple[AttachedSession, ...], expected: tuple[Use, timedelta | None]
) -> None:
    assert judged(usage, attached_sessions=sessions) == expected


def test_an_agent_keeps_a_cluster_in_use_and_a_notebook_without_session_is_not_nothing() -> None:
    assert judged(ONE_IDLE, attached_agent_count=1) == (Use.BUSY, None)
    assert judged(attached_notebooks=("x.ipynb",)) == (Use.UNKNOWN, None)


@pytest.mark.parametrize(
    ("state", "runs"),
    [
        ("ACTIVE", True),
        ("UPDATING", True),
        ("SOMETHING_NEW", True),
        (None, True),
        ("STOPPED", False),
        ("failed", False),
    ],
)
def test_a_cluster_runs_unless_its_state_says_otherwise(state: str | None, runs: bool) -> None:
    assert judged(ONE_IDLE, state=state)[0] == (Use.IDLE if runs else Use.STOPPED)


clusters: Final = st.builds(
    ClusterUse,
    workspace=st.builds(WorkspaceRef, st.sampled_from("vw")),
    cluster=st.builds(ClusterSummary, key=st.sampled_from("abc")),
    usage=st.just(Usage()),
    use=st.sampled_from(Use),
    unused_for=st.none() | st.timedeltas(timedelta(0), timedelta(days=9)),
    auto_stop=st.none() | st.integers(0, 10_000),
    has_auto_stop=st.just(True),
)


@given(found=st.lists(clusters))
def test_those_that_are_idle_for_the_longest_time_come_first_and_those_at_rest_last(found: list[ClusterUse]) -> None:
    ordered = sorted(found, key=least_needed_first)
    places = [list(Use).index(each.use) for each in ordered]
    idle = [each.unused_for or timedelta(0) for each in ordered if each.use is Use.IDLE]

    assert places == sorted(places)
    assert idle == sorted(idle, reverse=True)


@given(cluster=clusters)
def test_the_minutes_until_a_stop_are_never_negative_and_only_known_for_idle_times(cluster: ClusterUse) -> None:
    left = cluster.stops_in

    assert (left is None) == (cluster.unused_for is None or cluster.auto_stop is None)
    if left is not None and cluster.unused_for is not None and cluster.auto_stop is not None:
        assert left == max(0, cluster.auto_stop - cluster.unused_for // timedelta(minutes=1))


@pytest.mark.parametrize(
    ("document", "minutes"),
    [({}, None), ({"autoTerminationMinutes": None}, None), ({"autoTerminationMinutes": 60}, 60)],
)
def test_a_cluster_without_minutes_is_never_stopped(document: object, minutes: int | None) -> None:
    assert auto_stop_of(document) == minutes


@pytest.mark.parametrize("document", [60, [], {"autoTerminationMinutes": "60"}, {"autoTerminationMinutes": True}])
def test_a_cluster_that_is_not_as_documented_is_an_error(document: object) -> None:
    with pytest.raises(ResponseDecodeError):
        auto_stop_of(document)


@pytest.fixture
def platform(service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LocalService:
    """A cluster that idles and will be stopped, one that idles for ever, one in use, one stopped, one with nothing."""
    forget_settings(monkeypatch, tmp_path)
    point_to(service, monkeypatch, tmp_path)
    recent = (datetime.now(UTC) - timedelta(minutes=10, seconds=5)).isoformat()
    sessions = [
        {**wire("a", id="k1"), "cluster_id": "forever"},
        {**wire("b", id="k2", last_activity=recent), "cluster_id": "soon"},
        {**wire("c", id="k3", execution_state="busy"), "cluster_id": "used"},
        {**wire("d", id="k4"), "cluster_id": "used"},
    ]
    service.add_workspace("one", sessions)
    service.add_workspace("two")
    made = {"type": "USER", "state": "ACTIVE", "timeCreated": LONG_AGO}
    service.set_clusters(
        "one",
        [
            {"key": "used", "displayName": "Used", **made},
            {"key": "soon", "displayName": "Soon", **made, "autoTerminationMinutes": 30},
            {"key": "forever", "displayName": "For ever", **made},
            {"key": "night", "displayName": "Night", **made, "state": "STOPPED", "stoppedBy": "SYSTEM"},
        ],
    )
    service.set_clusters("two", [{"key": "empty", "displayName": "=Empty", **made, "autoTerminationMinutes": 60}])
    return service


async def test_it_tells_for_each_cluster_its_use_its_sessions_and_when_it_stops(platform: LocalService) -> None:
    as_lines = await invoke("clusters")
    as_array = await invoke("clusters", "--output", "json")

    found = lines(as_lines.stdout)
    assert (as_lines.exit_code, as_lines.stderr) == (0, "")
    assert [each["key"] for each in found] == ["forever", "soon", "empty", "used", "night"]
    assert [(each["use"], each["minutesUntilStop"]) for each in found] == [
        *[("idle", None), ("idle", 20), ("unattached", None)],
        *[("busy", None), ("stopped", None)],
    ]
    assert [each.get("autoTerminationMinutes", "unread") for each in found] == [None, 30, 60, None, "unread"]
    assert found[3]["sessions"] == {"idle": 1, "busy": 1, "other": 0}
    assert (found[4]["stoppedBy"], found[4]["workspaceKey"]) == ("SYSTEM", "one")
    assert [each["key"] for each in json.loads(as_array.stdout)] == [each["key"] for each in found]


async def test_only_clusters_that_run_are_read_one_by_one(platform: LocalService) -> None:
    await invoke("clusters", "--workspace", "one")

    paths = [request.target.rpartition("/")[2] for request in platform.requests if request.operation == "get_cluster"]
    assert sorted(paths) == ["forever", "soon", "used"]
    assert {request.method for request in platform.requests} == {"GET"}


async def test_a_table_has_one_row_per_cluster_and_ends_with_those_that_are_not_used(platform: LocalService) -> None:
    result = await invoke("clusters", "--output", "table")

    text = result.stdout
    assert result.exit_code == 0
    assert re.search(r"^one +For ever +ACTIVE +idle +\d+ d \d+ h +never +1 idle +forever *$", text, re.MULTILINE)
    assert re.search(r"^one +Soon +ACTIVE +idle +10 min +in 20 min +1 idle +soon *$", text, re.MULTILINE)
    assert re.search(r"^one +Used +ACTIVE +busy +never +1 idle, 1 busy +used *$", text, re.MULTILINE)
    assert re.search(r"^two +=Empty +ACTIVE +unattached +after 60 min +empty *$", text, re.MULTILINE)
    assert re.search(r"^one +Night +STOPPED +SYSTEM +night *$", text, re.MULTILINE)
    assert text.splitlines()[-1] == "5 clusters, 4 running, 3 of them not used"


async def test_csv_has_a_row_per_cluster_and_no_formula(platform: LocalService) -> None:
    result = await invoke("clusters", "--output", "csv")

    heading, *rows = [line.split(",") for line in result.stdout.splitlines()]
    by_key = {row["key"]: row for row in (dict(zip(heading, row, strict=True)) for row in rows)}
    assert list(by_key) == ["forever", "soon", "empty", "used", "night"]
    assert by_key["empty"]["display_name"] == "'=Empty"
    assert [by_key[key]["auto_termination_minutes"] for key in ("forever", "soon", "night")] == ["", "30", ""]
    assert [by_key[key]["never_stops"] for key in ("forever", "soon", "night")] == ["true", "false", ""]
    assert (by_key["used"]["idle_sessions"], by_key["used"]["busy_sessions"]) == ("1", "1")


async def test_a_workspace_that_cannot_be_read_makes_the_status_1_and_hides_no_other(platform: LocalService) -> None:
    platform.fail("one", Fault(status=403), operation="list_clusters")

    result = await invoke("clusters")

    assert result.exit_code == 1
    assert result.stderr.startswith("failed: list_clusters of workspace 'one': 403")
    assert [each["key"] for each in lines(result.stdout)] == ["empty"]


async def test_a_cluster_that_cannot_be_read_is_shown_without_its_auto_stop(platform: LocalService) -> None:
    platform.fail("two", Fault(status=403), operation="get_cluster")

    result = await invoke("clusters", "--workspace", "two")

    (empty,) = lines(result.stdout)
    assert result.exit_code == 1
    assert result.stderr.startswith("failed: request of workspace 'two': 403")
    assert (empty["use"], "autoTerminationMinutes" in empty) == ("unattached", False)


@pytest.mark.parametrize(("key", "minutes"), [("..", 60), ("a", "60")])
async def test_a_cluster_that_is_not_as_documented_is_a_failure_and_hides_no_other(
    platform: LocalService, key: str, minutes: object
) -> None:
    made = {"displayName": "x", "type": "USER", "state": "ACTIVE", "timeCreated": LONG_AGO}
    platform.set_clusters("two", [{"key": key, **made, "autoTerminationMinutes": minutes}])

    result = await invoke("clusters")

    assert result.exit_code == 1
    assert result.stderr.count("failed: ") == 1
    assert len(lines(result.stdout)) == 5


async def test_nothing_read_is_status_4_and_wrong_usage_status_2(platform: LocalService) -> None:
    platform.fail("two", Fault(status=403, times=None))

    nothing = await invoke("clusters", "--workspace", "two", "--output", "json")
    requests = platform.request_count
    wrong = await invoke("clusters", "--workspace", "..")

    assert (nothing.exit_code, nothing.stdout) == (4, "")
    assert wrong.exit_code == 2
    assert platform.request_count == requests


@given(cluster=clusters)
def test_a_record_has_every_column(cluster: ClusterUse) -> None:
    assert tuple(record(cluster)) == COLUMNS


async def test_rows_can_be_sorted_limited_chosen_and_queried(platform: LocalService) -> None:
    shaped = await invoke(
        "clusters", "--columns", "key,use,never_stops", "--sort-by=-minutes_until_stop", "--limit", "2"
    )
    queried = await invoke("clusters", "--query", "[?use=='idle'].key", "--output", "json")
    summary = await invoke("clusters", "--summary")

    assert shaped.stdout.splitlines() == ["key,use,never_stops", "soon,idle,false", "forever,idle,true"]
    assert json.loads(queried.stdout) == ["forever", "soon"]
    assert summary.stdout == "5 clusters, 4 running, 3 of them not used\n"
