"""Caches expiring credentials and refreshes them ahead of time, with one refresh in flight."""

from __future__ import annotations

import asyncio
import copy
import logging
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from .._transport.pacer import Pacer
from ..auth.secrets import NotPicklable
from ..auth.signing import Signer, SigningThreads
from ..auth.token import TIME_FORMAT, Credentials
from ..errors import AidpError, CredentialsError
from .token_service import TransientCredentialsError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from ..auth.signing import SigningRequest
    from ..policies import Sleep

C = TypeVar("C", bound=Credentials)

MARGIN_S: Final = 300.0
"""Seconds before their end at which credentials are refreshed; a quarter of their lifetime if that is less."""

_PAUSES_S: Final = (1.0, 2.0, 4.0)
_MAX_PAUSE_S: Final = 60.0
_COOL_DOWN_S: Final = 10.0
_MIN_AGE_S: Final = 30.0
_RECHECK_S: Final = 10.0

_log = logging.getLogger("aidp_sessions")


class TokenRefresher(Generic[C]):
    """Caches the credentials that *obtain* returns.

    Created outside a loop, and usable on one loop after another. A `TransientCredentialsError` of *obtain* is retried
    three times, after 1, 2 and 4 s or as long as the service asks for, up to a minute. After the last of these
    attempts, and after any other error, the next refresh starts 10 s later at the earliest, then 20, 40, 60. Until then
    callers get a copy of the error at once, unless the cached credentials are still valid.

    Args:
        name: names the credentials in errors.
        remedy: ends the error about credentials that have expired when they arrive.
        clock: seconds since the epoch.
        min_age: seconds for which rejected credentials are not replaced: new ones would be rejected too.
    """

    def __init__(
        self,
        obtain: Callable[[], Awaitable[C]],
        name: str,
        remedy: str,
        *,
        clock: Callable[[], float],
        sleep: Sleep,
        min_age: float = _MIN_AGE_S,
    ) -> None:
        self._obtain = obtain
        self._name = name
        self._remedy = remedy
        self._clock = clock
        self._sleep = sleep
        self._min_age = min_age
        self._task: asyncio.Task[None] | None = None
        self._current: C | None = None
        self._stored_at = self._refresh_at = self._not_before = float("-inf")
        self._failure: AidpError | None = None
        self._failures = 0
        self._pacer = Pacer()

    @property
    def current(self) -> C | None:
        return self._current

    def store(self, credentials: C) -> None:
        """Use *credentials* from now on. Expired ones are kept too, but `get` never returns them."""
        now, previous, token = self._clock(), self._current, credentials.token
        end = token.expires_at.timestamp()
        start = now if token.issued_at is None else min(token.issued_at, now)
        self._current = credentials
        self._stored_at = now
        self._refresh_at = end - min(MARGIN_S, (end - start) / 4)
        if previous is not None and previous.token == token:
            self._refresh_at = now + _RECHECK_S
        self._not_before = float("-inf")
        self._failure, self._failures = None, 0

    async def get(self) -> C:
        """Return valid credentials, after a refresh if there are none.

        Cancelling the caller does not cancel the refresh, which other callers may await. Raises `AidpError`.
        """
        while True:
            current, now = self._current, self._clock()
            if current is None or current.token.is_expired_at(now):
                await self._join(self._start())
                continue
            if now >= self._refresh_at:
                self._start()
            return current

    async def refresh_after_rejection(self, rejected: Mapping[str, str]) -> bool:
        """Whether, after a 401 to the headers *rejected*, there are other credentials."""
        previous = self._current
        if previous is None or not previous.did_sign(rejected):
            return True
        if self._clock() - self._stored_at < self._min_age:
            return False
        try:
            await self._join(self._start())
        except AidpError as error:
            _log.warning("%s was rejected and cannot be refreshed: %s", self._name, error)
            return False
        return self._current is not previous

    async def aclose(self) -> None:
        """Cancel the refresh in flight; callers that await it get an error. A later `get` starts another."""
        task, self._task = self._task, None
        if task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.wait({task})

    def _start(self) -> asyncio.Task[None] | None:
        """Return the refresh in flight, or start one; ``None`` during the pause after a failure."""
        loop = asyncio.get_running_loop()
        if self._task is not None and not self._task.done() and self._task.get_loop() is loop:
            return self._task
        if self._clock() < self._not_before:
            return None
        self._task = loop.create_task(self._refresh(), name=f"refresh {self._name}")
        return self._task

    async def _join(self, task: asyncio.Task[None] | None) -> None:
        if task is not None:
            await asyncio.wait({task})
            await self._pacer.wait()  # all callers resume at once, and most of them sign next
            if task.cancelled():
                raise CredentialsError(f"{self._name} was being refreshed when the client was closed")
            task.result()
        if self._failure is not None:
            raise copy.copy(self._failure) from self._failure.__cause__

    async def _refresh(self) -> None:
        try:
            found = await self._obtain_with_retries()
            if found.token.is_expired_at(self._clock()):
                end = format(found.token.expires_at, TIME_FORMAT)
                raise CredentialsError(f"{self._name} expired at {end}; {self._remedy}")
        except AidpError as error:
            self._record_failure(error)
        else:
            self.store(found)

    async def _obtain_with_retries(self) -> C:
        for pause in _PAUSES_S:
            try:
                return await self._attempt()
            except TransientCredentialsError as error:
                _log.debug("%s: next attempt in %g s or more: %s", self._name, pause, error)
                requested = error.retry_after or 0.0
            await self._sleep(max(pause, min(requested, _MAX_PAUSE_S)))
        try:
            return await self._attempt()
        except TransientCredentialsError as error:
            text = f"{error.message} ({len(_PAUSES_S) + 1} attempts)"
            final = CredentialsError(text)
            raise final from error.__cause__

    async def _attempt(self) -> C:
        try:
            return await self._obtain()
        except AidpError:
            raise
        except Exception as error:
            # Its text is not repeated, because it may quote a token.
            text = f"{self._name} could not be obtained: {type(error).__name__}, see its cause"
            raise CredentialsError(text) from error

    def _record_failure(self, error: AidpError) -> None:
        now, current = self._clock(), self._current
        self._not_before = now + min(_COOL_DOWN_S * 2.0 ** min(self._failures, 8), _MAX_PAUSE_S)
        self._failures += 1
        self._failure = error
        if current is not None and not current.token.is_expired_at(now):
            end = format(current.token.expires_at, TIME_FORMAT)
            _log.warning("%s could not be refreshed and is kept, valid until %s: %s", self._name, end, error)


class TokenSigner(NotPicklable, Signer):
    """Signs with a token that it refreshes itself; subclasses get the token in `_obtain`."""

    def __init__(
        self, name: str, remedy: str, *, clock: Callable[[], float], sleep: Sleep, min_age: float = _MIN_AGE_S
    ) -> None:
        # At the first signature, this import would block the event loop.
        from ..auth.keys import PrivateKey  # noqa: PLC0415  # `cryptography` takes long to import

        self._key_class: Final = PrivateKey
        self._clock = clock
        self._users = 0
        self._threads = SigningThreads()
        self._refresher: TokenRefresher[Credentials] = TokenRefresher(
            self._obtain, name, remedy, clock=clock, sleep=sleep, min_age=min_age
        )

    @property
    def tenancy(self) -> str | None:
        """The OCID of the tenancy; ``None`` before the first token, and if the token does not name it."""
        current = self._refresher.current
        return current.token.tenancy if current else None

    @property
    def expires_at(self) -> datetime | None:
        """When the current token expires, in UTC; ``None`` before the first token."""
        current = self._refresher.current
        return current.token.expires_at if current else None

    async def sign(self, request: SigningRequest) -> dict[str, str]:
        """Sign *request*; waits for a token if there is no valid one."""
        current = await self._refresher.get()
        return await self._threads.sign(request, current.key, current.key_id)

    async def refresh(self, rejected: Mapping[str, str]) -> bool:
        """Get a new token, unless the current one is not the rejected one."""
        return await self._refresher.refresh_after_rejection(rejected)

    def retain(self) -> None:
        self._users += 1

    async def release(self) -> None:
        self._users -= 1
        if self._users <= 0:
            await self.aclose()

    async def aclose(self) -> None:
        """Cancel the refresh in flight. Clients call this; the owner of a signer used without a client has to."""
        self._users = 0
        await self._refresher.aclose()

    async def _obtain(self) -> Credentials:
        raise NotImplementedError

    def __repr__(self) -> str:
        end = self.expires_at
        return f"{type(self).__name__}(<{f'valid until {end:{TIME_FORMAT}}' if end else 'no token yet'}>)"
