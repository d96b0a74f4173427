"""Many asynchronous sources as one stream, with bounds on both: knows nothing of sessions or HTTP.

A driver task starts the sources and feeds a bounded queue; the generator that the consumer holds only reads it. It
never yields inside a task group (PEP 789 says why), so it may be abandoned at any point.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final, Generic, TypeVar

import attrs

K = TypeVar("K")
T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]

PARKED_PER_SLOT: Final = 8


@attrs.frozen
class Slot(Generic[T]):
    """What a source holds while it runs.

    Attributes:
        emit: hands over a result; waits while the consumer is behind.
        pause: sleeps for some seconds and lets others have the slot meanwhile.
    """

    emit: Callable[[T], Awaitable[None]]
    pause: Sleep


Source = Callable[[K, Slot[T]], Awaitable[None]]


class _End:
    """Wakes a consumer that waits for what will not come."""


async def merge(
    keys: AsyncGenerator[K], source: Source[K, T], *, limit: int, sleep: Sleep = asyncio.sleep
) -> AsyncGenerator[T]:
    """Yield whatever ``source(key, slot)`` emits for every key, as it comes.

    At most *limit* sources run. One that pauses has no slot meanwhile; at most eight times *limit* do so at once, and
    while that many pause no key is taken. *keys* is consumed one ahead of need and closed at the end. At most *limit*
    results wait for a slow consumer, beside one in the hands of each source.

    An exception of a source cancels the others and is raised after what was emitted before it; an exception of *keys*
    is raised after every source already started has ended. Leaving the generator early cancels everything.
    """
    queue: asyncio.Queue[T | _End] = asyncio.Queue(limit)
    driver = asyncio.create_task(_drive(keys, source, queue, _Slots(limit, sleep)))
    # The end is not queued by the driver itself: with the queue full and nobody reading, it would wait for ever.
    driver.add_done_callback(lambda _: queue.put_nowait(_End()) if queue.empty() else None)
    try:
        while not (driver.done() and queue.empty()):
            item = await queue.get()
            if not isinstance(item, _End):
                yield item
        await driver
    finally:
        driver.cancel()
        await asyncio.wait([driver])
        if not driver.cancelled():
            driver.exception()  # seen, so that asyncio does not report it when the consumer left before the end


async def _drive(keys: AsyncGenerator[K], source: Source[K, T], queue: asyncio.Queue[T | _End], slots: _Slots) -> None:
    slot: Slot[T] = Slot(queue.put, slots.pause)
    failure: Exception | None = None

    async def run(key: K) -> None:
        try:
            await source(key, slot)
        finally:
            slots.end()

    try:
        async with asyncio.TaskGroup() as group, aclosing(keys):
            try:
                async for key in keys:
                    await slots.start()
                    group.create_task(run(key))
            except Exception as error:  # noqa: BLE001  # whatever the caller's iterable raises is raised to the caller
                failure = error
    except* Exception as errors:  # noqa: BLE001  # likewise for the sources
        failure = errors.exceptions[0]
    if failure is not None:
        raise failure


class _Slots:
    """Who runs and who pauses. Those who resume go before those who start, or a long list could starve them."""

    def __init__(self, limit: int, sleep: Sleep) -> None:
        self._limit = limit
        self._sleep = sleep
        self._running = 0
        self._paused = 0
        self._resuming: deque[asyncio.Future[None]] = deque()
        self._starting: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Take a slot for a new source; only the driver calls it, so one may wait at a time."""
        self._starting = turn = asyncio.get_running_loop().create_future()
        self._hand_out()
        await turn

    def end(self) -> None:
        self._running -= 1
        self._hand_out()

    async def pause(self, seconds: float) -> None:
        """Sleep without a slot, or with it when enough others pause already."""
        if self._paused >= PARKED_PER_SLOT * self._limit:
            await self._sleep(seconds)
            return
        self._paused += 1
        self.end()
        try:
            await self._sleep(seconds)
            await self._resume()
        except BaseException:
            self._running += 1  # the slot that `end` will give back when the source has ended
            raise
        finally:
            self._paused -= 1
            self._hand_out()

    async def _resume(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._resuming.append(turn)
        self._hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._running -= 1
            raise

    def _hand_out(self) -> None:
        while self._running < self._limit and self._resuming:
            self._grant(self._resuming.popleft())
        if self._running < self._limit and self._paused < PARKED_PER_SLOT * self._limit and self._starting is not None:
            starting, self._starting = self._starting, None
            self._grant(starting)

    def _grant(self, turn: asyncio.Future[None]) -> None:
        if not turn.done():
            self._running += 1
            turn.set_result(None)
