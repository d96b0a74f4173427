"""Requests over real connections: wait for a slot, sign, send, bound, retry, and name what went wrong.

The only importer of `aiohttp` and `backoff`, and the only place that turns their exceptions into ours.
"""

from __future__ import annotations

import functools
import logging
import math
import os
import platform
from email.utils import formatdate
from io import BytesIO
from typing import TYPE_CHECKING, Final

import aiohttp
import attrs
from yarl import URL

from .._operations.encoding import request_id
from .._operations.failures import attach_answer, failure
from .._operations.messages import MAX_CLOCK_SKEW, THRESHOLD, Answer, clock_skew, http_date
from .._version import __version__
from ..auth.signing import SigningRequest
from ..errors import (
    AidpError,
    ResponseDecodeError,
    TooManyRequestsError,
)
from .call import AttemptFailedError, Call, _with_backoff
from .exceptions import _fell_silent, _translate
from .timers import _Silence, _silence

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from .._operations.messages import Request, Sink
    from ..auth.signing import Signer
    from ..policies import Clock, RetryPolicy, Sleep, Timeout
    from .limiter import AdaptiveLimiter
    from .observer import Observer
    from .pool import Pool

_log = logging.getLogger("aidp_sessions")

_HEADERS: Final = {
    "accept": "application/json",
    "user-agent": f"aidp-sessions/{__version__} (python {platform.python_version()}; {platform.system()})",
    "opc-client-info": f"aidp-sessions/{__version__}",
}


@functools.lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def _headers(retry: RetryPolicy) -> dict[str, str]:
    return {**_HEADERS, "opc-client-retries": "true" if retry.attempts > 1 else "false"}


@attrs.define(eq=False, repr=False)
class ClockOffset:
    """Seconds to add to our clock to get the service's; a client shares it with its copies that have the same two."""

    seconds: float = 0.0


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Transport:
    """Everything that the calls of one client have in common.

    Attributes:
        host: with the port, unless it is that of *scheme*.
        max_response_bytes: the largest body accepted, counted after decompression.
        corrects_clock: sign with the service's time once it has turned out that ours is wrong.
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
    clock_offset: ClockOffset = attrs.field(factory=ClockOffset)
    corrects_clock: bool
    max_response_bytes: int
    ssl: ssl.SSLContext | bool
    proxy: str | None = attrs.field(repr=False)
    observer: Observer | None = None
    headers: Mapping[str, str] = attrs.field(
        init=False, default=attrs.Factory(lambda self: _headers(self.retry), takes_self=True), repr=False
    )
    limits: aiohttp.ClientTimeout = attrs.field(
        init=False, default=attrs.Factory(lambda self: self.pool.limits(self.timeout), takes_self=True)
    )

    @property
    def base_url(self) -> str:
        """Where requests go; the path belongs to them."""
        return f"{self.scheme}://{self.host}"

    def call(
        self,
        operation: str,
        workspace_key: str | None = None,
        *,
        opc_request_id: str | None = None,
        sleep: Sleep | None = None,
        method: str = "GET",
        route: str | None = None,
    ) -> Call:
        """Begin a call. *sleep* takes the place of the clock's, for a caller with better things to do meanwhile.

        *method* and *route* are for the observer only; the two listings need not tell theirs.
        """
        root = os.urandom(14).hex().upper() if opc_request_id is None else request_id(opc_request_id)
        sleep = sleep or self.clock.sleep
        if self.observer is None:
            return Call(self, operation, workspace_key, root, sleep)
        return self.observer.call(self, operation, workspace_key, root, sleep, method, route)

    async def until_answered(self, call: Call, request: Request) -> Answer:
        """Attempt *request* until it is answered with 200; raises the last `AttemptFailedError`."""
        try:
            return await self._attempt(call, request)
        except AttemptFailedError as first:
            failed = [first]
        return await _with_backoff()(self._after)(failed, call, request)

    async def _after(self, failed: list[AttemptFailedError], call: Call, request: Request) -> Answer:
        """Begins with the failure of the first attempt, which `backoff` need not see unless it fails."""
        if failed:
            raise failed.pop()
        return await self._attempt(call, request)

    async def _attempt(self, call: Call, request: Request) -> Answer:
        limiter = self.limiter
        if not limiter.try_acquire():
            await limiter.acquire()
        generation = limiter.generation
        try:
            answer = await call.attempt(request)
        except AidpError as error:
            if isinstance(error, TooManyRequestsError):
                limiter.decrease(generation)
            failed = AttemptFailedError(call, error)
        else:
            limiter.increase()
            return answer
        finally:
            limiter.release()
        raise failed

    async def exchange(self, request: Request, opc_request_id: str, sent: dict[str, str]) -> Answer:
        """Sign, send and read once; raises an `AidpError` for anything but a 200. *sent* is filled in on the way."""
        await self.pool.pacer.wait()
        offset = self.clock_offset.seconds if self.corrects_clock else 0.0
        date = _date(int(self.clock.time() + offset))
        content_type = request.headers.get("content-type", "application/json")
        signing = SigningRequest(request.method, self.host, request.target, date, request.body, content_type)
        sent.update(await self.pool.adopt(self.signer).sign(signing))
        silence = _Silence(self.pool.deadlines, None if request.body else self.timeout.read)
        _silence.set(silence)
        outcome: Answer | AidpError
        try:
            async with self.pool.session().request(
                request.method,
                self._url(request.target),
                data=BytesIO(request.body) if request.body else None,
                headers={**self.headers, "opc-request-id": opc_request_id, **request.headers, **sent},
                allow_redirects=False,
                raise_for_status=False,
                timeout=self.pool.limits(self.timeout, sends_body=True) if request.body else self.limits,
                ssl=self.ssl,
                proxy=self.proxy,
            ) as response:
                outcome = await _read(response, self.max_response_bytes, request.sink, silence)
        except _ConsumerFailedError as failed:
            raise failed.error from failed.error.__cause__
        except (aiohttp.ClientError, OSError) as caught:
            outcome = _translate(caught, self.timeout)
        finally:
            silence.end()
        if silence.broken:  # in a body without a length that passes for its end
            outcome = _fell_silent(self.timeout)
        if isinstance(outcome, Answer):
            conditional, now = "if-none-match" in request.headers, self.clock.time()
            limit, any_success = self.max_response_bytes, request.any_success
            error = failure(outcome, now=now, limit=limit, conditional=conditional, any_success=any_success)
            outcome = error or outcome
        if isinstance(outcome, AidpError):  # raised out here, where no aiohttp exception with our headers is attached
            raise outcome
        return outcome

    def _url(self, target: str) -> URL:
        path, _, query = target.partition("?")
        return URL.build(scheme=self.scheme, authority=self.host, path=path, query_string=query, encoded=True)

    def correct_clock(self, received: Mapping[str, str], sent: Mapping[str, str]) -> bool:
        """After a 401: was the date in *sent* too far from that in *received*? Then sign with theirs from now on."""
        signed_at, now = http_date(sent.get("date")), self.clock.time()
        skew = None if signed_at is None else clock_skew(received, signed_at)
        if not self.corrects_clock or skew is None or abs(skew) <= MAX_CLOCK_SKEW:
            return False
        offset = clock_skew(received, now) or 0.0
        if abs(offset - self.clock_offset.seconds) > MAX_CLOCK_SKEW:  # the first of many calls in flight
            _log.warning("this machine's clock is %+.0f s off the service's; signing with the service's time", -offset)
        self.clock_offset.seconds = offset
        return True


class _ConsumerFailedError(Exception):
    """Carries what the consumer of a large answer raised past the network's own exceptions."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


async def _read(response: aiohttp.ClientResponse, limit: int, sink: Sink | None, silence: _Silence) -> Answer:
    """Read the body, decompressed, but not on after the chunk that makes it longer than *limit*.

    A 200 that turns out large goes to *sink* from its first byte on.
    """
    chunks: list[bytes] = []
    size, large = 0, math.inf
    if sink is not None and response.status == 200:
        sink.begin()
        large = THRESHOLD
    silence.listen()
    while chunk := await response.content.readany():
        size += len(chunk)
        chunks.append(chunk)
        if size > limit:
            break
        if sink is not None and size > large:
            silence.pause()
            try:
                for piece in chunks:
                    await sink.take(piece)
            except OSError as error:  # of the consumer's own; out there it would pass for one of the network
                raise _ConsumerFailedError(error) from None
            except ResponseDecodeError as error:
                if error.status is None:  # it is not about a page that was left for later
                    attach_answer(error, Answer(response.status, response.headers, b""))
                raise
            chunks.clear()
        silence.listen()
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return Answer(response.status, response.headers, body, size)
