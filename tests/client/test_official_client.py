"""The official client takes the local service for the real one, so what ours is tested against is no invention."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import oci
import pytest
from aidp_python_client.aidataplatform_dp import NotebookClient, WorkspaceClient
from aidp_python_client.aidataplatform_dp.models import CreateSessionDetails
from hypothesis import given, settings
from hypothesis import strategies as st
from oci.circuit_breaker import NoCircuitBreakerStrategy
from oci.retry import NoneRetryStrategy

from aidp_sessions import KernelSummary, Response, SessionSummary
from aidp_sessions.testing import Fault, LocalService

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

T = TypeVar("T")
OPTIONS = {"retry_strategy": NoneRetryStrategy(), "circuit_breaker_strategy": NoCircuitBreakerStrategy()}
SESSION_FIELDS = {
    "id": "id",
    "name": "name",
    "path": "path",
    "type": "type",
    "cluster_id": "cluster_id",
    "agentFlowKey": "agent_flow_key",
    "lifecycleState": "lifecycle_state",
}
KERNEL_FIELDS = ("id", "name", "last_activity", "connections", "execution_state")

texts = st.none() | st.text(st.characters(exclude_categories=["Cs", "Cc"]))
kernels = st.fixed_dictionaries(
    {"name": st.text("abc", min_size=1)},
    optional={
        "id": texts,
        "last_activity": st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"),
        "connections": st.none() | st.integers(0, 2**31),
        "execution_state": texts,
    },
)
wire_sessions = st.fixed_dictionaries(
    {}, optional={**dict.fromkeys(SESSION_FIELDS, texts), "kernel": st.none() | kernels}
)


class Official:
    """The official clients, synchronous as they are, beside a service on a loop of its own."""

    def __init__(self, runner: asyncio.Runner, service: LocalService) -> None:
        self.service = service
        self._runner = runner
        config, options = service.oci_config(), {"service_endpoint": service.url, "enable_strict_url_encoding": True}
        self._notebooks = NotebookClient(config, **options, **OPTIONS)
        self._workspaces = WorkspaceClient(config, **options, **OPTIONS)

    def list_sessions(self, key: str, **filters: str) -> Any:  # the SDK has no types
        return self._call(self._notebooks.list_sessions, self.service.platform_id, key, **filters)

    def ours(self, key: str) -> tuple[SessionSummary, ...]:
        async def ask() -> tuple[SessionSummary, ...]:
            async with self.service.client() as client:
                return (await client.list_sessions(key)).items

        return self._runner.run(ask())

    def list_workspaces(self, **filters: str) -> Any:  # the SDK has no types
        """All pages, as the SDK's own pagination follows them."""
        return self._call(
            oci.pagination.list_call_get_all_results,
            self._workspaces.list_workspaces,
            self.service.platform_id,
            **filters,
        )

    def create_session(self, key: str, **details: str) -> Any:  # the SDK has no types
        body = CreateSessionDetails(**details)
        return self._call(self._notebooks.create_session, self.service.platform_id, key, body)

    def run(self, work: Coroutine[None, None, T]) -> T:
        return self._runner.run(work)

    def _call(self, function: Callable[..., Any], *args: object, **options: object) -> Any:  # the SDK has no types
        return self._runner.run(asyncio.to_thread(function, *args, **options))


@pytest.fixture(scope="module")
def official() -> Iterator[Official]:
    with asyncio.Runner() as runner:
        service = LocalService(workspace_page_size=2)
        runner.run(service.start())
        yield Official(runner, service)
        runner.run(service.aclose())


@pytest.fixture(autouse=True)
def healthy(official: Official) -> Iterator[None]:
    yield
    official.service.heal("w")


@pytest.fixture(scope="module", autouse=True)
def workspaces(official: Official) -> None:
    for key in ("w", "a/b ü", "c", "d", "e"):
        official.service.add_workspace(key, display_name=f"Workspace {key}")


def _wire(session: Any) -> dict[str, Any]:  # as above
    """A decoded session in wire names, with every documented field."""
    wire = {name: getattr(session, attribute) for name, attribute in SESSION_FIELDS.items()}
    return wire | {"kernel": session.kernel and {name: getattr(session.kernel, name) for name in KERNEL_FIELDS}}


def _decoded(item: Any) -> SessionSummary:  # as above
    """What the official client decoded, as one of our values: only its timestamps are still text."""
    kernel = item.kernel and {name: getattr(item.kernel, name) for name in KERNEL_FIELDS}
    if kernel and kernel["last_activity"] is not None:
        kernel["last_activity"] = datetime.fromisoformat(kernel["last_activity"])
    return SessionSummary(
        **{attribute: getattr(item, attribute) for attribute in SESSION_FIELDS.values()},
        kernel=KernelSummary(**kernel) if kernel else None,
        workspace_key="w",
    )


def _completed(session: dict[str, Any]) -> dict[str, Any]:
    """A session as given, with every documented field."""
    kernel = session.get("kernel")
    wire = {name: session.get(name) for name in SESSION_FIELDS}
    return wire | {"kernel": kernel and {name: kernel.get(name) for name in KERNEL_FIELDS}}


@settings(deadline=None)
@given(sessions=st.lists(wire_sessions, max_size=4))
def test_the_official_client_decodes_every_field_that_was_put_in(
    official: Official, sessions: list[dict[str, Any]]
) -> None:
    """Present, null or absent, in any combination: signature accepted, all thirteen fields equal."""
    official.service.set_sessions("w", sessions)

    response = official.list_sessions("w")

    assert response.status == 200
    assert [_wire(session) for session in response.data.items] == [_completed(session) for session in sessions]


@settings(deadline=None)
@given(sessions=st.lists(wire_sessions, max_size=4))
def test_every_field_the_official_client_decodes_equals_ours(
    official: Official, sessions: list[dict[str, Any]]
) -> None:
    official.service.set_sessions("w", sessions)

    ours = official.ours("w")

    assert ours == tuple(_decoded(item) for item in official.list_sessions("w").data.items)
    assert len(ours) == len(sessions)


@pytest.mark.parametrize("body", [b'[{"id": "1", "note": "kept"}]', b'{"items": [{"id": "1", "note": "kept"}]}'])
def test_what_the_official_client_loses_ours_keeps(official: Official, body: bytes) -> None:
    """A bare array becomes no items at all there, and an unknown field disappears."""
    official.service.fail("w", *[Fault(body=body)] * 2)

    theirs = official.list_sessions("w").data
    ours = official.ours("w")

    assert [vars(item).get("_note") for item in theirs.items or []] in ([], [None])
    assert ours == (SessionSummary(id="1", workspace_key="w", extra={"note": "kept"}),)


def test_the_official_client_s_filters_key_and_request_id_arrive(official: Official) -> None:
    """With characters that it escapes in its own way."""
    found = {"id": "found", "path": "b c/ü+~.ipynb", "cluster_id": "c:1", "agentFlowKey": "f,1"}
    others = [{**found, name: "other"} for name in ("path", "cluster_id", "agentFlowKey")]
    official.service.set_sessions("a/b ü", [found, *others])

    response = official.list_sessions(
        "a/b ü", path=found["path"], cluster_id=found["cluster_id"], agent_flow_key=found["agentFlowKey"],
        opc_request_id="mine-1",
    )  # fmt: skip

    assert [session.id for session in response.data.items] == ["found"]
    assert response.headers["opc-request-id"] == "mine-1"
    assert response.headers["etag"].startswith('"')


def test_the_official_pagination_finds_every_workspace(official: Official) -> None:
    """In pages of two, with times it can read."""
    response = official.list_workspaces(sort_by="displayName")

    assert [each.key for each in response.data] == ["a/b ü", "c", "d", "e", "w"]
    assert [isinstance(each.time_created, datetime) for each in response.data] == [True] * 5


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_the_official_client_understands_the_errors(official: Official, status: int) -> None:
    """Status, code, message and request id are where it looks for them."""
    official.service.fail("w", Fault(status=status, code="Code", message="said so"))

    with pytest.raises(oci.exceptions.ServiceError) as caught:
        official.list_sessions("w", opc_request_id="mine-2")

    error = caught.value
    assert (error.status, error.code, error.message, error.request_id) == (status, "Code", "said so", "mine-2")


def test_a_foreign_key_is_refused(official: Official) -> None:
    """The official client's signature counts only with the key that the service knows."""
    config = {**official.service.oci_config(), "user": "ocid1.user.oc1..aaaaaaaasomebodyelse"}
    stranger = NotebookClient(config, service_endpoint=official.service.url, **OPTIONS)

    with pytest.raises(oci.exceptions.ServiceError) as caught:
        official._call(stranger.list_sessions, official.service.platform_id, "w")

    assert (caught.value.status, caught.value.code) == (401, "NotAuthenticated")


def test_the_written_config_is_valid_to_the_official_sdk(tmp_path: Path) -> None:
    """Under the profile that was asked for, with no complaint about permissions."""
    service = LocalService()
    config = oci.config.from_file(str(service.write_config(tmp_path, "TEST")), "TEST")
    expected = service.oci_config()

    oci.config.validate_config(config)

    assert {name: config[name] for name in ("tenancy", "user", "fingerprint", "region")} == {
        name: expected[name] for name in ("tenancy", "user", "fingerprint", "region")
    }
    assert (tmp_path / "oci_api_key.pem").read_text() == expected["key_content"]


def test_a_session_that_the_official_client_creates_is_the_one_that_ours_does(official: Official) -> None:
    """The service verifies the hash of both bodies, and receives the same line and the same JSON."""
    service, path = official.service, "workspaces/{workspaceKey}/notebook/api/sessions"
    service.answer("POST", path.format(workspaceKey="a%2Fb"), status=201, json={"id": "1", "name": "x.ipynb"})
    created = official.create_session("a/b", name="x.ipynb", path="Workspace/x.ipynb", type="notebook")
    theirs = service.requests[-1]

    async def ask() -> Response:
        async with service.client() as client:
            return await client.request("POST", path, {"workspaceKey": "a/b"}, json=json.loads(theirs.body))

    response = official.run(ask())
    ours = service.requests[-1]

    assert (created.status, created.data.id) == (201, "1")
    assert (response.status, response.json()) == (201, {"id": "1", "name": "x.ipynb"})
    assert (ours.method, ours.target, json.loads(ours.body)) == (theirs.method, theirs.target, json.loads(theirs.body))
    assert ours.headers["content-type"] == theirs.headers["content-type"] == "application/json"
