"""Makes a client ask many workspaces in the simplest way: workers that share one iterator."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

FanOut = Callable[[Sequence[str], int], Awaitable[int]]
"""Ask about these workspaces, so many at a time; gives the number of sessions."""


def in_workers(ask: Callable[[str], Awaitable[int]]) -> FanOut:
    """A fan-out for a client that can only *ask* one workspace."""

    async def fan_out(keys: Sequence[str], concurrency: int) -> int:
        waiting = iter(keys)

        async def work() -> int:
            count = 0
            for key in waiting:
                count += await ask(key)
            return count

        return sum(await asyncio.gather(*(work() for _ in range(concurrency))))

    return fan_out


def in_threads(ask: Callable[[str], int], threads: int) -> FanOut:
    """The same in threads, the calling one included. *threads* takes precedence over the given concurrency."""

    async def fan_out(keys: Sequence[str], _: int) -> int:
        if threads == 1:
            return sum(map(ask, keys))
        with ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(ask, keys))

    return fan_out
