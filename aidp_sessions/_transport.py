"""Requests over real connections: wait for a slot, sign, send, bound, retry, and name what went wrong.

The only importer of `aiohttp` and `backoff`, and the only place that turns their exceptions into ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import math
import os
import platform
import socket
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from email.utils import formatdate
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import WeakSet

import aiohttp
import attrs
from yarl import URL

from ._call import AttemptFailedError, Call
from ._deadlines import Deadlines
from ._operations import (
    MAX_CLOCK_SKEW,
    THRESHOLD,
    Answer,
    attach_answer,
    clock_skew,
    failure,
    http_date,
    request_id,
)
from ._redact import redact
from ._version import __version__
from .auth.fetching import MAX_ANSWER
from .auth.renewal import Renewing
from .auth.signing import SigningRequest
from .auth.turns import Turns
from .errors import (
    AidpError,
    ConnectionFailedError,
    RequestTimeoutError,
    ResponseDecodeError,
    TooManyRequestsError,
    TransportError,
)
from .policies import Timeout

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Generator, Mapping

    from aiohttp import AddrInfoType
    from aiohttp.connector import Connection

    from ._gate import Gate
    from ._observed import Observer
    from ._operations import Request, Sink
    from .auth.fetching import FetchRequest
    from .auth.signing import Signer
    from .policies import Clock, RetryPolicy, Sleep

_log = logging.getLogger("aidp_sessions")

_LONGEST_REASON: Final = 500
_LARGE_BLOCK: Final = 512 * 1024
_MOST_STALE: Final = 100
_LAST_TURNS: Final = 5  # in which aborted transports close their sockets, should the loop end with us
_MOST_REMEMBERED: Final = 1000
_TRIED_AGAIN: Final = aiohttp.ClientOSError, aiohttp.ServerDisconnectedError  # by aiohttp, if it sees them
_HEADERS: Final = {
    "accept": "application/json",
    "user-agent": f"aidp-sessions/{__version__} (python {platform.python_version()}; {platform.system()})",
    "opc-client-info": f"aidp-sessions/{__version__}",
}


_Attempts = Callable[[list[AttemptFailedError], Call, "Request"], Awaitable[Answer]]


def _pauses() -> Generator[float, Any, None]:  # backoff types it as if nothing were sent in
    """Ask after each failure whether to go on. Yields only zeros: `Call.pause` does the waiting, before `backoff`."""
    failed = yield 0.0
    while failed.call.plans_retry(failed.error):
        failed = yield 0.0


async def _take_pause(details: Mapping[str, object]) -> None:
    await cast("AttemptFailedError", details["exception"]).call.pause()


@functools.cache
def _with_backoff() -> Callable[[_Attempts], _Attempts]:
    import backoff  # noqa: PLC0415  # when the first attempt of all fails

    return backoff.on_exception(_pauses, AttemptFailedError, jitter=None, on_backoff=_take_pause, logger=None)


class Pool:
    """The connections: one `aiohttp.ClientSession`, made on first use or brought by the caller, who then keeps it."""

    def __init__(self, http_session: aiohttp.ClientSession | None) -> None:
        self._given = http_session
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lifetime: AsyncGenerator[None] | None = None
        self._process = 0
        self._signers: dict[int, Signer] = {}
        self.turns = Turns()
        self.deadlines: Deadlines
        self.closed = False

    def join_loop(self) -> Deadlines:
        """Belong to the running loop, whose deadlines are returned.

        Raises `RuntimeError` after `aclose`, on a second loop while the first is still open, and in a process that was
        forked meanwhile, whose parent still uses the same sockets.
        """
        self._check_open()
        loop = asyncio.get_running_loop()
        if self._is_inherited():
            raise RuntimeError("this SessionsClient was in use when the process forked; create one client per process")
        if self._loop is not loop:
            if self._loop is not None and not self._loop.is_closed():
                raise RuntimeError("this SessionsClient is in use on another event loop; create one client per loop")
            self._loop, self._session, self._process = loop, self._given, os.getpid()
            self.deadlines = Deadlines(loop)
        return self.deadlines

    def session(self) -> aiohttp.ClientSession:
        """That of the loop. Nothing here awaits, so first calls cannot race. Raises `RuntimeError` after `aclose`."""
        self._check_open()
        if self._session is None:
            self._session = self._open()
        return self._session

    def _check_open(self) -> None:
        if self.closed:
            raise RuntimeError("this SessionsClient is closed; create a new one")

    def _is_inherited(self) -> bool:
        return self._loop is not None and self._process != os.getpid() and not self._loop.is_closed()

    def limits(self, timeout: Timeout, *, sends_body: bool = False) -> aiohttp.ClientTimeout:
        """*timeout* for one attempt, as far as it is aiohttp's business.

        A queue inside a session that was brought along must not run its clock down; and only in our own do we see when
        a connection stands, from which on its silence counts. But a service may be silent while a body is sent to it,
        and aiohttp alone knows when that is done.
        """
        connect = timeout.connect if self._given is None else None
        read = timeout.read if sends_body or self._given is not None else None
        return aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=timeout.connect, sock_read=read)

    def _open(self) -> aiohttp.ClientSession:
        # Freed at once, and glibc has learnt to take blocks of this size from the heap. Left alone, it asks the kernel
        # for new pages for each of asyncio's buffers of 256 KiB, which takes longer than all else about reading.
        bytes(_LARGE_BLOCK)
        # No limit of its own: our gate bounds the requests, so none waits inside aiohttp with its clock running.
        connector = _Connector(limit=0)
        session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), response_class=_Response
        )
        self._lifetime = _close_with_loop(session, connector)
        with contextlib.suppress(StopIteration):  # to its first yield, and into the loop's care, without awaiting
            self._lifetime.__anext__().__await__().__next__()
        return session

    def adopt(self, signer: Signer) -> Signer:
        """Return *signer*; what it renews in the background ends with the last pool that has adopted it."""
        if id(signer) not in self._signers:
            self._signers[id(signer)] = signer
            if isinstance(signer, Renewing):
                signer.attach()
        return signer

    async def aclose(self) -> None:
        self.closed = True
        if self._is_inherited():  # closing a socket here would take it out of the parent's selector, which is shared
            return
        signers, self._signers = self._signers, {}
        for signer in signers.values():
            if isinstance(signer, Renewing):
                await signer.detach()
        lifetime, self._lifetime = self._lifetime, None
        if lifetime is not None:
            await lifetime.aclose()
        if self._loop is not None:
            self.deadlines.tidy()


async def _close_with_loop(session: aiohttp.ClientSession, connector: _Connector) -> AsyncGenerator[None]:
    """Holds *session* open; `asyncio.run` closes suspended generators, hence the session, before it closes its loop."""
    try:
        yield
    finally:
        await session.close()
        connector.abort_all()
        for _ in range(_LAST_TURNS):
            await asyncio.sleep(0)


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
    gate: Gate
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
        gate = self.gate
        if not gate.take():
            await gate.wait()
        round_trip = gate.round_trip
        try:
            answer = await call.attempt(request)
        except AidpError as error:
            if isinstance(error, TooManyRequestsError):
                gate.narrow(round_trip)
            failed = AttemptFailedError(call, error)
        else:
            gate.widen()
            return answer
        finally:
            gate.release()
        raise failed

    async def exchange(self, request: Request, opc_request_id: str, sent: dict[str, str]) -> Answer:
        """Sign, send and read once; raises an `AidpError` for anything but a 200. *sent* is filled in on the way."""
        await self.pool.turns.take()
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


async def fetch(request: FetchRequest) -> Answer:
    """Send a signer's request over a connection of its own: no proxy, no redirects; raises `TransportError`."""
    timeout = Timeout(connect=request.connect, read=request.read)
    outcome: Answer | AidpError
    try:
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), response_class=_Response) as session,
            session.request(
                request.method,
                URL(request.url, encoded=True),
                data=request.body or None,
                headers={**_HEADERS, **request.headers},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=timeout.connect, sock_connect=timeout.connect, sock_read=timeout.read
                ),
                ssl=request.ssl,
            ) as response,
        ):
            outcome = await _read(response, MAX_ANSWER, None, _Silence(Deadlines(asyncio.get_running_loop()), None))
    except (aiohttp.ClientError, OSError) as caught:
        outcome = _translate(caught, timeout)
    if isinstance(outcome, AidpError):  # out here, where no aiohttp exception with our headers is attached
        raise outcome
    return outcome


class _Connector(aiohttp.TCPConnector):
    """Gives up kept connections on which something came unasked: it would pass for the answer to the next request."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401  # aiohttp's
        super().__init__(socket_factory=self._open_socket, **options)  # pyright: ignore[reportUnknownMemberType]  # likewise
        self._used: set[asyncio.Transport] = set()
        self._sockets = WeakSet[socket.socket]()

    def _open_socket(self, address: AddrInfoType) -> socket.socket:  # pyright: ignore[reportUnknownParameterType]
        opened = socket.socket(*address[:3])
        self._sockets.add(opened)
        return opened

    def abort_all(self) -> None:
        """End the connections that, broken off under TLS, still wait for the service to say goodbye.

        A request that is given up while its connection is just about to stand leaves one that we know by its socket
        only; its transport closes itself once it finds that shut down.
        """
        for transport in self._used:
            transport.abort()
        self._used.clear()
        for opened in self._sockets:
            with contextlib.suppress(OSError):  # closed already, or never connected
                opened.shutdown(socket.SHUT_RDWR)

    async def connect(self, *args: Any, **options: Any) -> Connection:  # noqa: ANN401  # aiohttp's types, which vary
        for _ in range(_MOST_STALE):
            try:
                connection = await super().connect(*args, **options)
            except aiohttp.ClientConnectorError:
                raise
            except _TRIED_AGAIN as broken:  # a proxy hung up
                raise aiohttp.ClientConnectionError(_reason(broken)) from None
            if connection.transport is not None:
                if len(self._used) > _MOST_REMEMBERED:
                    self._used = {transport for transport in self._used if not transport.is_closing()}
                self._used.add(connection.transport)
            if connection.protocol is not None and not connection.protocol.should_close:
                _silence.get().begin(connection.transport)
                return connection
            connection.close()
        raise aiohttp.ClientConnectionError("the service spoke before it was asked")


class _Silence:
    """Ends a connection on which the service has said nothing for *seconds*. Does nothing before it has begun."""

    def __init__(self, deadlines: Deadlines, seconds: float | None) -> None:
        self._deadlines = deadlines
        self._seconds = math.inf if seconds is None else seconds
        self._transport: asyncio.Transport | None = None
        self.due = math.inf
        self.broken = False

    def begin(self, transport: asyncio.Transport | None) -> None:
        self._transport = transport
        self.listen()

    def listen(self) -> None:
        """The service has been heard, or is to be heard from now on."""
        if self._transport is not None:
            self._deadlines.start(self, self._seconds)

    def pause(self) -> None:
        self._deadlines.stop(self)

    def end(self) -> None:
        self._transport = None
        self._deadlines.stop(self)

    def expire(self) -> None:
        if self._transport is not None:
            self.broken = True
            self._transport.abort()


_silence: ContextVar[_Silence] = ContextVar("_silence")
"""That of the attempt under way: aiohttp does not say for whom it connects."""


class _ConsumerFailedError(Exception):
    """Carries what the consumer of a large answer raised past the network's own exceptions."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


class _Response(aiohttp.ClientResponse):
    """Is given up when its connection breaks; left alone, aiohttp asks again, unseen, with the old date and id."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        try:
            return await super().start(connection)
        except _TRIED_AGAIN as broken:
            raise aiohttp.ClientConnectionError(_reason(broken)) from None


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


def _translate(caught: aiohttp.ClientError | OSError, timeout: Timeout) -> AidpError:
    """The one place where exceptions of the network stack become ours."""
    if type(caught.__cause__).__name__ == "DecompressSizeError":  # aiohttp 3.13 has a limit of its own, per chunk
        return ResponseDecodeError("the body is larger than max_response_bytes, or than aiohttp inflates at once")
    error: TransportError
    if isinstance(caught, aiohttp.SocketTimeoutError):
        error = _fell_silent(timeout)
    elif isinstance(caught, TimeoutError):
        error = RequestTimeoutError(f"the connect timeout of {timeout.connect:g} s ran out", "connect")
    else:
        error = ConnectionFailedError(f"the connection failed: {_reason(caught)}")
        error.permanent = isinstance(caught, aiohttp.ClientConnectorCertificateError)
    error.unsent = isinstance(caught, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    cause = getattr(caught, "os_error", None)
    error.__cause__ = cause if isinstance(cause, OSError) else None
    return error


def _fell_silent(timeout: Timeout) -> RequestTimeoutError:
    return RequestTimeoutError(f"the read timeout of {timeout.read:g} s ran out: the service fell silent", "read")


def _reason(caught: aiohttp.ClientError | OSError) -> str:
    if isinstance(caught, aiohttp.ServerDisconnectedError):  # whose text may be half an answer's headers
        return "it was closed before an answer came"
    # The text of a ClientResponseError would repeat the request, headers and all.
    text = caught.message if isinstance(caught, aiohttp.ClientResponseError) else str(caught)
    return redact(" ".join(text.split()))[:_LONGEST_REASON] or type(caught).__name__
