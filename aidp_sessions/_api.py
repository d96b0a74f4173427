"""The operations of the service as coroutines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Unpack, cast

import attrs

from ._iteration import Converted, Listing
from ._operations.buffering import SessionBuffer
from ._operations.failures import attach_call, raw_response
from ._operations.lifecycle import (
    clusters_target,
    create_request,
    delete_request,
    patch_request,
    session_decoder,
    session_target,
)
from ._operations.listings import (
    Pages,
    or_not_modified,
    page_decoder,
    sessions_target,
    with_page,
    workspaces_queries,
)
from ._operations.messages import Request, clock_skew
from ._transport.call import Call
from .errors import AidpError, NotFoundError, ResponseDecodeError, ServiceError
from .models import ClusterSummary, WorkspaceRef, WorkspaceSummary
from .results import SessionCollection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from ._iteration import Keyed
    from ._operations.buffering import Emit, SessionPage
    from ._operations.listings import Page
    from ._operations.messages import RawResponse
    from ._options import CallOptions, CreateOptions
    from ._transport.exchange import Transport
    from .models import Session, SessionSummary
    from .policies import Sleep
    from .results import Response

_NO_FILTERS: Final[Mapping[str, str | None]] = {}
_WITHOUT_SESSIONS: Final = frozenset({"CREATING", "DELETING", "DELETED", "FAILED"})


def can_hold_sessions(workspace: WorkspaceSummary) -> bool:
    return workspace.lifecycle_state.upper() not in _WITHOUT_SESSIONS


def _ref_with_sessions(workspace: WorkspaceSummary) -> WorkspaceRef | None:
    return WorkspaceRef(workspace.key, workspace.display_name) if can_hold_sessions(workspace) else None


@attrs.frozen(eq=False, repr=False)
class Api:
    """The operations of one platform, sent with *transport*.

    Attributes:
        workspaces_path: the path of the platform's workspaces.
    """

    transport: Transport
    workspaces_path: str

    def sessions_target(self, workspace: WorkspaceRef, query: str = "") -> str:
        """What to request of a workspace; raises `ValueError` for a key that no URL can contain."""
        return sessions_target(self.workspaces_path, workspace.key, query)

    async def list_sessions(
        self,
        workspace: WorkspaceRef,
        target: str,
        *,
        known: SessionCollection | None = None,
        responses: list[Response] | None = None,
        **options: Unpack[CallOptions],
    ) -> SessionCollection:
        """List a workspace with the *target* that `sessions_target` made; returns *known* if its etag still holds.

        *responses* collects the raw responses; each is then decoded in one piece, whatever its size.
        """
        buffer = SessionBuffer(workspace)
        consumer, decode = (buffer, buffer.decode) if responses is None else (None, _recording(responses, buffer))
        etag = known.etag if known and known.etag and known.etag.isascii() else None
        request = Request(target, {"if-none-match": etag} if etag else {}, consumer)
        async with Call(self.transport, "list_sessions", workspace, **options) as call:
            pages = await _read_pages(call, request, buffer, decode)
        if pages is None:
            return cast("SessionCollection", known)
        first, last = pages
        return SessionCollection(
            items=buffer.remaining(),
            etag=first.etag if last is first else None,
            opc_request_id=last.opc_request_id,
            request_ids=tuple(call.request_ids),
            extra=first.extra,
            responses=() if responses is None else tuple(responses),
        )

    async def stream_sessions(
        self, workspace: WorkspaceRef, target: str, sleep: Sleep, emit: Emit | None
    ) -> Callable[[], tuple[SessionSummary, ...]]:
        """List a workspace as `list_sessions` does; with *emit*, pass the sessions of a large one on as they arrive.

        Returns a function that decodes and returns the sessions that were not passed on. Decoding is postponed to the
        consumer so that undecoded bytes, not objects, wait in the stream's buffer. With a listener it happens here,
        because `CallEnded` must include it.
        """
        buffer = SessionBuffer(workspace, emit and (lambda sessions: call.wait_for_consumer(emit(sessions))))
        decode = buffer.defer if self.transport.observer is None else buffer.decode
        request = Request(target, consumer=buffer)
        async with Call(self.transport, "list_sessions", workspace, sleep=sleep) as call:
            await _read_pages(call, request, buffer, decode)

        def rest() -> tuple[SessionSummary, ...]:
            try:
                return buffer.remaining()
            except AidpError as error:
                call.annotate(error)
                raise

        return rest

    def reader(self, query: str) -> WorkspaceReader:
        return WorkspaceReader(self, query)

    def list_workspaces(self, queries: Iterable[str]) -> Listing[WorkspaceSummary]:
        """The workspaces that any of *queries* finds, each once."""
        targets = [f"{self.workspaces_path}?{query}" for query in queries]
        return self._listing("list_workspaces", None, targets, page_decoder(WorkspaceSummary))

    def list_clusters(
        self, workspace: WorkspaceRef, filters: Mapping[str, str | None] = _NO_FILTERS
    ) -> Listing[ClusterSummary]:
        """The clusters of a workspace that match *filters*, each once."""
        targets = [clusters_target(self.workspaces_path, workspace.key, filters)]
        return self._listing("list_clusters", workspace, targets, page_decoder(ClusterSummary, bare_array=True))

    def _listing(
        self,
        operation: str,
        workspace: WorkspaceRef | None,
        targets: Iterable[str],
        decode: Callable[[RawResponse], Page[Keyed]],
    ) -> Listing[Keyed]:
        pages = Pages(targets)

        async def next_page() -> tuple[Keyed, ...] | None:
            if pages.target is None:
                return None
            async with Call(self.transport, operation, workspace) as call:
                page = await call.send(Request(pages.target), decode)
                pages.check(page.next_page)
            pages.go_on(page.next_page)
            return page.items

        return Listing(next_page)

    def workspace_refs(self) -> AsyncIterator[WorkspaceRef]:
        """The workspaces that can hold sessions, those in private networks included."""
        return Converted(self.list_workspaces(workspaces_queries({})), _ref_with_sessions)

    async def get_session(self, workspace: WorkspaceRef, session_id: str, **options: Unpack[CallOptions]) -> Session:
        request = Request(session_target(self.workspaces_path, workspace.key, session_id))
        return await self._send("get_session", workspace, request, **options)

    async def create_session(
        self, workspace: WorkspaceRef, path: str, *, opc_request_id: str | None = None, **options: Unpack[CreateOptions]
    ) -> Session:
        request = create_request(self.sessions_target(workspace), path, **options)
        return await self._send("create_session", workspace, request, opc_request_id=opc_request_id)

    async def patch_session(
        self,
        workspace: WorkspaceRef,
        session_id: str,
        texts: Mapping[str, str | None],
        *,
        must_refresh_context: bool | None,
        if_match: str | None,
        **options: Unpack[CallOptions],
    ) -> Session:
        target = session_target(self.workspaces_path, workspace.key, session_id)
        request = patch_request(target, texts, must_refresh_context=must_refresh_context, if_match=if_match)
        return await self._send("patch_session", workspace, request, **options)

    async def _send(
        self, operation: str, workspace: WorkspaceRef, request: Request, **options: Unpack[CallOptions]
    ) -> Session:
        async with Call(self.transport, operation, workspace, method=request.method, **options) as call:
            return await call.send(request, session_decoder(workspace))

    async def delete_session(
        self, workspace: WorkspaceRef, session_id: str, *, if_match: str | None = None, **options: Unpack[CallOptions]
    ) -> None:
        """Delete a session. A 404 is a success after an attempt whose response was lost."""
        request = delete_request(session_target(self.workspaces_path, workspace.key, session_id), if_match)
        async with Call(self.transport, "delete_session", workspace, method="DELETE", **options) as call:
            try:
                await call.send(request, lambda _: None)
            except NotFoundError:
                if not call.may_have_acted:
                    raise

    async def clock_skew(self) -> timedelta | None:
        request, time = Request(f"{self.workspaces_path}?limit=1"), self.transport.clock.time
        async with Call(self.transport, "list_workspaces") as call:
            skew = await call.send(request, lambda response: clock_skew(response.headers, time()))
        return None if skew is None else timedelta(seconds=skew)

    async def read_clock(self) -> Callable[[], datetime]:
        """A function that returns the service's present time, which a refusal to list workspaces tells too."""
        time = self.transport.clock.time
        try:
            skew = await self.clock_skew()
            offset = None if skew is None else skew.total_seconds()
        except ServiceError as error:
            offset = clock_skew(error.headers, time())
        if offset is None:
            raise ResponseDecodeError("the service does not tell its time, from which idle times are counted", "date")
        return lambda: datetime.fromtimestamp(time() + offset, UTC)


@attrs.frozen(eq=False, repr=False)
class WorkspaceReader:
    """Reads single workspaces for a stream, all with the same *query*."""

    api: Api
    query: str

    async def list_sessions(
        self, ref: WorkspaceRef, sleep: Sleep, known: SessionCollection | None
    ) -> SessionCollection:
        return await self.api.list_sessions(ref, self._target(ref), sleep=sleep, known=known)

    async def stream_sessions(
        self, ref: WorkspaceRef, sleep: Sleep, emit: Emit | None
    ) -> Callable[[], tuple[SessionSummary, ...]]:
        return await self.api.stream_sessions(ref, self._target(ref), sleep, emit)

    def _target(self, ref: WorkspaceRef) -> str:
        return _target_of_listed(self.api.workspaces_path, ref, self.query)


async def _read_pages(
    call: Call, request: Request, buffer: SessionBuffer, decode: Callable[[RawResponse], SessionPage]
) -> tuple[SessionPage, SessionPage] | None:
    """Send *request*, and add all pages to *buffer*; returns the first and the last, or ``None`` for a 304."""
    first = await call.send(request, or_not_modified(decode) if request.headers else decode)
    if first is None:
        return None
    last = first
    while token := await buffer.add_page(last):
        last = await call.send(Request(with_page(request.target, token), consumer=request.consumer), decode)
    return first, last


def _recording(responses: list[Response], buffer: SessionBuffer) -> Callable[[RawResponse], SessionPage]:
    def decode(response: RawResponse) -> SessionPage:
        responses.append(raw_response(response))
        return buffer.decode(response)

    return decode


def check_listed_key(ref: WorkspaceRef) -> None:
    """Raise for a key that no URL can contain; those that a caller gives were checked before, with a `ValueError`."""
    _target_of_listed("", ref, "")


def _target_of_listed(workspaces_path: str, ref: WorkspaceRef, query: str) -> str:
    try:
        return sessions_target(workspaces_path, ref.key, query)
    except ValueError as bad_key:
        error = ResponseDecodeError(f"the service listed a workspace that cannot be asked: {bad_key}")
        attach_call(error, "list_workspaces", ref, ())
        raise error from None
