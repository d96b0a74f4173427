"""Many asynchronous sources as one stream: plain asyncio, no HTTP.

A driver task runs the sources, which fill a bounded buffer; the consumer only reads it. So nothing is yielded inside a
task group (PEP 789 says why), and the consumer may leave at any point.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from itertools import count
from typing import Final, Generic, TypeVar, cast

import attrs

from ._iteration import is_foreign, raise_if_foreign

K = TypeVar("K")
T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]

PARKED_PER_SLOT: Final = 8
_END: Final = object()


@attrs.frozen(eq=False, repr=False)
class Slot(Generic[T]):
    """What a source is given while it runs.

    Attributes:
        emit: hands over a result; waits while the consumer is behind. A cancelled one has handed over nothing.
        pause: sleeps for some seconds and lets other sources run meanwhile.
    """

    emit: Callable[[T], Awaitable[None]]
    pause: Sleep


Source = Callable[[K, Slot[T]], Awaitable[None]]


class Merge(AsyncIterator[T], Generic[K, T]):
    """What ``source(key, slot)`` emits for every key, as it comes.

    At most *limit* sources run. One that pauses does not count as running; at most eight times *limit* do so at once,
    and while that many pause no source is started. *keys* is consumed at most one ahead of need. Sources wait while
    *limit* results are left for a slow consumer, each with one more.

    An exception of a source cancels the others and is raised after what was emitted before it; an exception of *keys*
    is raised after every source already started has ended.

    A step that is cancelled ends all tasks before it raises, and the next step starts the unfinished sources again. A
    generator of keys is closed when the tasks end, so that the step after a cancelled one raises `RuntimeError`.
    """

    def __init__(
        self, keys: AsyncIterator[K], source: Source[K, T], *, limit: int, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._keys = keys
        self._generator = cast("AsyncGenerator[K]", keys) if isinstance(keys, AsyncGenerator) else None
        self._source = source
        self._limit = limit
        self._sleep = sleep
        self._buffer: _Buffer[T] = _Buffer(limit)
        self._numbers = count()
        self._unfinished: dict[int, K] = {}
        self._keys_failure: Exception | None = None
        self._driver: asyncio.Task[None] | None = None

    async def __anext__(self) -> T:
        while not self._buffer.items:
            if self._driver is None or self._driver.cancelled():
                self._start()
            elif self._driver.done():
                self._driver.result()
                raise StopAsyncIteration
            else:
                try:
                    await self._buffer.filled()
                except asyncio.CancelledError:
                    await self.aclose()
                    raise
        return self._buffer.get()

    async def aclose(self) -> None:
        """End all tasks."""
        driver = self._driver
        if driver is not None and not driver.done():
            driver.cancel()
            await asyncio.wait([driver])
        if driver is not None and not driver.cancelled():
            driver.exception()  # seen, so that asyncio does not report it when the consumer left before the end

    def _start(self) -> None:
        if self._driver is not None and self._generator is not None:
            raise RuntimeError("this iteration was cancelled, and its generator of keys closed; start a new one")
        self._driver = asyncio.create_task(self._drive())
        self._driver.add_done_callback(lambda _: self._buffer.wake())

    async def _drive(self) -> None:
        """Run the source for each of the keys, one task each."""
        failure: Exception | None = None
        try:
            await self._run_sources()
        except* (Exception, GeneratorExit) as errors:  # noqa: BLE001  # what a source raises is raised to the caller
            failure = _as_exception(errors.exceptions[0])
        finally:
            if self._generator is not None:
                await self._generator.aclose()
        if failure := failure or self._keys_failure:
            raise failure

    async def _run_sources(self) -> None:
        slots = _Slots(self._limit, self._sleep)
        slot = Slot(self._buffer.put, slots.pause)

        async def run(number: int) -> None:
            try:
                await self._source(self._unfinished[number], slot)
            except asyncio.CancelledError as error:
                if is_foreign(error):  # the task group would take this for a source that was cancelled, and go on
                    raise _as_exception(error) from error
                raise
            del self._unfinished[number]
            slots.end()

        async with asyncio.TaskGroup() as group:
            for number in list(self._unfinished):
                await slots.start()
                group.create_task(run(number))
            try:
                async for key in self._keys:
                    number = next(self._numbers)
                    self._unfinished[number] = key
                    await slots.start()
                    group.create_task(run(number))
            except (Exception, asyncio.CancelledError) as error:  # what the caller's iterable raises is raised too
                if isinstance(error, asyncio.CancelledError) and not is_foreign(error):
                    raise
                self._keys_failure = _as_exception(error)


class FromIterable(AsyncIterator[T]):
    """The items of *iterable*."""

    def __init__(self, iterable: Iterable[T]) -> None:
        self._iterable = iterable
        self._iterator: Iterator[T] | None = None

    async def __anext__(self) -> T:
        try:
            if self._iterator is None:
                self._iterator = iter(self._iterable)
            item = next(self._iterator, _END)
        except StopAsyncIteration as error:  # it would pass for the end; Python itself replaces a StopIteration
            raise_if_foreign(error)
            raise
        if item is _END:
            raise StopAsyncIteration
        return cast("T", item)


def _as_exception(error: BaseException) -> Exception:
    """*error*, or a `RuntimeError` in place of one that would end a task or an iteration as if nothing had failed."""
    if isinstance(error, Exception) and not isinstance(error, StopAsyncIteration):
        return error
    failure = RuntimeError(f"a source, or the iterable of keys, raised {type(error).__name__}")
    failure.__cause__ = error
    return failure


class _Buffer(Generic[T]):
    """At most *limit* results not yet consumed, in the order of emission."""

    def __init__(self, limit: int) -> None:
        self.items: deque[T] = deque()
        self._room = asyncio.Semaphore(limit)
        self._consumer: asyncio.Future[None] | None = None

    async def put(self, item: T) -> None:
        await self._room.acquire()
        self.items.append(item)
        self.wake()

    def get(self) -> T:
        self._room.release()
        return self.items.popleft()

    async def filled(self) -> None:
        """Wait for the next item, or for `wake`; only the one consumer calls it."""
        self._consumer = asyncio.get_running_loop().create_future()
        await self._consumer

    def wake(self) -> None:
        if self._consumer is not None and not self._consumer.done():
            self._consumer.set_result(None)


class _Slots:
    """At most *limit* sources run, and at most eight times as many pause.

    A source that resumes goes before one that starts, or a long list of keys could starve it.
    """

    def __init__(self, limit: int, sleep: Sleep) -> None:
        self._limit = limit
        self._sleep = sleep
        self._running = 0
        self._paused = 0
        self._resuming: deque[asyncio.Future[None]] = deque()
        self._starting: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Wait for a slot and room to pause, and take the slot; only the driver calls it."""
        if self._may_start() and not self._resuming:
            self._running += 1
        else:
            self._starting = asyncio.get_running_loop().create_future()
            await self._starting

    def end(self) -> None:
        self._running -= 1
        self._hand_out()

    async def pause(self, seconds: float) -> None:
        """Sleep without a slot, or with it when too many pause already."""
        if self._paused >= PARKED_PER_SLOT * self._limit:
            await self._sleep(seconds)
            return
        self._paused += 1
        self.end()
        try:
            await self._sleep(seconds)
            await self._resume()
        except BaseException:
            self._running += 1  # at once, even beyond the limit: the source goes on, and `end` gives the slot back
            raise
        finally:
            self._paused -= 1
            self._hand_out()

    async def _resume(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._resuming.append(waiter)
        self._hand_out()
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():  # the slot came, and the cancellation after it
                self._running -= 1
            raise

    def _may_start(self) -> bool:
        return self._running < self._limit and self._paused < PARKED_PER_SLOT * self._limit

    def _hand_out(self) -> None:
        while self._running < self._limit and self._resuming:
            self._grant(self._resuming.popleft())
        if self._starting is not None and self._may_start():
            starting, self._starting = self._starting, None
            self._grant(starting)

    def _grant(self, waiter: asyncio.Future[None]) -> None:
        if not waiter.done():
            self._running += 1
            waiter.set_result(None)
