"""Decodes a session collection while it arrives.

Each piece goes through the same decoder as a whole body, so both give the same results and the same errors. The
exception is a body that has ``items`` twice, for which JSON defines no meaning (RFC 8259, section 4). Only a body that
begins with the array of items, as the service's do, is decoded early; any other is decoded at its end.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ..errors import ResponseDecodeError
from .codec import decode_collection, is_json

if TYPE_CHECKING:
    from ..models import SessionSummary

PIECE: Final = 64 * 1024
"""Bytes to decode at once: about half a millisecond."""

_ITEMS_START: Final = rb'\s*(?:\{\s*"items"\s*:\s*)?\[\s*(?=\{)'
_MIN_BUFFERED: Final = PIECE // 2  # chunks can be small; looking for complete sessions in each would take longer
_MAX_CANDIDATES: Final = 16


class IncrementalDecoder:
    """Call ``feed`` for each chunk, then ``close``; each returns the sessions that have become complete."""

    def __init__(self, workspace_key: str) -> None:
        self._workspace_key = workspace_key
        self._head: bytes | None = None
        self._buffer = bytearray()
        self._min_buffered = _MIN_BUFFERED
        self._count = 0

    def feed(self, chunk: bytes) -> tuple[SessionSummary, ...]:
        self._buffer += chunk
        if len(self._buffer) < self._min_buffered:
            return ()
        if self._head is None:
            self._read_head()
        sessions, rest = self._complete_sessions() if self._head else (None, 0)
        if sessions is None:  # one huge session, or a shape of body that can only be decoded whole
            self._min_buffered = 2 * len(self._buffer)
            return ()
        del self._buffer[:rest]
        self._min_buffered = _MIN_BUFFERED
        return sessions

    def close(self) -> tuple[tuple[SessionSummary, ...], dict[str, object]]:
        """Decode the rest, and the unknown fields beside the items."""
        body = (self._head or b"") + bytes(self._buffer)
        sessions, extra = decode_collection(body, self._workspace_key, first=self._count)
        if self._count and not sessions:
            raise ResponseDecodeError("the array of items ends with a comma", self._path)
        return sessions, extra

    def _read_head(self) -> None:
        beginning = re.match(_ITEMS_START, self._buffer)
        self._head = beginning[0] if beginning else b""
        del self._buffer[: len(self._head)]

    def _complete_sessions(self) -> tuple[tuple[SessionSummary, ...] | None, int]:
        """The sessions up to a comma between two of them, and where the next begins.

        A comma after a brace is a candidate. It is the right one exactly if the bytes before it decode as an array of
        items, because no prefix that ends inside a string or a nested value does.
        """
        end = len(self._buffer)
        for _ in range(_MAX_CANDIDATES):
            end = self._buffer.rfind(b"},", 0, end)
            if end < 0:
                break
            sessions = self._decoded(b"[%b]" % bytes(self._buffer[: end + 1]))
            if sessions is not None:
                return sessions, end + 2
        return None, 0

    def _decoded(self, array: bytes) -> tuple[SessionSummary, ...] | None:
        """The sessions of *array*, or ``None`` if it is not JSON."""
        try:
            sessions, _ = decode_collection(array, self._workspace_key, path=self._path, first=self._count)
        except ResponseDecodeError:
            if not is_json(array):
                return None
            raise
        self._count += len(sessions)
        return sessions

    @property
    def _path(self) -> str:
        """The JSON path of the array of items."""
        return "$.items" if b"{" in (self._head or b"") else "$"
