"""aiohttp's connector and response, changed in two places."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

import aiohttp
from aiohttp import AddrInfoType

from .exceptions import _reason
from .timers import _silence

if TYPE_CHECKING:
    import asyncio

    from aiohttp.connector import Connection

_MOST_STALE: Final = 100
_MOST_REMEMBERED: Final = 1000
_TRIED_AGAIN: Final = aiohttp.ClientOSError, aiohttp.ServerDisconnectedError  # by aiohttp, if it sees them


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


class _Response(aiohttp.ClientResponse):
    """Is given up when its connection breaks; left alone, aiohttp asks again, unseen, with the old date and id."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        try:
            return await super().start(connection)
        except _TRIED_AGAIN as broken:
            raise aiohttp.ClientConnectionError(_reason(broken)) from None
