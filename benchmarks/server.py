"""A service on loopback that is never the bottleneck: it sends prepared answers on uvloop, and verifies nothing.

A workspace key says how its workspace behaves: ``<sessions>s<latency>ms<number>``, such as ``20s50ms7``; after a
``t``, the first two requests for it are throttled.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING, Final, cast
from urllib.request import urlopen

import uvloop

from .payload import keys, path_of, sessions_body

if TYPE_CHECKING:
    from collections.abc import Iterator

RETRY_AFTER: Final = 1
THROTTLED_TIMES: Final = 2

_KEY: Final = re.compile(rb"/workspaces/(t?)(\d+)s(\d+)ms([^/]*)/")
_END: Final = b"\r\n\r\n"


@cache
def _answer(sessions: int) -> bytes:
    return _response(b"200 OK", b"etag: 1\r\n", sessions_body(sessions))


def _response(status: bytes, headers: bytes, body: bytes) -> bytes:
    return (
        b"HTTP/1.1 %b\r\ncontent-type: application/json\r\nopc-request-id: R\r\n"
        b"date: Mon, 23 Nov 2026 01:12:43 GMT\r\n%bcontent-length: %d\r\n\r\n%b" % (status, headers, len(body), body)
    )


_THROTTLED: Final = _response(
    b"429 Too Many Requests",
    b"retry-after: %d\r\n" % RETRY_AFTER,
    b'{"code": "TooManyRequests", "message": "slow down"}',
)


class _Connection(asyncio.Protocol):
    def __init__(self, times_throttled: dict[bytes, int]) -> None:
        self._times_throttled = times_throttled
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while _END in self._received:
            head, _, self._received = self._received.partition(_END)
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        key = _KEY.search(head)
        if key is None:
            self._transport.abort()
            return
        throttled, sessions, latency, number = key.groups()
        answer = _answer(int(sessions))
        if throttled:
            times = self._times_throttled[number] = self._times_throttled.get(number, 0) + 1
            answer = _THROTTLED if times <= THROTTLED_TIMES else answer
        if latency == b"0":
            self._transport.write(answer)
        else:
            asyncio.get_running_loop().call_later(int(latency) / 1000, self._transport.write, answer)


async def _serve() -> None:
    times_throttled: dict[bytes, int] = {}
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(times_throttled), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


def prepare(url: str, sessions: int) -> None:
    """Make the service build the answer of a workspace with so many sessions before it is measured."""
    with urlopen(url + path_of(keys(1, sessions=sessions)[0])) as response:  # noqa: S310  # our own service
        while response.read(1 << 20):
            pass


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Run the service in a child process until the end of the block; yield its URL."""
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  # our own program
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_serve())
