"""A ticker: counts how often the event loop comes round, and what happens meanwhile."""

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
    """Has ticked *now* times; *noted* says how much happened after each tick."""

    now: int = 0
    noted: Counter[int] = attrs.field(factory=Counter[int])

    def note(self) -> None:
        self.noted[self.now] += 1

    @property
    def most(self) -> int:
        return max(self.noted.values())


@asynccontextmanager
async def ticking() -> AsyncGenerator[Ticker]:
    """Tick once in every turn of the loop; not yet when the block begins."""
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
