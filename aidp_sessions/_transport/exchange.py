"""One request and its response over a real connection: sign, send, read, and name what went wrong."""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import platform
from email.utils import formatdate
from io import BytesIO
from typing import TYPE_CHECKING, Final, TypeVar

import attrs
from yarl import URL

from .._iteration import is_foreign
from .._operations.failures import attach_response, error_for
from .._operations.messages import CORRECTED_CLOCK_SKEW, THRESHOLD, RawResponse, clock_skew, http_date
from .._version import __version__
from ..auth.signing import SharedSigner, SigningRequest
from ..errors import CredentialsError, ResponseDecodeError
from .exceptions import mapping_exceptions
from .inflate import ACCEPTED, inflater_for

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Mapping

    import aiohttp

    from .._operations.messages import BodyConsumer, Request
    from ..auth.signing import Signer
    from ..policies import Clock, RetryPolicy, Timeout
    from .limiter import AdaptiveLimiter
    from .observer import Observer
    from .pool import Pool

T = TypeVar("T")

HEADERS: Final = {
    "accept": "application/json",
    "accept-encoding": ACCEPTED,
    "user-agent": f"aidp-sessions/{__version__} (python {platform.python_version()}; {platform.system()})",
    "opc-client-info": f"aidp-sessions/{__version__}",
}
MAX_HEADER_BYTES: Final = 64 * 1024
"""The longest line of a response's head, as in Python's `http.client`; aiohttp's default is an eighth of that."""

_log = logging.getLogger("aidp_sessions")
_log.addHandler(logging.NullHandler())


class SentHeaders(dict[str, str]):
    """The headers that a signer made; shows their names only, also to tools that print the variables of a traceback."""

    def __repr__(self) -> str:
        return f"<headers {', '.join(self)}>"


@attrs.define(eq=False, repr=False)
class ClockOffset:
    """Seconds to add to this machine's clock to get the service's; copies of a client share it."""

    seconds: float = 0.0


@functools.lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def _headers(common: Mapping[str, str], retry: RetryPolicy) -> dict[str, str]:
    return {**common, **HEADERS, "opc-client-retries": "true" if retry.attempts > 1 else "false"}


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Transport:
    """Everything that the calls of one client have in common.

    Attributes:
        host: with the port, unless it is that of *scheme*.
        common_headers: sent with each request, but not signed; names in lower case.
        max_response_bytes: the largest body accepted, counted after decompression.
        corrects_clock: sign with the service's time once it has turned out that this machine's is wrong.
        observer: is told of every call.
    """

    scheme: str
    host: str
    signer: Signer
    pool: Pool
    limiter: AdaptiveLimiter
    timeout: Timeout
    retry: RetryPolicy
    clock: Clock
    common_headers: Mapping[str, str] = attrs.field(factory=dict[str, str])
    clock_offset: ClockOffset = attrs.field(factory=ClockOffset)
    corrects_clock: bool
    max_response_bytes: int
    ssl: ssl.SSLContext | bool
    proxy: str | None
    observer: Observer | None = None
    shared_signer: SharedSigner | None = attrs.field(
        init=False,
        default=attrs.Factory(lambda it: it.signer if isinstance(it.signer, SharedSigner) else None, takes_self=True),
    )
    headers: Mapping[str, str] = attrs.field(
        init=False, default=attrs.Factory(lambda self: _headers(self.common_headers, self.retry), takes_self=True)
    )
    client_timeout: aiohttp.ClientTimeout = attrs.field(
        init=False, default=attrs.Factory(lambda self: self.pool.client_timeout(self.timeout), takes_self=True)
    )

    @property
    def base_url(self) -> str:
        """Scheme, host and port that requests go to."""
        return f"{self.scheme}://{self.host}"

    async def exchange(self, request: Request, opc_request_id: str, sent: SentHeaders) -> RawResponse:
        """Sign, send and read once; raises an `AidpError` for anything but success. Fills in *sent* on the way."""
        await self.pool.pacer.wait()
        session = self.pool.session(self.shared_signer)
        sent.update(await self._sign(request))
        path, _, query = request.target.partition("?")
        requesting = session.request(
            request.method,
            URL.build(scheme=self.scheme, authority=self.host, path=path, query_string=query, encoded=True),
            data=BytesIO(request.body) if request.body else None,
            headers={**self.headers, "opc-request-id": opc_request_id, **request.headers, **sent},
            allow_redirects=False,
            auto_decompress=False,
            max_field_size=MAX_HEADER_BYTES,
            max_line_size=MAX_HEADER_BYTES,
            raise_for_status=False,
            timeout=self.client_timeout,
            ssl=self.ssl,
            proxy=self.proxy,
        )
        async with await mapping_exceptions(requesting, self.timeout) as received:
            response = await read_body(received, self.max_response_bytes, self.timeout, request.consumer)
        if response.status != 200 or response.size > self.max_response_bytes:
            error = error_for(
                response,
                now=self.clock.time(),
                limit=self.max_response_bytes,
                conditional="if-none-match" in request.headers,
                accept_2xx=request.accept_2xx,
            )
            if error is not None:
                raise error
        return response

    async def _sign(self, request: Request) -> dict[str, str]:
        offset = self.clock_offset.seconds if self.corrects_clock else 0.0
        date = _date(int(self.clock.time() + offset))
        content_type = request.headers.get("content-type", "application/json")
        signing = SigningRequest(request.method, self.host, request.target, date, request.body, content_type)
        return await _from_signer(self.signer.sign(signing))

    async def refresh_credentials(self, rejected: SentHeaders) -> bool:
        """Whether, after a 401 to the headers *rejected*, the signer has other credentials."""
        return await _from_signer(self.signer.refresh(rejected))

    def correct_clock(self, received: Mapping[str, str], sent: Mapping[str, str]) -> bool:
        """After a 401: if the date in *sent* is too far from that in *received*, sign with the service's time."""
        signed_at, now = http_date(sent.get("date")), self.clock.time()
        skew = None if signed_at is None else clock_skew(received, signed_at)
        if not self.corrects_clock or skew is None or abs(skew) < CORRECTED_CLOCK_SKEW:
            return False
        offset = clock_skew(received, now) or 0.0
        if abs(offset - self.clock_offset.seconds) >= CORRECTED_CLOCK_SKEW:  # the first of many calls in flight
            _log.warning("this machine's clock is %+.0f s off the service's; signing with the service's time", -offset)
        self.clock_offset.seconds = offset
        return True


async def _from_signer(waiting: Awaitable[T]) -> T:
    """Await a signer; a cancellation that came out of its own work, perhaps a shared task, is an error."""
    try:
        return await waiting
    except (asyncio.CancelledError, StopAsyncIteration) as error:
        if not is_foreign(error):
            raise
        failed = CredentialsError(f"{type(error).__name__} came out of the signer, so the request cannot be signed")
    raise failed


async def read_body(
    response: aiohttp.ClientResponse, max_bytes: int, limits: Timeout, consumer: BodyConsumer | None = None
) -> RawResponse:
    """Read the decompressed body; stop at the first chunk that exceeds *max_bytes*.

    The body of a 200 that turns out large goes to *consumer*, from its first byte on.
    """
    content, encoding = response.content, response.headers.get("content-encoding")
    inflater = None if encoding is None else inflater_for(encoding)
    chunks: list[bytes] = []
    size, large = 0, math.inf
    if consumer is not None and response.status == 200:
        large = THRESHOLD
    while size <= max_bytes and not content.at_eof():
        chunk = await mapping_exceptions(content.readany(), limits)
        for piece in (chunk,) if inflater is None else inflater.feed(chunk):
            size += len(piece)
            chunks.append(piece)
            if size > max_bytes:
                break
            if consumer is not None and size > large:
                await _feed(consumer, chunks, response)
                chunks.clear()
    if inflater is not None and size <= max_bytes:
        inflater.close()
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return RawResponse(response.status, response.headers, body, size)


async def _feed(consumer: BodyConsumer, chunks: list[bytes], response: aiohttp.ClientResponse) -> None:
    try:
        for chunk in chunks:
            await consumer.feed(chunk, response.headers)
    except ResponseDecodeError as error:
        if error.status is None:  # not about an earlier page, whose evidence it has already
            attach_response(error, RawResponse(response.status, response.headers, b""))
        raise
