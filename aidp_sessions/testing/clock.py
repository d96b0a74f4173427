"""A clock for tests: its time passes only when code sleeps or a test moves it. It never really waits."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import attrs

from ..activity import require_aware
from ..policies import Clock


@attrs.define(eq=False)
class _ManualTime:
    """The mutable part of a `ManualClock`, because a `Clock` is frozen."""

    seconds: float
    pauses: list[float] = attrs.field(factory=list[float])

    def time(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.seconds += seconds
        await asyncio.sleep(0)


class ManualClock(Clock):
    """A `Clock` that never waits: ``SessionsClient(..., clock=ManualClock())`` retries at once. Signers take it too.

    `sleep` records the pause and advances the time by it; other tasks can run meanwhile. `random` always returns
    0.5, so a pause of `RetryPolicy` is half its bound, on top of any ``Retry-After``. The limits of `Timeout` are
    measured in real time.

    Args:
        now: the time at the start, aware; by default the present.
    """

    __slots__ = ("_manual",)
    _manual: _ManualTime

    def __init__(self, now: datetime | None = None) -> None:
        manual = _ManualTime((datetime.now(UTC) if now is None else require_aware(now, "now")).timestamp())
        super().__init__(time=manual.time, sleep=manual.sleep, random=lambda: 0.5)
        object.__setattr__(self, "_manual", manual)

    @property
    def now(self) -> datetime:
        """The current time of this clock, in UTC."""
        return datetime.fromtimestamp(self._manual.seconds, UTC)

    @property
    def pauses(self) -> tuple[float, ...]:
        """The length of every pause in seconds, in the order in which they began."""
        return tuple(self._manual.pauses)

    def set(self, now: datetime) -> None:
        """Set the time, forward or back; raises `ValueError` if *now* is naive."""
        self._manual.seconds = require_aware(now, "now").timestamp()

    def advance(self, by: timedelta) -> None:
        """Move the time forward by *by*."""
        self._manual.seconds += by.total_seconds()

    def __repr__(self) -> str:
        return f"<ManualClock {self.now.isoformat()}>"
