"""A server of raw bytes on loopback: records each request exactly, and answers with given bytes."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Self

import attrs

from aidp_sessions import Clock, SessionsClient, Timeout
from aidp_sessions.testing._service import identity as _identity

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

PLATFORM: Final = "ocid1.aidataplatform.oc1.iad.amaaaaaarawserverfortestsandnothingelse3f7q2w"
PREFIX: Final = f"/20260430/aiDataPlatforms/{PLATFORM}/workspaces"
PATIENCE: Final = Timeout(connect=5.0, read=5.0, total=300.0)

Step = Callable[[asyncio.Transport], None]


@attrs.frozen
class Received:
    """One request as received; *connection* counts the server's connections from zero."""

    head: bytes
    connection: int

    @property
    def line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode("ascii")

    @property
    def target(self) -> str:
        return self.line.removeprefix("GET ").removesuffix(" HTTP/1.1")

    @property
    def headers(self) -> list[tuple[str, str]]:
        pairs = (line.split(": ", 1) for line in self.head.decode("ascii").split("\r\n")[1:])
        return [(name.lower(), value) for name, value in pairs]

    def header(self, name: str) -> str:
        (value,) = (value for known, value in self.headers if known == name)
        return value

    @property
    def is_signed(self) -> bool:
        """Whether the signature is valid for the request line and the headers as received."""
        return self.is_signed_for(self.target)

    def is_signed_for(self, target: str) -> bool:
        """Whether the signature is valid for *target* (a proxy gets it with a host) and the headers as received."""
        given = dict(re.findall(r'(\w+)="([^"]*)"', self.header("authorization")))
        names = given["headers"].split()
        lines = [f"{name}: {f'get {target}' if name[0] == '(' else self.header(name)}" for name in names]
        covered = sorted(names) == ["(request-target)", "date", "host"] and given["keyId"] == _identity.key_id()
        key = _identity.private_key()
        return covered and key.verifies(b64decode(given["signature"]), "\n".join(lines).encode("ascii"))


class RawServer:
    """Answers the n-th request with the n-th of *steps*, and all later ones with the last."""

    def __init__(self, *steps: Step | bytes, tls: ssl.SSLContext | None = None) -> None:
        self.received: list[Received] = []
        self.connections = 0
        self.open: set[asyncio.Transport] = set()
        self._steps: list[Step] = [send(step) if isinstance(step, bytes) else step for step in steps]
        self._tls = tls
        self.port = 0
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self), "127.0.0.1", 0, ssl=self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for transport in tuple(self.open):
            transport.abort()
        await eventually(lambda: not self.open)
        await self._server.wait_closed()

    def client(self, **options: Any) -> SessionsClient:
        """A client of this server, with long timeouts unless *options* change them."""
        given: dict[str, Any] = {"endpoint": self.url, "timeout": PATIENCE, **options}
        return SessionsClient(PLATFORM, signer=_identity.signer(), **given)

    def take(self, head: bytes, connection: int, transport: asyncio.Transport) -> None:
        self.received.append(Received(head, connection))
        self._steps[min(len(self.received), len(self._steps)) - 1](transport)


class _Connection(asyncio.Protocol):
    def __init__(self, server: RawServer) -> None:
        self._server = server
        self._number = server.connections
        self._unread = b""
        server.connections += 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.open.add(transport)

    def data_received(self, data: bytes) -> None:
        head, end, self._unread = (self._unread + data).partition(b"\r\n\r\n")
        if end:
            self._server.take(head, self._number, self._transport)
        else:
            self._unread = head

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.open.discard(self._transport)


def answer(body: bytes = b'{"items": []}', status: int = 200, **headers: str) -> bytes:
    """A complete answer; header names have underscores, and a Content-Length is added."""
    given: Mapping[str, str] = {"content_type": "application/json", "content_length": str(len(body)), **headers}
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name.replace('_', '-')}: {given[name]}" for name in given)]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body


def send(data: bytes) -> Step:
    """Send, and keep the connection; ``send(b"")`` sends nothing."""
    return lambda transport: transport.write(data) if data else None


def close(data: bytes = b"") -> Step:
    """Send, then close the connection."""

    def step(transport: asyncio.Transport) -> None:
        transport.write(data)
        transport.close()

    return step


def reset(data: bytes = b"") -> Step:
    """Send, wait until it is sent, and break the connection with a TCP reset."""

    def step(transport: asyncio.Transport) -> None:
        transport.write(data)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        asyncio.get_running_loop().call_later(0.01, transport.abort)

    return step


def drip(data: bytes, *, size: int = 1, every: float = 0.0, end: bool = False) -> Step:
    """Send *size* bytes per iteration of the loop or *every* so many seconds; then *end* or keep the connection."""

    def step(transport: asyncio.Transport, start: int = 0) -> None:
        if start < len(data) and not transport.is_closing():
            transport.write(data[start : start + size])
            asyncio.get_running_loop().call_later(every, step, transport, start + size)
        elif end:
            transport.close()

    return step


async def eventually(condition: Callable[[], bool]) -> None:
    """Let the loop run until *condition* is true; fails after ten seconds."""
    async with asyncio.timeout(10.0):
        while not condition():
            await asyncio.sleep(0)


@attrs.define
class Times:
    """A clock that changes only by sleeping; *sleeps* are all pauses in seconds."""

    now: float = 1_790_000_000.0
    sleeps: list[float] = attrs.field(factory=list)

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    @property
    def clock(self) -> Clock:
        """For a client; every random number is a half."""
        return Clock(time=lambda: self.now, sleep=self.sleep, random=lambda: 0.5)
