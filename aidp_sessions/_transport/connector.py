"""aiohttp's connector and response, changed where they would hide a failure."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

import aiohttp

from .exceptions import describe

if TYPE_CHECKING:
    import asyncio

    from aiohttp import AddrInfoType
    from aiohttp.connector import Connection

_MAX_STALE: Final = 100
_MAX_REMEMBERED: Final = 1000
_RETRIED_BY_AIOHTTP: Final = aiohttp.ClientOSError, aiohttp.ServerDisconnectedError


class Connector(aiohttp.TCPConnector):
    """Discards pooled connections that received data while idle: it would be taken for the next response."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401  # aiohttp's
        super().__init__(socket_factory=self._open_socket, **options)  # pyright: ignore[reportUnknownMemberType]
        self._used: set[asyncio.Transport] = set()
        self._sockets = WeakSet[socket.socket]()

    def _open_socket(self, address: AddrInfoType) -> socket.socket:  # pyright: ignore[reportUnknownParameterType]
        opened = socket.socket(*address[:3])
        self._sockets.add(opened)
        return opened

    def abort_all(self) -> None:
        """End the connections that were broken off under TLS and still wait for the service's closing message.

        A request that is cancelled just before its connection is established leaves a connection of which only the
        socket is known; its transport closes itself when it finds the socket shut down.
        """
        for transport in self._used:
            transport.abort()
        self._used.clear()
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
            if connection.transport is not None:
                if len(self._used) > _MAX_REMEMBERED:
                    self._used = {transport for transport in self._used if not transport.is_closing()}
                self._used.add(connection.transport)
            if connection.protocol is not None and not connection.protocol.should_close:
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
