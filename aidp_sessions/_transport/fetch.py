"""Requests of signers, over connections of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final

import aiohttp
import attrs
from yarl import URL

from .._operations.messages import Answer
from ..errors import AidpError
from ..policies import Timeout
from .connector import _Response
from .exceptions import _translate
from .exchange import _HEADERS, _read
from .timers import Deadlines, _Silence

if TYPE_CHECKING:
    import ssl


async def fetch(request: FetchRequest) -> Answer:
    """Send a signer's request over a connection of its own: no proxy, no redirects; raises `TransportError`."""
    timeout = Timeout(connect=request.connect, read=request.read)
    outcome: Answer | AidpError
    try:
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), response_class=_Response) as session,
            session.request(
                request.method,
                URL(request.url, encoded=True),
                data=request.body or None,
                headers={**_HEADERS, **request.headers},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=timeout.connect, sock_connect=timeout.connect, sock_read=timeout.read
                ),
                ssl=request.ssl,
            ) as response,
        ):
            outcome = await _read(response, MAX_ANSWER, None, _Silence(Deadlines(asyncio.get_running_loop()), None))
    except (aiohttp.ClientError, OSError) as caught:
        outcome = _translate(caught, timeout)
    if isinstance(outcome, AidpError):  # out here, where no aiohttp exception with our headers is attached
        raise outcome
    return outcome


MAX_ANSWER: Final = 1024 * 1024


@attrs.frozen(kw_only=True, eq=False, repr=False)
class FetchRequest:
    """One request of a signer.

    Attributes:
        url: percent-encoded, sent as it is.
        connect: seconds for name resolution, TCP and TLS together.
        read: seconds of silence while the answer arrives.
        ssl: the context to verify the service with; ``True`` is the default one.
    """

    method: str
    url: str
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False)
    body: bytes = attrs.field(default=b"", repr=False)
    connect: float = 10.0
    read: float = 60.0
    ssl: ssl.SSLContext | bool = True


Fetch = Callable[[FetchRequest], Awaitable[Answer]]
"""Sends a request once, straight to its host, and reads the answer whole; raises `TransportError`."""
