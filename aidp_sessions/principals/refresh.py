"""Credentials that end, kept fresh: one renewal at a time, ahead of the end, beside the calls that wait for it."""

from __future__ import annotations

import asyncio
import copy
import logging
from typing import TYPE_CHECKING, Final, Generic, NoReturn, TypeVar

from .._transport.pacer import Pacer
from ..auth.signing import Signatures, Signer
from ..auth.token import TIME, Credentials
from ..errors import AidpError, CredentialsError
from .token_service import TryAgainError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from ..auth.signing import SigningRequest
    from ..policies import Sleep

C = TypeVar("C", bound=Credentials)

MARGIN_S: Final = 300.0
"""How long before their end credentials are renewed; for short ones, a quarter of their time."""

_PAUSES_S: Final = (1.0, 2.0, 4.0)
_LONGEST_PAUSE_S: Final = 60.0
_COOL_DOWN_S: Final = 10.0
_FRESH_S: Final = 30.0
_LOOK_AGAIN_S: Final = 10.0

_log = logging.getLogger("aidp_sessions")


class Renewal(Generic[C]):
    """Calls *obtain* so that valid credentials are at hand whenever possible.

    Made outside a loop, and used on any number of loops, one after the other. *obtain* raises `TryAgainError` for what
    may pass: it is then called up to four times in all, after 1, 2 and 4 s or as long as the service asks for (at most
    a minute). When that fails too, nobody asks again for 10 s, then 20, 40, 60; whoever comes meanwhile gets the
    error at once if no valid credentials are left, each an instance of its own.

    Args:
        what: names the credentials in errors.
        way_out: ends the error about credentials that were over when they came.
        clock: seconds since the epoch.
        fresh: credentials that are refused when they are younger than this (seconds) are not replaced: it would not
            help, and every refusal would cost a renewal.
    """

    def __init__(
        self,
        obtain: Callable[[], Awaitable[C]],
        what: str,
        way_out: str,
        *,
        clock: Callable[[], float],
        sleep: Sleep,
        fresh: float = _FRESH_S,
    ) -> None:
        self._obtain = obtain
        self._what = what
        self._way_out = way_out
        self._clock = clock
        self._sleep = sleep
        self._fresh = fresh
        self._task: asyncio.Task[None] | None = None
        self._current: C | None = None
        self._obtained_at = self._due = self._not_before = float("-inf")
        self._failure: AidpError | None = None
        self._failures = 0
        self._pacer = Pacer()

    @property
    def current(self) -> C | None:
        return self._current

    def take(self, credentials: C) -> None:
        """Use *credentials* from now on; those that are over already are kept too, but never given out by `get`."""
        now, before, token = self._clock(), self._current, credentials.token
        end = token.expires_at.timestamp()
        begin = now if token.issued_at is None else min(token.issued_at, now)
        self._current = credentials
        self._obtained_at = now
        self._due = end - min(MARGIN_S, (end - begin) / 4)
        if before is not None and before.token == token:
            self._due = now + _LOOK_AGAIN_S
        self._not_before = float("-inf")
        self._failure, self._failures = None, 0

    async def get(self) -> C:
        """Valid credentials: at once if there are any, or else as soon as they have been obtained.

        Cancelling the caller does not cancel the renewal, which others may wait for. Raises `AidpError`.
        """
        while True:
            current, now = self._current, self._clock()
            if current is None or current.token.expired(now):
                await self._finished(self._begin())
                continue
            if now >= self._due:
                self._begin()
            return current

    async def replace(self, rejected: Mapping[str, str]) -> bool:
        """After a 401 to the headers *rejected*: are there other credentials now?"""
        before = self._current
        if before is None or not before.signed(rejected):
            return True
        if self._clock() - self._obtained_at < self._fresh:
            return False
        try:
            await self._finished(self._begin())
        except AidpError as error:
            _log.warning("%s was refused and cannot be replaced: %s", self._what, error)
            return False
        return self._current is not before

    async def aclose(self) -> None:
        """End a renewal that is under way, and those who wait for it; a later `get` begins anew."""
        task, self._task = self._task, None
        if task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.wait({task})

    def _begin(self) -> asyncio.Task[None] | None:
        """The renewal that is under way, or a new one; ``None`` while it is too early to try again."""
        loop = asyncio.get_running_loop()
        if self._task is not None and not self._task.done() and self._task.get_loop() is loop:
            return self._task
        if self._clock() < self._not_before:
            return None
        self._task = loop.create_task(self._renew(), name=f"renew {self._what}")
        return self._task

    async def _finished(self, task: asyncio.Task[None] | None) -> None:
        if task is not None:
            await asyncio.wait({task})
            await self._pacer.wait()  # all who waited wake up at once, and mostly to sign
            if task.cancelled():
                raise CredentialsError(f"{self._what} was being renewed when the client was closed")
            task.result()
        if self._failure is not None:
            raise copy.copy(self._failure) from self._failure.__cause__

    async def _renew(self) -> None:
        try:
            found = await self._persist()
            if found.token.expired(self._clock()):
                raise CredentialsError(f"{self._what} expired at {found.token.expires_at:{TIME}}; {self._way_out}")
        except AidpError as error:
            self._fail(error)
        else:
            self.take(found)

    async def _persist(self) -> C:
        for pause in _PAUSES_S:
            try:
                return await self._obtain()
            except TryAgainError as error:
                _log.debug("%s: next attempt in %g s or more: %s", self._what, pause, error)
                asked = error.retry_after or 0.0
            await self._sleep(max(pause, min(asked, _LONGEST_PAUSE_S)))
        try:
            return await self._obtain()
        except TryAgainError as error:
            text = f"{error.message} ({len(_PAUSES_S) + 1} attempts)"
            final = CredentialsError(text)
            raise final from error.__cause__

    def _fail(self, error: AidpError) -> None:
        now, current = self._clock(), self._current
        self._not_before = now + min(_COOL_DOWN_S * 2.0 ** min(self._failures, 8), _LONGEST_PAUSE_S)
        self._failures += 1
        self._failure = error
        if current is not None and not current.token.expired(now):
            end = format(current.token.expires_at, TIME)
            _log.warning("%s in hand is kept, it is valid until %s: %s", self._what, end, error)


class TokenSigner(Signer):
    """Signs with a token that it obtains and renews itself; what kind of token, subclasses say in `_obtain`."""

    def __init__(
        self, what: str, way_out: str, *, clock: Callable[[], float], sleep: Sleep, fresh: float = _FRESH_S
    ) -> None:
        self._clock = clock
        self._users = 0
        self._signatures = Signatures()
        self._renewal: Renewal[Credentials] = Renewal(
            self._obtain, what, way_out, clock=clock, sleep=sleep, fresh=fresh
        )

    @property
    def tenancy(self) -> str | None:
        """The OCID of the tenancy, once there is a token, and if it names one."""
        current = self._renewal.current
        return current.token.tenancy if current else None

    @property
    def expires_at(self) -> datetime | None:
        """When the token in hand ends; aware, in UTC. ``None`` before the first one."""
        current = self._renewal.current
        return current.token.expires_at if current else None

    async def sign(self, request: SigningRequest) -> dict[str, str]:
        """As `Signer.sign`; waits for a token if there is no valid one."""
        current = await self._renewal.get()
        return await self._signatures.make(request, current.key, current.key_id)

    async def refresh(self, rejected: Mapping[str, str]) -> bool:
        """Have a new token, unless there is another one than the rejected already."""
        return await self._renewal.replace(rejected)

    def attach(self) -> None:
        self._users += 1

    async def detach(self) -> None:
        self._users -= 1
        if self._users <= 0:
            await self.aclose()

    async def aclose(self) -> None:
        """End what runs in the background. Clients do it; a signer that is used alone is closed by its owner."""
        self._users = 0
        await self._renewal.aclose()

    async def _obtain(self) -> Credentials:
        raise NotImplementedError

    def __repr__(self) -> str:
        end = self.expires_at
        return f"{type(self).__name__}(<{f'valid until {end:{TIME}}' if end else 'no token yet'}>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer is not pickled, for it holds a private key; build it anew where it is needed")
