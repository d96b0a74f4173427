"""Requests and responses as values, and what their date headers mean.

Sources: "Request Signatures" and "API Errors" of the OCI documentation; RFC 9110, sections 9.2.2 and 10.2.3.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, Protocol

import attrs

from ..errors import AidpError, TransportError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_CLOCK_SKEW: Final = 300.0
"""Seconds by which the date of a signature may differ from the service's clock ("Request Signatures")."""

CORRECTED_CLOCK_SKEW: Final = MAX_CLOCK_SKEW - 2.0
"""Seconds of skew from which a 401 is taken for a wrong clock: both dates are in whole seconds."""

THRESHOLD: Final = 1024 * 1024
"""Bytes up to which a body is decoded in one go: a few milliseconds of work, a few megabytes of objects."""

_NO_HEADERS: Final[Mapping[str, str]] = {}
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_NOT_PROCESSED: Final = frozenset({409, 429})


@attrs.define(eq=False, repr=False)
class Request:
    """One request, before it is signed.

    Attributes:
        target: path and query, percent-encoded, exactly as they are signed and sent.
        headers: in addition to those that every request carries; names in lower case.
        consumer: takes the body of a large response piece by piece.
        accept_2xx: every 2xx is a success, not only 200.
    """

    target: str
    headers: Mapping[str, str] = attrs.field(default=_NO_HEADERS)
    consumer: BodyConsumer | None = None
    method: str = attrs.field(default="GET", kw_only=True)
    body: bytes = attrs.field(default=b"", kw_only=True, repr=False)
    accept_2xx: bool = attrs.field(default=False, kw_only=True)

    def is_safe_to_retry(self, error: AidpError) -> bool:
        """Whether a retry after *error* has no more effect than one request.

        That holds for idempotent methods (RFC 9110, 9.2.2), for requests with an ``opc-retry-token``, and where the
        service refused before it acted or was not reached. It does not hold once a part of the body was handed over.
        """
        if self.consumer is not None and self.consumer.has_emitted:
            return False
        if self.method in _IDEMPOTENT or "opc-retry-token" in self.headers:
            return True
        return error.unsent if isinstance(error, TransportError) else error.status in _NOT_PROCESSED


class BodyConsumer(Protocol):
    """Takes the body of a large response.

    Attributes:
        has_emitted: a part of the body was handed over, so the request cannot be sent again.
    """

    has_emitted: bool

    def reset(self) -> None:
        """Forget what a failed attempt of the request has fed; called before it is sent again."""

    async def feed(self, chunk: bytes, headers: Mapping[str, str]) -> None:
        """Process a piece of a response with *headers*; raises `ResponseDecodeError` if it is not as documented."""


@attrs.define(eq=False, repr=False)
class RawResponse:
    """A complete response; *headers* must look names up regardless of case.

    Attributes:
        body: decompressed; empty if a consumer took it.
        size: bytes of the body, those that a consumer took included.
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
    """Seconds to wait, never negative, from either form of ``Retry-After``; a date counts from the response's own."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.replace(".", "", 1).isdigit():
        return float(value)
    date = http_date(value)
    if date is None:
        return None
    sent = http_date(headers.get("date"))
    return max(0.0, date - (now if sent is None else sent))


def http_date(value: str | None) -> float | None:
    """Seconds since the epoch, or ``None`` if *value* is not a date of the years 1900 to 2200."""
    if not value:
        return None
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return date.replace(tzinfo=date.tzinfo or UTC).timestamp() if 1900 <= date.year <= 2200 else None
