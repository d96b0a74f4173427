"""Many asynchronous sources as one stream, and iterations that never end silently: plain asyncio, no HTTP.

A driver task runs the sources, which fill a bounded buffer; the generator that the consumer holds only reads it. It
never yields inside a task group (PEP 789 says why), so it may be abandoned at any point.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar, cast

import attrs

if TYPE_CHECKING:
    from types import AsyncGeneratorType

K = TypeVar("K")
T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]

PARKED_PER_SLOT: Final = 8


@attrs.frozen(eq=False, repr=False)
class Slot(Generic[T]):
    """What a source is given while it runs.

    Attributes:
        emit: hands over a result; waits while the consumer is behind.
        pause: sleeps for some seconds and lets other sources run meanwhile.
    """

    emit: Callable[[T], Awaitable[None]]
    pause: Sleep


Source = Callable[[K, Slot[T]], Awaitable[None]]


async def merge(
    keys: AsyncGenerator[K], source: Source[K, T], *, limit: int, sleep: Sleep = asyncio.sleep
) -> AsyncGenerator[T]:
    """Yield what ``source(key, slot)`` emits for every key, as it comes.

    At most *limit* sources run. One that pauses does not count as running; at most eight times *limit* do so at once,
    and while that many pause no source is started. *keys* is consumed at most one ahead of need and closed at the end.
    Sources wait while more than *limit* results are left for a slow consumer, so there are never more than twice as
    many.

    An exception of a source cancels the others and is raised after what was emitted before it; an exception of *keys*
    is raised after every source already started has ended. Leaving the generator early cancels everything.
    """
    buffer: _Buffer[T] = _Buffer(limit)
    driver = asyncio.create_task(_drive(keys, source, buffer, _Slots(limit, sleep)))
    driver.add_done_callback(lambda _: buffer.wake())
    try:
        while buffer.items or not driver.done():
            if buffer.items:
                yield buffer.get()
            else:
                await buffer.filled()
        await driver
    finally:
        driver.cancel()
        await asyncio.wait([driver])
        if not driver.cancelled():
            driver.exception()  # seen, so that asyncio does not report it when the consumer left before the end


async def iterate(keys: Iterable[K]) -> AsyncGenerator[K]:
    """*keys*, for `merge`."""
    for key in keys:
        yield key


async def _drive(keys: AsyncGenerator[K], source: Source[K, T], buffer: _Buffer[T], slots: _Slots) -> None:
    """Run *source* for each of *keys*, one task each."""
    slot = Slot(buffer.put, slots.pause)
    failure: Exception | None = None

    async def run(key: K) -> None:
        try:
            await source(key, slot)
        except asyncio.CancelledError as error:
            if is_foreign(error):  # the task group would take this for a source that was cancelled, and go on
                raise _as_exception(error) from error
            raise
        slots.end()

    try:
        async with aclosing(keys), asyncio.TaskGroup() as group:
            try:
                async for key in keys:
                    await slots.start()
                    group.create_task(run(key))
            except (Exception, asyncio.CancelledError) as error:  # what the caller's iterable raises is too
                if isinstance(error, asyncio.CancelledError) and not is_foreign(error):
                    raise
                failure = _as_exception(error)
    except* (Exception, GeneratorExit) as errors:  # noqa: BLE001  # what a source raises is raised to the caller
        failure = _as_exception(errors.exceptions[0])
    if failure is not None:
        raise failure


def _as_exception(error: BaseException) -> Exception:
    """*error*, or a `RuntimeError` in place of one that would end a task or a generator as if nothing had failed."""
    if isinstance(error, Exception):
        return error
    failure = RuntimeError(f"a source, or the iterable of keys, raised {type(error).__name__}")
    failure.__cause__ = error
    return failure


class _Buffer(Generic[T]):
    """The results not yet consumed, in the order of emission; a source that makes it longer than *limit* waits."""

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

    def get(self) -> T:
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


def is_foreign(error: BaseException) -> bool:
    """Whether *error* came out of other code, and would pass for a cancellation of this task or an end of iteration."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and not task.cancelling()
    return isinstance(error, StopAsyncIteration)


def raise_if_foreign(error: BaseException) -> None:
    """Raise a `RuntimeError` in place of a foreign *error*."""
    if is_foreign(error):
        raise RuntimeError(f"{type(error).__name__} came out of code that the iteration ran") from error


class Progress:
    """How far a generator is. It must not know its `Iteration`, for two that know each other are freed late."""

    def __init__(self) -> None:
        self.is_complete = False


class Iteration(AsyncGenerator[T]):
    """An async generator that raises `RuntimeError` when it is continued after an error or a cancellation.

    `asyncio.wait_for` cancels what it waits for. A plain async generator has ended then, and its next step would raise
    `StopAsyncIteration`, as if the data were complete.

    *start* makes the generator, which sets ``is_complete`` on the `Progress` that it is given before it returns.
    """

    def __init__(self, start: Callable[[Progress], AsyncGenerator[T]]) -> None:
        self._progress = Progress()
        self._generator = cast("AsyncGeneratorType[T, None]", start(self._progress))
        self._next = self._generator.__anext__

    def __aiter__(self) -> Iteration[T]:
        return self

    if not TYPE_CHECKING:  # a type checker refuses 'for' without this

        def __iter__(self) -> NoReturn:
            raise TypeError("use 'async for item in …' or '[item async for item in …]'")

    def __anext__(self) -> Awaitable[T]:  # type: ignore[override]  # without a coroutine of its own for each item
        if self._generator.ag_frame is None:
            self._check_complete()
        return self._next()

    async def asend(self, value: None) -> T:
        if self._generator.ag_frame is None:
            self._check_complete()
        return await self._generator.asend(value)

    async def athrow(self, *error: Any) -> T:  # noqa: ANN401  # as in the abstract class
        return await self._generator.athrow(*error)

    async def aclose(self) -> None:
        self._progress.is_complete = True
        await self._generator.aclose()

    def _check_complete(self) -> None:
        if not self._progress.is_complete:
            raise RuntimeError("this iteration ended with an error or was cancelled; start a new one")
