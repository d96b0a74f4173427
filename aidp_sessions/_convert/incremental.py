"""Decodes a session collection while it arrives, in flat memory.

Each piece goes through the same decoder as a whole body, so both give the same results and the same errors, with two
exceptions. A second array ``items`` is refused once sessions of the first one have been returned: JSON does not define
its meaning (RFC 8259, section 4). And a body is refused if a single session, or the fields before or after the items,
take more than `MAX_BUFFERED` bytes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ..errors import ResponseDecodeError
from .codec import decode_collection, decode_json, decode_usual_sessions
from .limits import check_density
from .scanning import complete_items, items_start, repeats_items

if TYPE_CHECKING:
    from ..models import SessionSummary, WorkspaceRef

PIECE: Final = 64 * 1024
"""Bytes to decode at once: about half a millisecond."""

MAX_BUFFERED: Final = 4 * 1024 * 1024
_MIN_BUFFERED: Final = PIECE // 2  # chunks can be small; looking for complete sessions in each would take longer
_BEFORE_COMMA: Final = re.compile(rb"\}\s*(?=,\s*\Z)")
_MAX_TRIES: Final = 8


class IncrementalDecoder:
    """Call ``feed`` for each chunk, then ``close``; each returns the sessions that have become complete."""

    def __init__(self, workspace: WorkspaceRef) -> None:
        self._workspace = workspace
        self._head = b""
        self._buffer = bytearray()
        self._min_buffered = _MIN_BUFFERED
        self._count = 0

    def feed(self, chunk: bytes) -> tuple[SessionSummary, ...]:
        self._buffer += chunk
        if len(self._buffer) < self._min_buffered:
            return ()
        sessions = self._complete_sessions() if self._head or self._read_head() else ()
        self._count += len(sessions)
        self._min_buffered = _MIN_BUFFERED
        if not sessions:
            self._await_more()
        return sessions

    def close(self) -> tuple[tuple[SessionSummary, ...], dict[str, object]]:
        """Decode the rest, and the unknown fields beside the items."""
        rest = bytes(self._buffer)
        sessions, extra = decode_collection(self._head + rest, self._workspace, first=self._count)
        if self._count and not sessions:
            raise ResponseDecodeError("the array of items ends with a comma", self._path)
        if self._count and repeats_items(rest.decode("latin-1")):
            raise ResponseDecodeError("there is a second array of this name", self._path)
        return sessions, extra

    def _read_head(self) -> bool:
        """Move what precedes the first item from the buffer to the head, once it is complete."""
        text = self._buffer.decode("latin-1")
        end = items_start(text)
        if end is None:
            if text.lstrip(" \t\n\r")[:1] not in ("", "{", "["):
                decode_json(bytes(self._buffer))  # explains what is wrong
            return False
        self._head = bytes(self._buffer[:end])
        del self._buffer[:end]
        return True

    def _complete_sessions(self) -> tuple[SessionSummary, ...]:
        """Take the sessions up to the last comma between two of them from the buffer.

        A comma between two braces may also stand in a string or a nested value, but then the bytes before it do not
        decode as an array of items.
        """
        comma = self._last_comma()
        sessions = decode_usual_sessions(self._array(comma), self._workspace) if comma else None
        if sessions is None:
            comma, _ = complete_items(self._buffer.decode("latin-1"))
            if not comma:
                return ()
            array = self._array(comma)
            sessions, _ = decode_collection(array, self._workspace, path=self._path, first=self._count)
        del self._buffer[: comma + 1]
        return sessions

    def _last_comma(self) -> int:
        """The place of a comma between two braces, looked for at the last few opening ones; 0 if there is none."""
        brace = len(self._buffer)
        for _ in range(_MAX_TRIES):
            brace = max(0, self._buffer.rfind(b"{", 0, brace))
            if found := _BEFORE_COMMA.search(self._buffer, max(0, brace - 16), brace):
                return found.end()
        return 0

    def _array(self, end: int) -> bytes:
        return b"".join((b"[", memoryview(self._buffer)[:end], b"]"))

    def _await_more(self) -> None:
        """Look again when the buffer has doubled, so that a long value is scanned only a few times."""
        check_density(self._buffer)
        if len(self._buffer) < MAX_BUFFERED:
            self._min_buffered = min(2 * len(self._buffer), MAX_BUFFERED)
        elif self._head:
            what = f"this session, or the fields after the items, take more than {MAX_BUFFERED} bytes"
            raise ResponseDecodeError(what, f"{self._path}[{self._count}]")
        else:
            raise ResponseDecodeError(f"the fields before the items take more than {MAX_BUFFERED} bytes")

    @property
    def _path(self) -> str:
        """The JSON path of the array of items."""
        return "$.items" if b"{" in self._head else "$"
