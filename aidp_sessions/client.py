"""`SessionsClient`: the listings, and the door to streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._checks import check_count
from ._operations.encoding import path_segment, query_string
from ._operations.listings import workspaces_queries
from ._platform import PlatformClient
from .streams.keys import WorkspaceKeys, workspace_keys
from .streams.stream import SessionStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable

    from .models import WorkspaceSummary
    from .results import SessionCollection
    from .streams.stream import OnError


class SessionsClient(PlatformClient):
    """A client for the notebook sessions of one AI Data Platform.

    One client serves one event loop at a time and any number of tasks; it may be built outside a loop. Two clients
    share nothing. Close it with ``async with`` or `aclose`.

    Through a proxy, with a private certificate authority besides those of the system:

    ```python
    context = ssl.create_default_context()
    context.load_verify_locations("corporate-ca.pem")
    async with SessionsClient.from_config(proxy=os.environ["HTTPS_PROXY"], ssl=context) as client:
        print(len(await client.sessions().collect()), "sessions")
    ```

    With an `aiohttp.ClientSession` of your own, which the client does not close:

    ```python
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=200)) as http:
        client = SessionsClient.from_config(http_session=http, max_concurrency=200)
        print(len(await client.sessions().collect()), "sessions")
    ```
    """

    async def list_sessions(
        self,
        workspace_key: str,
        *,
        agent_flow_key: str | None = None,
        cluster_id: str | None = None,
        path: str | None = None,
        opc_request_id: str | None = None,
        keep_responses: bool = False,
    ) -> SessionCollection:
        """All sessions of one workspace, every page of them ("Get available sessions").

        Args:
            workspace_key: key of the workspace.
            agent_flow_key: only sessions of this agent flow.
            cluster_id: only sessions attached to this cluster.
            path: only sessions of this notebook file.
            opc_request_id: letters, digits, ``_`` and ``-``; sent as it is, with ``-2``, ``-3``… on further requests.
            keep_responses: keep the answers too, bodies included, as the collection's ``responses``. Then a large one
                is decoded in one go, during which the loop stands still.

        Raises `ServiceError`, `TransportError`, `ResponseDecodeError` or `CredentialsError`; `ValueError` and
        `TypeError` before anything is sent.
        """
        return await self._api.list_sessions(
            workspace_key,
            query_string({"cluster_id": cluster_id, "path": path, "agentFlowKey": agent_flow_key}),
            opc_request_id=opc_request_id,
            responses=[] if keep_responses else None,
        )

    def sessions(
        self,
        workspaces: str | Iterable[str] | AsyncIterable[str] | None = None,
        *,
        agent_flow_key: str | None = None,
        cluster_id: str | None = None,
        path: str | None = None,
        max_concurrency: int | None = None,
        on_error: OnError = "defer",
    ) -> SessionStream:
        """The sessions of many workspaces as one stream; see `SessionStream`.

        Args:
            workspaces: one key, or an iterable of keys, consumed as needed and possibly endless; by default every
                workspace of the platform that can hold sessions, private networks included.
            agent_flow_key: only sessions of this agent flow.
            cluster_id: only sessions attached to this cluster.
            path: only sessions of this notebook file.
            max_concurrency: ask at most this many workspaces at once; never more than the client's own limit.
            on_error: what a failing workspace does to the others: ``"defer"``, ``"raise"`` or ``"skip"``.
        """
        if on_error not in ("defer", "raise", "skip"):
            raise ValueError(f"on_error={on_error!r} must be 'defer', 'raise' or 'skip'")
        if max_concurrency is not None:
            check_count(max_concurrency, "max_concurrency")
        api = self._api
        query = query_string({"cluster_id": cluster_id, "path": path, "agentFlowKey": agent_flow_key})
        limit = self._transport.limiter.max_limit
        return SessionStream(
            keys=WorkspaceKeys(api.workspace_keys) if workspaces is None else workspace_keys(workspaces, path_segment),
            reader=api.reader(query),
            limit=limit if max_concurrency is None else min(limit, max_concurrency),
            clock=self._transport.clock,
            on_error=on_error,
        )

    def workspaces(
        self,
        *,
        display_name: str | None = None,
        display_name_contains: str | None = None,
        lifecycle_state: str | None = None,
        type: str | None = None,  # noqa: A002  # the service's name for it
        is_private_network_enabled: bool | None = None,
    ) -> AsyncIterator[WorkspaceSummary]:
        """The workspaces of the platform, page by page as the caller consumes them ("List workspaces").

        Args:
            display_name: exactly this name.
            display_name_contains: names that contain this.
            lifecycle_state: such as ``ACTIVE``.
            type: ``DEFAULT`` or ``USER``.
            is_private_network_enabled: only those with or without a private network. The service takes silence for
                ``False``; here ``None`` asks for both, one after the other.
        """
        filters = {
            "displayName": display_name,
            "displayNameContains": display_name_contains,
            "lifecycleState": lifecycle_state,
            "type": type,
        }
        return self._api.list_workspaces(workspaces_queries(filters, private=is_private_network_enabled))
