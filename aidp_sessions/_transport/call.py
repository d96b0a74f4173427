"""One operation from its first attempt to its result: its time limit, its retries, its request ids, its events."""

from __future__ import annotations

import asyncio
import logging
import math
import os
from typing import TYPE_CHECKING, Final, Self, TypeVar

from .._iteration import is_foreign
from .._operations.encoding import request_id
from .._operations.failures import attach_call, attach_response
from ..errors import (
    AidpError,
    ClientClosedError,
    NotFoundError,
    RequestTimeoutError,
    ResponseDecodeError,
    TooManyRequestsError,
    TransportError,
    UnauthorizedError,
)
from ..events import AttemptEnded, AttemptStarted, CallEnded, CallStarted, RetryScheduled
from .exchange import SentHeaders

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from .._operations.messages import RawResponse, Request
    from ..events import CallInfo, Event
    from ..models import WorkspaceRef
    from ..policies import Sleep
    from .exchange import Transport

T = TypeVar("T")

_MAY_HAVE_ACTED: Final = "an earlier attempt, whose response was lost, may have deleted it"
_log = logging.getLogger("aidp_sessions")


class Call:
    """``async with Call(transport, operation) as call: value = await call.send(request, decode)``.

    Several requests (pages) may be sent in one call; they share its time limit. Every `AidpError` that leaves the block
    says which call it ended. Requests carry the ids ``root``, ``root-2``, ``root-3``….

    Args:
        transport: sends the requests.
        operation: the name that errors and events give.
        workspace: the one that is asked, if the operation concerns one.
        opc_request_id: the root of the request ids; made up if missing.
        sleep: replaces the clock's, so that a stream can give up its place while a call waits for a retry.
        method: for events only.
        route: for events only; known for every operation but ``request``.
        sent: collects the ids of the requests.

    Attributes:
        request_ids: of all requests so far.
        may_have_acted: an earlier attempt may have reached the service, but its response was lost.
    """

    def __init__(
        self,
        transport: Transport,
        operation: str,
        workspace: WorkspaceRef | None = None,
        *,
        opc_request_id: str | None = None,
        sleep: Sleep | None = None,
        method: str = "GET",
        route: str | None = None,
        sent: list[str] | None = None,
    ) -> None:
        self._transport = transport
        self._operation = operation
        self._workspace = workspace
        self._root = os.urandom(14).hex().upper() if opc_request_id is None else request_id(opc_request_id)
        self._sleep = sleep or transport.clock.sleep
        self.request_ids: list[str] = []
        self._sent = sent
        self._seconds: list[float] = []
        self._clock_corrected = False
        self._refreshed = False
        self.may_have_acted = False
        self._has_slot = False
        self._loop: asyncio.AbstractEventLoop
        self._timeout: asyncio.Timeout
        self._started, self._deadline = 0.0, math.inf
        self._info: CallInfo | None = None
        if (observer := transport.observer) is not None:
            self._info = observer.describe_call(operation, workspace and workspace.key, self._root, method, route)

    async def __aenter__(self) -> Self:
        transport = self._transport
        self._loop = transport.pool.bind_to_loop()
        if transport.limiter.loop is not self._loop:
            transport.limiter.bind_to_loop(self._loop)
        self._timeout = asyncio.timeout(None)
        self._started = self._loop.time()
        if (total := transport.timeout.total) is not None:
            self._deadline = self._started + total
        if self._info is not None:
            self._tell(CallStarted(call=self._info))
        await self._timeout.__aenter__()
        transport.pool.deadlines.set(self._timeout, self._deadline)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pool, error = self._transport.pool, exc
        pool.deadlines.remove(self._timeout)
        try:
            await self._timeout.__aexit__(exc_type, exc, traceback)
        except TimeoutError:
            total, attempts = self._transport.timeout.total, len(self.request_ids)
            message = f"the total of {total or 0:g} s for the call ran out, in attempt {attempts}"
            error = RequestTimeoutError(message, "total")
        if error is not None and is_foreign(error):
            text = f"{type(error).__name__} came out of code that the call ran, but the call was not cancelled"
            error = RuntimeError(text)
            error.__cause__ = exc
        if pool.closed and isinstance(error, TransportError):
            error = ClientClosedError("the client was closed while this call was under way")
        if isinstance(error, AidpError):
            self.annotate(error)
        if self._info is not None:
            seconds = self._loop.time() - self._started
            self._tell(CallEnded(call=self._info, seconds=seconds, attempts=len(self.request_ids), error=error))
        try:
            if error is not None and error is not exc:
                raise error from error.__cause__
        finally:
            del error, exc  # break the reference cycle frame → error → traceback → frame

    async def send(self, request: Request, decode: Callable[[RawResponse], T]) -> T:
        """Send *request* until it succeeds, and decode the response; raises the error of the last attempt."""
        attempt = 0
        while True:
            attempt += 1
            try:
                response = await self._attempt(request)
            except AidpError as error:
                delay = self._schedule_retry(request, error, attempt)
                if delay is None:
                    if self.may_have_acted and request.method == "DELETE" and isinstance(error, NotFoundError):
                        error.args = (f"{error.message}; {_MAY_HAVE_ACTED}",)
                    raise
                self.may_have_acted |= _service_may_have_acted(error)
            else:
                return self._decode(response, decode)
            if request.consumer is not None:
                request.consumer.reset()
            await self._sleep(delay)

    def _decode(self, response: RawResponse, decode: Callable[[RawResponse], T]) -> T:
        try:
            return decode(response)
        except ResponseDecodeError as error:
            attach_response(error, response)
            raise

    async def wait_for_consumer(self, waiting: Awaitable[T]) -> T:
        """Await *waiting* with the call's timeout suspended, and without the slot of the attempt under way, if any."""
        pool, suspended, had_slot = self._transport.pool, self._loop.time(), self._has_slot
        pool.deadlines.set(self._timeout, math.inf)
        self._release_slot()
        result = await waiting
        self._deadline += self._loop.time() - suspended
        if not pool.closed:  # a closed pool has let the timeout expire
            pool.deadlines.set(self._timeout, self._deadline)
        if had_slot:
            await self._acquire_slot(resuming=True)
        return result

    async def _acquire_slot(self, *, resuming: bool = False) -> None:
        limiter = self._transport.limiter
        if not limiter.try_acquire():
            await limiter.acquire(resuming=resuming)
        self._has_slot = True

    def _release_slot(self) -> None:
        limiter, had_slot = self._transport.limiter, self._has_slot
        self._has_slot = False
        if had_slot and limiter.loop is self._loop:
            limiter.release()

    async def _attempt(self, request: Request) -> RawResponse:
        await self._acquire_slot()
        limiter = self._transport.limiter
        generation = limiter.generation
        try:
            response = await self._authorize(request)
        except TooManyRequestsError:
            limiter.decrease(generation)
            raise
        finally:
            self._release_slot()
        limiter.increase()
        return response

    async def _authorize(self, request: Request) -> RawResponse:
        """Send once. After a 401, retry at once: once per call with a corrected clock, once with new credentials."""
        while True:
            sent = SentHeaders()
            try:
                return await self._exchange(request, sent)
            except UnauthorizedError as error:
                if not (self._try_clock_correction(error, sent) or await self._try_refresh(sent)):
                    raise

    def _try_clock_correction(self, error: UnauthorizedError, sent: SentHeaders) -> bool:
        if self._clock_corrected or not self._transport.correct_clock(error.headers, sent):
            return False
        self._clock_corrected = True
        return True

    async def _try_refresh(self, sent: SentHeaders) -> bool:
        if self._refreshed or not await self._transport.refresh_credentials(sent):
            return False
        self._refreshed = True
        return True

    async def _exchange(self, request: Request, sent: SentHeaders) -> RawResponse:
        request_id, started = self._next_request_id(), self._loop.time()
        outcome: RawResponse | AidpError | None = None
        try:
            outcome = await self._transport.exchange(request, request_id, sent)
        except AidpError as error:
            outcome = error
            raise
        else:
            return outcome
        finally:
            self._seconds.append(self._loop.time() - started)
            self._note_attempt(request, outcome)
            del outcome  # break the reference cycle frame → error → traceback → frame

    def _next_request_id(self) -> str:
        number = len(self.request_ids) + 1
        request_id = f"{self._root}-{number}" if number > 1 else self._root
        self.request_ids.append(request_id)
        if self._sent is not None:
            self._sent.append(request_id)
        if self._info is not None:
            self._tell(AttemptStarted(call=self._info, attempt=number, opc_request_id=request_id))
        return request_id

    def _note_attempt(self, request: Request, outcome: RawResponse | AidpError | None) -> None:
        """Log the attempt that has ended, and tell of it. *outcome* is ``None`` if it was broken off."""
        error = outcome if isinstance(outcome, AidpError) else None
        status = None if outcome is None else outcome.status
        number, request_id, seconds = len(self.request_ids), self.request_ids[-1], self._seconds[-1]
        if _log.isEnabledFor(logging.DEBUG):
            result = f"{status or ''} {'' if error is None else type(error).__name__}".strip() or "broken off"
            _log.debug(
                "%s %s: %s in %.0f ms, attempt %d, opc-request-id %s",
                *(request.method, request.target, result, 1000 * seconds, number, request_id),
            )
        if self._info is not None:
            ended = AttemptEnded(
                call=self._info,
                attempt=number,
                opc_request_id=request_id,
                seconds=seconds,
                status=status,
                error=error,
            )
            self._tell(ended)

    def _schedule_retry(self, request: Request, error: AidpError, attempt: int) -> float | None:
        """Seconds to wait before the next attempt, or ``None``: do not retry. Never beyond the call's time limit."""
        if not request.is_safe_to_retry(error):
            return None
        delay = self._transport.retry.delay(error, attempt, self._transport.clock.random)
        if delay is None or self._loop.time() + delay > self._deadline:
            return None
        _log.debug("%s: attempt %d failed, next in %.3f s: %s", self._operation, attempt, delay, error)
        if self._info is not None:
            number = len(self.request_ids)
            self._tell(RetryScheduled(call=self._info, attempt=number, delay=delay, error=error))
        return delay

    def annotate(self, error: AidpError) -> None:
        """Note in *error* which call it ended."""
        attach_call(error, self._operation, self._workspace, self.request_ids, self._seconds)

    def _tell(self, event: Event) -> None:
        if (observer := self._transport.observer) is not None:
            observer.tell(event)


def _service_may_have_acted(error: AidpError) -> bool:
    return not error.unsent if isinstance(error, TransportError) else (error.status or 0) >= 500
