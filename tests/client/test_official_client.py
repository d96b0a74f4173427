"""The official client works with the local service, and decodes the same as ours."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs
import oci
import pytest
from aidp_python_client.aidataplatform_dp import NotebookClient
from aidp_python_client.aidataplatform_dp.models import (
    AttachedSession,
    CreateSessionDetails,
    Kernel,
    PatchSessionDetails,
)
from hypothesis import given
from hypothesis import strategies as st

from aidp_sessions import KernelSummary, Response, SessionSummary
from aidp_sessions.testing import Fault, LocalService

from ..helpers.official import OPTIONS, Official, running_official

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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


@pytest.fixture(scope="module")
def official() -> Iterator[Official]:
    with running_official(workspace_page_size=2) as official:
        yield official


@pytest.fixture(autouse=True)
def healthy(official: Official) -> Iterator[None]:
    yield
    official.service.heal("w")


@pytest.fixture(scope="module", autouse=True)
def workspaces(official: Official) -> None:
    for key in ("w", "a/b ü", "c", "d", "e"):
        official.service.add_workspace(key, display_name=f"Workspace {key}")


def _wire(session: Any) -> dict[str, Any]:  # the SDK has no types
    """A decoded session in wire names, with every documented field."""
    wire = {name: getattr(session, attribute) for name, attribute in SESSION_FIELDS.items()}
    return wire | {"kernel": session.kernel and {name: getattr(session.kernel, name) for name in KERNEL_FIELDS}}


def _decoded(item: Any) -> SessionSummary:  # the SDK has no types
    """The official client's values as one of ours; its timestamps are text."""
    kernel = item.kernel and {name: getattr(item.kernel, name) for name in KERNEL_FIELDS}
    if kernel and kernel["last_activity"] is not None:
        kernel["last_activity"] = datetime.fromisoformat(kernel["last_activity"])
    return SessionSummary(
        **{attribute: getattr(item, attribute) for attribute in SESSION_FIELDS.values()},
        kernel=KernelSummary(**kernel) if kernel else None,
        workspace_key="w",
    )


def _completed(session: dict[str, Any]) -> dict[str, Any]:
    """The given session with every documented field."""
    kernel = session.get("kernel")
    wire = {name: session.get(name) for name in SESSION_FIELDS}
    return wire | {"kernel": kernel and {name: kernel.get(name) for name in KERNEL_FIELDS}}


@given(sessions=st.lists(wire_sessions, max_size=4))
def test_the_official_client_decodes_every_field_of_the_local_service(
    official: Official, sessions: list[dict[str, Any]]
) -> None:
    """With fields present, null or absent in any combination, all thirteen are equal."""
    official.service.set_sessions("w", sessions)

    response = official.list_sessions("w")

    assert response.status == 200
    assert [_wire(session) for session in response.data.items] == [_completed(session) for session in sessions]


@given(sessions=st.lists(wire_sessions, max_size=4))
def test_both_clients_decode_equal_values(official: Official, sessions: list[dict[str, Any]]) -> None:
    official.service.set_sessions("w", sessions)

    ours = official.ours("w")

    assert ours == tuple(_decoded(item) for item in official.list_sessions("w").data.items)
    assert len(ours) == len(sessions)


@pytest.mark.parametrize("body", [b'[{"id": "1", "note": "kept"}]', b'{"items": [{"id": "1", "note": "kept"}]}'])
def test_our_client_keeps_what_the_official_one_loses(official: Official, body: bytes) -> None:
    """There, a bare array becomes ``items=None``, and an unknown field is dropped."""
    official.service.fail("w", *[Fault(body=body)] * 2)

    theirs = official.list_sessions("w").data
    ours = official.ours("w")

    assert [vars(item).get("_note") for item in theirs.items or []] in ([], [None])
    assert ours == (SessionSummary(id="1", workspace_key="w", extra={"note": "kept"}),)


def test_the_official_client_s_filters_key_and_request_id_arrive(official: Official) -> None:
    """With characters that it escapes differently."""
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
    """In pages of two, with times that it can parse."""
    response = official.list_workspaces(sort_by="displayName")

    assert [each.key for each in response.data] == ["a/b ü", "c", "d", "e", "w"]
    assert [isinstance(each.time_created, datetime) for each in response.data] == [True] * 5


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_the_official_client_understands_the_errors(official: Official, status: int) -> None:
    """It finds status, code, message and request id."""
    official.service.fail("w", Fault(status=status, code="Code", message="said so"))

    with pytest.raises(oci.exceptions.ServiceError) as caught:
        official.list_sessions("w", opc_request_id="mine-2")

    error = caught.value
    assert (error.status, error.code, error.message, error.request_id) == (status, "Code", "said so", "mine-2")


def test_a_signature_with_an_unknown_key_is_refused(official: Official) -> None:
    """The service accepts the official client's signature only with a key that it knows."""
    config = {**official.service.oci_config(), "user": "ocid1.user.oc1..aaaaaaaasomebodyelse"}
    stranger = NotebookClient(config, service_endpoint=official.service.url, **OPTIONS)

    with pytest.raises(oci.exceptions.ServiceError) as caught:
        official._call(stranger.list_sessions, official.service.platform_id, "w")

    assert (caught.value.status, caught.value.code) == (401, "NotAuthenticated")


def test_the_written_config_is_valid_to_the_official_sdk(tmp_path: Path) -> None:
    """With the requested profile, and without a warning about permissions."""
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
    details = CreateSessionDetails(name="x.ipynb", path="Workspace/x.ipynb", type="notebook")
    created = official.on_session("create_session", "a/b", details)
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


def _refused(official: Official, operation: str, *args: object, **options: str) -> tuple[int, str]:
    with pytest.raises(oci.exceptions.ServiceError) as caught:
        official.on_session(operation, "w", *args, **options)
    return caught.value.status, caught.value.code


def test_the_official_client_goes_through_the_life_of_a_session(official: Official) -> None:
    """Every field of the details arrives, every field of the session comes back, and ``if_match`` counts."""
    service = official.service
    service.set_sessions("w", [])
    details = CreateSessionDetails(
        name="x.ipynb",
        path="Workspace/x.ipynb",
        type="notebook",
        cluster_id="c",
        agent_flow_key="f",
        kernel=Kernel(name="notebook"),
    )
    created = official.on_session("create_session", "w", details, opc_retry_token="t", datalake_tenant_id="d")
    again = official.on_session("create_session", "w", details, opc_retry_token="t")
    session_id = created.data.id
    shown = official.on_session("get_session", "w", session_id)
    first = service.sessions("w")[0]
    patched = official.on_session(
        "patch_session", "w", session_id, PatchSessionDetails(name="y.ipynb"), if_match=shown.headers["etag"]
    )
    second = service.sessions("w")[0]

    assert [response.status for response in (created, again, shown, patched)] == [201, 201, 200, 200]
    assert created.data == again.data == shown.data
    assert created.headers["location"].endswith(f"/workspaces/w/notebook/api/sessions/{session_id}")
    assert (_decoded(shown.data), _decoded(patched.data)) == (first, second)
    assert second == attrs.evolve(first, name="y.ipynb")
    assert _refused(official, "delete_session", session_id, if_match=shown.headers["etag"]) == (412, "NoEtagMatch")
    deleted = official.on_session("delete_session", "w", session_id, if_match=patched.headers["etag"])
    assert (deleted.status, deleted.data, service.sessions("w")) == (204, None, ())
    assert _refused(official, "get_session", session_id) == (404, "NotAuthorizedOrNotFound")
    assert _refused(official, "delete_session", session_id) == (404, "NotAuthorizedOrNotFound")


def test_the_official_client_can_ask_for_a_new_context(official: Official) -> None:
    service = official.service
    service.set_sessions("w", [{"id": "1", "name": "x", "cluster_id": "c", "kernel": {"id": "k", "name": "notebook"}}])

    details = PatchSessionDetails(cluster_id="c", must_refresh_context=True)
    patched = official.on_session("patch_session", "w", "1", details).data

    assert (patched.id, patched.name, patched.cluster_id, patched.lifecycle_state) == ("1", "x", "c", "ACTIVE")
    assert (patched.kernel.id == "k", patched.kernel.execution_state) == (False, "starting")


def test_the_official_client_lists_clusters_with_what_is_attached(official: Official) -> None:
    """In pages of two; filters and order arrive, and every required field can be decoded."""
    service = official.service
    kernel = {"id": "k", "name": "notebook", "execution_state": "busy", "last_activity": "2026-05-04T03:02:01Z"}
    session = {"id": "1", "path": "x.ipynb", "type": "notebook", "cluster_id": "c1", "kernel": kernel}
    flow = {"id": "2", "path": "y", "type": "agentflow", "cluster_id": "c1"}
    service.set_sessions("w", [session, flow, {"id": "3", "cluster_id": "c2"}, {"id": "4", "cluster_id": "c3"}])

    clusters = official.list_clusters("w", sort_by="displayName", sort_order="DESC").data
    (found,) = official.list_clusters("w", display_name="c1", state="ACTIVE", type="USER", limit=1).data

    assert [(each.key, each.state, each.type) for each in clusters] == [
        (key, "ACTIVE", "USER") for key in ("c3", "c2", "c1")
    ]
    assert isinstance(found.time_created, datetime)
    assert [vars(each) for each in found.attached_sessions] == [
        vars(AttachedSession(type="NOTEBOOK", path="x.ipynb", state="ACTIVE", last_command_run="2026-05-04T03:02:01Z"))
    ]
    assert found.attached_agent_count == 1
    assert official.list_clusters("w", state="STOPPED").data == []
