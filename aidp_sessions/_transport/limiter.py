"""Slots: how many things may happen at once, handed out in the order they were asked for. Plain asyncio, no I/O."""

from __future__ import annotations

import asyncio
from collections import deque


class Gate:
    """A first-come-first-served semaphore whose width answers to throttling.

    Whoever wants a slot may `take` one, or has to `wait` for it, and must `release` it in the end. Mostly nobody has
    to wait, and then there is nothing to await.

    `narrow` halves the width, `widen` adds a slot: multiplicative decrease once per round trip, additive increase with
    every success, so that a few throttled requests among many hardly slow the others down. The width stays between one
    and *limit*. A gate belongs to no event loop while nobody waits.

    Attributes:
        round_trip: counts the narrowings; note it when a request starts and hand it to `narrow` when it is throttled.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_use = 0
        self.round_trip = 0
        self.width = limit
        self._waiters: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Take a slot if one is free and nobody waits for it."""
        free = self.in_use < self.width and not self._waiters
        if free:
            self.in_use += 1
        return free

    async def wait(self) -> None:
        """Wait for the next slot, and take it."""
        waiter = asyncio.get_running_loop().create_future()
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
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiters and self.in_use < self.width:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self.in_use += 1
                waiter.set_result(None)

    def narrow(self, round_trip: int) -> None:
        """Halve the width, but once per round trip: what started before the last narrowing says nothing new."""
        if round_trip == self.round_trip:
            self.round_trip += 1
            self.width = max(1, self.width // 2)

    def widen(self) -> None:
        if self.width < self.limit:
            self.width += 1
            self._hand_out()
