"""Slots are granted in the order of the callers, never beyond the limit, and a cancellation loses none."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Literal

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aidp_sessions._transport.limiter import AdaptiveLimiter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

Action = tuple[Literal["enter", "leave", "cancel", "decrease", "increase", "iterate"], int]
ACTIONS: Final = st.tuples(
    st.sampled_from(["enter", "enter", "leave", "cancel", "decrease", "increase", "iterate", "iterate"]),
    st.integers(0, 3),
)


@asynccontextmanager
async def slot_of(limiter: AdaptiveLimiter) -> AsyncGenerator[None]:
    if not limiter.try_acquire():
        await limiter.acquire()
    try:
        yield
    finally:
        limiter.release()


@attrs.define
class Crowd:
    """Numbered tasks that want a slot of *limiter*, and their results."""

    limiter: AdaptiveLimiter
    holding: list[int] = attrs.field(factory=list)
    waiting: list[int] = attrs.field(factory=list)
    overtaken: list[int] = attrs.field(factory=list)
    cancelled: set[int] = attrs.field(factory=set)
    _tasks: list[asyncio.Task[None]] = attrs.field(factory=list)
    _leave: list[asyncio.Event] = attrs.field(factory=list)

    async def _visit(self, number: int) -> None:
        self.waiting.append(number)
        async with slot_of(self.limiter):
            self.waiting.remove(number)
            self.holding.append(number)
            # An earlier caller may resume later, but must have been granted a slot by now.
            earlier = [other for other in self.waiting if other < number and other not in self.cancelled]
            self.overtaken += earlier[self.limiter.in_use - len(self.holding) :]
            try:
                await self._leave[number].wait()
            finally:
                self.holding.remove(number)

    def enter(self) -> None:
        self._leave.append(asyncio.Event())
        self._tasks.append(asyncio.create_task(self._visit(len(self._tasks))))

    def leave(self, which: int) -> None:
        if self.holding:
            self._leave[self.holding[which % len(self.holding)]].set()

    def cancel(self, which: int) -> None:
        running = [number for number, task in enumerate(self._tasks) if not task.done()]
        if running:
            number = running[which % len(running)]
            self.cancelled.add(number)
            self._tasks[number].cancel()

    async def do(self, action: Action) -> None:
        match action:
            case ("enter", _):
                self.enter()
            case ("leave", which):
                self.leave(which)
            case ("cancel", which):
                self.cancel(which)
            case ("decrease", behind):
                self.limiter.decrease(self.limiter.generation - behind % 2)
            case ("increase", _):
                self.limiter.increase()
            case _:
                await asyncio.sleep(0)

    async def finish_all(self) -> list[BaseException | None]:
        """Let every task get a slot and release it; return the results in the order of their start."""
        for event in self._leave:
            event.set()
        async with asyncio.timeout(5.0):
            return await asyncio.gather(*self._tasks, return_exceptions=True)


def one_iteration_at_a_time(actions: list[Action]) -> Iterator[Action]:
    for action in actions:
        yield from [action] * (action[1] if action[0] == "iterate" else 1)


async def check(limit: int, actions: list[Action]) -> None:
    limiter = AdaptiveLimiter(limit)
    crowd = Crowd(limiter)
    for action in one_iteration_at_a_time(actions):
        in_use, width = limiter.in_use, limiter.limit
        await crowd.do(action)
        assert 1 <= limiter.limit <= limit
        assert len(crowd.holding) <= limiter.in_use <= max(in_use, width, limiter.limit)
    ends = await crowd.finish_all()

    assert [type(end) for end in ends if not isinstance(end, asyncio.CancelledError | None)] == []
    assert {number for number, end in enumerate(ends) if end is not None} <= crowd.cancelled
    assert crowd.overtaken == []
    assert limiter.in_use == 0
    await check_nothing_lost(limiter)


async def check_nothing_lost(limiter: AdaptiveLimiter) -> None:
    """As many callers as the limit get a slot without waiting, and not one more."""
    newcomers = Crowd(limiter)
    for _ in range(limiter.limit + 1):
        newcomers.enter()
    await asyncio.sleep(0)
    assert newcomers.holding == list(range(limiter.limit))
    await newcomers.finish_all()


@given(limit=st.integers(1, 5), actions=st.lists(ACTIONS, max_size=40))
@example(limit=1, actions=[("enter", 0), ("enter", 0), ("iterate", 1), ("leave", 0), ("cancel", 1)])
@example(
    limit=2, actions=[("decrease", 0), ("enter", 0), ("enter", 0), ("iterate", 1), ("increase", 0), ("decrease", 0)]
)
@settings(max_examples=100)
async def test_slots_are_granted_in_order_within_the_limit_and_all_come_back(limit: int, actions: list[Action]) -> None:
    await check(limit, actions)


SETUP: Final[list[Action]] = [("enter", 0), ("enter", 0), ("enter", 0), ("iterate", 1)]
EVENTS: Final[list[Action]] = [("leave", 0), ("cancel", 0), ("cancel", 1), ("cancel", 2), ("enter", 0), ("increase", 0)]


@pytest.mark.parametrize("limit", [1, 2])
@pytest.mark.parametrize("iterations", [0, 1, 2])
async def test_a_cancellation_at_any_moment_among_other_events_loses_no_slot(limit: int, iterations: int) -> None:
    for events in itertools.permutations(EVENTS, 4):
        spaced = [action for event in events for action in (event, ("iterate", iterations))]
        await check(limit, [*SETUP, *spaced])


async def test_a_waiter_that_is_cancelled_as_a_slot_is_freed_loses_no_slot() -> None:
    limiter = AdaptiveLimiter(1)

    async def visit() -> None:
        async with slot_of(limiter):
            pass

    async with slot_of(limiter):
        waiter = asyncio.create_task(visit())
        await asyncio.sleep(0)
        waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter

    assert limiter.in_use == 0


async def test_an_exception_inside_gives_the_slot_back() -> None:
    limiter = AdaptiveLimiter(1)
    for _ in range(3):
        with pytest.raises(KeyError):
            async with slot_of(limiter):
                raise KeyError

    assert limiter.in_use == 0


@pytest.mark.parametrize(("limit", "widths"), [(1, [1, 1]), (2, [1, 1]), (8, [4, 2, 1, 1]), (9, [4, 2, 1, 1])])
def test_a_decrease_halves_the_limit_down_to_one(limit: int, widths: list[int]) -> None:
    limiter = AdaptiveLimiter(limit)
    seen = []
    for _ in widths:
        limiter.decrease(limiter.generation)
        seen.append(limiter.limit)

    assert seen == widths


def test_requests_of_one_generation_decrease_once_however_many_are_throttled() -> None:
    limiter = AdaptiveLimiter(32)
    generation = limiter.generation
    for _ in range(32):
        limiter.decrease(generation)

    assert limiter.limit == 16


def test_each_success_adds_one_slot_up_to_the_maximum() -> None:
    limiter = AdaptiveLimiter(8)
    limiter.decrease(limiter.generation)
    seen = []
    for _ in range(6):
        limiter.increase()
        seen.append(limiter.limit)

    assert seen == [5, 6, 7, 8, 8, 8]


@given(limit=st.integers(1, 64), steps=st.lists(st.booleans(), max_size=200))
def test_the_limit_stays_between_one_and_the_maximum_and_recovers(limit: int, steps: list[bool]) -> None:
    limiter = AdaptiveLimiter(limit)
    for decrease in steps:
        before = limiter.limit
        if decrease:
            limiter.decrease(limiter.generation)
            assert limiter.limit == max(1, before // 2)
        else:
            limiter.increase()
            assert before <= limiter.limit <= min(limit, before + 1)
    for _ in range(limit * limit + 1):
        limiter.increase()

    assert limiter.limit == limit


async def test_a_decrease_takes_no_slot_away_but_admits_no_new_caller() -> None:
    limiter = AdaptiveLimiter(4)
    crowd = Crowd(limiter)
    for _ in range(6):
        crowd.enter()
    await asyncio.sleep(0)
    limiter.decrease(limiter.generation)
    crowd.leave(0)
    crowd.leave(1)
    for _ in range(3):
        await asyncio.sleep(0)
    assert crowd.holding == [2, 3]
    crowd.leave(0)
    for _ in range(3):
        await asyncio.sleep(0)
    assert crowd.holding == [3, 4]
    await crowd.finish_all()

    assert limiter.in_use == 0


async def test_an_increase_admits_a_caller_that_waits() -> None:
    limiter = AdaptiveLimiter(2)
    limiter.decrease(limiter.generation)
    crowd = Crowd(limiter)
    crowd.enter()
    crowd.enter()
    await asyncio.sleep(0)
    assert crowd.holding == [0]
    limiter.increase()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert crowd.holding == [0, 1]
    await crowd.finish_all()


def test_a_limiter_without_waiters_can_be_used_on_another_loop() -> None:
    limiter = AdaptiveLimiter(1)

    async def contend() -> int:
        crowd = Crowd(limiter)
        crowd.enter()
        crowd.enter()
        await asyncio.sleep(0)
        return len(await crowd.finish_all())

    assert [asyncio.run(contend()), asyncio.run(contend())] == [2, 2]
