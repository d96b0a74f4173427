"""One session is created, read, changed and deleted as documented; a request is repeated only where that is safe."""

from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest

from aidp_sessions import (
    AttachedSession,
    CallEnded,
    CallInfo,
    CallStarted,
    ClusterSummary,
    ConflictError,
    ConnectionFailedError,
    NotFoundError,
    PreconditionFailedError,
    ResponseDecodeError,
    RetryPolicy,
    ServiceError,
    Session,
    SessionsClient,
    to_wire,
)
from aidp_sessions.testing import Fault, LocalService, make_session

from ..transport.test_events import FAST

if TYPE_CHECKING:
    from aidp_sessions import Event

VERSIONS: Final = ("20260430", "20240831")
LOST: Final = Fault(cut="before_headers", takes_effect=True)
FORECAST: Final = make_session("forecast.ipynb", idle_for=timedelta(hours=3), cluster_id="c1")
ID: Final = FORECAST.id or ""


@pytest.fixture
def platform(service: LocalService) -> LocalService:
    service.add_workspace("a", [FORECAST])
    return service


def client_of(service: LocalService, **options: Any) -> SessionsClient:
    return service.client(clock=FAST, **options)


def sent(service: LocalService) -> list[tuple[str | None, int | None]]:
    return [(request.operation, request.status) for request in service.requests]


async def test_a_workspace_stands_for_its_key(platform: LocalService) -> None:
    async with client_of(platform) as client:
        (workspace,) = [each async for each in client.workspaces()]
        await client.list_sessions(workspace)
        created = await client.create_session(workspace, "Workspace/new.ipynb")
        await client.patch_session(workspace, created.id, name="renamed.ipynb")
        await client.get_session(workspace, created.id)
        await client.delete_session(workspace, created.id)
        async with client.open_session(workspace, str(FORECAST.path)) as opened:
            assert (opened.id, opened.workspace_key) == (ID, "a")
        assert [cluster.key async for cluster in client.clusters(workspace)] == ["c1"]


@pytest.mark.parametrize("api_version", VERSIONS)
async def test_a_session_is_created_read_changed_and_deleted(platform: LocalService, api_version: str) -> None:
    async with client_of(platform, api_version=api_version) as client:
        created = await client.create_session("a", "Workspace/new.ipynb", cluster_id="c2")
        changed = await client.patch_session("a", created.id, name="renamed.ipynb", if_match=created.etag)
        read = await client.get_session("a", created.id)
        await client.delete_session("a", created.id, if_match=read.etag)

    assert (created.workspace_key, created.path, created.name) == ("a", "Workspace/new.ipynb", "new.ipynb")
    assert (created.type, created.cluster_id) == ("notebook", "c2")
    assert changed == attrs.evolve(
        created, name="renamed.ipynb", etag=changed.etag, opc_request_id=changed.opc_request_id
    )
    assert read == attrs.evolve(changed, opc_request_id=read.opc_request_id)
    assert len({created.opc_request_id, changed.opc_request_id, read.opc_request_id, None}) == 4
    assert platform.sessions("a") == (attrs.evolve(FORECAST, workspace_key="a"),)
    prefix = "/20260430/aiDataPlatforms" if api_version == "20260430" else "/20240831/dataLakes"
    assert all(request.target.startswith(f"{prefix}/") for request in platform.requests)


async def test_the_session_of_a_path_that_exists_is_returned(platform: LocalService) -> None:
    async with client_of(platform) as client:
        created = await client.create_session("a", FORECAST.path or "")

    assert (created.id, platform.created) == (ID, ())


async def test_creating_sends_what_is_given_and_a_token(platform: LocalService) -> None:
    async with client_of(platform) as client:
        await client.create_session("a", "p.ipynb", opc_retry_token="token")
        await client.create_session(
            "a", "d/q.ipynb", name="n", type="file", kernel_name=None, cluster_id="c", agent_flow_key="f"
        )

    first, second = platform.requests
    assert json.loads(first.body) == {
        "path": "p.ipynb",
        "name": "p.ipynb",
        "type": "notebook",
        "kernel": {"name": "notebook"},
    }
    assert json.loads(second.body) == {
        "path": "d/q.ipynb",
        "name": "n",
        "type": "file",
        "cluster_id": "c",
        "agentFlowKey": "f",
    }
    assert first.headers["opc-retry-token"] == "token"
    assert len(second.headers["opc-retry-token"]) == 32


@pytest.mark.parametrize("fault", [LOST, Fault(status=503, takes_effect=True), Fault(status=429), Fault(status=503)])
async def test_a_session_is_created_once_however_often_that_is_sent(platform: LocalService, fault: Fault) -> None:
    platform.fail("a", fault)
    async with client_of(platform) as client:
        created = await client.create_session("a", "new.ipynb")

    assert [session.id for session in platform.created] == [created.id]
    assert len({request.headers["opc-retry-token"] for request in platform.requests}) == 1
    assert len(platform.requests) == 2


@pytest.mark.parametrize(
    ("change", "body"),
    [
        ({"name": "n"}, {"name": "n"}),
        ({"path": "p"}, {"path": "p"}),
        ({"cluster_id": "c"}, {"cluster_id": "c"}),
        ({"must_refresh_context": False}, {"must_refresh_context": False}),
        ({"name": "n", "must_refresh_context": True}, {"name": "n", "must_refresh_context": True}),
    ],
)
async def test_a_change_sends_what_is_given_and_nothing_else(
    platform: LocalService, change: dict[str, Any], body: dict[str, object]
) -> None:
    async with client_of(platform) as client:
        await client.patch_session("a", ID, **change)

    assert json.loads(platform.requests[0].body) == body
    assert "if-match" not in platform.requests[0].headers


@pytest.mark.parametrize(("fault", "attempts"), [(LOST, 1), (Fault(status=503), 1), (Fault(status=429), 2)])
async def test_a_change_is_sent_again_only_if_the_service_has_not_acted(
    platform: LocalService, fault: Fault, attempts: int
) -> None:
    platform.fail("a", fault)
    async with client_of(platform) as client:
        with nullcontext() if attempts > 1 else pytest.raises((ConnectionFailedError, ServiceError)):
            await client.patch_session("a", ID, name="n")

    assert platform.request_count == attempts


@pytest.mark.parametrize("fault", [LOST, Fault(status=504, takes_effect=True)])
async def test_a_deletion_whose_answer_was_lost_has_worked_if_the_session_is_gone(
    platform: LocalService, fault: Fault
) -> None:
    ended: list[Event] = []
    platform.fail("a", fault)
    async with client_of(platform, on_event=ended.append) as client:
        await client.delete_session("a", ID)

    assert platform.sessions("a") == ()
    assert [status for _, status in sent(platform)] == [None if fault.cut else 504, 404]
    assert [event.error for event in ended if isinstance(event, CallEnded)] == [None]


@pytest.mark.parametrize("fault", [Fault(), Fault(status=429), Fault(status=409, code="IncorrectState")])
async def test_a_404_is_an_error_if_no_earlier_attempt_can_have_deleted_the_session(
    platform: LocalService, fault: Fault
) -> None:
    platform.fail("a", fault)
    async with client_of(platform) as client:
        with pytest.raises(NotFoundError) as caught:
            await client.delete_session("a", "unknown")

    assert caught.value.operation == "delete_session"


async def test_a_lost_deletion_is_repeated_until_it_works(platform: LocalService) -> None:
    platform.fail("a", Fault(status=503, times=2))
    async with client_of(platform) as client:
        await client.delete_session("a", ID)

    assert (sent(platform)[-1], len(platform.deleted)) == (("delete_session", 204), 1)


async def test_a_session_that_changed_is_neither_changed_nor_deleted(platform: LocalService) -> None:
    async with client_of(platform) as client:
        read = await client.get_session("a", ID)
        await client.patch_session("a", ID, name="n")
        with pytest.raises(PreconditionFailedError) as changing:
            await client.patch_session("a", ID, name="m", if_match=read.etag)
        with pytest.raises(PreconditionFailedError) as deleting:
            await client.delete_session("a", ID, if_match=read.etag)

    assert [session.name for session in platform.sessions("a")] == ["n"]
    assert [error.value.operation for error in (changing, deleting)] == ["patch_session", "delete_session"]


async def test_a_conflict_is_an_error_of_its_own(platform: LocalService) -> None:
    platform.fail("a", Fault(status=409, code="Conflict"))
    async with client_of(platform) as client:
        with pytest.raises(ConflictError) as caught:
            await client.create_session("a", "p")

    assert (caught.value.status, caught.value.code, platform.request_count) == (409, "Conflict", 1)


@pytest.mark.parametrize(
    ("body", "path"),
    [(b"[]", "$"), (b"{}", "$.id"), (b'{"id": 5}', "$.id"), (b'{"id": "1", "kernel": {}}', "$.kernel.name")],
)
async def test_an_answer_that_is_no_session_is_an_error(platform: LocalService, body: bytes, path: str) -> None:
    platform.fail("a", Fault(body=body))
    async with client_of(platform) as client:
        with pytest.raises(ResponseDecodeError) as caught:
            await client.get_session("a", ID)

    assert (caught.value.path, caught.value.operation, caught.value.workspace_key) == (path, "get_session", "a")


async def test_an_etag_that_cannot_be_sent_back_is_left_out(platform: LocalService) -> None:
    platform.fail("a", Fault(headers={"etag": '"é"'}))
    async with client_of(platform) as client:
        session = await client.get_session("a", ID)

    assert session.etag is None


async def test_a_session_becomes_the_json_that_the_service_sent(platform: LocalService) -> None:
    wire = {"id": "1", "name": "n", "cluster_id": "c", "new": [1], "kernel": {"name": "k", "execution_state": "idle"}}
    platform.fail("a", Fault(body=json.dumps(wire).encode(), headers={"etag": '"e"'}))
    async with client_of(platform) as client:
        session = await client.get_session("a", ID)

    assert (session.etag, session.extra) == ('"e"', {"new": [1]})
    assert to_wire(session) == wire


@pytest.mark.parametrize(
    ("method", "arguments", "options", "name"),
    [
        ("get_session", ("a", ".."), {}, "session_id"),
        ("get_session", (" ", "1"), {}, "workspace_key"),
        ("get_session", ("a", "1"), {"opc_request_id": "ä"}, "opc_request_id"),
        ("create_session", ("a", ""), {}, "path"),
        ("create_session", ("a", 5), {}, "path"),
        ("create_session", ("a", "p"), {"kernel_name": ""}, "name"),
        ("create_session", ("a", "p"), {"cluster_id": 5}, "cluster_id"),
        ("create_session", ("a", "p"), {"opc_retry_token": "t" * 65}, "opc_retry_token"),
        ("create_session", ("a", "p"), {"opc_retry_token": "ä"}, "opc_retry_token"),
        ("create_session", ("a", "p"), {"opc_retry_token": ""}, "opc_retry_token"),
        ("patch_session", ("a", "1"), {}, "at least one of name, path, cluster_id"),
        ("patch_session", ("a", "1"), {"if_match": '"e"'}, "at least one of name, path, cluster_id"),
        ("patch_session", ("a", "1"), {"must_refresh_context": 1}, "must_refresh_context"),
        ("patch_session", ("a", "1"), {"name": "n", "if_match": "a\r\nb: c"}, "if_match"),
        ("delete_session", ("a", "\x00"), {}, "session_id"),
        ("delete_session", ("a", "1"), {"if_match": ""}, "if_match"),
    ],
)
async def test_misuse_is_refused_before_anything_is_sent(
    platform: LocalService, method: str, arguments: tuple[object, ...], options: dict[str, object], name: str
) -> None:
    async with client_of(platform) as client:
        with pytest.raises((TypeError, ValueError), match=name):
            await getattr(client, method)(*arguments, **options)

    assert platform.request_count == 0


async def test_a_key_and_an_id_are_percent_encoded(service: LocalService) -> None:
    service.add_workspace("a/b", [attrs.evolve(FORECAST, id="c?d é")])
    async with client_of(service) as client:
        session = await client.get_session("a/b", "c?d é")

    assert (session.id, session.workspace_key) == ("c?d é", "a/b")
    assert service.requests[0].target.endswith("/workspaces/a%2Fb/notebook/api/sessions/c%3Fd%20%C3%A9")


async def test_a_listener_learns_method_and_route_of_each_operation(platform: LocalService) -> None:
    calls: list[CallInfo] = []

    def listen(event: Event) -> None:
        if isinstance(event, CallStarted):
            calls.append(event.call)

    async with client_of(platform, on_event=listen) as client:
        created = await client.create_session("a", "new.ipynb")
        await client.get_session("a", created.id)
        await client.patch_session("a", created.id, name="n")
        await client.delete_session("a", created.id)
        assert [cluster.key async for cluster in client.clusters("a")] == ["c1"]

    workspace = "/20260430/aiDataPlatforms/{aiDataPlatformId}/workspaces/{workspaceKey}"
    sessions = f"{workspace}/notebook/api/sessions"
    assert [(call.operation, call.method, call.route) for call in calls] == [
        ("create_session", "POST", sessions),
        ("get_session", "GET", f"{sessions}/{{sessionId}}"),
        ("patch_session", "PATCH", f"{sessions}/{{sessionId}}"),
        ("delete_session", "DELETE", f"{sessions}/{{sessionId}}"),
        ("list_clusters", "GET", f"{workspace}/clusters"),
    ]
    assert {call.workspace_key for call in calls} == {"a"}


@pytest.mark.parametrize("api_version", VERSIONS)
async def test_clusters_are_listed_with_the_sessions_attached_to_them(platform: LocalService, api_version: str) -> None:
    wire = {
        "key": "c1",
        "displayName": "small",
        "type": "USER",
        "state": "STOPPED",
        "timeCreated": "2026-01-02T03:04:05Z",
        "stoppedBy": "SYSTEM",
        "attachedSessions": [{"type": "NOTEBOOK", "path": "p", "state": "IDLE", "lastCommandRun": "then", "new": 1}],
        "attachedNotebooks": ["p"],
        "attachedAgentCount": 1,
        "activeClusterResources": {"activeCores": 4.0},
        "stateDetails": "stopped",
    }
    platform.set_clusters("a", [wire])
    async with client_of(platform, api_version=api_version) as client:
        (cluster,) = [cluster async for cluster in client.clusters("a")]

    attached = AttachedSession(type="NOTEBOOK", path="p", state="IDLE", last_command_run="then", extra={"new": 1})
    assert cluster == ClusterSummary(
        key="c1",
        display_name="small",
        type="USER",
        state="STOPPED",
        time_created=cluster.time_created,
        stopped_by="SYSTEM",
        attached_sessions=(attached,),
        attached_notebooks=("p",),
        attached_agent_count=1,
        active_cluster_resources={"activeCores": 4.0},
        extra={"stateDetails": "stopped"},
    )
    assert to_wire(cluster) == wire


async def test_every_page_of_clusters_is_followed_with_the_same_filters(service: LocalService) -> None:
    service.add_workspace("a")
    service.set_clusters("a", [{"key": f"c{number}", "state": "ACTIVE", "type": "USER"} for number in range(2500)])
    async with client_of(service) as client:
        found = [cluster.key async for cluster in client.clusters("a", state="ACTIVE", type="USER")]

    assert sorted(found) == sorted(f"c{number}" for number in range(2500))
    assert service.request_count == 3
    assert all("limit=1000&state=ACTIVE&type=USER" in request.target for request in service.requests)


@pytest.mark.parametrize(
    ("cluster", "path"),
    [
        ({}, "$.items[0].key"),
        ({"key": "c", "attachedSessions": {}}, "$.items[0].attachedSessions"),
        ({"key": "c", "attachedSessions": [{}, {"state": 1}]}, "$.items[0].attachedSessions[1].state"),
        ({"key": "c", "attachedSessions": [5]}, "$.items[0].attachedSessions[0]"),
        ({"key": "c", "attachedNotebooks": [None]}, "$.items[0].attachedNotebooks[0]"),
        ({"key": "c", "activeClusterResources": []}, "$.items[0].activeClusterResources"),
    ],
)
async def test_a_cluster_that_is_not_as_documented_is_an_error(
    platform: LocalService, cluster: dict[str, object], path: str
) -> None:
    platform.fail("a", Fault(body=json.dumps({"items": [cluster]}).encode()))
    async with client_of(platform) as client:
        with pytest.raises(ResponseDecodeError) as caught:
            [_ async for _ in client.clusters("a")]

    assert caught.value.path == path


async def test_without_retries_every_operation_is_sent_once(platform: LocalService) -> None:
    platform.fail("a", Fault(status=503, times=None))
    async with client_of(platform, retry=RetryPolicy.none()) as client:
        for call in (client.get_session("a", ID), client.create_session("a", "p"), client.delete_session("a", ID)):
            with pytest.raises(ServiceError):
                await call

    assert platform.request_count == 3


def test_a_session_shows_itself_with_every_field() -> None:
    session = Session(id="1", etag='"e"', opc_request_id="r")

    assert "etag='\"e\"', opc_request_id='r'" in repr(session)
