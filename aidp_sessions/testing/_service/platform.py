"""The workspaces of a local service with their sessions and clusters, and how these are listed. No clock."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

import attrs

from .clusters import clusters_of, get_cluster, list_clusters, with_attachments
from .lifecycle import ChangeLog, Lifecycle
from .listing import filtered_and_sorted, one_page, sorted_by_creation
from .responses import StubResponse, json_response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .lifecycle import Store
    from .listing import Query, Wire

SESSION_FILTERS: Final = ("path", "cluster_id", "agentFlowKey")


class Workspace:
    """One workspace: its summary as listed, its sessions and its clusters.

    Attributes:
        clusters: ``None`` derives them from the sessions.
    """

    def __init__(self, summary: Wire, lifecycle: Lifecycle) -> None:
        self.summary = summary
        self.lifecycle = lifecycle
        self.clusters: Sequence[Wire] | None = None
        self._listed: Sequence[Wire] = ()
        self._responses: dict[tuple[bool, str | None], StubResponse] = {}

    async def list_sessions(self, query: Query, page_size: int | None, *, bare: bool) -> StubResponse:
        """List as "Get available sessions". Unfiltered pages, which pollers request, are encoded once."""
        sessions = await self.lifecycle.store.list()
        if query.keys() - {"page"}:
            return _sessions_response(sessions, query, page_size, bare=bare)
        if sessions is not self._listed:
            self._listed = sessions
            self._responses.clear()
        page = (bare, query.get("page"))
        if page not in self._responses:
            self._responses[page] = _sessions_response(sessions, query, page_size, bare=bare)
        return self._responses[page]

    async def show_clusters(self, key: str | None, query: Query, page_size: int, *, legacy: bool) -> StubResponse:
        """Show the cluster *key*, or list all clusters."""
        sessions = await self.lifecycle.store.list()
        clusters = clusters_of(sessions, self.summary["timeCreated"]) if self.clusters is None else self.clusters
        attached = [with_attachments(cluster, sessions) for cluster in clusters]
        if key is not None:
            return get_cluster(attached, key, legacy=legacy)
        return list_clusters(attached, query, page_size, legacy=legacy)


def _sessions_response(sessions: Sequence[Wire], query: Query, page_size: int | None, *, bare: bool) -> StubResponse:
    """Filter, sort, take one page and encode it; *bare* is the plain array of the older API version."""
    wanted = {name: query[name] for name in SESSION_FILTERS if name in query}
    found = [session for session in sessions if all(session.get(name) == value for name, value in wanted.items())]
    page, headers = one_page(sorted_by_creation(found, query), query, page_size)
    response = json_response(page if bare else {"items": page}, headers)
    return attrs.evolve(response, headers={**response.headers, "etag": f'"{sha256(response.body).hexdigest()[:32]}"'})


class Platform:
    """All workspaces by key, and their listing."""

    def __init__(self) -> None:
        self.workspaces: dict[str, Workspace] = {}
        self.log = ChangeLog()
        self._found: dict[frozenset[tuple[str, str]], list[Wire]] = {}

    def add(self, key: str, summary: Wire, store: Store) -> None:
        if key in self.workspaces:
            raise ValueError(f"workspace {key!r} was added before; use set_sessions to change what it holds")
        self.workspaces[key] = Workspace(summary, Lifecycle(key, store, self.log))
        self._found.clear()

    def list_workspaces(self, query: Query, page_size: int) -> StubResponse:
        """List workspaces as the operation "List workspaces" documents it."""
        page, headers = one_page(self._matching(query), query, page_size)
        return json_response({"items": page}, headers)

    def _matching(self, query: Query) -> list[Wire]:
        """Filter and sort once for all pages of a listing."""
        filters = frozenset(item for item in query.items() if item[0] not in {"page", "limit"})
        if filters not in self._found:
            private = query.get("isPrivateNetworkEnabled", "false").lower() == "true"
            summaries = (workspace.summary for workspace in self.workspaces.values())
            visible = [each for each in summaries if each["isPrivateNetworkEnabled"] is private]
            self._found[filters] = filtered_and_sorted(visible, query, "lifecycleState")
        return self._found[filters]
