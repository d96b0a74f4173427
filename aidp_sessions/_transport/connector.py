"""aiohttp's connector and response, changed where they would hide a failure."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

import aiohttp

from .exceptions import describe

if TYPE_CHECKING:
    from aiohttp import AddrInfoType
    from aiohttp.connector import Connection

_MAX_STALE: Final = 100
_RETRIED_BY_AIOHTTP: Final = aiohttp.ClientOSError, aiohttp.ServerDisconnectedError


class Connector(aiohttp.TCPConnector):
    """Discards pooled connections that received data while idle: it would be taken for the next response."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401  # aiohttp's
        super().__init__(socket_factory=self._open_socket, **options)  # pyright: ignore[reportUnknownMemberType]
        self._sockets = WeakSet[socket.socket]()

    def _open_socket(self, address: AddrInfoType) -> socket.socket:  # pyright: ignore[reportUnknownParameterType]
        opened = socket.socket(*address[:3])
        self._sockets.add(opened)
        return opened

    def abort_all(self) -> None:
        """Shut the sockets down that are still open; their transports close when they find that out.

        aiohttp does not know the connection of a request that was cancelled just before it was established, and leaves
        one that was broken off under TLS waiting for the service's closing message.
        """
        for opened in self._sockets:
            with contextlib.suppress(OSError):  # closed already, or never connected
                opened.shutdown(socket.SHUT_RDWR)

    async def connect(self, *args: Any, **options: Any) -> Connection:  # noqa: ANN401  # aiohttp's types, which vary
        for _ in range(_MAX_STALE):
            try:
                connection = await super().connect(*args, **options)
            except aiohttp.ClientConnectorError:
                raise
            except _RETRIED_BY_AIOHTTP as broken:  # a proxy hung up
                raise aiohttp.ClientConnectionError(describe(broken)) from None
            protocol = connection.protocol
            if protocol is not None and not protocol.should_close:
                return connection
            connection.close()
        raise aiohttp.ClientConnectionError("the service sent data before it was asked")


class ClientResponse(aiohttp.ClientResponse):
    """Raises when the connection breaks. aiohttp would resend silently, with a stale date and request id."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        try:
            return await super().start(connection)
        except _RETRIED_BY_AIOHTTP as broken:
            raise aiohttp.ClientConnectionError(describe(broken)) from None
