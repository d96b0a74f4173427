"""The connections of a client, and what belongs to their event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Final

import aiohttp

from ..auth.signing import Renewing, Signer
from .connector import _Connector, _Response
from .pacer import Pacer
from .timers import Deadlines

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ..policies import Timeout

_LARGE_BLOCK: Final = 512 * 1024
_LAST_TURNS: Final = 5  # in which aborted transports close their sockets, should the loop end with us


class Pool:
    """The connections: one `aiohttp.ClientSession`, made on first use or brought by the caller, who then keeps it."""

    def __init__(self, http_session: aiohttp.ClientSession | None) -> None:
        self._given = http_session
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lifetime: AsyncGenerator[None] | None = None
        self._process = 0
        self._signers: dict[int, Signer] = {}
        self.pacer = Pacer()
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
        # No limit of its own: our limiter bounds the requests, so none waits inside aiohttp with its clock running.
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
