"""Counts the iterations of the event loop, and what happens in each."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@attrs.define
class Ticker:
    """*now* is the number of ticks; *noted* counts the events after each tick."""

    now: int = 0
    noted: Counter[int] = attrs.field(factory=Counter[int])

    def note(self) -> None:
        self.noted[self.now] += 1

    @property
    def most(self) -> int:
        return max(self.noted.values())


@asynccontextmanager
async def loop_ticker() -> AsyncGenerator[Ticker]:
    """Tick once in every iteration of the loop, from the next one on."""
    ticker = Ticker()

    async def tick() -> None:
        while True:
            ticker.now += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(tick())
    try:
        yield ticker
    finally:
        task.cancel()
