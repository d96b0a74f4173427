"""One operation from its first attempt to its result: its deadline, its request ids, its retries. No I/O of its own."""

from __future__ import annotations

import asyncio
import functools
import logging
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from .._operations.failures import annotate, decoded
from .._operations.messages import Answer
from ..errors import AidpError, RequestTimeoutError, UnauthorizedError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from types import TracebackType

    from .._operations.messages import Request
    from ..policies import Sleep
    from .exchange import Transport
    from .timers import Deadlines

T = TypeVar("T")

_log = logging.getLogger("aidp_sessions")
_log.addHandler(logging.NullHandler())


class AttemptFailedError(Exception):
    """Carries a failed attempt through `backoff`, which hands its wait generator nothing but the exception."""

    def __init__(self, call: Call, error: AidpError) -> None:
        super().__init__(error)
        self.call = call
        self.error = error


class SentHeaders(dict[str, str]):
    """The headers that a signer made; shows their names only, also to tools that print the variables of a traceback."""

    def __repr__(self) -> str:
        return f"<headers {', '.join(self)}>"


class Call:
    """``with transport.call(…) as call: value = await call.send(request, decode)``.

    Several requests (pages) may be sent in one call; they share its deadline. Every `AidpError` that leaves the block
    says which call it ended. Requests carry the ids ``root``, ``root-2``, ``root-3``….
    """

    def __init__(
        self, transport: Transport, operation: str, workspace_key: str | None, root: str, sleep: Sleep
    ) -> None:
        self._transport = transport
        self._operation = operation
        self._workspace_key = workspace_key
        self._root = root
        self._sleep = sleep
        self._request_ids: list[str] = []
        self._seconds: list[float] = []
        self._attempts = 0
        self._delay = 0.0
        self._clock_corrected = False
        self._refreshed = False
        self._request: Request | None = None
        self._deadlines: Deadlines
        self._task: asyncio.Task[Any]
        self._cancellations = 0
        self._expired = False
        self.due = math.inf

    def __enter__(self) -> Self:
        self._deadlines = deadlines = self._transport.pool.join_loop()
        task = asyncio.current_task(deadlines.loop)
        if task is None:
            raise RuntimeError("calls need a task to run in, such as that of asyncio.run()")
        self._task, self._cancellations = task, task.cancelling()
        total = self._transport.timeout.total
        deadlines.start(self, math.inf if total is None else total)
        return self

    def expire(self) -> None:
        self._expired = True
        self._task.cancel()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._deadlines.stop(self)
        self._request = None  # its sink may lead back to this call: a cycle would keep both until the next collection
        error = exc if isinstance(exc, AidpError) else None
        if self._gave_up(exc_type):
            total, count = self._transport.timeout.total, len(self._request_ids)
            error = RequestTimeoutError(f"the total of {total:g} s for the call ran out, in attempt {count}", "total")
        if error is not None:
            self._annotate(error)
            if error is not exc:
                raise error from None

    def _gave_up(self, exc_type: type[BaseException] | None) -> bool:
        """Was it our own deadline alone that cancelled the task? As in `asyncio.timeout`, which costs twice as much."""
        expired, self._expired = self._expired, False
        return expired and self._task.uncancel() <= self._cancellations and exc_type is asyncio.CancelledError

    def _annotate(self, error: AidpError) -> None:
        annotate(error, self._operation, self._workspace_key, self._request_ids, self._seconds)

    def afterwards(self, work: Callable[[], T]) -> T:
        """Do *work* that the call has left for later; its errors are the call's all the same."""
        try:
            return work()
        except AidpError as error:
            self._annotate(error)
            raise

    async def send(self, request: Request, decode: Callable[[Answer], T]) -> T:
        """Send *request* until it is answered, and decode the answer; raises the last failure."""
        self._attempts = 0
        self._request = request
        try:
            answer = await self._transport.until_answered(self, request)
        except AttemptFailedError as failed:
            error = failed.error
        else:
            return decoded(answer, decode)
        raise error

    async def unhurried(self, waiting: Awaitable[None]) -> None:
        """Await something that takes its time for reasons of the consumer's, which the deadline does not count."""
        left = self.due - self._deadlines.loop.time()
        self._deadlines.stop(self)
        try:
            await waiting
        finally:
            self._deadlines.start(self, left)

    async def attempt(self, request: Request) -> Answer:
        """Send once; after a 401, again with the clock corrected or with better credentials, each once per call."""
        self._attempts += 1
        while True:
            sent = SentHeaders()
            try:
                return await self._exchange(request, sent)
            except UnauthorizedError as error:
                if not (self._corrects_clock(error, sent) or await self._refreshes(sent)):
                    raise

    def _corrects_clock(self, error: UnauthorizedError, sent: SentHeaders) -> bool:
        if self._clock_corrected or not self._transport.correct_clock(error.headers, sent):
            return False
        self._clock_corrected = True
        return True

    async def _refreshes(self, sent: SentHeaders) -> bool:
        if self._refreshed or not await self._transport.signer.refresh(sent):
            return False
        self._refreshed = True
        return True

    async def _exchange(self, request: Request, sent: SentHeaders) -> Answer:
        time = self._deadlines.loop.time
        request_id, began, outcome = self._next_id(), time(), "broken off"
        try:
            answer = await self._transport.exchange(request, request_id, sent)
            outcome = str(answer.status)
        except AidpError as error:
            outcome = f"{error.status or ''} {type(error).__name__}".strip()
            raise
        finally:
            self._seconds.append(time() - began)
            if _log.isEnabledFor(logging.DEBUG):
                milliseconds = 1000 * self._seconds[-1]
                _log.debug(
                    "%s %s: %s in %.0f ms, attempt %d, opc-request-id %s",
                    *(request.method, request.target, outcome, milliseconds, self._attempts, request_id),
                )
        return answer

    def _next_id(self) -> str:
        count = len(self._request_ids)
        self._request_ids.append(f"{self._root}-{count + 1}" if count else self._root)
        return self._request_ids[-1]

    def plans_retry(self, error: AidpError) -> bool:
        """Decide whether to try again after *error*, and how long to pause before; never beyond the deadline."""
        if self._request is not None and not self._request.may_be_repeated(error):
            return False
        delay = self._transport.retry.delay(error, self._attempts, self._transport.clock.random)
        if delay is None or self._deadlines.loop.time() + delay > self.due:
            return False
        _log.debug("%s: attempt %d failed, next in %.3f s: %s", self._operation, self._attempts, delay, error)
        self._delay = delay
        return True

    async def pause(self) -> None:
        await self._sleep(self._delay)


_Attempts = Callable[[list[AttemptFailedError], Call, "Request"], Awaitable[Answer]]


def _pauses() -> Generator[float, Any, None]:  # backoff types it as if nothing were sent in
    """Ask after each failure whether to go on. Yields only zeros: `Call.pause` does the waiting, before `backoff`."""
    failed = yield 0.0
    while failed.call.plans_retry(failed.error):
        failed = yield 0.0


async def _take_pause(details: Mapping[str, object]) -> None:
    await cast("AttemptFailedError", details["exception"]).call.pause()


@functools.cache
def _with_backoff() -> Callable[[_Attempts], _Attempts]:
    import backoff  # noqa: PLC0415  # when the first attempt of all fails

    return backoff.on_exception(_pauses, AttemptFailedError, jitter=None, on_backoff=_take_pause, logger=None)
