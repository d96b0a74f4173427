"""Requests of signers to token and metadata services, over connections of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final

import aiohttp
import attrs
from yarl import URL

from .._operations.messages import RawResponse
from ..policies import Timeout
from .connector import ClientResponse
from .exceptions import mapping_exceptions
from .exchange import HEADERS, read_body

if TYPE_CHECKING:
    import ssl

MAX_ANSWER: Final = 1024 * 1024


@attrs.frozen(kw_only=True, eq=False, repr=False)
class FetchRequest:
    """One request of a signer.

    Attributes:
        url: percent-encoded, sent as it is.
        connect: seconds for name resolution, TCP and TLS together.
        read: the longest time in seconds without data while the response arrives.
        ssl: the context to verify the service with; ``True`` is the default one.
    """

    method: str
    url: str
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False)
    body: bytes = attrs.field(default=b"", repr=False)
    connect: float = 10.0
    read: float = 60.0
    ssl: ssl.SSLContext | bool = True


Fetch = Callable[[FetchRequest], Awaitable[RawResponse]]
"""Sends a request once, directly to its host, and reads the whole response; raises `TransportError`."""


async def fetch(request: FetchRequest) -> RawResponse:
    """Send *request* over a connection of its own, with neither proxy nor redirects; raises `TransportError`."""
    timeout = Timeout(connect=request.connect, read=request.read)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), response_class=ClientResponse) as session:
        requesting = session.request(
            request.method,
            URL(request.url, encoded=True),
            data=request.body or None,
            headers={**HEADERS, **request.headers},
            allow_redirects=False,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(
                total=None, connect=timeout.connect, sock_connect=timeout.connect, sock_read=timeout.read
            ),
            ssl=request.ssl,
        )
        async with await mapping_exceptions(requesting, timeout) as received:
            return await read_body(received, MAX_ANSWER, timeout)
