"""The connections of a client, and what belongs to their event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import weakref
from typing import TYPE_CHECKING, Final

import aiohttp

from ..errors import ClientClosedError, ConnectionFailedError
from .connector import ClientResponse, Connector
from .deadlines import Deadlines
from .pacer import Pacer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ..auth.signing import SharedSigner
    from ..policies import Timeout

_CLOSING_ITERATIONS: Final = 5  # in which aborted transports close their sockets, should the loop end with us


class Pool:
    """One `aiohttp.ClientSession`: made on first use and closed by `aclose`, or the caller's own, which stays open.

    Attributes:
        deadlines: of the calls under way; `aclose` lets them expire.
    """

    def __init__(self, http_session: aiohttp.ClientSession | None) -> None:
        self._given = http_session
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lifetime: AsyncGenerator[None] | None = None
        self._process = 0
        self._signers = weakref.WeakSet["SharedSigner"]()
        self.pacer = Pacer()
        self.deadlines = Deadlines()
        self.closed = False

    def bind_to_loop(self) -> asyncio.AbstractEventLoop:
        """Belong to the running loop, and return it.

        Raises `ClientClosedError` after `aclose`, and `RuntimeError` on a second loop while the first is still open,
        and in a process that was forked since then: its parent still uses the same sockets.
        """
        self._check_open()
        loop = asyncio.get_running_loop()
        if self._was_forked():
            raise RuntimeError("this SessionsClient was in use when the process forked; create one client per process")
        if self._loop is not loop:
            if self._loop is not None and not self._loop.is_closed():
                raise RuntimeError("this SessionsClient is in use on another event loop; create one client per loop")
            self._loop, self._session, self._process = loop, self._given, os.getpid()
            self.deadlines.clear()
        return loop

    def session(self, signer: SharedSigner | None) -> aiohttp.ClientSession:
        """The session of the loop; *signer* may work in the background until the last pool that knows it is closed.

        The pool does not keep it alive: copies of a client may have come and gone, each with a signer of its own.

        No await here, so first calls cannot race. Raises `ClientClosedError` after `aclose`, and
        `ConnectionFailedError` if the caller has closed their own session.
        """
        self._check_open()
        if signer is not None and signer not in self._signers:
            self._signers.add(signer)
            signer.retain()
        if self._session is None:
            self._session = self._open()
        if self._session.closed:
            error = ConnectionFailedError("the http_session that the client was given is closed")
            error.permanent = True
            raise error
        return self._session

    def _check_open(self) -> None:
        if self.closed:
            raise ClientClosedError("this SessionsClient is closed; create a new one")

    def _was_forked(self) -> bool:
        return self._loop is not None and self._process != os.getpid() and not self._loop.is_closed()

    def client_timeout(self, timeout: Timeout) -> aiohttp.ClientTimeout:
        """*timeout* for one attempt. Time spent in the queue of the caller's own session does not count."""
        connect = timeout.connect if self._given is None else None
        return aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=timeout.connect, sock_read=timeout.read)

    def _open(self) -> aiohttp.ClientSession:
        # No limit of its own: the limiter bounds the requests, so none waits inside aiohttp with its timeout running.
        connector = Connector(limit=0)
        session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), response_class=ClientResponse
        )
        self._lifetime = _close_with_loop(session, connector)
        with contextlib.suppress(StopIteration):  # runs it to its first yield, which hands it to the loop
            self._lifetime.__anext__().__await__().__next__()
        return session

    async def aclose(self) -> None:
        self.closed = True
        if self._was_forked():  # closing a socket here would take it out of the parent's selector, which is shared
            return
        self.deadlines.expire_all()
        signers = tuple(self._signers)
        self._signers.clear()
        for signer in signers:
            await signer.release()
        lifetime, self._lifetime = self._lifetime, None
        if lifetime is not None:
            await lifetime.aclose()


async def _close_with_loop(session: aiohttp.ClientSession, connector: Connector) -> AsyncGenerator[None]:
    """Holds *session* open; `asyncio.run` closes suspended generators, hence the session, before it closes its loop."""
    try:
        yield
    finally:
        await session.close()
        connector.abort_all()
        for _ in range(_CLOSING_ITERATIONS):
            await asyncio.sleep(0)
