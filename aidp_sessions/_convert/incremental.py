"""A session collection that arrives in pieces, decoded as it does: bytes in, sessions out, no I/O.

Each piece goes through the same decoder as a whole body does, so both have the same results and the same errors, but
for a body that has ``items`` twice, of which JSON promises nothing (RFC 8259, section 4). Only a body that begins with
the array of items, as the service's do, is decoded early; any other is decoded at its end.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ..errors import ResponseDecodeError
from .codec import decode_json, envelope
from .fast import decode_sessions
from .strict import structure_sessions

if TYPE_CHECKING:
    from ..models import SessionSummary

PIECE: Final = 64 * 1024
"""Bytes to decode at once: about half a millisecond."""

_BEGINNING: Final = rb'\s*(?:\{\s*"items"\s*:\s*)?\[\s*(?=\{)'
_ENOUGH: Final = PIECE // 2  # before looking for complete sessions; chunks are as the network cuts them
_GUESSES: Final = 16


class SessionParser:
    """``feed`` chunks as they come, then ``close``; each returns the sessions that have become complete."""

    def __init__(self, workspace_key: str) -> None:
        self._workspace_key = workspace_key
        self._head: bytes | None = None
        self._buffer = bytearray()
        self._enough = _ENOUGH
        self._count = 0

    def feed(self, chunk: bytes) -> tuple[SessionSummary, ...]:
        self._buffer += chunk
        if len(self._buffer) < self._enough:
            return ()
        if self._head is None:
            self._read_head()
        sessions, rest = self._complete_sessions() if self._head else (None, 0)
        if sessions is None:  # one huge session, or a shape of body that can only be decoded whole
            self._enough = 2 * len(self._buffer)
            return ()
        del self._buffer[:rest]
        self._enough = _ENOUGH
        return sessions

    def close(self) -> tuple[tuple[SessionSummary, ...], dict[str, object]]:
        """Decode the rest, with the unknown fields beside the items; raises `ResponseDecodeError` if it is no end."""
        body = (self._head or b"") + bytes(self._buffer)
        decoded = decode_sessions(body, self._workspace_key)
        if decoded is None:
            items, path, extra = envelope(decode_json(body), bare_array=True)
            decoded = structure_sessions(items, path, self._workspace_key, first=self._count), extra
        if self._count and not decoded[0]:
            raise ResponseDecodeError("the array of items ends with a comma", self._path)
        return decoded

    def _read_head(self) -> None:
        beginning = re.match(_BEGINNING, self._buffer)
        self._head = beginning[0] if beginning else b""
        del self._buffer[: len(self._head)]

    def _complete_sessions(self) -> tuple[tuple[SessionSummary, ...] | None, int]:
        """The sessions up to a comma between two of them, and where the next begins.

        A comma after a brace is a guess. It is right exactly if what precedes it decodes as an array of items, for no
        prefix that ends within a string or a nested value does.
        """
        end = len(self._buffer)
        for _ in range(_GUESSES):
            end = self._buffer.rfind(b"},", 0, end)
            if end < 0:
                break
            sessions = self._decoded(b"[%b]" % bytes(self._buffer[: end + 1]))
            if sessions is not None:
                return sessions, end + 2
        return None, 0

    def _decoded(self, array: bytes) -> tuple[SessionSummary, ...] | None:
        """The sessions of *array*, ``None`` if it is no JSON; raises if they are not as they should be."""
        decoded = decode_sessions(array, self._workspace_key)
        if decoded is not None:
            sessions = decoded[0]
        else:
            try:
                items, _, _ = envelope(decode_json(array), bare_array=True)
            except ResponseDecodeError:
                return None
            sessions = structure_sessions(items, self._path, self._workspace_key, first=self._count)
        self._count += len(sessions)
        return sessions

    @property
    def _path(self) -> str:
        """Where the items are in a body that is decoded early."""
        return "$.items" if b"{" in (self._head or b"") else "$"
