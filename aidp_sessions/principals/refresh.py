"""Caches expiring credentials and refreshes them ahead of time, with one refresh in flight."""

from __future__ import annotations

import asyncio
import copy
import logging
from typing import TYPE_CHECKING, Final

import attrs

from .._transport.pacer import Pacer
from ..auth.secrets import NotPicklable
from ..auth.signing import Signer, SigningThreads
from ..errors import AidpError, CredentialsError
from .token_service import TransientCredentialsError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from ..auth.signing import SigningRequest
    from ..auth.token import Credentials
    from ..policies import Clock

MARGIN_S: Final = 300.0
"""Seconds before their end at which credentials are refreshed; a quarter of their lifetime if that is less."""

_PAUSES_S: Final = (1.0, 2.0, 4.0)
_MAX_PAUSE_S: Final = 60.0
_COOL_DOWN_S: Final = 10.0
_MIN_AGE_S: Final = 30.0
_RECHECK_S: Final = 10.0

_log = logging.getLogger("aidp_sessions")


@attrs.define(eq=False, repr=False)
class TokenRefresher:
    """Caches the credentials that *obtain* returns.

    Created outside a loop, and usable on one loop after another. A `TransientCredentialsError` of *obtain* is retried
    three times, after 1, 2 and 4 s or as long as the service asks for, up to a minute. After the last of these
    attempts, and after any other error, the next refresh starts 10 s later at the earliest, then 20, 40, 60. Until then
    callers get a copy of the error at once, unless the cached credentials are still valid.

    Args:
        name: names the credentials in errors.
        remedy: ends the error about credentials that have expired when they arrive.
        clock: time and sleep.
        min_age: seconds for which rejected credentials are not replaced: new ones would be rejected too.

    Attributes:
        current: the latest credentials, which may have expired.
    """

    _obtain: Callable[[], Awaitable[Credentials]]
    _name: str
    _remedy: str
    _clock: Clock
    _min_age: float = _MIN_AGE_S
    current: Credentials | None = attrs.field(default=None, init=False)
    _task: asyncio.Task[None] | None = attrs.field(default=None, init=False)
    _stored_at: float = attrs.field(default=float("-inf"), init=False)
    _refresh_at: float = attrs.field(default=float("-inf"), init=False)
    _not_before: float = attrs.field(default=float("-inf"), init=False)
    _failure: AidpError | None = attrs.field(default=None, init=False)
    _failures: int = attrs.field(default=0, init=False)
    _pacer: Pacer = attrs.field(factory=Pacer, init=False)

    def store(self, credentials: Credentials) -> None:
        """Use *credentials* from now on. Expired ones are kept too, but `get` never returns them."""
        now, previous, token = self._clock.time(), self.current, credentials.token
        end = token.expires_at.timestamp()
        start = now if token.issued_at is None else min(token.issued_at, now)
        self.current = credentials
        self._stored_at = now
        self._refresh_at = end - min(MARGIN_S, (end - start) / 4)
        if previous is not None and previous.token == token:
            self._refresh_at = now + _RECHECK_S
        self._not_before = float("-inf")
        self._failure, self._failures = None, 0

    async def get(self) -> Credentials:
        """Return valid credentials, after a refresh if there are none.

        Cancelling the caller does not cancel the refresh, which other callers may await. Raises `AidpError`.
        """
        while True:
            current, now = self.current, self._clock.time()
            if current is None or current.token.is_expired_at(now):
                await self._join(self._start())
                continue
            if now >= self._refresh_at:
                self._start()
            return current

    async def refresh_after_rejection(self, rejected: Mapping[str, str]) -> bool:
        """Whether, after a 401 to the headers *rejected*, there are other credentials."""
        previous = self.current
        if previous is None or not previous.did_sign(rejected):
            return True
        if self._clock.time() - self._stored_at < self._min_age:
            return False
        try:
            await self._join(self._start())
        except AidpError as error:
            _log.warning("%s was rejected and cannot be refreshed: %s", self._name, error)
            return False
        return self.current is not previous

    async def aclose(self) -> None:
        """Cancel the refresh in flight; callers that await it get an error. A later `get` starts another."""
        task, self._task = self._in_flight(), None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def _in_flight(self) -> asyncio.Task[None] | None:
        task = self._task
        return task if task and not task.done() and task.get_loop() is asyncio.get_running_loop() else None

    def _start(self) -> asyncio.Task[None] | None:
        """Return the refresh in flight, or start one; ``None`` during the pause after a failure."""
        if self._in_flight() is None:
            if self._clock.time() < self._not_before:
                return None
            self._task = asyncio.create_task(self._refresh(), name=f"refresh {self._name}")
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
            if found.token.is_expired_at(self._clock.time()):
                raise CredentialsError(f"{self._name} expired at {found.token.end}; {self._remedy}")
        except AidpError as error:
            self._record_failure(error)
        else:
            self.store(found)

    async def _obtain_with_retries(self) -> Credentials:
        for pause in _PAUSES_S:
            try:
                return await self._attempt()
            except TransientCredentialsError as error:
                _log.debug("%s: next attempt in %g s or more: %s", self._name, pause, error)
                requested = error.retry_after or 0.0
            await self._clock.sleep(max(pause, min(requested, _MAX_PAUSE_S)))
        try:
            return await self._attempt()
        except TransientCredentialsError as error:
            raise CredentialsError(f"{error.message} ({len(_PAUSES_S) + 1} attempts)") from error.__cause__

    async def _attempt(self) -> Credentials:
        try:
            return await self._obtain()
        except AidpError:
            raise
        except Exception as error:
            # Its text is not repeated, because it may quote a token.
            text = f"{self._name} could not be obtained: {type(error).__name__}, see its cause"
            raise CredentialsError(text) from error

    def _record_failure(self, error: AidpError) -> None:
        now, current = self._clock.time(), self.current
        self._not_before = now + min(_COOL_DOWN_S * 2.0 ** min(self._failures, 8), _MAX_PAUSE_S)
        self._failures += 1
        self._failure = error
        if current is not None and not current.token.is_expired_at(now):
            _log.warning(
                "%s could not be refreshed and is kept, valid until %s: %s", self._name, current.token.end, error
            )


class TokenSigner(NotPicklable, Signer):
    """Signs with a token that it refreshes itself; subclasses get the token in `_obtain`."""

    _region: str | None = None

    def __init__(self, name: str, remedy: str, *, clock: Clock, min_age: float = _MIN_AGE_S) -> None:
        # At the first signature, this import would block the event loop.
        from ..auth.keys import PrivateKey  # noqa: PLC0415  # `cryptography` takes long to import

        self._key_class: Final = PrivateKey
        self._clock = clock
        self._users = 0
        self._threads = SigningThreads()
        self._refresher = TokenRefresher(self._obtain, name, remedy, clock, min_age)

    @property
    def tenancy(self) -> str | None:
        """The OCID of the tenancy; ``None`` before the first token, and if the token does not name it."""
        current = self._refresher.current
        return current.token.tenancy if current else None

    @property
    def region(self) -> str | None:
        """The full name of the region, from an argument, the environment or the instance; ``None`` if not known."""
        return self._region

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
        current = self._refresher.current
        return f"{type(self).__name__}(<{f'valid until {current.token.end}' if current else 'no token yet'}>)"
