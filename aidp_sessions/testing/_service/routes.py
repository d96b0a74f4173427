"""Request targets and the operations that they belong to. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import parse_qsl, unquote

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

Operation = Literal[
    "list_workspaces",
    "list_sessions",
    "create_session",
    "get_session",
    "patch_session",
    "delete_session",
    "list_clusters",
    "get_cluster",
]

_COLLECTIONS: Final = {"20260430": "aiDataPlatforms", "20240831": "dataLakes"}
_LEGACY: Final = "20240831"
_WORKSPACES: Final[Mapping[str, Operation]] = {"GET": "list_workspaces"}
_CLUSTERS: Final[Mapping[str, Operation]] = {"GET": "list_clusters"}
_CLUSTER: Final[Mapping[str, Operation]] = {"GET": "get_cluster"}
_SESSIONS: Final[Mapping[str, Operation]] = {"GET": "list_sessions", "POST": "create_session"}
_SESSION: Final[Mapping[str, Operation]] = {
    "GET": "get_session",
    "PATCH": "patch_session",
    "DELETE": "delete_session",
}


@attrs.frozen(kw_only=True)
class Route:
    """A parsed request line.

    Attributes:
        path: as received.
        platform_id: empty for an unknown path.
        workspace_key: ``None`` for the list of workspaces.
        session_id: ``None`` unless the path names one session.
        cluster_key: ``None`` unless the path names one cluster.
        operation: ``None`` if there is no operation with this method.
        legacy: whether the path is that of the older API version.
    """

    path: str
    platform_id: str = ""
    workspace_key: str | None = None
    session_id: str | None = None
    cluster_key: str | None = None
    operation: Operation | None = None
    query: dict[str, str] = attrs.field(factory=dict[str, str])
    legacy: bool = False


def parse(method: str, target: str) -> Route:
    """Parse *target* as received, so that a key may contain ``/`` or anything else."""
    path, _, query = target.partition("?")
    workspace_key: str | None = None
    session_id: str | None = None
    cluster_key: str | None = None
    match [unquote(segment) for segment in path.split("/")]:
        case ["", version, collection, platform_id, "workspaces", *below] if _COLLECTIONS.get(version) == collection:
            pass
        case _:
            return Route(path=path)
    match below:
        case []:
            operations = _WORKSPACES
        case [workspace_key, "clusters"]:
            operations = _CLUSTERS
        case [workspace_key, "clusters", cluster_key]:
            operations = _CLUSTER
        case [workspace_key, "notebook", "api", "sessions"]:
            operations = _SESSIONS
        case [workspace_key, "notebook", "api", "sessions", session_id]:
            operations = _SESSION
        case _:
            return Route(path=path)
    return Route(
        path=path,
        platform_id=platform_id,
        workspace_key=workspace_key,
        session_id=session_id,
        cluster_key=cluster_key,
        operation=operations.get(method),
        query=dict(parse_qsl(query, keep_blank_values=True)),
        legacy=version == _LEGACY,
    )
