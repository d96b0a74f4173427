"""Limits how many requests are in flight. Plain asyncio, no I/O."""

from __future__ import annotations

import asyncio
from collections import deque


class AdaptiveLimiter:
    """A first-come-first-served semaphore whose limit answers to throttling: AIMD, as in TCP's congestion control.

    `try_acquire` takes a free slot without awaiting, which is the common case; `acquire` waits for one. Each slot is
    given back with `release`. `decrease` halves the limit, once per generation of requests; `increase` adds one slot
    after a success, so that a few throttled requests among many hardly slow the others down. The limit stays between
    one and *max_limit*. A limiter may be used on one event loop after another, see `bind_to_loop`.

    Attributes:
        loop: the event loop that the slots in use belong to.
        generation: counts the decreases; note it when a request starts and hand it to `decrease` when it is throttled.
    """

    def __init__(self, max_limit: int) -> None:
        self.max_limit = max_limit
        self.limit = max_limit
        self.in_use = 0
        self.generation = 0
        self.loop: asyncio.AbstractEventLoop | None = None
        self._waiters: deque[asyncio.Future[None]] = deque()

    def bind_to_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Forget what an earlier loop has left behind: one that was closed abruptly never gives its slots back."""
        self.loop, self.in_use = loop, 0
        self._waiters.clear()

    def try_acquire(self) -> bool:
        """Take a slot if one is free and no call waits for it."""
        free = self.in_use < self.limit and not self._waiters
        if free:
            self.in_use += 1
        return free

    async def acquire(self, *, resuming: bool = False) -> None:
        """Wait for the next slot, and take it; a request that is *resuming* goes before those that have not started."""
        waiter = asyncio.get_running_loop().create_future()
        if resuming:
            self._waiters.appendleft(waiter)
        else:
            self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():  # the slot came, and the cancellation after it
                self.release()
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            raise

    def release(self) -> None:
        self.in_use -= 1
        self._wake()

    def decrease(self, generation: int) -> None:
        """Halve the limit, once per *generation*: requests that started before the last decrease say nothing new."""
        if generation == self.generation:
            self.generation += 1
            self.limit = max(1, self.limit // 2)

    def increase(self) -> None:
        if self.limit < self.max_limit:
            self.limit += 1
            self._wake()

    def _wake(self) -> None:
        while self._waiters and self.in_use < self.limit:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self.in_use += 1
                waiter.set_result(None)
