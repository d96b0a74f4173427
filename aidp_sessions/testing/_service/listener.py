"""An HTTP server on loopback: counts the requests in flight, sends responses, breaks connections.

Independent of what is served.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from aiohttp import web

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from .faults import Cut
    from .responses import StubResponse

HOST: Final = "127.0.0.1"
_BACKLOG: Final = 4096
_SHUTDOWN_S: Final = 1.0
_MIN_COMPRESSED: Final = 1024
_MIN_COMPRESSED_IN_THREAD: Final = 1024 * 1024


class LoopbackServer:
    """Base of the local servers. Subclasses implement `_respond`."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, compress: bool = False) -> None:
        self._tls = tls
        self._compress = compress
        self._peak_in_flight = 0
        self._handlers: set[asyncio.Task[object]] = set()
        self._listening: tuple[socket.socket, web.ServerRunner] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    @property
    def in_flight(self) -> int:
        """The number of requests whose response has not been sent completely."""
        return len(self._handlers)

    @property
    def peak_in_flight(self) -> int:
        """The highest number of requests in flight at once."""
        return self._peak_in_flight

    @property
    def host(self) -> str:
        """The address that the server listens on."""
        return HOST

    @property
    def port(self) -> int:
        """The port that the server listens on; raises `RuntimeError` if it is not running."""
        if self._listening is None:
            raise RuntimeError("the server is not running; enter `async with` or await start()")
        port: int = self._listening[0].getsockname()[1]
        return port

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{'https' if self._tls else 'http'}://{HOST}:{self.port}"

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        if self._listening is not None:
            raise RuntimeError(f"the server is running already, at {self.origin}")
        # A client that hangs up must not count as in flight, hence the cancellation.
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        listener = socket.create_server((HOST, 0))
        await web.SockSite(runner, listener, backlog=_BACKLOG, ssl_context=self._tls).start()
        self._listening = listener, runner

    async def aclose(self) -> None:
        """Cancel the requests in flight, close every connection and stop listening; idempotent."""
        listening, self._listening = self._listening, None
        if listening is None:
            return
        listener, runner = listening
        # asyncio needs two loop iterations for a connection that it has accepted, and loses its socket if the server
        # is closed in between.
        with suppress(NotImplementedError):  # by the default loop on Windows
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

    async def _respond(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[StubResponse, Cut]:
        """Answer one request, given as received; the names of *headers* are in lower case."""
        raise NotImplementedError

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        handler = asyncio.current_task()
        assert handler is not None  # noqa: S101  # a coroutine always runs in a task
        self._handlers.add(handler)
        self._peak_in_flight = max(self._peak_in_flight, len(self._handlers))
        try:
            return await self._receive_and_send(request)
        finally:
            self._handlers.discard(handler)

    async def _receive_and_send(self, request: web.BaseRequest) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.content.read() if request.can_read_body else b""
        response, cut = await self._respond(request.method, request.raw_path, headers, body)
        if cut is not None:
            return send_truncated(request, response, cut)
        return await self._send(request, response)

    async def _send(self, request: web.BaseRequest, response: StubResponse) -> web.Response:
        """Send everything here, not in aiohttp's own loop: the request is in flight until its last byte is out."""
        sent = web.Response(
            status=response.status,
            body=response.body,
            headers=response.headers,
            zlib_executor_size=_MIN_COMPRESSED_IN_THREAD,
        )
        large = self._compress and len(response.body) > _MIN_COMPRESSED
        if large and "gzip" in request.headers.get("accept-encoding", ""):
            sent.enable_compression(web.ContentCoding.gzip)
        with suppress(ConnectionError):
            await sent.prepare(request)
            await sent.write_eof()
        return sent


def send_truncated(request: web.BaseRequest, response: StubResponse, cut: Cut) -> web.Response:
    """Send the part of *response* before the cut, close the connection, and return a response that is never sent."""
    head = response.head()
    transport = request.transport
    if transport is not None and cut == "before_headers":
        transport.abort()
    elif transport is not None:
        half_body = head + response.body[: len(response.body) // 2]
        transport.write(head[: len(head) // 2] if cut == "in_headers" else half_body)
        transport.close()
    return web.Response()
