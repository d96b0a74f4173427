"""A load generator: the service's own capacity, found without signing, decoding or an HTTP library."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from .payload import path_of

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Connection(asyncio.Protocol):
    """Sends the next request as soon as the answer is complete. All answers must have the same size."""

    def __init__(self, requests: list[bytes], done: asyncio.Future[int]) -> None:
        self._requests = requests
        self._done = done
        self._missing = 0
        self._size = 0
        self._first = b""
        self._sessions = 0
        self._each = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def connection_lost(self, _: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(ConnectionError("the service closed the connection"))

    def _next(self) -> None:
        if self._requests:
            self._missing = self._size
            self._transport.write(self._requests.pop())
        else:
            self._done.set_result(self._sessions)
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self._size:
            self._missing -= len(data)
        else:
            self._learn(data)
        if self._size and self._missing == 0:
            self._sessions += self._each
            self._next()

    def _learn(self, data: bytes) -> None:
        self._first += data
        head, end, body = self._first.partition(b"\r\n\r\n")
        if end:
            assert head.startswith(b"HTTP/1.1 200 "), head
            length = int(head.rpartition(b"content-length: ")[2])
            if len(body) == length:
                self._size, self._each = len(self._first), body.count(b'"kernel"')


async def load(url: str, workspace_keys: Sequence[str], concurrency: int) -> int:
    """Ask for every key, *concurrency* requests at a time; gives the number of sessions, by the first answer's."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    head = f"GET %s HTTP/1.1\r\nhost: {parts.netloc}\r\n\r\n"
    requests = [(head % path_of(key)).encode() for key in workspace_keys]
    loop = asyncio.get_running_loop()
    ends: list[asyncio.Future[int]] = [loop.create_future() for _ in range(min(concurrency, len(requests)))]
    for end in ends:
        await loop.create_connection(partial(_Connection, requests, end), host, port)
    return sum(await asyncio.gather(*ends))
