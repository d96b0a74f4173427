"""Many asynchronous sources as one stream, with bounds on both: knows nothing of sessions or HTTP.

Workers run the sources and fill a bounded buffer; the generator that the consumer holds only reads it. It never yields
inside a task group (PEP 789 says why), so it may be abandoned at any point.
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


@attrs.frozen(eq=False, repr=False)
class Slot(Generic[T]):
    """What a source holds while it runs.

    Attributes:
        emit: hands over a result; waits while the consumer is behind.
        pause: sleeps for some seconds and lets others have the slot meanwhile.
    """

    emit: Callable[[T], Awaitable[None]]
    pause: Sleep


Source = Callable[[K, Slot[T]], Awaitable[None]]


async def merge(
    keys: AsyncGenerator[K], source: Source[K, T], *, limit: int, sleep: Sleep = asyncio.sleep
) -> AsyncGenerator[T]:
    """Yield whatever ``source(key, slot)`` emits for every key, as it comes.

    At most *limit* sources run. One that pauses has no slot meanwhile; at most eight times *limit* do so at once, and
    while that many pause no key is taken. *keys* is consumed at most one ahead of need and closed at the end. Sources
    wait while more than *limit* results are left for a slow consumer, so there are never more than twice as many.

    An exception of a source cancels the others and is raised after what was emitted before it; an exception of *keys*
    is raised after every source already started has ended. Leaving the generator early cancels everything.
    """
    buffer: _Buffer[T] = _Buffer(limit)
    workers = _Workers(keys, source, buffer.put, limit, sleep)
    driver = asyncio.create_task(workers.run())
    driver.add_done_callback(lambda _: buffer.wake())
    try:
        while buffer.items or not driver.done():
            if buffer.items:
                yield buffer.take()
            else:
                await buffer.filled()
        await driver
    finally:
        workers.ended = True
        driver.cancel()
        await asyncio.wait([driver])
        if not driver.cancelled():
            driver.exception()  # seen, so that asyncio does not report it when the consumer left before the end


class _Buffer(Generic[T]):
    """What was emitted and not yet consumed, in that order; whoever makes it longer than *limit* waits."""

    def __init__(self, limit: int) -> None:
        self.items: deque[T] = deque()
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._consumer: asyncio.Future[None] | None = None

    async def put(self, item: T) -> None:
        self.items.append(item)
        self.wake()
        if len(self.items) > self._limit:
            self._room.clear()
            await self._room.wait()

    def take(self) -> T:
        item = self.items.popleft()
        if len(self.items) == self._limit:
            self._room.set()
        return item

    async def filled(self) -> None:
        """Wait for the next item, or for `wake`; only the one consumer calls it."""
        self._consumer = self._loop.create_future()
        await self._consumer

    def wake(self) -> None:
        if self._consumer is not None and not self._consumer.done():
            self._consumer.set_result(None)


class _Workers(Generic[K, T]):
    """Who runs, who pauses, and who takes the next key: one at a time, the *seeker*.

    One worker after the other is hired while there is room; each goes on to the next key by itself, so there are about
    as many tasks as may run at once, however many keys come. Those who resume go before those who start, or a long
    list could starve them.
    """

    def __init__(
        self,
        keys: AsyncGenerator[K],
        source: Source[K, T],
        emit: Callable[[T], Awaitable[None]],
        limit: int,
        sleep: Sleep,
    ) -> None:
        self._keys = keys
        self._source = source
        self._slot = Slot(emit, self._pause)
        self._limit = limit
        self._sleep = sleep
        self._group = asyncio.TaskGroup()
        self._running = 0
        self._paused = 0
        self._resuming: deque[asyncio.Future[None]] = deque()
        self._hired = False
        self._seeking = False
        self._starting: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self.ended = False

    async def run(self) -> None:
        try:
            async with aclosing(self._keys), self._group:
                self._hand_out()
        except* Exception as errors:  # noqa: BLE001  # whatever a source raises is raised to the caller
            self._failure = errors.exceptions[0]
        if self._failure is not None:
            raise self._failure

    async def _work(self) -> None:
        """Goes from key to key; ends with them, or when it finds that another is the seeker."""
        self._hired = False
        if self._seeking:
            return
        self._seeking = True
        while found := await self._seek():
            try:
                await self._source(found[0], self._slot)
            except BaseException:
                self.ended = True
                raise
            self._running -= 1
            already, self._seeking = self._seeking, True
            self._hand_out()
            if already:
                break

    async def _seek(self) -> tuple[K] | None:
        """The next key, once it may be started; ``None`` at the end of them."""
        try:
            key = await anext(self._keys)
        except StopAsyncIteration:
            self.ended = True
            return None
        except Exception as error:  # noqa: BLE001  # whatever the caller's iterable raises is raised to the caller
            self.ended, self._failure = True, error
            return None
        if self._may_start() and not self._resuming:
            self._running += 1
        else:
            self._starting = turn = asyncio.get_running_loop().create_future()
            await turn
        self._seeking = False
        self._hand_out()
        return (key,)

    def _may_start(self) -> bool:
        return self._running < self._limit and self._paused < PARKED_PER_SLOT * self._limit

    async def _pause(self, seconds: float) -> None:
        """Sleep without a slot, or with it when enough others pause already."""
        if self._paused >= PARKED_PER_SLOT * self._limit:
            await self._sleep(seconds)
            return
        self._paused += 1
        self._running -= 1
        self._hand_out()
        try:
            await self._sleep(seconds)
            await self._resume()
        except BaseException:
            self._paused -= 1
            self._running += 1  # the slot that is given back when the source has ended
            raise
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
        if not self._may_start():
            return
        if self._starting is not None:
            starting, self._starting = self._starting, None
            self._grant(starting)
        elif not (self._seeking or self._hired or self.ended):
            self._hired = True
            self._group.create_task(self._work())

    def _grant(self, turn: asyncio.Future[None]) -> None:
        if not turn.done():
            self._running += 1
            turn.set_result(None)
