"""The local service creates, shows, changes and deletes sessions as the documentation says; kernels as Jupyter does."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_sessions import (
    KernelSummary,
    RetryPolicy,
    ServiceError,
    SessionsClient,
    SessionSummary,
    Timeout,
    TransportError,
)
from aidp_sessions.testing import Fault, LocalService, ManualClock, make_session
from aidp_sessions.testing._service.lifecycle import ChangeLog, Lifecycle
from aidp_sessions.testing._service.responses import HttpError
from aidp_sessions.testing._service.sessions import MemorySessions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aidp_sessions import Response
    from aidp_sessions.testing import RecordedRequest

    from ..helpers.jupyter import JupyterProcess

SESSIONS = "workspaces/{workspaceKey}/notebook/api/sessions"
SESSION = f"{SESSIONS}/{{sessionId}}"
HOUR = timedelta(hours=1)


@attrs.frozen
class Workspace:
    """The operations on the sessions of one workspace, by signed requests."""

    client: SessionsClient
    key: str = "w"

    async def create(self, token: str | None = None, **details: object) -> Response:
        headers = {} if token is None else {"opc-retry-token": token}
        return await self.client.request("POST", SESSIONS, {"workspaceKey": self.key}, json=details, headers=headers)

    async def get(self, session_id: str) -> Response:
        return await self._on("GET", session_id)

    async def patch(self, session_id: str, if_match: str | None = None, **details: object) -> Response:
        return await self._on("PATCH", session_id, if_match, json=details)

    async def delete(self, session_id: str, if_match: str | None = None) -> Response:
        return await self._on("DELETE", session_id, if_match)

    async def _on(self, method: str, session_id: str, if_match: str | None = None, json: object = None) -> Response:
        segments = {"workspaceKey": self.key, "sessionId": session_id}
        headers = {} if if_match is None else {"if-match": if_match}
        return await self.client.request(method, SESSION, segments, json=json, headers=headers)

    async def ids(self) -> list[str | None]:
        return [session.id for session in await self.client.list_sessions(self.key)]


@pytest.fixture(params=["20260430", "20240831"])
async def workspace(service: LocalService, request: pytest.FixtureRequest) -> AsyncIterator[Workspace]:
    """Workspace ``w`` in both versions of the API, by a client that does not retry."""
    service.add_workspace("w")
    async with service.client(api_version=request.param, retry=RetryPolicy.none()) as client:
        yield Workspace(client)


def document(response: Response) -> dict[str, Any]:
    found = response.json()
    assert isinstance(found, dict)
    return found


async def refused(call: Any) -> tuple[int | None, str | None]:
    with pytest.raises(ServiceError) as caught:
        await call
    return caught.value.status, caught.value.code


def made(**changes: Any) -> SessionSummary:
    return attrs.evolve(make_session(idle_for=HOUR), **changes)


def kernel_of(session: SessionSummary) -> KernelSummary:
    assert session.kernel is not None
    return session.kernel


async def test_a_created_session_is_shown_with_a_kernel_that_is_starting(
    service: LocalService, workspace: Workspace
) -> None:
    details = {"path": "Workspace/x.ipynb", "type": "file", "name": "x", "cluster_id": "c", "agentFlowKey": "f"}

    created = await workspace.create(**details, kernel={"name": "spark"})
    shown = await workspace.get(document(created)["id"])

    session = document(created)
    kernel = session["kernel"]
    assert created.status == 201
    assert session == {**details, "id": session["id"], "lifecycleState": "ACTIVE", "kernel": kernel}
    assert {**kernel, "id": None, "last_activity": None} == {
        "id": None,
        "name": "spark",
        "execution_state": "starting",
        "last_activity": None,
        "connections": 0,
    }
    assert (shown.status, document(shown), shown.headers["etag"]) == (200, session, created.headers["etag"])
    assert created.headers["location"] == service.requests[-1].target
    assert [s.id for s in service.created] == await workspace.ids() == [session["id"]]


async def test_details_that_are_left_out_have_defaults(workspace: Workspace) -> None:
    session = document(await workspace.create(path="a/b.ipynb", name=None, kernel=None))

    assert {name: session[name] for name in ("name", "type", "path")} == {
        "name": "b.ipynb",
        "type": "notebook",
        "path": "a/b.ipynb",
    }
    assert session["kernel"]["name"] == "notebook"


async def test_a_path_has_one_session(service: LocalService, workspace: Workspace) -> None:
    """The existing session is returned as it is, with 201; the wishes for cluster and kernel are ignored."""
    first = await workspace.create(path="x.ipynb", cluster_id="c1")
    second = await workspace.create(path="x.ipynb", cluster_id="c2", kernel={"name": "other"})

    assert (second.status, document(second)) == (201, document(first))
    assert len(service.created) == 1


async def test_a_session_can_join_a_kernel_that_is_running(service: LocalService, workspace: Workspace) -> None:
    service.set_sessions("w", [first := made()])

    joined = document(await workspace.create(path="y.ipynb", kernel={"id": kernel_of(first).id}))

    assert service.sessions("w")[1].kernel == first.kernel
    assert (joined["id"], joined["lifecycleState"]) == (service.sessions("w")[1].id, "ACTIVE")


async def test_a_retry_token_creates_once(service: LocalService, workspace: Workspace) -> None:
    """It returns the first session until that is deleted, and then refuses to create another one."""
    first = document(await workspace.create("t", path="x.ipynb"))
    service.set_session("w", {**first, "path": "moved.ipynb"})

    again = document(await workspace.create("t", path="x.ipynb"))
    other = document(await workspace.create("u", path="x.ipynb"))
    await workspace.delete(first["id"])

    assert again == {**first, "path": "moved.ipynb"}
    assert other["id"] != first["id"]
    assert await refused(workspace.create("t", path="x.ipynb")) == (409, "InvalidatedRetryToken")
    assert await refused(workspace.create("u", path="y.ipynb")) == (400, "InvalidParameter")
    assert await workspace.ids() == [other["id"]]


async def test_a_creation_whose_answer_is_lost_can_be_repeated(service: LocalService, workspace: Workspace) -> None:
    """The service has created the session; with the same token there is still one, even if its path has changed."""
    service.fail("w", Fault(cut="before_headers"), operation="create_session")

    with pytest.raises(TransportError):
        await workspace.create("t", path="x.ipynb")
    service.set_session("w", attrs.evolve(service.created[0], path="y.ipynb"))
    repeated = document(await workspace.create("t", path="x.ipynb"))

    assert [session.id for session in service.created] == await workspace.ids() == [repeated["id"]]


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"path": ""},
        {"path": 1},
        {"path": "x", "clusterId": "c"},
        {"path": "x", "lifecycleState": "ACTIVE"},
        {"path": "x", "must_refresh_context": True},
        {"path": "x", "kernel": "spark"},
        {"path": "x", "kernel": {"id": 1}},
        {"path": "x", "kernel": {"connections": True}},
        {"path": "x", "kernel": {"state": "idle"}},
    ],
    ids=str,
)
async def test_details_that_are_not_documented_are_refused(
    service: LocalService, workspace: Workspace, details: dict[str, Any]
) -> None:
    assert await refused(workspace.create(**details)) == (400, "InvalidParameter")
    assert service.sessions("w") == ()


async def test_a_retry_token_that_is_too_long_is_refused(workspace: Workspace) -> None:
    assert (await workspace.create("t" * 64, path="x")).status == 201
    assert await refused(workspace.create("t" * 65, path="x")) == (400, "InvalidParameter")


@given(body=st.binary() | st.just(b"[" * 100_000) | st.just(b"1" * 5_000))
async def test_a_body_without_a_session_is_refused(body: bytes) -> None:
    lifecycle = Lifecycle("w", MemorySessions([], lambda: 0.0, 0.0), ChangeLog())

    with pytest.raises(HttpError) as refused:
        await lifecycle.create("/", {}, body)

    assert refused.value.response.status == 400


async def test_a_kernel_can_appear_late(workspace: Workspace) -> None:
    """Until then the session is being created and has no kernel, in the list too."""
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    async with LocalService(clock=clock.time, kernel_delay=20) as service:
        service.add_workspace("w")
        async with service.client(clock=clock) as client:
            late = Workspace(client)
            created = document(await late.create(path="x.ipynb"))
            clock.advance(timedelta(seconds=19))
            before = document(await late.get(created["id"]))
            clock.advance(timedelta(seconds=1))
            (listed,) = await client.list_sessions("w")
            after = document(await late.get(created["id"]))

    assert before == created
    assert (created["lifecycleState"], created["kernel"]) == ("CREATING", None)
    assert (after["lifecycleState"], after["kernel"]["last_activity"]) == ("ACTIVE", "2026-01-01T00:00:20Z")
    assert (listed.lifecycle_state, kernel_of(listed).id) == ("ACTIVE", after["kernel"]["id"])


async def test_a_session_that_failed_gets_no_kernel() -> None:
    clock = ManualClock()
    async with LocalService(clock=clock.time, kernel_delay=20) as service:
        service.add_workspace("w")
        async with service.client(clock=clock) as client:
            failing = Workspace(client)
            await failing.create(path="x.ipynb")
            service.set_session("w", attrs.evolve(service.sessions("w")[0], lifecycle_state="FAILED"))
            clock.advance(HOUR)

            session = document(await failing.get(str(service.sessions("w")[0].id)))

    assert (session["lifecycleState"], session.get("kernel")) == ("FAILED", None)


async def test_a_kernel_may_never_appear() -> None:
    async with LocalService(kernel_delay=math.inf) as service:
        service.add_workspace("w")
        async with service.client() as client:
            session = document(await Workspace(client).create(path="x.ipynb"))

    assert (session["lifecycleState"], session["kernel"]) == ("CREATING", None)


async def test_deleting_a_session_ends_its_kernel_and_the_others_that_use_it(
    service: LocalService, workspace: Workspace
) -> None:
    shared = made()
    other, apart, without = made(kernel=shared.kernel), made(), made(kernel=None)
    service.set_sessions("w", [shared, other, apart, without, made(kernel=None)])

    deleted = await workspace.delete(str(other.id))

    assert (deleted.status, deleted.body) == (204, b"")
    assert "etag" not in deleted.headers
    assert await workspace.ids() == [apart.id, without.id, service.sessions("w")[2].id]
    assert await refused(workspace.get(str(shared.id))) == (404, "NotAuthorizedOrNotFound")
    assert await refused(workspace.delete(str(other.id))) == (404, "NotAuthorizedOrNotFound")
    await workspace.delete(str(without.id))
    assert service.deleted == tuple(attrs.evolve(each, workspace_key="w") for each in (other, without))


async def test_names_and_paths_are_changed_without_touching_the_kernel(
    service: LocalService, workspace: Workspace
) -> None:
    shared = made()
    service.set_sessions("w", [shared, other := made(kernel=shared.kernel)])

    patched = await workspace.patch(
        str(shared.id), name="n", path="p", type="file", kernel={"id": kernel_of(shared).id}
    )

    assert patched.status == 200
    assert service.sessions("w") == tuple(
        attrs.evolve(each, workspace_key="w") for each in (attrs.evolve(shared, name="n", path="p", type="file"), other)
    )
    assert patched.headers["etag"] == (await workspace.get(str(shared.id))).headers["etag"]


@pytest.mark.parametrize(
    "details",
    [{"kernel": {"name": "other"}}, {"cluster_id": "another"}, {"must_refresh_context": True}],
    ids=str,
)
async def test_another_kernel_ends_the_present_one(
    service: LocalService, workspace: Workspace, details: dict[str, Any]
) -> None:
    """A new name, another cluster or a new context; sessions that share the present kernel end with it."""
    shared, apart = made(), made()
    service.set_sessions("w", [shared, made(kernel=shared.kernel), apart])

    session = document(await workspace.patch(str(shared.id), **details))

    assert session["kernel"]["execution_state"] == "starting"
    assert session["kernel"]["id"] != kernel_of(shared).id
    assert sorted(await workspace.ids(), key=str) == sorted([shared.id, apart.id], key=str)


async def test_a_session_can_move_to_a_kernel_that_is_running(service: LocalService, workspace: Workspace) -> None:
    moving, target = made(), made()
    service.set_sessions("w", [moving, made(kernel=moving.kernel), target])

    await workspace.patch(str(moving.id), kernel={"id": kernel_of(target).id})

    assert {session.id: session.kernel for session in service.sessions("w")} == {
        target.id: target.kernel,
        moving.id: target.kernel,
    }
    assert await refused(workspace.patch(str(moving.id), kernel={"id": "gone"})) == (400, "InvalidParameter")


KERNEL_CHANGES: list[dict[str, Any]] = [
    {"execution_state": "busy"},
    {"last_activity": datetime(2030, 1, 1, tzinfo=UTC)},
    {"connections": 1},
]
SESSION_CHANGES: list[dict[str, Any]] = [
    {"name": "n"},
    {"path": "p"},
    {"lifecycle_state": "FAILED"},
    {"kernel": KernelSummary(name="notebook", id="another")},
]


@pytest.mark.parametrize("change", [*KERNEL_CHANGES, *SESSION_CHANGES], ids="-".join)
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_session_that_has_changed_is_protected_by_its_etag(
    service: LocalService, workspace: Workspace, method: str, change: dict[str, Any]
) -> None:
    """Every change of it or its kernel counts; with the new etag the operation succeeds."""
    session = made()
    session_id = str(session.id)
    service.set_sessions("w", [session])
    etag = (await workspace.get(session_id)).headers["etag"]
    if change in KERNEL_CHANGES:
        service.set_kernel("w", attrs.evolve(kernel_of(session), **change))
    else:
        service.set_session("w", attrs.evolve(session, **change))
    held = service.sessions("w")

    async def act(if_match: str) -> Response:
        if method == "DELETE":
            return await workspace.delete(session_id, if_match)
        return await workspace.patch(session_id, if_match, name="changed")

    assert await refused(act(etag)) == (412, "NoEtagMatch")
    assert service.sessions("w") == held
    assert service.deleted == ()
    assert (await act((await workspace.get(session_id)).headers["etag"])).status in (200, 204)
    assert service.sessions("w") != held


async def test_an_etag_holds_while_nothing_changes(service: LocalService, workspace: Workspace) -> None:
    """Not even by a change of another session; ``*`` is any etag, but needs a session."""
    service.set_sessions("w", [session := made(), other := made()])
    etag = (await workspace.get(str(session.id))).headers["etag"]
    service.set_session("w", attrs.evolve(other, name="changed"))

    assert (await workspace.delete(str(session.id), etag)).status == 204
    assert (await workspace.delete(str(other.id), "*")).status == 204
    assert await refused(workspace.delete(str(other.id), "*")) == (404, "NotAuthorizedOrNotFound")


async def test_a_kernel_that_no_session_uses_cannot_be_set(service: LocalService) -> None:
    service.add_workspace("w", [made(kernel=None)])

    for kernel in (KernelSummary(name="notebook", id="k"), {"name": "notebook"}, {"id": None}):
        with pytest.raises(KeyError):
            service.set_kernel("w", kernel)
    with pytest.raises(ValueError, match="has no id"):
        service.set_session("w", {"name": "x"})
    with pytest.raises(KeyError):
        service.sessions("unknown")


async def test_sessions_are_read_as_a_client_lists_them(service: LocalService, workspace: Workspace) -> None:
    service.set_sessions("w", [made(), {"id": "1", "note": "kept"}])

    assert service.sessions("w") == (await workspace.client.list_sessions("w")).items


async def test_state_can_change_between_any_two_requests(service: LocalService, workspace: Workspace) -> None:
    """The function sees each authenticated request before the service acts on it."""
    service.set_sessions("w", [session := made()])
    seen: list[tuple[str | None, str | None]] = []

    def wake(request: RecordedRequest) -> None:
        seen.append((request.operation, request.session_id))
        if request.operation == "delete_session":
            service.set_kernel("w", attrs.evolve(kernel_of(session), execution_state="busy"))

    service.on_request = wake
    assert service.on_request is wake
    etag = (await workspace.get(str(session.id))).headers["etag"]

    assert await refused(workspace.delete(str(session.id), etag)) == (412, "NoEtagMatch")
    assert seen == [("get_session", session.id), ("delete_session", session.id)]
    assert [(request.operation, request.session_id) for request in service.requests] == seen
    assert kernel_of(service.sessions("w")[0]).execution_state == "busy"


async def test_an_async_function_is_not_told_of_requests(service: LocalService) -> None:
    async def wake(request: RecordedRequest) -> None:
        del request

    with pytest.raises(TypeError, match=r"^on_request must be a plain function of one request, not <function"):
        service.on_request = wake  # type: ignore[assignment]  # on purpose
    assert service.on_request is None


@pytest.mark.parametrize(
    ("fault", "takes_effect"),
    [
        (Fault(status=503), False),
        (Fault(status=503, takes_effect=True), True),
        (Fault(status=503, cut="before_headers"), False),
        (Fault(cut="before_headers"), True),
        (Fault(cut="in_headers"), True),
        (Fault(status=503, cut="before_headers", takes_effect=True), True),
        (Fault(delay=math.inf), False),
        (Fault(delay=math.inf, takes_effect=True), True),
    ],
    ids=str,
)
async def test_an_answer_is_lost_before_or_after_the_service_has_acted(
    service: LocalService, workspace: Workspace, fault: Fault, takes_effect: bool
) -> None:
    service.set_sessions("w", [session := made()])
    service.fail("w", fault)
    impatient = Workspace(workspace.client.with_options(timeout=Timeout(read=0.2)))

    with pytest.raises((ServiceError, TransportError)):
        await impatient.delete(str(session.id))

    assert [each.id for each in service.deleted] == [session.id] * takes_effect
    assert len(service.sessions("w")) == (not takes_effect)


async def test_faults_can_wait_for_one_operation(service: LocalService, workspace: Workspace) -> None:
    """Other requests for the workspace pass; faults for any operation come in their order."""
    service.set_sessions("w", [session := made()])
    service.fail("w", Fault(status=503), Fault(status=409), operation="delete_session")
    service.fail("w", Fault(status=500))

    assert await refused(workspace.get(str(session.id))) == (500, "InternalServerError")
    assert await workspace.ids() == [session.id]
    assert await refused(workspace.delete(str(session.id))) == (503, "ServiceUnavailable")
    assert await refused(workspace.delete(str(session.id))) == (409, "IncorrectState")
    assert (await workspace.delete(str(session.id))).status == 204


async def test_an_answer_stands_before_an_operation(service: LocalService, workspace: Workspace) -> None:
    """So that a test can show a session without an etag."""
    service.set_sessions("w", [session := made()])
    await workspace.get(str(session.id))
    service.answer("GET", service.requests[-1].target, json={"id": session.id})

    response = await workspace.get(str(session.id))

    assert (document(response), "etag" in response.headers) == ({"id": session.id}, False)


async def test_counts_are_reset_with_what_was_created_and_deleted(service: LocalService, workspace: Workspace) -> None:
    await workspace.delete(document(await workspace.create(path="x"))["id"])
    assert (len(service.created), len(service.deleted)) == (1, 1)

    service.reset_counts()

    assert (service.created, service.deleted, service.requests) == ((), (), ())


async def test_methods_that_a_path_does_not_have_are_refused(workspace: Workspace) -> None:
    segments = {"workspaceKey": "w", "sessionId": "s"}
    only_key = {"workspaceKey": "w"}
    calls = [
        workspace.client.request("PUT", SESSION, segments, json={}),
        workspace.client.request("POST", SESSION, segments, json={}),
        workspace.client.request("DELETE", SESSIONS, only_key),
        workspace.client.request("DELETE", "workspaces/{workspaceKey}/clusters", only_key),
    ]

    assert [await refused(call) for call in calls] == [(405, "MethodNotAllowed")] * 4


async def test_a_real_jupyter_server_does_the_same(service: LocalService, jupyter: JupyterProcess) -> None:
    """Create, get, patch and delete of real sessions, with etags that move with the kernel."""
    service.add_jupyter("lab", url=jupyter.url, token=jupyter.token)
    async with service.client(retry=RetryPolicy.none()) as client:
        lab = Workspace(client, "lab")
        created = await lab.create("t", path="x.ipynb", kernel={"name": "notebook"})
        session = document(created)
        session_id = session["id"]
        assert document(await lab.create("t", path="x.ipynb", kernel={"name": "notebook"})) == session
        assert document(await lab.create(path="x.ipynb"))["id"] == session_id
        joined = document(await lab.create(path="y.ipynb", kernel={"id": session["kernel"]["id"]}))
        renamed = document(await lab.patch(session_id, path="z.ipynb", name="z"))
        etag = (await lab.get(session_id)).headers["etag"]

        await jupyter.execute(session["kernel"]["id"], "1 + 1")
        await jupyter.until(session_id, connections=0, execution_state="idle")

        assert await refused(lab.delete(session_id, etag)) == (412, "NoEtagMatch")
        assert (await lab.delete(session_id, (await lab.get(session_id)).headers["etag"])).status == 204
        assert await refused(lab.get(joined["id"])) == (404, "NotAuthorizedOrNotFound")
        assert await refused(lab.delete(session_id)) == (404, "NotAuthorizedOrNotFound")

    assert (created.status, session["lifecycleState"], session["kernel"]["name"]) == (201, "ACTIVE", "python3")
    assert {name: renamed[name] for name in ("path", "name", "kernel")} == {
        "path": "z.ipynb",
        "name": "z",
        "kernel": {**session["kernel"], "last_activity": renamed["kernel"]["last_activity"]},
    }
    assert await jupyter.sessions() == []
    assert [each.path for each in service.created] == ["x.ipynb", "y.ipynb"]
    assert [each.path for each in service.deleted] == ["z.ipynb"]


async def test_what_a_jupyter_server_refuses_is_passed_on(service: LocalService, jupyter: JupyterProcess) -> None:
    service.add_jupyter("lab", url=jupyter.url, token=jupyter.token)
    async with service.client(retry=RetryPolicy.none()) as client:
        lab = Workspace(client, "lab")
        session_id = document(await lab.create(path="x.ipynb"))["id"]

        assert await refused(lab.create(path="y.ipynb", kernel={"name": "unknown"})) == (501, "MethodNotImplemented")
        assert await refused(lab.patch(session_id, kernel={"id": "unknown"})) == (400, "InvalidParameter")
        replaced = document(await lab.patch(session_id, kernel={"name": "notebook"}))
        assert replaced["kernel"]["name"] == "python3"
        for change in (service.sessions, lambda key: service.set_sessions(key, [])):
            with pytest.raises(TypeError, match="'lab' are those of a Jupyter server"):
                change("lab")
        await lab.delete(session_id)
