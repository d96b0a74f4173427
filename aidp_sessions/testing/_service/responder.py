"""Turns a request into an answer: record, admit, spoil or serve. No socket of its own, except towards Jupyter."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections import defaultdict, deque
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

import aiohttp
import attrs

from .faults import Fault, FaultQueue
from .platform import Platform, session_answer
from .responses import Answer, RefusedError
from .verify import SIGNED, SIGNED_WITH_BODY, why_refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .faults import Cut
    from .verify import Verifier


from urllib.parse import parse_qsl, unquote

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_-]+")
_SECRETS: Final = frozenset({"authorization", "opc-obo-token"})
_LONGEST_DELAY_S: Final = 86_400.0
_NO_FAULT: Final = Fault()
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


@attrs.define(kw_only=True)
class RecordedRequest:
    """A request as it was received.

    Attributes:
        method: of the request line.
        target: of the request line: path and query, percent-encoded.
        workspace_key: whose sessions were asked for; ``None`` for anything else.
        headers: names in lower case, without credentials.
        started_at: seconds since the epoch, by the service's clock.
        body: as it was signed.
        status: of the answer; ``None`` until there is one, and for good if the connection was cut or left.
    """

    method: str
    target: str
    workspace_key: str | None
    headers: Mapping[str, str]
    started_at: float
    body: bytes = attrs.field(default=b"", repr=False)
    status: int | None = None


class Responder:
    """Everything the service knows; `respond` is what the server calls."""

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
        self.answers: dict[tuple[str, str], Answer] = {}
        self._workspace_page_size, self._session_page_size = page_sizes
        self._http: aiohttp.ClientSession | None = None

    async def aclose(self) -> None:
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def respond(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> tuple[Answer, Cut]:
        call, other = parse(target), self.answers.get((method, target.partition("?")[0]))
        record = self._record(method, target, headers, body, call)
        fault = _NO_FAULT
        try:
            self._admit(method, target, headers, body, served=method == "GET" or other is not None)
            fault = self._next_fault(call)
            await asyncio.sleep(min(self.latency + fault.delay, _LONGEST_DELAY_S))
            answer = Answer(200) if fault.replaces else other or await self._healthy(call, headers)
        except RefusedError as refused:
            answer = refused.answer
        answer = fault.spoil(answer)
        if fault.cut is None:
            record.status = answer.status
        return attrs.evolve(answer, headers={**self._usual_headers(headers), **answer.headers}), fault.cut

    def _record(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, call: Call | None
    ) -> RecordedRequest:
        shown = {name: value for name, value in headers.items() if name not in _SECRETS}
        key = None if call is None else call.workspace_key
        record = RecordedRequest(
            method=method, target=target, workspace_key=key, headers=shown, started_at=self.clock(), body=body
        )
        self.request_count += 1
        self.requests.append(record)
        return record

    def _admit(self, method: str, target: str, headers: Mapping[str, str], body: bytes, *, served: bool) -> None:
        if not served:
            raise RefusedError(405)
        if not _REQUEST_ID.fullmatch(headers.get("opc-request-id", "-")):
            raise RefusedError(400, "opc-request-id may hold letters, digits, underscore and dash only.")
        signed = SIGNED_WITH_BODY if method in _WITH_BODY else SIGNED
        problem = why_refused(method, target, headers, self.keys, self.clock(), signed=signed, body=body)
        if problem is not None:
            raise RefusedError(401, problem)

    def _next_fault(self, call: Call | None) -> Fault:
        if call is None or call.workspace_key not in self.faults:
            return _NO_FAULT
        return self.faults[call.workspace_key].take() or _NO_FAULT

    async def _healthy(self, call: Call | None, headers: Mapping[str, str]) -> Answer:
        if call is None or call.platform_id != self.platform_id:
            raise RefusedError(404)
        if call.workspace_key is None:
            return self.platform.list_workspaces(call.query, self._workspace_page_size)
        workspace = self.platform.workspaces.get(call.workspace_key)
        if workspace is None:
            raise RefusedError(404)
        if workspace.jupyter is None:
            answer = workspace.list_sessions(call.query, self._session_page_size, bare=call.legacy)
        else:
            self._http = self._http or aiohttp.ClientSession()
            items = await workspace.jupyter.sessions(self._http)
            answer = session_answer(items, call.query, self._session_page_size, bare=call.legacy)
        return answer.unless_known(headers.get("if-none-match", ""))

    def _usual_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        given = headers.get("opc-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex.upper()
        return {"date": formatdate(self.clock(), usegmt=True), "opc-request-id": request_id}


_COLLECTIONS: Final = {"20260430": "aiDataPlatforms", "20240831": "dataLakes"}
_LEGACY: Final = "20240831"


@attrs.frozen(kw_only=True)
class Call:
    """A documented operation: sessions of *workspace_key*, or the list of workspaces if that is ``None``."""

    platform_id: str
    workspace_key: str | None
    query: dict[str, str]
    legacy: bool


def parse(target: str) -> Call | None:
    """Read *target* exactly as received, so that a key may hold ``/`` or anything else; ``None``: no such path."""
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
    return Call(
        platform_id=platform_id,
        workspace_key=workspace_key,
        query=dict(parse_qsl(query, keep_blank_values=True)),
        legacy=version == _LEGACY,
    )
