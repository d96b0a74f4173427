"""Decompresses bodies piece by piece, so that a small body cannot become a large block of memory at once.

aiohttp's own decompression refuses what other tools read: ``x-gzip`` (RFC 9110, 8.4.1.3), and gzip that is followed by
padding.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from ..errors import ConnectionFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zlib import _Decompress  # pyright: ignore[reportPrivateUsage]  # has no public name

ACCEPTED: Final = "gzip, deflate"

_PIECE: Final = 64 * 1024
_GZIP: Final = 16 + zlib.MAX_WBITS
_MAGIC: Final = b"\x1f\x8b"


def inflater_for(content_encoding: str) -> Inflater | None:
    """Decompresses a body with that content encoding; ``None`` for one that was not offered: it is left as it is."""
    name = content_encoding.strip().lower()
    return Inflater(name) if name in ("gzip", "x-gzip", "deflate") else None


class Inflater:
    """Decompresses one body with the content encoding *name*."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stream: _Decompress | None = None
        self._tail = b""
        self._has_ended = False
        self._is_padding = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the decompressed pieces of *chunk*; raises `ConnectionFailedError` if it is damaged."""
        data, self._tail = self._tail + chunk, b""
        while data and (stream := self._stream or self._start(data)):
            try:
                piece = stream.decompress(data, _PIECE)
            except zlib.error:
                raise ConnectionFailedError(f"the body is damaged: it is not {self._name}") from None
            data = stream.unconsumed_tail
            if stream.eof:
                data, self._stream, self._has_ended = stream.unused_data, None, True
            if piece:
                yield piece

    def close(self) -> None:
        """The body has ended; raises `ConnectionFailedError` if its compressed data has not."""
        if self._stream is not None:
            raise ConnectionFailedError(f"the body broke off in the middle of its {self._name} data")

    def _start(self, data: bytes) -> _Decompress | None:
        """Start a stream; ``None`` if *data* is padding behind the last one, or too short to tell."""
        if self._has_ended and (self._is_padding or self._name == "deflate" or not _MAGIC.startswith(data[:2])):
            self._is_padding = True
            return None
        if self._has_ended and len(data) == 1:
            self._tail = data
            return None
        is_raw = data[0] & 0x0F != 8  # some servers send RFC 1951 data instead of RFC 1950, which has an 8 there
        deflate = -zlib.MAX_WBITS if is_raw else zlib.MAX_WBITS
        self._stream = zlib.decompressobj(deflate if self._name == "deflate" else _GZIP)
        return self._stream
