"""Many deadlines on one timer of the event loop. Plain asyncio, no I/O.

Nearly every deadline is met, so nearly every timer is set only to be cancelled; two or three of them in every request
cost a twentieth of all its CPU time. One timer for all goes off when the earliest could be due, and mostly finds that
it is met by now.
"""

from __future__ import annotations

import math
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import asyncio

# From bytes in the kernel to the task that waits for them; uvloop looks at its timers before all else.
_TURNS: Final = 3


class Deadline(Protocol):
    """Whoever does not want to wait for ever.

    Attributes:
        due: in the time of the loop; set by `Deadlines`.
    """

    due: float

    def expire(self) -> None:
        """It is *due*: called once, by the loop."""


class Deadlines:
    """The deadlines of one event loop that run at the moment."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._running: set[Deadline] = set()
        self._timer: asyncio.Handle | None = None
        self._next = math.inf

    def start(self, deadline: Deadline, seconds: float) -> None:
        """Have *deadline* expire in *seconds*, however long it had left before; `math.inf` is for ever."""
        deadline.due = due = self.loop.time() + seconds
        self._running.add(deadline)
        if due < self._next:
            self._wake_at(due)

    def stop(self, deadline: Deadline) -> None:
        self._running.discard(deadline)

    def tidy(self) -> None:
        """Take back the timer if nothing runs."""
        if not self._running and self._timer is not None:
            self._timer.cancel()
            self._timer, self._next = None, math.inf

    def _wake_at(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._next = self.loop.call_at(due, self._wake), due

    def _wake(self) -> None:
        self._expire(self.loop.time(), _TURNS)

    def _expire(self, now: float, turns: int) -> None:
        """Expire what was due *now*, but some *turns* later.

        What has arrived while the loop stood still is noticed meanwhile: then nobody was silent.
        """
        if turns:
            self._timer = self.loop.call_soon(self._expire, now, turns - 1)
            return
        self._timer, self._next = None, math.inf
        for deadline in [each for each in self._running if each.due <= now]:
            self._running.discard(deadline)
            deadline.expire()
        due = min((each.due for each in self._running), default=math.inf)
        if due < self._next:
            self._wake_at(due)


class _Silence:
    """Ends a connection on which the service has said nothing for *seconds*. Does nothing before it has begun."""

    def __init__(self, deadlines: Deadlines, seconds: float | None) -> None:
        self._deadlines = deadlines
        self._seconds = math.inf if seconds is None else seconds
        self._transport: asyncio.Transport | None = None
        self.due = math.inf
        self.broken = False

    def begin(self, transport: asyncio.Transport | None) -> None:
        self._transport = transport
        self.listen()

    def listen(self) -> None:
        """The service has been heard, or is to be heard from now on."""
        if self._transport is not None:
            self._deadlines.start(self, self._seconds)

    def pause(self) -> None:
        self._deadlines.stop(self)

    def end(self) -> None:
        self._transport = None
        self._deadlines.stop(self)

    def expire(self) -> None:
        if self._transport is not None:
            self.broken = True
            self._transport.abort()


_silence: ContextVar[_Silence] = ContextVar("_silence")
"""That of the attempt under way: aiohttp does not say for whom it connects."""
