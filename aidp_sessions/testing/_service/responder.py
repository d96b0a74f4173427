"""Turns requests into responses: records, authenticates, applies faults, answers."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections import defaultdict, deque
from email.utils import formatdate
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote

import aiohttp
import attrs

from .faults import MAX_DELAY_S, Fault, FaultQueue
from .platform import Platform, sessions_response
from .responses import HttpError, StubResponse, without_credentials
from .verify import SIGNED, SIGNED_WITH_BODY, why_refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .faults import Cut
    from .verify import Verifier

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_-]+")
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_COLLECTIONS: Final = {"20260430": "aiDataPlatforms", "20240831": "dataLakes"}
_LEGACY: Final = "20240831"


@attrs.define(kw_only=True)
class RecordedRequest:
    """A request as it was received.

    Attributes:
        method: of the request line.
        target: of the request line: path and query, percent-encoded.
        workspace_key: the workspace in the path; ``None`` for any other path.
        headers: names in lower case, without credentials.
        started_at: seconds since the epoch, by the service's clock.
        body: as it was signed.
        status: of the response; ``None`` until there is one, and also if the connection was cut or the client left.
    """

    method: str
    target: str
    workspace_key: str | None
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
        self.requests: deque[RecordedRequest] = deque(maxlen=record_limit)
        self.request_count = 0
        self.platform = Platform()
        self.faults: defaultdict[str | None, FaultQueue] = defaultdict(FaultQueue)
        self.keys: dict[str, Verifier] = {}
        self.stubs: dict[tuple[str, str], StubResponse] = {}
        self._workspace_page_size, self._session_page_size = page_sizes
        self._http: aiohttp.ClientSession | None = None

    async def aclose(self) -> None:
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def respond(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[StubResponse, Cut]:
        route, stub = parse(target), self.stubs.get((method, target.partition("?")[0]))
        record = self._record(method, target, headers, body, route)
        fault = Fault()
        try:
            self._admit(method, target, headers, body, served=method == "GET" or stub is not None)
            fault = self._next_fault(route)
            await asyncio.sleep(min(self.latency + fault.delay, MAX_DELAY_S))
            response = StubResponse(200) if fault.replaces else stub or await self._serve(route, headers)
        except HttpError as error:
            response = error.response
        response = fault.apply(response)
        if fault.cut is None:
            record.status = response.status
        return attrs.evolve(response, headers={**self._common_headers(headers), **response.headers}), fault.cut

    def _record(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, route: Route | None
    ) -> RecordedRequest:
        record = RecordedRequest(
            method=method,
            target=target,
            workspace_key=None if route is None else route.workspace_key,
            headers=without_credentials(headers),
            started_at=self.clock(),
            body=body,
        )
        self.request_count += 1
        self.requests.append(record)
        return record

    def _admit(self, method: str, target: str, headers: Mapping[str, str], body: bytes, *, served: bool) -> None:
        if not served:
            raise HttpError(405)
        if not _REQUEST_ID.fullmatch(headers.get("opc-request-id", "-")):
            raise HttpError(400, "opc-request-id may hold letters, digits, underscore and dash only.")
        signed = SIGNED_WITH_BODY if method in _WITH_BODY else SIGNED
        problem = why_refused(method, target, headers, self.keys, self.clock(), signed=signed, body=body)
        if problem is not None:
            raise HttpError(401, problem)

    def _next_fault(self, route: Route | None) -> Fault:
        if route is None or route.workspace_key not in self.faults:
            return Fault()
        return self.faults[route.workspace_key].pop()

    async def _serve(self, route: Route | None, headers: Mapping[str, str]) -> StubResponse:
        if route is None or route.platform_id != self.platform_id:
            raise HttpError(404)
        if route.workspace_key is None:
            return self.platform.list_workspaces(route.query, self._workspace_page_size)
        workspace = self.platform.workspaces.get(route.workspace_key)
        if workspace is None:
            raise HttpError(404)
        if workspace.jupyter is None:
            response = workspace.list_sessions(route.query, self._session_page_size, bare=route.legacy)
        else:
            self._http = self._http or aiohttp.ClientSession()
            items = await workspace.jupyter.sessions(self._http)
            response = sessions_response(items, route.query, self._session_page_size, bare=route.legacy)
        return response.or_not_modified(headers.get("if-none-match", ""))

    def _common_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        given = headers.get("opc-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex.upper()
        return {"date": formatdate(self.clock(), usegmt=True), "opc-request-id": request_id}


@attrs.frozen(kw_only=True)
class Route:
    """A parsed path: the sessions of *workspace_key*, or the list of workspaces if that is ``None``."""

    platform_id: str
    workspace_key: str | None
    query: dict[str, str]
    legacy: bool


def parse(target: str) -> Route | None:
    """Parse *target* as received, so that a key may contain ``/`` or anything else; ``None`` for an unknown path."""
    path, _, query = target.partition("?")
    match [unquote(segment) for segment in path.split("/")]:
        case ["", version, collection, platform_id, "workspaces"]:
            workspace_key = None
        case ["", version, collection, platform_id, "workspaces", workspace_key, "notebook", "api", "sessions"]:
            pass
        case _:
            return None
    if _COLLECTIONS.get(version) != collection:
        return None
    return Route(
        platform_id=platform_id,
        workspace_key=workspace_key,
        query=dict(parse_qsl(query, keep_blank_values=True)),
        legacy=version == _LEGACY,
    )
