"""`SessionsClient`: the operations on sessions, workspaces and clusters, and the door to streams."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Unpack

from ._checks import check_count, check_timeout, check_type
from ._iteration import iterated_after_await
from ._opening import open_session
from ._operations.encoding import path_segment, sessions_query
from ._operations.listings import workspaces_queries
from ._platform import PlatformClient
from .culling.access import Access
from .culling.apply import apply_plan
from .culling.gather import gather_plan
from .culling.plan import CullPlan
from .culling.policy import CullPolicy
from .streams.fan_out import FanOut
from .streams.keys import ref_of, workspace_refs
from .streams.stream import SessionStream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
    from contextlib import AbstractAsyncContextManager

    from ._operations.encoding import SortBy, SortOrder
    from ._options import OpenOptions
    from .culling.plan import CullOutcome
    from .models import ClusterSummary, Session, WorkspaceSummary
    from .results import Response, SessionCollection
    from .streams.fan_out import OnError
    from .streams.keys import WorkspaceLike


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

    @iterated_after_await
    async def list_sessions(
        self,
        workspace_key: str | WorkspaceSummary,
        *,
        agent_flow_key: str | None = None,
        cluster_id: str | None = None,
        path: str | None = None,
        sort_by: SortBy | None = None,
        sort_order: SortOrder | None = None,
        limit: int | None = None,
        opc_request_id: str | None = None,
        keep_responses: bool = False,
    ) -> SessionCollection:
        """All sessions of one workspace, every page of them ("Get available sessions").

        Args:
            workspace_key: the workspace, or its key.
            agent_flow_key: only sessions of this agent flow.
            cluster_id: only sessions attached to this cluster.
            path: only sessions of this notebook file.
            sort_by: ``timeCreated``; without it, the order is the service's own.
            sort_order: ``ASC`` or ``DESC``.
            limit: sessions per answer of the service, 1 to 1000. All answers are read, whatever the limit.
            opc_request_id: letters, digits, ``_`` and ``-``; sent as it is, with ``-2``, ``-3``… on further requests.
            keep_responses: keep the answers too, as `responses`; a large one then holds the loop while it is decoded.

        Raises `ServiceError`, `TransportError`, `ResponseDecodeError` or `CredentialsError`; `ValueError` and
        `TypeError` before anything is sent.
        """
        filters = {"cluster_id": cluster_id, "path": path, "agentFlowKey": agent_flow_key}
        workspace = ref_of(workspace_key)
        target = self._api.sessions_target(workspace, sessions_query(filters, limit, sort_by, sort_order))
        responses: list[Response] | None = [] if keep_responses else None
        return await self._api.list_sessions(workspace, target, opc_request_id=opc_request_id, responses=responses)

    def sessions(
        self,
        workspaces: WorkspaceLike | Iterable[WorkspaceLike] | AsyncIterable[WorkspaceLike] | None = None,
        *,
        agent_flow_key: str | None = None,
        cluster_id: str | None = None,
        path: str | None = None,
        sort_by: SortBy | None = None,
        sort_order: SortOrder | None = None,
        limit: int | None = None,
        max_concurrency: int | None = None,
        on_error: OnError = "defer",
    ) -> SessionStream:
        """The sessions of many workspaces as one stream; see `SessionStream`.

        Args:
            workspaces: a workspace or its key, or an iterable of both, consumed as needed and possibly endless; by
                default every workspace of the platform that can hold sessions, private networks included.
            agent_flow_key: only sessions of this agent flow.
            cluster_id: only sessions attached to this cluster.
            path: only sessions of this notebook file.
            sort_by: ``timeCreated``; each workspace is sorted by itself.
            sort_order: ``ASC`` or ``DESC``.
            limit: sessions per answer of the service, 1 to 1000. All answers are read, whatever the limit.
            max_concurrency: ask at most this many workspaces at once; never more than the client's own limit.
            on_error: what a failing workspace does to the others: ``"defer"``, ``"raise"`` or ``"skip"``.
        """
        if on_error not in ("defer", "raise", "skip"):
            raise ValueError(f"on_error={on_error!r} must be 'defer', 'raise' or 'skip'")
        if max_concurrency is not None:
            check_count(max_concurrency, "max_concurrency")
        filters = {"cluster_id": cluster_id, "path": path, "agentFlowKey": agent_flow_key}
        api, slots = self._api, self._transport.limiter.max_limit
        fan_out = FanOut(
            workspaces=workspace_refs(workspaces, path_segment, api.workspace_refs),
            reader=api.reader(sessions_query(filters, limit, sort_by, sort_order)),
            limit=slots if max_concurrency is None else min(slots, max_concurrency),
            clock=self._transport.clock,
            on_error=on_error,
        )
        return SessionStream(fan_out)

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
            is_private_network_enabled: only those with, or only those without, a private network; by default both.
        """
        filters = {"displayName": display_name, "displayNameContains": display_name_contains}
        filters |= {"lifecycleState": lifecycle_state, "type": type}
        return self._api.list_workspaces(workspaces_queries(filters, private=is_private_network_enabled))

    def clusters(
        self,
        workspace_key: str | WorkspaceSummary,
        *,
        display_name: str | None = None,
        display_name_contains: str | None = None,
        state: str | None = None,
        type: str | None = None,  # noqa: A002  # the service's name for it
    ) -> AsyncIterator[ClusterSummary]:
        """The clusters of a workspace and the sessions attached to them, page by page ("List clusters").

        Args:
            workspace_key: the workspace, or its key.
            display_name: exactly this name.
            display_name_contains: names that contain this.
            state: such as ``ACTIVE`` or ``STOPPED``.
            type: ``USER`` or ``AI_COMPUTE``.
        """
        filters = {"displayName": display_name, "displayNameContains": display_name_contains}
        return self._api.list_clusters(ref_of(workspace_key), {**filters, "state": state, "type": type})

    async def get_session(
        self, workspace_key: str | WorkspaceSummary, session_id: str, *, opc_request_id: str | None = None
    ) -> Session:
        """One session ("Get session"). Raises `NotFoundError` and what `list_sessions` raises."""
        return await self._api.get_session(ref_of(workspace_key), session_id, opc_request_id=opc_request_id)

    async def create_session(
        self,
        workspace_key: str | WorkspaceSummary,
        path: str,
        *,
        name: str | None = None,
        type: str | None = "notebook",  # noqa: A002  # the service's name for it
        kernel_name: str | None = "notebook",
        cluster_id: str | None = None,
        agent_flow_key: str | None = None,
        opc_retry_token: str | None = None,
        opc_request_id: str | None = None,
    ) -> Session:
        """Create a session, or get the existing session of *path*: the answer does not tell which ("Create session").

        An existing session keeps its cluster and kernel, so compare them with what was asked for. A new session may
        have no kernel yet; `open_session` waits for it.

        Args:
            workspace_key: the workspace, or its key.
            path: path of the notebook, such as ``Workspace/test.ipynb``.
            name: by default the last part of *path*.
            type: ``notebook``, ``file`` or ``agentflow``.
            kernel_name: of the kernel specification.
            cluster_id: key of the cluster to attach the session to.
            agent_flow_key: the agent flow to attach the session to.
            opc_retry_token: at most 64 characters; made up if missing. The service creates one session for it, so the
                request is retried.
            opc_request_id: to trace the request by; made up if missing.

        Raises `ConflictError` and what `list_sessions` raises.
        """
        return await self._api.create_session(
            ref_of(workspace_key),
            path,
            name=name,
            type=type,
            kernel_name=kernel_name,
            cluster_id=cluster_id,
            agent_flow_key=agent_flow_key,
            opc_retry_token=opc_retry_token,
            opc_request_id=opc_request_id,
        )

    async def patch_session(
        self,
        workspace_key: str | WorkspaceSummary,
        session_id: str,
        *,
        name: str | None = None,
        path: str | None = None,
        cluster_id: str | None = None,
        must_refresh_context: bool | None = None,
        if_match: str | None = None,
        opc_request_id: str | None = None,
    ) -> Session:
        """Change what is given, and nothing else ("Update session").

        Args:
            workspace_key: the workspace, or its key.
            session_id: id of the session.
            name: the new name.
            path: the new path of the notebook.
            cluster_id: attach the session to this cluster; the kernel may lose its state.
            must_refresh_context: ``True`` asks for a new execution context; the kernel may lose its state.
            if_match: change the session only if its `Session.etag` is still this.
            opc_request_id: to trace the request by; made up if missing.

        It is sent again only if the service cannot have acted on it. Raises `NotFoundError`, `ConflictError`,
        `PreconditionFailedError` and what `list_sessions` raises.
        """
        texts = {"name": name, "path": path, "cluster_id": cluster_id}
        return await self._api.patch_session(
            ref_of(workspace_key),
            session_id,
            texts,
            must_refresh_context=must_refresh_context,
            if_match=if_match,
            opc_request_id=opc_request_id,
        )

    async def delete_session(
        self,
        workspace_key: str | WorkspaceSummary,
        session_id: str,
        *,
        if_match: str | None = None,
        opc_request_id: str | None = None,
    ) -> None:
        """Delete a session and shut its kernel down, even if other sessions use that kernel ("Delete session").

        Args:
            workspace_key: the workspace, or its key.
            session_id: id of the session.
            if_match: delete the session only if its `Session.etag` is still this.
            opc_request_id: to trace the request by; made up if missing.

        A 404 that follows an attempt whose response was lost is a success. Raises `NotFoundError`, `ConflictError`,
        `PreconditionFailedError` and what `list_sessions` raises.
        """
        await self._api.delete_session(
            ref_of(workspace_key), session_id, if_match=if_match, opc_request_id=opc_request_id
        )

    def open_session(
        self,
        workspace_key: str | WorkspaceSummary,
        path: str,
        *,
        timeout: float = 180.0,
        **create_options: Unpack[OpenOptions],
    ) -> AbstractAsyncContextManager[Session]:
        """The session of *path*, ready for use; a session that did not exist before is deleted at the end.

        ```python
        async with SessionsClient.from_config() as client:
            async with client.open_session("analytics", "Workspace/report.ipynb", cluster_id="c1") as session:
                print(session.id, session.kernel)
        ```

        Args:
            workspace_key: the workspace, or its key.
            path: path of the notebook.
            timeout: seconds to wait until the session is ``ACTIVE`` and has a kernel.
            create_options: those of `create_session`.

        Entering raises `RequestTimeoutError`, which says what was missing, `ServiceError` for a session that is
        ``FAILED``, and what `create_session` raises.
        """
        check_timeout(timeout)
        return open_session(self._api, ref_of(workspace_key), path, timeout, create_options)

    async def plan_cull(
        self,
        policy: CullPolicy,
        workspaces: WorkspaceLike | Iterable[WorkspaceLike] | AsyncIterable[WorkspaceLike] | None = None,
    ) -> CullPlan:
        """Find the idle kernels that *policy* permits to shut down; only reads.

        Idle times are counted by the service's clock. Without *workspaces*, as in `sessions`, every workspace of the
        platform is listed, and the clusters of those with candidates. What cannot be read is not a candidate, and its
        error is in `CullPlan.failures`.

        Raises what `list_sessions` raises if the service does not tell its time, and what ``policy.veto`` raises.
        """
        check_type(policy, CullPolicy, "policy")
        listing = self.sessions(workspaces).by_workspace()
        return await gather_plan(policy, listing, Access(self._api), self.platform_id)

    def cull(self, plan: CullPlan, *, max_age: timedelta = timedelta(hours=1)) -> AsyncGenerator[CullOutcome]:
        """Shut down the kernels that *plan* names and that have not changed since; yields what became of each.

        Before its kernels are deleted, a workspace is listed again; right before its deletion, a session of the kernel
        is read again, and its etag is sent with the deletion. A kernel that has changed is kept. Kernels are deleted
        one after the other, each when the next outcome is asked for: leaving the loop deletes nothing more, and only
        a cancellation can leave one deletion without an outcome.

        Raises `ValueError` before the first deletion if the plan is refused, older than *max_age* by the service's
        clock, or of another platform. Failures of single workspaces and kernels are outcomes.
        """
        check_type(plan, CullPlan, "plan")
        return apply_plan(plan, Access(self._api), platform_id=self.platform_id, max_age=max_age)
