"""The clusters of a workspace, with the sessions that are attached to them. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from .listing import filtered_and_sorted, one_page
from .responses import HttpError, StubResponse, json_response

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .listing import Query, Wire

_AGENT_FLOW: Final = "agentflow"
_DETAILS: Final = frozenset({"autoTerminationMinutes"})
"""Fields of a cluster that are not in its summary."""


def list_clusters(clusters: Iterable[Wire], query: Query, page_size: int, *, legacy: bool) -> StubResponse:
    """List clusters as the operation "List clusters" documents it; the older version has another name for ``state``."""
    page, headers = one_page(filtered_and_sorted(clusters, query, "state"), query, page_size)
    summaries = [{name: value for name, value in cluster.items() if name not in _DETAILS} for cluster in page]
    items = [_with_lifecycle_state(cluster) for cluster in summaries] if legacy else summaries
    return json_response({"items": items}, headers)


def get_cluster(clusters: Iterable[Wire], key: str, *, legacy: bool) -> StubResponse:
    """Answer as the operation "Get cluster"; raises `HttpError` (404) without such a cluster."""
    for cluster in clusters:
        if cluster.get("key") == key:
            return json_response(_with_lifecycle_state(cluster) if legacy else cluster)
    raise HttpError(404)


def clusters_of(sessions: Sequence[Wire], time_created: object) -> list[Wire]:
    """An active cluster for each ``cluster_id`` of *sessions*."""
    keys = dict.fromkeys(session["cluster_id"] for session in sessions if isinstance(session.get("cluster_id"), str))
    return [
        {"key": key, "displayName": key, "type": "USER", "state": "ACTIVE", "timeCreated": time_created} for key in keys
    ]


def with_attachments(cluster: Wire, sessions: Iterable[Wire]) -> Wire:
    """Add what is attached to *cluster*, unless it says so itself."""
    attached = [session for session in sessions if session.get("cluster_id") == cluster.get("key")]
    computed = {
        "attachedSessions": [_attached(session) for session in attached if session.get("type") != _AGENT_FLOW],
        "attachedAgentCount": sum(session.get("type") == _AGENT_FLOW for session in attached),
    }
    return {**computed, **cluster}


def _attached(session: Wire) -> Wire:
    kernel = cast("Wire", session.get("kernel") or {})
    return {
        "type": str(session.get("type", "notebook")).upper(),
        "path": session.get("path"),
        "state": "ACTIVE" if kernel.get("execution_state") == "busy" else "IDLE",
        "lastCommandRun": kernel.get("last_activity"),
    }


def _with_lifecycle_state(cluster: Wire) -> Wire:
    return {"lifecycleState" if name == "state" else name: value for name, value in cluster.items()}
