"""Turns requests into responses: records, authenticates, applies faults, answers."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections import defaultdict, deque
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

import attrs

from .faults import MAX_DELAY_S, NO_FAULT, FaultQueue
from .platform import Platform
from .responses import HttpError, StubResponse, without_credentials
from .routes import parse
from .verify import SIGNED, SIGNED_WITH_BODY, why_refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .faults import Cut, Fault
    from .platform import Workspace
    from .routes import Operation, Route
    from .verify import Verifier

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_-]+")
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


@attrs.define(kw_only=True)
class RecordedRequest:
    """A request as it was received.

    Attributes:
        method: of the request line.
        target: of the request line: path and query, percent-encoded.
        operation: such as ``list_sessions`` or ``delete_session``; ``None`` for what the service does not know.
        workspace_key: the workspace in the path; ``None`` for any other path.
        session_id: the session in the path; ``None`` for any other path.
        headers: names in lower case, without credentials.
        started_at: seconds since the epoch, by the service's clock.
        body: as it was signed.
        status: of the response; ``None`` until there is one, and also if the connection was cut or the client left.
    """

    method: str
    target: str
    operation: Operation | None = None
    workspace_key: str | None
    session_id: str | None = None
    headers: Mapping[str, str]
    started_at: float
    body: bytes = attrs.field(default=b"", repr=False)
    status: int | None = None


class Responder:
    """The state of the service; the server calls `respond`."""

    def __init__(
        self,
        platform_id: str,
        clock: Callable[[], float],
        *,
        page_sizes: tuple[int, int | None],
        latency: float,
        record_limit: int,
    ) -> None:
        self.platform_id = platform_id
        self.clock = clock
        self.latency = latency
        self.on_request: Callable[[RecordedRequest], None] | None = None
        self.requests: deque[RecordedRequest] = deque(maxlen=record_limit)
        self.request_count = 0
        self.platform = Platform()
        self.faults: defaultdict[str | None, FaultQueue] = defaultdict(FaultQueue)
        self.keys: dict[str, Verifier] = {}
        self.stubs: dict[tuple[str, str], StubResponse] = {}
        self._page_size, self._session_page_size = page_sizes

    async def respond(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[StubResponse, Cut]:
        route = parse(method, target)
        record = self._record(method, target, headers, body, route)
        fault = NO_FAULT
        try:
            self._authenticate(method, target, headers, body)
        except HttpError as error:
            response = error.response
        else:
            if self.on_request is not None:
                self.on_request(record)
            fault = self._next_fault(route)
            response = await self._respond_with(fault, route, record)
        if fault.cut is None:
            record.status = response.status
        return attrs.evolve(response, headers={**self._common_headers(headers), **response.headers}), fault.cut

    def _record(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, route: Route
    ) -> RecordedRequest:
        record = RecordedRequest(
            method=method,
            target=target,
            operation=route.operation,
            workspace_key=route.workspace_key,
            session_id=route.session_id,
            headers=without_credentials(headers),
            started_at=self.clock(),
            body=body,
        )
        self.request_count += 1
        self.requests.append(record)
        return record

    def _authenticate(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> None:
        if not _REQUEST_ID.fullmatch(headers.get("opc-request-id", "-")):
            raise HttpError(400, "opc-request-id may hold letters, digits, underscore and dash only.")
        signed = SIGNED_WITH_BODY if method in _WITH_BODY else SIGNED
        problem = why_refused(method, target, headers, self.keys, self.clock(), signed=signed, body=body)
        if problem is not None:
            raise HttpError(401, problem)

    def _next_fault(self, route: Route) -> Fault:
        if not route.platform_id or route.workspace_key not in self.faults:
            return NO_FAULT
        return self.faults[route.workspace_key].pop(route.operation)

    async def _respond_with(self, fault: Fault, route: Route, record: RecordedRequest) -> StubResponse:
        response = await self._serve(route, record) if fault.takes_effect else None
        await asyncio.sleep(min(self.latency + fault.delay, MAX_DELAY_S))
        if response is None:
            response = StubResponse(200) if fault.replaces else await self._serve(route, record)
        return fault.apply(response)

    async def _serve(self, route: Route, record: RecordedRequest) -> StubResponse:
        stub = self.stubs.get((record.method, record.target.partition("?")[0]))
        if stub is not None:
            return stub
        try:
            return await self._dispatch(route, record)
        except HttpError as error:
            return error.response

    async def _dispatch(self, route: Route, record: RecordedRequest) -> StubResponse:
        if route.platform_id != self.platform_id:
            raise HttpError(404)
        if route.operation is None:
            raise HttpError(405)
        if route.workspace_key is None:
            return self.platform.list_workspaces(route.query, self._page_size)
        workspace = self.platform.workspaces.get(route.workspace_key)
        if workspace is None:
            raise HttpError(404)
        response = await self._on_workspace(workspace, route, record)
        return response.or_not_modified(record.headers.get("if-none-match", "")) if record.method == "GET" else response

    async def _on_workspace(self, workspace: Workspace, route: Route, record: RecordedRequest) -> StubResponse:
        session_id = route.session_id or ""
        match route.operation:
            case "list_clusters" | "get_cluster":
                return await workspace.show_clusters(
                    route.cluster_key, route.query, self._page_size, legacy=route.legacy
                )
            case "create_session":
                return await workspace.lifecycle.create(route.path, record.headers, record.body)
            case "get_session":
                return await workspace.lifecycle.get(session_id)
            case "patch_session":
                return await workspace.lifecycle.patch(session_id, record.headers, record.body)
            case "delete_session":
                return await workspace.lifecycle.delete(session_id, record.headers)
            case _:
                return await workspace.list_sessions(route.query, self._session_page_size, bare=route.legacy)

    def _common_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        given = headers.get("opc-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex.upper()
        return {"date": formatdate(self.clock(), usegmt=True), "opc-request-id": request_id}
