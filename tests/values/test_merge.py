"""Merging many sources: bounds, order, failures and early exits, under schedules that hypothesis generates."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from contextlib import aclosing
from itertools import count
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aidp_sessions._merge import PARKED_PER_SLOT, FromIterable, Merge, Slot

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator


class SourceFailedError(Exception):
    pass


class KeysFailedError(Exception):
    pass


@attrs.frozen
class Script:
    """What a source does before each item: wait some iterations of the loop, and perhaps pause; then how it ends."""

    steps: list[tuple[int, bool]]
    fails: bool


@attrs.define
class Record:
    """The events that were observed."""

    scripts: list[Script]
    started: Counter[int] = attrs.field(factory=Counter)
    closed: Counter[int] = attrs.field(factory=Counter)
    running: int = 0
    paused: int = 0
    most_running: int = 0
    most_paused: int = 0
    handed_over: int = 0
    consumed: int = 0
    most_buffered: int = 0
    keys_closed: bool = False
    keys_taken: int = 0

    def note(self) -> None:
        self.most_running = max(self.most_running, self.running)
        self.most_paused = max(self.most_paused, self.paused)
        self.most_buffered = max(self.most_buffered, self.handed_over - self.consumed)

    async def sleep(self, seconds: float) -> None:
        self.running -= 1
        self.paused += 1
        self.note()
        try:
            await run_iterations(int(seconds))
        finally:
            self.paused -= 1

    async def keys(self, fail_at: int | None) -> AsyncGenerator[int]:
        try:
            for key in range(len(self.scripts)):
                if key == fail_at:
                    raise KeysFailedError
                self.keys_taken += 1
                yield key
        finally:
            self.keys_closed = True

    async def source(self, key: int, slot: Slot[tuple[int, int]]) -> None:
        self.started[key] += 1
        self.running += 1
        self.note()
        alive = True
        try:
            for number, (wait, pauses) in enumerate(self.scripts[key].steps):
                await run_iterations(wait)
                if pauses:
                    alive = False
                    await slot.pause(3)
                    self.running += 1
                    alive = True
                    self.note()
                self.handed_over += 1
                self.note()
                await slot.emit((key, number))
            if self.scripts[key].fails:
                raise SourceFailedError(key)
        finally:
            self.running -= alive
            self.closed[key] += 1


async def run_iterations(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


scripts = st.lists(
    st.builds(
        Script,
        st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=4),
        st.sampled_from([False, False, False, True]),
    ),
    max_size=12,
)


@settings(max_examples=300)
@given(
    scripts=scripts,
    limit=st.integers(1, 4),
    leave_after=st.none() | st.integers(0, 20),
    keys_fail_at=st.none() | st.integers(0, 12),
    consumer_waits=st.integers(0, 3),
)
def test_any_schedule_keeps_the_bounds_and_closes_what_it_opened(
    scripts: list[Script], limit: int, leave_after: int | None, keys_fail_at: int | None, consumer_waits: int
) -> None:
    """Sources start once and close once, at most *limit* run, nothing comes twice, and no task is left."""
    record = Record(scripts)
    seen: list[tuple[int, int]] = []

    async def consume() -> type[Exception] | None:
        stream = Merge(record.keys(keys_fail_at), record.source, limit=limit, sleep=record.sleep)
        failure: type[Exception] | None = None
        async with aclosing(stream):
            try:
                async for item in stream:
                    record.consumed += 1
                    seen.append(item)
                    if len(seen) == leave_after:
                        break
                    await run_iterations(consumer_waits)
            except (SourceFailedError, KeysFailedError) as error:
                failure = type(error)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return failure

    failure = asyncio.run(consume())

    everything = {(key, number) for key, script in enumerate(scripts) for number in range(len(script.steps))}
    assert len(set(seen)) == len(seen)
    assert set(seen) <= everything
    assert record.closed == record.started
    assert set(record.started.values()) <= {1}
    assert record.most_running <= limit
    assert record.most_paused <= limit * PARKED_PER_SLOT
    assert record.running == record.paused == 0
    assert record.most_buffered <= 2 * limit + 1
    assert record.keys_closed or record.keys_taken == 0
    left = leave_after is not None and len(seen) == leave_after
    if not left and keys_fail_at is not None and keys_fail_at < len(scripts):
        assert failure is not None
    if not left and failure is None:
        assert set(seen) == everything
        assert not any(script.fails for script in scripts)


@settings(max_examples=200)
@given(
    steps=st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=10),
    limit=st.integers(1, 4),
    cancelled_after=st.lists(st.integers(0, 8), max_size=12),
    keys_fail=st.booleans(),
)
def test_steps_that_are_cancelled_anywhere_lose_and_repeat_nothing(
    steps: list[tuple[int, bool]], limit: int, cancelled_after: list[int], keys_fail: bool
) -> None:
    record = Record([Script([step], fails=False) for step in steps])
    seen: list[int] = []

    def keys() -> Iterator[int]:
        yield from range(len(steps))
        if keys_fail:
            raise KeysFailedError

    async def consume() -> None:
        stream = Merge(FromIterable(keys()), record.source, limit=limit, sleep=record.sleep)
        with pytest.raises(KeysFailedError) if keys_fail else contextlib.nullcontext():
            for iterations in cancelled_after:
                step: asyncio.Future[tuple[int, int]] = asyncio.ensure_future(anext(stream))
                await run_iterations(iterations)
                if step.cancel():
                    await asyncio.wait([step])
                    assert iterations == 0 or asyncio.all_tasks() == {asyncio.current_task()}  # 0: it never ran
                if not step.cancelled():
                    with contextlib.suppress(StopAsyncIteration):
                        seen.append((await step)[0])
            async for key, _ in stream:
                seen.append(key)

    asyncio.run(consume())

    assert sorted(seen) == list(range(len(steps)))
    assert record.closed == record.started
    assert record.most_running <= limit


async def numbers(keys: Iterable[int]) -> AsyncGenerator[int]:
    for key in keys:
        yield key


async def test_results_come_in_the_order_of_completion() -> None:
    gates = {key: asyncio.Event() for key in range(3)}

    async def source(key: int, slot: Slot[int]) -> None:
        await gates[key].wait()
        await slot.emit(key)

    seen = []
    gates[2].set()
    async for key in Merge(numbers(range(3)), source, limit=3):
        seen.append(key)
        if key:
            gates[key - 1].set()

    assert seen == [2, 1, 0]


async def test_endless_keys_are_read_as_needed() -> None:
    taken = []

    async def endless() -> AsyncGenerator[int]:
        for key in count():
            taken.append(key)
            yield key

    async def source(key: int, slot: Slot[int]) -> None:
        await slot.emit(key)

    async with aclosing(Merge(endless(), source, limit=4)) as stream:
        assert [await anext(stream) for _ in range(10)] == list(range(10))
        await run_iterations(50)

    # ten consumed, four buffered, four in hand, one ahead
    assert len(taken) <= 10 + 4 + 4 + 1


async def test_sources_that_were_started_deliver_before_the_failure_of_the_keys_is_raised() -> None:
    async def keys() -> AsyncGenerator[int]:
        yield 1
        yield 2
        raise KeysFailedError

    async def source(key: int, slot: Slot[int]) -> None:
        await run_iterations(20)
        await slot.emit(key)

    seen: list[int] = []
    with pytest.raises(KeysFailedError):
        async for key in Merge(keys(), source, limit=2):
            seen.append(key)  # noqa: PERF401  # what came before the failure is the point

    assert seen == [1, 2]


@pytest.mark.parametrize("kind", [asyncio.CancelledError, GeneratorExit, StopAsyncIteration, StopIteration])
async def test_a_control_exception_of_a_source_is_an_error_that_names_it(kind: type[BaseException]) -> None:
    async def source(key: int, slot: Slot[int]) -> None:
        if key == 2:
            raise kind
        await slot.emit(key)

    seen = []
    with pytest.raises(RuntimeError, match=kind.__name__):
        async for key in Merge(numbers(range(5)), source, limit=1):
            seen.append(key)  # noqa: PERF401  # what came before a failure counts

    assert seen == [0, 1]


async def test_a_paused_source_gives_its_slot_to_another() -> None:
    """With one slot, sources that pause for a long time end after those that do not."""
    wakeup = asyncio.Event()

    async def sleep(_: float) -> None:
        await wakeup.wait()

    pausing = PARKED_PER_SLOT - 1

    async def source(key: int, slot: Slot[int]) -> None:
        if key < pausing:
            await slot.pause(1)
        await slot.emit(key)

    seen = []
    async for key in Merge(numbers(range(pausing + 5)), source, limit=1, sleep=sleep):
        seen.append(key)
        if len(seen) == 5:
            wakeup.set()

    assert seen == [*range(pausing, pausing + 5), *range(pausing)]


async def test_no_key_is_read_while_too_many_sources_pause() -> None:
    taken = []
    wakeup = asyncio.Event()

    async def sleep(_: float) -> None:
        await wakeup.wait()

    async def keys() -> AsyncGenerator[int]:
        for key in count():
            taken.append(key)
            yield key

    async def source(key: int, slot: Slot[int]) -> None:
        await slot.pause(60)
        await slot.emit(key)

    async with aclosing(Merge(keys(), source, limit=2, sleep=sleep)) as stream:
        first = asyncio.ensure_future(anext(stream))
        await run_iterations(500)
        most = len(taken)
        wakeup.set()
        await first

    # the sources that pause, those that found no room to pause and kept their slots, and one key read ahead
    assert 2 * PARKED_PER_SLOT < most <= 2 * PARKED_PER_SLOT + 2 + 1


async def test_cancelling_the_consumer_in_any_iteration_leaves_nothing_behind() -> None:
    for iterations in count():
        record = Record([Script([(1, True), (0, False)], fails=False) for _ in range(5)])

        async def consume(record: Record = record) -> None:
            async with aclosing(Merge(record.keys(None), record.source, limit=2, sleep=record.sleep)) as stream:
                async for _ in stream:
                    await run_iterations(1)

        task = asyncio.create_task(consume())
        await run_iterations(iterations)
        finished = task.done()
        task.cancel()
        await asyncio.wait([task])
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert record.closed == record.started
        assert record.running == record.paused == 0
        if finished:
            break


async def test_at_most_one_task_lives_per_running_source() -> None:
    most = 0

    async def source(key: int, slot: Slot[int]) -> None:
        nonlocal most
        most = max(most, len(asyncio.all_tasks()))
        await run_iterations(key % 3)
        await slot.emit(key)

    seen = [key async for key in Merge(numbers(range(500)), source, limit=4)]

    assert sorted(seen) == list(range(500))
    assert most <= 4 + 1 + 1  # with the driver and the consumer


async def test_a_source_that_cancels_its_own_pause_leaves_the_limit_unchanged() -> None:
    """A time limit inside the source cancels its pause: the source continues, and releases its slot once."""
    running = most = 0

    async def sleep(_: float) -> None:
        await asyncio.Event().wait()

    async def source(key: int, slot: Slot[int]) -> None:
        nonlocal running, most
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                await slot.pause(60)
        running += 1
        most = max(most, running)
        await run_iterations(2)
        running -= 1
        await slot.emit(key)

    seen = [key async for key in Merge(numbers(range(100)), source, limit=1, sleep=sleep)]

    assert sorted(seen) == list(range(100))
    assert most <= 1 + PARKED_PER_SLOT


async def test_a_slow_consumer_stops_the_sources() -> None:
    """Up to *limit* results are buffered, and each source holds one more until there is room."""
    emitted = 0

    async def source(key: int, slot: Slot[int]) -> None:
        nonlocal emitted
        emitted += 1
        await slot.emit(key)

    async with aclosing(Merge(numbers(range(1000)), source, limit=4)) as stream:
        assert await anext(stream) == 0
        await run_iterations(100)
        assert emitted <= 1 + 4 + 4
