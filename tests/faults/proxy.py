"""A proxy that forwards requests and breaks the answers; a plan decides which and how."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

import attrs

if TYPE_CHECKING:
    from types import TracebackType

_GONE: Final = (asyncio.IncompleteReadError, ConnectionError)
_NO_LINGER: Final = struct.pack("ii", 1, 0)
_SETTLE_S: Final = 0.005


@attrs.define
class Wire:
    """The service's answer, and the connection to the client that waits for it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: bytes
    body: bytes

    @property
    def answer(self) -> bytes:
        return self.head + self.body

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def drip(self, data: bytes, size: int) -> None:
        for start in range(0, len(data), size):
            await self.send(data[start : start + size])
            await asyncio.sleep(0)

    async def reset(self) -> None:
        """Break the connection with a TCP reset, after the client has had time to read what was sent."""
        await asyncio.sleep(_SETTLE_S)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()

    async def half_close(self) -> None:
        """Close the sending side, and read until the client closes."""
        self.writer.write_eof()
        await self.stall()

    async def stall(self) -> None:
        """Send nothing, and read until the client closes."""
        while await self.reader.read(65_536):
            pass


Play = Callable[[Wire], Awaitable[None]]


@attrs.frozen
class Fault:
    """A fault: *play* sends something in place of the answer.

    Attributes:
        greets: play it when a connection is made, before any request.
        keeps: the connection is usable afterwards.
    """

    name: str
    play: Play = attrs.field(repr=False)
    greets: bool = False
    keeps: bool = False


class FaultProxy:
    """Listens on loopback; *plan* gets the head of each request, and returns a fault or None."""

    def __init__(self, port: int, plan: Callable[[bytes], Fault | None]) -> None:
        self.requests = 0
        self.faults = 0
        self.port = 0
        self._upstream = port
        self._plan = plan
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._tasks)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse new connections, and break the open ones."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._server is not None:
            await self._server.wait_closed()
        self._server = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        try:
            if await self._greeted(reader, writer):
                return
            upstream = await asyncio.open_connection("127.0.0.1", self._upstream)
            keeps = True
            while keeps:
                request = await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                upstream[1].write(request)
                wire = Wire(reader, writer, *await _read_answer(upstream[0]))
                keeps = await self._answer(wire, self._plan(request))
        except _GONE:
            pass
        finally:
            ends = [writer] if upstream is None else [writer, upstream[1]]
            for end in ends:
                end.close()
            for end in ends:
                with suppress(ConnectionError):
                    await end.wait_closed()

    async def _greeted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        fault = self._plan(b"")
        if fault is None:
            return False
        self.faults += 1
        await fault.play(Wire(reader, writer, b"", b""))
        return True

    async def _answer(self, wire: Wire, fault: Fault | None) -> bool:
        if fault is None:
            await wire.send(wire.answer)
            return True
        self.faults += 1
        await fault.play(wire)
        return fault.keeps


async def _read_answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The service answers with a Content-Length, or without a body."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
    status = int(head[9:12])
    return head, b"" if status in (204, 304) else await reader.readexactly(length)
