"""The HTTP server itself: listens on loopback, counts what is in flight, sends answers, breaks connections.

Knows nothing of workspaces and tokens.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping

    from .faults import Cut
    from .responses import Answer

HOST: Final = "127.0.0.1"
_BACKLOG: Final = 4096
_SHUTDOWN_S: Final = 1.0
_WORTH_COMPRESSING: Final = 1024
_COMPRESS_ELSEWHERE: Final = 1024 * 1024


class Listener:
    """Passes the requests that come to a free port of 127.0.0.1 to *handle*, and counts those that are in flight."""

    def __init__(
        self,
        handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        what: str,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.peak_in_flight = 0
        self._handle = handle
        self._what = what
        self._tls = tls
        self._handlers: set[asyncio.Task[object]] = set()
        self._listening: tuple[socket.socket, web.ServerRunner] | None = None

    @property
    def in_flight(self) -> int:
        return len(self._handlers)

    @property
    def port(self) -> int:
        if self._listening is None:
            raise RuntimeError(f"the {self._what} is not running; enter `async with` or await start()")
        port: int = self._listening[0].getsockname()[1]
        return port

    @property
    def origin(self) -> str:
        return f"{'https' if self._tls else 'http'}://{HOST}:{self.port}"

    async def start(self) -> None:
        if self._listening is not None:
            raise RuntimeError(f"the {self._what} is running already, at {self.origin}")
        # Whoever hangs up must not count as in flight any longer, hence the cancellation.
        server = web.Server(self._count, handler_cancellation=True, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        listener = socket.create_server((HOST, 0))
        await web.SockSite(runner, listener, backlog=_BACKLOG, ssl_context=self._tls).start()
        self._listening = listener, runner

    async def aclose(self) -> None:
        """Stop listening, cancel what is in flight and close every connection; idempotent."""
        listening, self._listening = self._listening, None
        if listening is None:
            return
        listener, runner = listening
        # asyncio takes two turns over a connection that it has accepted, and loses its socket if the server is closed
        # meanwhile.
        with suppress(NotImplementedError):  # by the loop that is the default on Windows
            asyncio.get_running_loop().remove_reader(listener)
        try:
            for _ in range(2):
                await asyncio.sleep(0)
        finally:
            for site in tuple(runner.sites):
                await site.stop()
            for handler in self._handlers:
                handler.cancel()
            await runner.cleanup()

    async def _count(self, request: web.BaseRequest) -> web.StreamResponse:
        handler = asyncio.current_task()
        assert handler is not None  # noqa: S101  # a coroutine always runs in a task
        self._handlers.add(handler)
        self.peak_in_flight = max(self.peak_in_flight, len(self._handlers))
        try:
            return await self._handle(request)
        finally:
            self._handlers.discard(handler)


class LoopbackServer(Listener):
    """Passes each request to *respond*: method, target, headers (names in lower case) and body, all as received."""

    def __init__(
        self, respond: Callable[[str, str, Mapping[str, str], bytes], Awaitable[tuple[Answer, Cut]]], *, compress: bool
    ) -> None:
        super().__init__(self._answer, what="service")
        self._respond = respond
        self._compress = compress

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.content.read() if request.can_read_body else b""
        answer, cut = await self._respond(request.method, request.raw_path, headers, body)
        if cut is not None:
            return broken_off(request, answer, cut)
        return await self._sent(request, answer)

    async def _sent(self, request: web.BaseRequest, answer: Answer) -> web.Response:
        """Send to the last byte here: until then, the request is in flight."""
        response = web.Response(
            status=answer.status, body=answer.body, headers=answer.headers, zlib_executor_size=_COMPRESS_ELSEWHERE
        )
        worth_it = self._compress and len(answer.body) > _WORTH_COMPRESSING
        if worth_it and "gzip" in request.headers.get("accept-encoding", ""):
            response.enable_compression(web.ContentCoding.gzip)
        with suppress(ConnectionError):
            await response.prepare(request)
            await response.write_eof()
        return response


def broken_off(request: web.BaseRequest, answer: Answer, cut: Cut) -> web.Response:
    """Send what comes before the cut, close the connection, and return a response that goes nowhere."""
    head = answer.head()
    transport = request.transport
    if transport is not None and cut == "before_headers":
        transport.abort()
    elif transport is not None:
        amid_body = head + answer.body[: len(answer.body) // 2]
        transport.write(head[: len(head) // 2] if cut == "in_headers" else amid_body)
        transport.close()
    return web.Response()
