"""The service's operations without any I/O: what to ask for, and what an answer means.

Sources: "Get available sessions" and "List workspaces" of the AI Data Platform REST reference; the pages "REST APIs"
(paging, request ids) and "API Errors" of the OCI documentation.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import attrs

from ..errors import AidpError, TransportError

if TYPE_CHECKING:
    from collections.abc import Mapping


T = TypeVar("T")

MAX_CLOCK_SKEW: Final = 300.0
"""Seconds by which the date of a signature may differ from the service's clock ("Request Signatures")."""

THRESHOLD: Final = 1024 * 1024
"""Bytes up to which an answer is decoded in one go: a few milliseconds of work, a few megabytes of objects."""

_NO_HEADERS: Final[Mapping[str, str]] = {}
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_REFUSED_BEFOREHAND = frozenset({409, 429})


@attrs.define(eq=False, repr=False)
class Request:
    """One request, before it is signed.

    Attributes:
        target: path and query, percent-encoded, exactly as they are signed and sent.
        headers: beside those that every request carries; names in lower case.
        sink: takes the body of a large answer piece by piece.
        any_success: every 2xx is an answer, not only 200.
    """

    target: str
    headers: Mapping[str, str] = attrs.field(default=_NO_HEADERS)
    sink: Sink | None = None
    method: str = attrs.field(default="GET", kw_only=True)
    body: bytes = attrs.field(default=b"", kw_only=True, repr=False)
    any_success: bool = attrs.field(default=False, kw_only=True)

    def may_be_repeated(self, error: AidpError) -> bool:
        """Whether sending this again after *error* does no more than sending it once.

        So it is for methods that are idempotent (RFC 9110, 9.2.2), with an ``opc-retry-token``, and where the service
        said before it did anything that it would not, or was not even reached. Not once a part of an answer was used.
        """
        if self.sink is not None and self.sink.irrevocable:
            return False
        if self.method in _IDEMPOTENT or "opc-retry-token" in self.headers:
            return True
        return error.unsent if isinstance(error, TransportError) else error.status in _REFUSED_BEFOREHAND


class Sink(Protocol):
    """Where the body of a large answer goes.

    Attributes:
        irrevocable: what was taken has had effects, so the request cannot be sent again.
    """

    irrevocable: bool

    def begin(self) -> None:
        """An attempt begins: forget what an earlier one had brought."""

    async def take(self, chunk: bytes) -> None:
        """Use a piece; raises `ResponseDecodeError` if it cannot be right."""


@attrs.define(eq=False, repr=False)
class Answer:
    """A complete answer; *headers* must look names up regardless of case.

    Attributes:
        body: decompressed; empty if a sink took it.
        size: bytes of the body, wherever they went.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = attrs.field(repr=False)
    size: int = attrs.field(default=attrs.Factory(lambda self: len(self.body), takes_self=True))


def clock_skew(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds by which the service's clock, read from its ``Date``, is ahead of *now*."""
    date = http_date(headers.get("date"))
    return None if date is None else date - now


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait, never negative, from either form of ``Retry-After``; a date counts from the answer's own."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.replace(".", "", 1).isdigit():
        return float(value)
    date = http_date(value)
    if date is None:
        return None
    sent = http_date(headers.get("date"))
    return max(0.0, date - (now if sent is None else sent))


def http_date(value: str | None) -> float | None:
    """Seconds since the epoch, or ``None`` for what is no date."""
    try:
        date = parsedate_to_datetime(value) if value else None
    except (ValueError, OverflowError):
        return None
    if date is None:
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
