"""A clock for tests: its time passes only when somebody waits or moves it. Never waits itself."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import attrs

from ..policies import Clock


@attrs.define(eq=False)
class _Hand:
    """What moves: a `Clock` is frozen."""

    seconds: float
    pauses: list[float] = attrs.field(factory=list[float])

    def time(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.seconds += seconds
        await asyncio.sleep(0)


class ManualClock(Clock):
    """A `Clock` that never waits: ``SessionsClient(..., clock=ManualClock())`` retries at once.

    `sleep` notes the pause and moves the time on by it; other tasks get their turn meanwhile. `random` always draws
    0.5, so a pause of `RetryPolicy` is half its bound, on top of any ``Retry-After``. The limits of `Timeout` are not
    counted by this clock.

    Args:
        now: where it starts, aware; by default at the present.
    """

    __slots__ = ("_hand",)
    _hand: _Hand

    def __init__(self, now: datetime | None = None) -> None:
        hand = _Hand((datetime.now(UTC) if now is None else _aware(now)).timestamp())
        super().__init__(time=hand.time, sleep=hand.sleep, random=lambda: 0.5)
        object.__setattr__(self, "_hand", hand)

    @property
    def now(self) -> datetime:
        """What the clock shows, in UTC."""
        return datetime.fromtimestamp(self._hand.seconds, UTC)

    @property
    def pauses(self) -> tuple[float, ...]:
        """Seconds of every pause so far, in the order in which they began."""
        return tuple(self._hand.pauses)

    def set(self, now: datetime) -> None:
        """Move to *now*, forward or back; raises `ValueError` if it is naive."""
        self._hand.seconds = _aware(now).timestamp()

    def advance(self, by: timedelta) -> None:
        """Let *by* pass."""
        self._hand.seconds += by.total_seconds()

    def __repr__(self) -> str:
        return f"<ManualClock {self.now.isoformat()}>"


def _aware(now: datetime) -> datetime:
    if now.utcoffset() is None:
        raise ValueError(f"now={now!r} has no time zone; add one, e.g. datetime(…, tzinfo=timezone.utc)")
    return now
