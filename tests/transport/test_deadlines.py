"""Every timeout expires at its own deadline, and one timer is enough."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from hypothesis import example, given
from hypothesis import strategies as st

from aidp_sessions._transport.deadlines import Deadlines

from ..helpers.strategies import brief

if TYPE_CHECKING:
    from collections.abc import Sequence


class ManualLoop(asyncio.SelectorEventLoop):
    """A loop whose time stands still until it is told to advance; keeps the timers that were started."""

    now = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.timers: list[asyncio.TimerHandle] = []

    def time(self) -> float:
        return self.now

    def call_at(  # type: ignore[override]  # a TypeVarTuple less
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        self.timers.append(super().call_at(when, callback, *args, context=context))
        return self.timers[-1]

    def waiting_timers(self) -> list[float]:
        return [each.when() for each in self.timers if not each.cancelled() and each.when() > self.now]


class RecordedTimeout:
    """Stands in for `asyncio.Timeout`, which refuses to be rescheduled once it has expired."""

    def __init__(self, name: int, expired: Counter[int]) -> None:
        self._name = name
        self._expired = expired

    def reschedule(self, when: float) -> None:
        assert when == 0
        self._expired[self._name] += 1

    def expired(self) -> bool:
        return self._expired[self._name] > 0


names = st.integers(0, 4)
Step = tuple[str, int, float]
steps = st.lists(
    st.tuples(st.just("set"), names, st.integers(1, 20).map(float) | st.just(math.inf))
    | st.tuples(st.just("remove"), names, st.just(0.0))
    | st.tuples(st.just("advance"), st.just(0), st.integers(1, 10).map(float))
    | st.tuples(st.sampled_from(["clear", "expire all"]), st.just(0), st.just(0.0)),
    max_size=30,
)


@brief
@given(steps)
@example([("set", 0, 5.0), ("set", 1, 3.0), ("set", 1, 9.0), ("advance", 0, 4.0), ("advance", 0, 5.0)])
@example([("set", 0, 5.0), ("remove", 0, 0.0)])
@example([("set", 0, 5.0), ("advance", 0, 5.0), ("set", 0, math.inf), ("expire all", 0, 0.0)])
@example([("set", 0, 5.0), ("set", 0, math.inf), ("advance", 0, 6.0), ("set", 0, 2.0), ("advance", 0, 2.0)])
def test_each_timeout_expires_once_at_its_last_deadline_and_at_most_one_timer_waits(taken: list[Step]) -> None:
    """Without any deadline, no timer waits."""
    loop = ManualLoop()
    try:
        loop.run_until_complete(follow(loop, taken))
    finally:
        loop.close()


async def follow(loop: ManualLoop, taken: Sequence[Step]) -> None:
    deadlines = Deadlines()
    expired: Counter[int] = Counter()
    timeouts: list[Any] = [RecordedTimeout(name, expired) for name in range(5)]
    model: dict[int, float] = {}
    expected: Counter[int] = Counter()
    for action, name, value in taken:
        if action == "set":
            model[name] = loop.now + value
            deadlines.set(timeouts[name], model[name])
        elif action == "remove":
            model.pop(name, None)
            deadlines.remove(timeouts[name])
        elif action == "advance":
            loop.now += value
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            expected |= Counter(each for each, deadline in model.items() if deadline <= loop.now)
            model = {each: deadline for each, deadline in model.items() if deadline > loop.now}
        elif action == "clear":
            model.clear()
            deadlines.clear()
        else:
            expected |= Counter(list(model))
            model.clear()
            deadlines.expire_all()

        assert expired == expected
        waiting = loop.waiting_timers()
        assert len(waiting) <= 1
        earliest = min(model.values(), default=math.inf)
        assert earliest == math.inf or waiting[0] <= earliest
        assert model or not waiting
