"""Base of the small servers beside the service: they record requests, apply faults and answer."""

from __future__ import annotations

import asyncio
import json
import re
from email.utils import formatdate
from typing import TYPE_CHECKING, Final, cast

import attrs

from .._service.faults import MAX_DELAY_S, FaultQueue
from .._service.listener import LoopbackServer
from .._service.responses import HttpError, StubResponse, without_credentials

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from .._service.faults import Cut, Fault

_KEY_ID: Final = re.compile(r'keyId="([^"]*)"')
_SIGNED: Final = re.compile(r'headers="([^"]*)"')


@attrs.frozen(kw_only=True)
class RecordedAuthRequest:
    """A request as it was received.

    Attributes:
        headers: names in lower case, without credentials.
        key_id: the ``keyId`` of the signature; ``None`` without a signature.
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
        """The JSON object in the body."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise HttpError(400, "The body must be a JSON object.")
        return cast("dict[str, object]", found)


class AuthServer(LoopbackServer):
    """Base of the servers that issue certificates and tokens. Subclasses implement `_answer`."""

    def __init__(self, *, clock: Callable[[], float], tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls=tls)
        self.requests: list[RecordedAuthRequest] = []
        self._clock = clock
        self._faults = FaultQueue()

    def fail(self, *faults: Fault) -> None:
        """Apply *faults* to the next requests, in this order, after the faults that are still waiting."""
        for fault in faults:
            self._faults.add(fault)

    async def _respond(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[StubResponse, Cut]:
        record = _recorded(method, target, headers, body)
        self.requests.append(record)
        fault = self._faults.pop()
        await asyncio.sleep(min(fault.delay, MAX_DELAY_S))
        try:
            response = StubResponse(200) if fault.replaces else self._answer(record, headers)
        except HttpError as error:
            response = error.response
        date = formatdate(self._clock(), usegmt=True)
        response = fault.apply(response)
        return attrs.evolve(response, headers={"date": date, **response.headers}), fault.cut

    def _answer(self, request: RecordedAuthRequest, headers: Mapping[str, str]) -> StubResponse:
        raise NotImplementedError


def _recorded(method: str, target: str, headers: Mapping[str, str], body: bytes) -> RecordedAuthRequest:
    authorization = headers.get("authorization", "")
    key_id, signed = _KEY_ID.search(authorization), _SIGNED.search(authorization)
    return RecordedAuthRequest(
        method=method,
        target=target,
        headers=without_credentials(headers),
        key_id=key_id[1] if key_id else None,
        signed=tuple(signed[1].split()) if signed else (),
        body=body,
    )
