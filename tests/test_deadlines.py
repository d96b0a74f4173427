"""Deadlines expire once, when they are due and not before, unless met or put off; one timer at most serves them all."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import attrs
from hypothesis import given
from hypothesis import strategies as st

from aidp_sessions._transport.timers import Deadlines

from .strategies import brief

if TYPE_CHECKING:
    from collections.abc import Callable

Step = tuple[Literal["start", "stop", "tidy", "sleep"], int, float]
STEPS: Final = st.lists(
    st.tuples(
        st.sampled_from(["start", "start", "stop", "tidy", "sleep", "sleep"]),
        st.integers(0, 4),
        st.sampled_from([0.0, 0.5, 1.0, 2.5, math.inf]),
    ),
    max_size=40,
)


@attrs.define(eq=False)
class Timer:
    when: float
    callback: Callable[[], None]
    timers: set[Timer]

    def cancel(self) -> None:
        self.timers.discard(self)


@attrs.define
class HandLoop:
    """As much of an event loop as deadlines use; its time stands still except in `sleep`."""

    now: float = 0.0
    timers: set[Timer] = attrs.field(factory=set[Timer])
    armed: int = 0

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[..., None], *args: object) -> Timer:
        turn = Timer(self.now, partial(callback, *args), self.timers)
        self.timers.add(turn)
        return turn

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(when, callback, self.timers)
        self.timers.add(timer)
        self.armed += 1
        return timer

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        while due := [each for each in self.timers if each.when <= self.now]:
            for timer in due:
                self.timers.discard(timer)
                timer.callback()

    def deadlines(self) -> Deadlines:
        return Deadlines(cast("Any", self))


@attrs.define(eq=False)
class Waiting:
    due: float = math.inf
    expired: int = 0

    def expire(self) -> None:
        self.expired += 1


@given(STEPS)
@brief
def test_a_deadline_expires_once_if_it_is_neither_met_nor_put_off(steps: list[Step]) -> None:
    loop = HandLoop()
    deadlines = loop.deadlines()
    everyone = [Waiting() for _ in range(5)]
    due: dict[int, float] = {}
    expected = [0] * 5
    for action, number, seconds in steps:
        if action == "start":
            deadlines.start(everyone[number], seconds)
            due[number] = loop.now + seconds
        elif action == "stop":
            deadlines.stop(everyone[number])
            due.pop(number, None)
        elif action == "tidy":
            deadlines.tidy()
            if not due:
                assert not loop.timers
        else:
            loop.sleep(min(seconds, 10.0))
            for each in [each for each, when in due.items() if when <= loop.now]:
                expected[each] += 1
                del due[each]
        assert [each.expired for each in everyone] == expected
        assert len(loop.timers) <= 1


def test_deadlines_that_are_met_need_no_timer_of_their_own() -> None:
    loop = HandLoop()
    deadlines = loop.deadlines()
    for _ in range(1000):
        waiting = Waiting()
        deadlines.start(waiting, 60.0)
        loop.sleep(0.01)
        deadlines.stop(waiting)

    assert loop.armed == 1


def test_whoever_is_met_a_few_turns_after_the_loop_stood_still_is_not_late() -> None:
    """Each has turns of its own: those who come due while others are let go first are not taken along."""
    loop = HandLoop()
    deadlines = loop.deadlines()
    late, met = Waiting(), Waiting()

    def after(turns: int, action: Callable[[], None]) -> None:
        if turns:
            loop.call_soon(after, turns - 1, action)
        else:
            action()

    def stand_still() -> None:
        loop.now = 3.0
        after(2, lambda: deadlines.stop(met))

    deadlines.start(late, 1.0)
    deadlines.start(met, 2.0)
    loop.call_at(1.0, lambda: after(2, stand_still))
    loop.sleep(1.0)

    assert (late.expired, met.expired) == (1, 0)
