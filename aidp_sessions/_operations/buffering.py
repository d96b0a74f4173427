"""Buffers the sessions of one workspace.

Up to `THRESHOLD` bytes, all pages together, they are kept until the last page is decoded, so that the call can be
retried. Beyond that they are passed on as they arrive, in flat memory.

Pages shift while sessions come and go, and the service promises nothing about that. A session that an earlier page had
is left out. For this the ids of a listing with several pages are remembered, about 100 bytes each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from .._convert.codec import decode_collection
from .._convert.incremental import PIECE, IncrementalDecoder
from ..errors import ResponseDecodeError
from .failures import attach_response
from .listings import next_page_token
from .messages import THRESHOLD

if TYPE_CHECKING:
    from ..models import SessionSummary, WorkspaceRef
    from .messages import RawResponse

Emit = Callable[[tuple["SessionSummary", ...]], Awaitable[bool]]
"""Passes sessions on; returns whether the consumer will see any of them."""


class SessionPage(NamedTuple):
    sessions: tuple[SessionSummary, ...]
    next_page: str | None
    etag: str | None
    opc_request_id: str | None
    extra: Mapping[str, object]
    size: int


class SessionBuffer:
    """Collects one workspace's sessions. With *emit*, a body larger than `THRESHOLD` is passed on as it arrives.

    Attributes:
        has_emitted: the consumer sees a part of the response under way, so its request cannot be sent again.
    """

    def __init__(self, workspace: WorkspaceRef, emit: Emit | None = None) -> None:
        self._workspace = workspace
        self._emit = emit
        self._page_bytes = 0
        self._sessions: list[SessionSummary] = []
        self._undecoded: list[RawResponse] = []
        self._committed = 0
        self._tokens: set[str] = set()
        self._is_paged = False
        self._ids: set[str] = set()
        self._page_ids: set[str] = set()
        self._decoder: IncrementalDecoder | None = None
        self.has_emitted = False

    def reset(self) -> None:
        """Forget what a failed attempt of the request under way has fed."""
        self._decoder = None
        self.has_emitted = False
        self._page_ids.clear()
        del self._sessions[self._committed :]

    async def feed(self, chunk: bytes, headers: Mapping[str, str]) -> None:
        """Decode a piece of a large body, and let other tasks run in between."""
        if self._decoder is None:
            self._decoder = IncrementalDecoder(self._workspace)
            self._is_paged = self._is_paged or bool(headers.get("opc-next-page"))
        for start in range(0, len(chunk), PIECE):
            await self._emit_or_keep(self._decoder.feed(chunk[start : start + PIECE]))
            await asyncio.sleep(0)

    def decode(self, response: RawResponse) -> SessionPage:
        """The page in *response*; if its body was fed, only the sessions not yet passed on."""
        if self._decoder is None:
            return _page(response, *decode_collection(response.body, self._workspace))
        decoder, self._decoder = self._decoder, None
        return _page(response, *decoder.close())

    def defer(self, response: RawResponse) -> SessionPage:
        """The page without its sessions, which `remaining` will decode; a body that was fed is decoded now."""
        if self._decoder is not None:
            return self.decode(response)
        self._undecoded.append(response)
        return _page(response, (), {})

    async def add_page(self, page: SessionPage) -> str | None:
        """Keep the sessions of a page, or pass them on; returns the token of the next page.

        Raises `ResponseDecodeError` for a token seen before.
        """
        self._page_bytes += page.size
        if self._page_bytes > THRESHOLD:
            await self._emit_or_keep(page.sessions)
        else:
            self._sessions += page.sessions
        self._committed = len(self._sessions)
        self.has_emitted = False
        self._commit_ids()
        if page.next_page is None:
            return None
        self._is_paged = True
        return next_page_token(page.next_page, self._tokens)

    def remaining(self) -> tuple[SessionSummary, ...]:
        """All sessions not yet passed on; raises `ResponseDecodeError` for a deferred response."""
        self._decode_deferred()
        return self._without_repeated(self._sessions)

    def _without_repeated(self, sessions: Iterable[SessionSummary]) -> tuple[SessionSummary, ...]:
        if not self._is_paged:
            return tuple(sessions)
        fresh: list[SessionSummary] = []
        for session in sessions:
            if session.id is None or not (session.id in self._ids or session.id in self._page_ids):
                fresh.append(session)
            if session.id is not None:
                self._page_ids.add(session.id)
        return tuple(fresh)

    def _decode_deferred(self) -> None:
        undecoded, self._undecoded = self._undecoded, []
        for response in undecoded:
            try:
                self._sessions += decode_collection(response.body, self._workspace)[0]
            except ResponseDecodeError as error:
                attach_response(error, response)
                raise
        if undecoded:  # whole pages, which stay when the page under way fails
            self._committed = len(self._sessions)

    async def _emit_or_keep(self, sessions: tuple[SessionSummary, ...]) -> None:
        self._decode_deferred()
        if self._emit is None:
            self._sessions += sessions
            return
        if self._sessions:  # of pages that are complete, so the one under way may still be asked for again
            earlier, self._sessions, self._committed = self._without_repeated(self._sessions), [], 0
            self._commit_ids()
            await self._emit(earlier)
        if part := self._without_repeated(sessions):
            self.has_emitted = await self._emit(part) or self.has_emitted

    def _commit_ids(self) -> None:
        self._ids |= self._page_ids
        self._page_ids.clear()


def _page(response: RawResponse, sessions: tuple[SessionSummary, ...], extra: Mapping[str, object]) -> SessionPage:
    get = response.headers.get
    return SessionPage(sessions, get("opc-next-page") or None, get("etag"), get("opc-request-id"), extra, response.size)
