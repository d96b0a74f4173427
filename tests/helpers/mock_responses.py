"""Makes `aioresponses` work with every aiohttp that we support; for tests of decoding only."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock, patch

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aioresponses import aioresponses

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

_MAX_BODY = 2**26
_WANTS_WRITER = "stream_writer" in inspect.signature(aiohttp.ClientResponse.__init__).parameters


class _Response(aiohttp.ClientResponse):
    """aiohttp 3.14 needs a writer that aioresponses 0.7.9 does not pass."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # passed on as they come
        if _WANTS_WRITER:
            kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)


def _reader(loop: asyncio.AbstractEventLoop) -> aiohttp.StreamReader:
    """Since aiohttp 3.14, a long body would pause its transport, and a mocked answer has none."""
    return aiohttp.StreamReader(ResponseHandler(loop=loop), limit=_MAX_BODY, loop=loop)


@contextmanager
def mocked_responses() -> Iterator[aioresponses]:
    """Answer every aiohttp request from the mock, without a socket."""
    with (
        patch("aioresponses.core.ClientResponse", _Response),
        patch("aioresponses.core.stream_reader_factory", _reader),
        aioresponses() as mock,
    ):
        yield mock
