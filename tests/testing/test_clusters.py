"""The local service lists clusters as the documentation says, with the sessions that are attached to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from aidp_sessions import NotFoundError, ServiceError
from aidp_sessions.testing import Fault, LocalService, make_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aidp_sessions import SessionSummary

CLUSTERS = "workspaces/{workspaceKey}/clusters"
DAY = datetime(2026, 1, 1, tzinfo=UTC)
NAMED: list[Mapping[str, object]] = [
    {"key": "a", "displayName": "Two", "type": "USER", "state": "ACTIVE", "timeCreated": "2026-01-01T00:00:00.000Z"},
    {"key": "b", "displayName": "One", "type": "USER", "state": "STOPPED", "timeCreated": "2026-01-02T00:00:00.000Z"},
    {
        "key": "c",
        "displayName": "Three",
        "type": "AI_COMPUTE",
        "state": "ACTIVE",
        "timeCreated": "2026-01-03T00:00:00Z",
    },
]


async def listed(service: LocalService, version: str = "20260430", **query: str) -> list[dict[str, Any]]:
    """All pages of the clusters of workspace ``w``."""
    items: list[dict[str, Any]] = []
    page: str | None = ""
    async with service.client(api_version=version) as client:
        while page is not None:
            asked = {**query, **({"page": page} if page else {})}
            response = await client.request("GET", CLUSTERS, {"workspaceKey": "w"}, query=asked)
            document = response.json()
            assert isinstance(document, dict)
            items += document["items"]
            page = response.headers.get("opc-next-page")
    return items


def made(**changes: Any) -> SessionSummary:
    return attrs.evolve(make_session(idle_for=timedelta(hours=1), now=DAY), **changes)


async def test_sessions_have_their_clusters_by_default(service: LocalService) -> None:
    """One for each ``cluster_id``, active, with the state of the kernels."""
    idle = made(cluster_id="c1", path="idle.ipynb")
    busy = attrs.evolve(make_session(now=DAY, cluster_id="c1", path="busy.py"), type="file")
    warming, flow = made(cluster_id="c2", kernel=None, path="w.ipynb"), made(cluster_id="c2", type="agentflow")
    service.add_workspace("w", [idle, busy, warming, flow, made(cluster_id=None)], time_created=DAY)

    common = {"type": "USER", "state": "ACTIVE", "timeCreated": "2026-01-01T00:00:00.000Z"}
    notebook = {"type": "NOTEBOOK", "path": "idle.ipynb", "state": "IDLE", "lastCommandRun": "2025-12-31T23:00:00Z"}
    file = {"type": "FILE", "path": "busy.py", "state": "ACTIVE", "lastCommandRun": "2026-01-01T00:00:00Z"}
    late = {"type": "NOTEBOOK", "path": "w.ipynb", "state": "IDLE", "lastCommandRun": None}
    assert await listed(service) == [
        {**common, "key": "c1", "displayName": "c1", "attachedSessions": [notebook, file], "attachedAgentCount": 0},
        {**common, "key": "c2", "displayName": "c2", "attachedSessions": [late], "attachedAgentCount": 1},
    ]


async def test_clusters_can_be_set_and_may_contradict_the_kernels(service: LocalService) -> None:
    """Objects are sent unchanged, apart from attachments that they leave out."""
    session = made(cluster_id="a", path="x.ipynb")
    service.add_workspace("w", [session])
    attached = {"type": "NOTEBOOK", "path": "x.ipynb", "state": "ACTIVE", "lastCommandRun": "now"}
    service.set_clusters("w", [{"key": "a", "attachedSessions": [attached], "note": 1}, {"key": "b", "state": 7}])

    assert await listed(service) == [
        {"key": "a", "attachedSessions": [attached], "attachedAgentCount": 0, "note": 1},
        {"key": "b", "state": 7, "attachedSessions": [], "attachedAgentCount": 0},
    ]
    service.set_clusters("w", None)
    assert [cluster["key"] for cluster in await listed(service)] == ["a"]
    service.set_clusters("w", [])
    assert await listed(service) == []


async def test_the_older_version_names_the_state_as_it_does(service: LocalService) -> None:
    service.add_workspace("w")
    service.set_clusters("w", [{"key": "a", "state": "STOPPED", "attachedSessions": [], "attachedAgentCount": 0}])

    assert await listed(service, "20240831") == [
        {"key": "a", "lifecycleState": "STOPPED", "attachedSessions": [], "attachedAgentCount": 0}
    ]


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ({}, ["c", "b", "a"]),
        ({"sortBy": "timeCreated", "sortOrder": "ASC"}, ["a", "b", "c"]),
        ({"sortBy": "displayName"}, ["b", "c", "a"]),
        ({"state": "active"}, ["c", "a"]),
        ({"displayName": "One"}, ["b"]),
        ({"displayNameContains": "T"}, ["c", "a"]),
        ({"type": "AI_COMPUTE"}, ["c"]),
        ({"limit": "1"}, ["c", "b", "a"]),
    ],
    ids=str,
)
async def test_clusters_are_filtered_sorted_and_paged(query: dict[str, str], keys: list[str]) -> None:
    async with LocalService(workspace_page_size=2) as service:
        service.add_workspace("w")
        service.set_clusters("w", NAMED)

        assert [cluster["key"] for cluster in await listed(service, **query)] == keys


async def test_the_list_of_clusters_can_fail_alone(service: LocalService) -> None:
    service.add_workspace("w")
    service.fail("w", Fault(status=403), operation="list_clusters")
    async with service.client() as client:
        assert len(await client.list_sessions("w")) == 0
    with pytest.raises(Exception, match="403"):
        await listed(service)
    assert [(request.operation, request.workspace_key, request.status) for request in service.requests] == [
        ("list_sessions", "w", 200),
        ("list_clusters", "w", 403),
    ]


async def test_one_cluster_shows_details_that_the_list_leaves_out(service: LocalService) -> None:
    service.add_workspace("w", [made(cluster_id="a", path="x.ipynb")])
    service.set_clusters("w", [{**NAMED[0], "autoTerminationMinutes": 60}])
    path = "workspaces/w/clusters/a"
    async with service.client() as client:
        shown = (await client.request("GET", path)).json()
        older = (await client.with_options(api_version="20240831").request("GET", path)).json()
        with pytest.raises(NotFoundError):
            await client.request("GET", "workspaces/w/clusters/b")
        with pytest.raises(ServiceError, match="405"):
            await client.request("DELETE", path)
    (item,) = await listed(service)

    assert shown == {**item, "autoTerminationMinutes": 60}
    assert older == {("lifecycleState" if name == "state" else name): value for name, value in shown.items()}
    assert service.requests[0].operation == "get_cluster"
