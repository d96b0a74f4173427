"""What the small servers beside the service have in common: listen on loopback, record, fail on request, answer."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress
from email.utils import formatdate
from typing import TYPE_CHECKING, Final, Self, cast

import attrs
from aiohttp import web

from .._service.faults import Fault, FaultQueue
from .._service.listener import HOST, Listener, broken_off
from .._service.responses import Answer, RefusedError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from types import TracebackType

_LONGEST_DELAY_S: Final = 86_400.0
_SECRETS: Final = frozenset({"authorization", "opc-obo-token"})
_KEY_ID: Final = re.compile(r'keyId="([^"]*)"')
_SIGNED: Final = re.compile(r'headers="([^"]*)"')
_NO_FAULT: Final = Fault()


@attrs.frozen(kw_only=True)
class RecordedAuthRequest:
    """A request as it was received.

    Attributes:
        headers: names in lower case, without credentials.
        key_id: who has signed it; ``None`` if nobody has.
        signed: the names that the signature covers, in its order.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    key_id: str | None = attrs.field(default=None, repr=False)
    signed: tuple[str, ...] = ()
    body: bytes = attrs.field(default=b"", repr=False)

    @property
    def fields(self) -> dict[str, object]:
        """The JSON object that the body is."""
        found = json.loads(self.body)
        if not isinstance(found, dict):
            raise RefusedError(400, "The body must be a JSON object.")
        return cast("dict[str, object]", found)


class AuthServer:
    """Base of the servers that hand out certificates and tokens. Subclasses say what in `_answer`."""

    def __init__(self, *, clock: Callable[[], float], tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[RecordedAuthRequest] = []
        self._clock = clock
        self._faults = FaultQueue()
        self._listener = Listener(self._handle, what="server", tls=tls)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        await self._listener.start()

    async def aclose(self) -> None:
        """Close every connection and stop listening; idempotent."""
        await self._listener.aclose()

    @property
    def host(self) -> str:
        return HOST

    @property
    def port(self) -> int:
        return self._listener.port

    @property
    def origin(self) -> str:
        return self._listener.origin

    def fail(self, *faults: Fault) -> None:
        """Let the next requests meet *faults*, in this order, after those that wait already."""
        for fault in faults:
            self._faults.add(fault)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        record = _recorded(request.method, request.raw_path, headers, body)
        self.requests.append(record)
        fault = self._faults.take() or _NO_FAULT
        await asyncio.sleep(min(fault.delay, _LONGEST_DELAY_S))
        try:
            answer = Answer(200) if fault.replaces else self._answer(record, headers)
        except RefusedError as refused:
            answer = refused.answer
        answer = fault.spoil(answer)
        if fault.cut is not None:
            return broken_off(request, answer, fault.cut)
        sent = {"date": formatdate(self._clock(), usegmt=True), **answer.headers}
        response = web.Response(status=answer.status, body=answer.body, headers=sent)
        with suppress(ConnectionError):
            await response.prepare(request)
            await response.write_eof()
        return response

    def _answer(self, request: RecordedAuthRequest, headers: Mapping[str, str]) -> Answer:
        raise NotImplementedError


def _recorded(method: str, target: str, headers: Mapping[str, str], body: bytes) -> RecordedAuthRequest:
    authorization = headers.get("authorization", "")
    key_id, signed = _KEY_ID.search(authorization), _SIGNED.search(authorization)
    return RecordedAuthRequest(
        method=method,
        target=target,
        headers={name: value for name, value in headers.items() if name not in _SECRETS},
        key_id=key_id[1] if key_id else None,
        signed=tuple(signed[1].split()) if signed else (),
        body=body,
    )
