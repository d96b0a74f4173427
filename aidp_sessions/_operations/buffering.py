"""Whole, or as it comes: decides when the sessions of one workspace are let go.

Up to `THRESHOLD` bytes, all pages together, are held back until the last of them is decoded, so that they can be asked
for again without anybody having seen them. Beyond that they are passed on as they arrive, in flat memory.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from .._convert.codec import decode_collection
from .failures import decoded
from .listings import SessionPage, decode_sessions, session_page
from .messages import THRESHOLD

if TYPE_CHECKING:
    from .._convert.incremental import SessionParser
    from ..models import SessionSummary
    from .messages import Answer

_FROZEN: Final = gc.get_freeze_count()

Emit = Callable[[tuple["SessionSummary", ...]], Awaitable[None]]


class Delivery:
    """The sessions of one workspace on their way. Without *emit* all are kept, and with it those that fit.

    Attributes:
        irrevocable: something of the request under way has been passed on, so it cannot be sent again.
    """

    def __init__(self, workspace_key: str, emit: Emit | None = None) -> None:
        self._workspace_key = workspace_key
        self._emit = emit
        self._held_bytes = 0
        self._sessions: list[SessionSummary] = []
        self._undecoded: list[Answer] = []
        self._committed = 0
        self._parser: SessionParser | None = None
        self.irrevocable = False

    def begin(self) -> None:
        """A request is sent, perhaps not for the first time: forget what an earlier attempt at it had brought."""
        self._parser = None
        self.irrevocable = False
        del self._sessions[self._committed :]

    async def take(self, chunk: bytes) -> None:
        """Decode a piece of a large answer, letting others run in between."""
        from .._convert.incremental import PIECE, SessionParser  # noqa: PLC0415  # few answers are large

        if self._parser is None:
            self._parser = SessionParser(self._workspace_key)
        for start in range(0, len(chunk), PIECE):
            await self._pass_on(self._parser.feed(chunk[start : start + PIECE]))
            await asyncio.sleep(0)

    def decode(self, answer: Answer) -> SessionPage:
        """The page of an answer, or what is left of it once `take` had the rest."""
        if self._parser is None:
            return decode_sessions(answer, self._workspace_key)
        return session_page(answer, *self._parser.close())

    def defer(self, answer: Answer) -> SessionPage:
        """As `decode`, but leave the sessions of an answer that `take` has not seen to `rest`."""
        if self._parser is not None:
            return self.decode(answer)
        self._undecoded.append(answer)
        return session_page(answer, (), {})

    async def add(self, page: SessionPage) -> None:
        """Keep a page, or pass it on."""
        self._held_bytes += page.size
        if self._held_bytes > THRESHOLD:
            await self._pass_on(page.sessions)
        else:
            self._sessions += page.sessions
        self._committed = len(self._sessions)
        self.irrevocable = False

    def rest(self) -> tuple[SessionSummary, ...]:
        """All that has not been passed on; raises `ResponseDecodeError` for a deferred answer."""
        self._decode_deferred()
        return tuple(self._sessions)

    def _decode_deferred(self) -> None:
        undecoded, self._undecoded = self._undecoded, []
        for answer in undecoded:
            self._sessions += decoded(answer, self._sessions_of)
        if undecoded:  # whole pages, which outlive a failure of the one that is arriving
            self._committed = len(self._sessions)

    def _sessions_of(self, answer: Answer) -> tuple[SessionSummary, ...]:
        return decode_collection(answer.body, self._workspace_key)[0]

    async def _pass_on(self, sessions: tuple[SessionSummary, ...]) -> None:
        if self._emit is None:
            self._decode_deferred()
            self._sessions += sessions
            _settle()
        elif part := self.rest() + sessions:
            self._sessions, self._committed = [], 0
            self.irrevocable = True
            await self._emit(part)


def _settle() -> None:
    """Have the collector take for old what is kept, without a look at it.

    Left alone, it walks every object that is alive, several times while a hundred thousand sessions pile up, and holds
    the loop for dozens of milliseconds each time. Where somebody has frozen objects, they are to stay so.
    """
    if gc.get_freeze_count() <= _FROZEN:
        gc.freeze()
        gc.unfreeze()
