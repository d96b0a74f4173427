"""The sessions of many workspaces as one lazy stream; how one workspace is read is up to a `WorkspaceReader`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, NoReturn, Protocol, Self, TypeVar

import attrs

from .._checks import check_function
from .._coroutines import iterated_after_await
from .._merge import Iteration, Progress, Sleep, Slot, Source, merge, raise_if_foreign
from ..activity import Activity, activity_of, idle_predicate, instant
from ..errors import AidpError, ClientClosedError
from ..models import SessionSummary, WorkspaceRef
from ..results import FanOutError, SessionChange, SessionCollection, WorkspaceOutcome
from .changes import Watch
from .predicates import REQUIREMENT, Predicate, PredicateFailedError, guarded

if TYPE_CHECKING:
    from datetime import datetime

    from ..policies import Clock
    from .keys import WorkspaceRefs

T = TypeVar("T")
OnError = Literal["defer", "raise", "skip"]
Emit = Callable[[tuple[SessionSummary, ...]], Awaitable[bool]]
"""Passes sessions on; returns whether the consumer will see any of them."""
Part = Callable[[], Iterable[SessionSummary]]
"""Decodes and returns sessions; raises an `AidpError` if they cannot be decoded."""

_MAX_HEAD_START: Final = 1.0
_log = logging.getLogger("aidp_sessions")


class WorkspaceReader(Protocol):
    """Reads one workspace. *sleep* waits before a retry; both raise an `AidpError` for a workspace that fails."""

    async def list_sessions(
        self, ref: WorkspaceRef, sleep: Sleep, known: SessionCollection | None
    ) -> SessionCollection:
        """All sessions; *known* itself if nothing has changed since."""
        ...

    async def stream_sessions(self, ref: WorkspaceRef, sleep: Sleep, emit: Emit | None) -> Part:
        """The same sessions; those of a large workspace are emitted as they arrive, and only the rest is returned."""
        ...


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SessionStream:
    """The sessions of many workspaces, in the order in which the workspaces answer. Made by `SessionsClient.sessions`.

    Nothing is asked before the iteration starts; each iteration asks anew. A stream never changes: `where`,
    `idle_since` and `busy` return narrower ones. Leaving an iteration early closes what it had open; wrap it in
    `contextlib.aclosing` to have that happen before the next statement.

    What happens when a workspace fails was chosen with ``on_error``: ``"defer"`` yields everything healthy and then
    raises one `FanOutError`; ``"raise"`` raises the first `AidpError` and cancels the rest; ``"skip"`` logs a warning.
    """

    _workspaces: WorkspaceRefs = attrs.field(alias="workspaces")
    _reader: WorkspaceReader = attrs.field(alias="reader")
    _limit: int = attrs.field(alias="limit")
    _clock: Clock = attrs.field(alias="clock")
    _on_error: OnError = attrs.field(alias="on_error")
    _conditions: tuple[Callable[[], Predicate], ...] = attrs.field(default=(), alias="conditions")

    def where(self, predicate: Predicate) -> Self:
        """Keep the sessions for which *predicate* holds; its exceptions end the iteration."""
        check_function(predicate, REQUIREMENT)
        return self._filtered(lambda: guarded(predicate))

    def idle_since(self, since: datetime | timedelta, *, connected: bool | None = None) -> Self:
        """Keep the sessions whose kernel has been idle since *since*; see `is_idle_since`.

        A timedelta counts back from the moment an iteration starts. Raises `ValueError` for a naive datetime.
        """
        instant(since)
        return self._filtered(lambda: idle_predicate(since, connected=connected, clock=self._clock.time))

    def busy(self) -> Self:
        """Keep the sessions whose kernel is executing."""
        return self._filtered(lambda: _is_busy)

    def _filtered(self, condition: Callable[[], Predicate]) -> Self:
        return attrs.evolve(self, conditions=(*self._conditions, condition))

    def __aiter__(self) -> AsyncGenerator[SessionSummary]:
        return Iteration(self._sessions)

    if not TYPE_CHECKING:  # a type checker refuses all three without these

        def _refuse(self) -> NoReturn:
            raise TypeError("read a stream with 'async for session in stream' or 'await stream.collect()'")

        __iter__ = __len__ = __await__ = _refuse

    async def _sessions(self, progress: Progress) -> AsyncGenerator[SessionSummary]:
        failures: list[AidpError] = []
        async with aclosing(self._merged(self._read_parts())) as parts:
            try:
                async for part in parts:
                    try:
                        sessions = part()
                    except AidpError as error:
                        self._raise_or_log(error)
                        if self._on_error == "defer":
                            failures.append(error)
                        continue
                    for session in sessions:
                        yield session
            except PredicateFailedError as failed:
                failed.reraise()
            except AidpError as error:
                if self._on_error != "defer" or isinstance(error, ClientClosedError):
                    raise
                failures.append(error)
        if failures:
            raise FanOutError.of(failures)
        progress.is_complete = True

    def _read_parts(self) -> Source[WorkspaceRef, Part]:
        matches = self._predicate()

        async def read(ref: WorkspaceRef, slot: Slot[Part]) -> None:
            delivered = 0

            async def emit(sessions: tuple[SessionSummary, ...]) -> bool:
                nonlocal delivered
                if kept := sessions if matches is None else tuple(filter(matches, sessions)):
                    await slot.emit(lambda: kept)
                    delivered += len(kept)
                return bool(kept)

            try:
                rest = await self._reader.stream_sessions(ref, slot.pause, emit)
            except AidpError as error:
                error.delivered = delivered
                if self._ends_iteration(error):
                    raise
                rest = _raising(error)
            await slot.emit(rest if matches is None else lambda: filter(matches, rest()))

        return read

    def _raise_or_log(self, error: AidpError) -> None:
        if self._ends_iteration(error):
            raise error
        if self._on_error == "skip":
            _log.warning("workspace skipped: %s", error)

    def by_workspace(self) -> AsyncGenerator[WorkspaceOutcome]:
        """One outcome per workspace, as each completes: its sessions that pass the filters, or its error.

        Raises only what concerns no single workspace (the listing of workspaces failed), and with
        ``on_error="raise"`` the first error of any.
        """
        return Iteration(self._outcomes)

    @iterated_after_await
    async def collect(self) -> list[SessionSummary]:
        """All sessions at once. A `FanOutError` raised here carries those of the healthy workspaces as `sessions`."""
        sessions: list[SessionSummary] = []
        try:
            async for session in self:
                sessions.append(session)  # noqa: PERF401  # what came before a failure must survive it
        except FanOutError as error:
            error.sessions = tuple(sessions)
            raise
        return sessions

    async def _outcomes(self, progress: Progress) -> AsyncGenerator[WorkspaceOutcome]:
        matches, reader = self._predicate(), self._reader
        async with aclosing(self._results(lambda ref, sleep: reader.stream_sessions(ref, sleep, None))) as results:
            async for ref, result in results:
                part = _raising(result) if isinstance(result, AidpError) else result
                outcome_of = partial(WorkspaceOutcome, workspace_key=ref.key, workspace_name=ref.name)
                try:
                    outcome = outcome_of(sessions=tuple(filter(matches, part())))
                except PredicateFailedError as failed:
                    failed.reraise()
                except AidpError as error:
                    self._raise_or_log(error)
                    outcome = outcome_of(error=error)
                yield outcome
        progress.is_complete = True

    def watch(self, every: timedelta = timedelta(minutes=5)) -> AsyncGenerator[SessionChange]:
        """Ask again and again, and yield what changed; the first round yields every session as ``appeared``.

        A session that enters the selection appears, one that leaves it vanishes; so ``idle_since`` of two hours shows
        a kernel once it has been idle for that long. Rounds start at intervals of *every* and never overlap; the first
        starts within a second, the second after a random part of the period, so that watches started together drift
        apart. Unchanged responses are neither sent nor decoded again where the service honours ``If-None-Match``.

        A workspace that cannot be reached keeps its last known sessions, and one warning is logged; the same holds for
        the listing of workspaces. In the first round, and always with ``on_error="raise"``, a failed listing is raised.

        Polling may keep clusters running, and their cost: one of Oracle's samples lists sessions for that purpose. The
        claim is not documented; keep to minutes. Raises `ValueError` for a period that is not positive, and for
        workspaces that came from an iterator.
        """
        if not isinstance(every, timedelta):
            raise TypeError(f"every must be a timedelta, such as timedelta(minutes=5), not {every!r}")
        if every <= timedelta(0):
            raise ValueError(f"every={every!r} must be a positive timedelta; minutes are advised")
        if self._workspaces.single_use:
            raise ValueError("watch() asks the same workspaces again and again; pass a list instead of an iterator")
        return Iteration(partial(self._changes, every.total_seconds()))

    async def _changes(self, period: float, _: Progress) -> AsyncGenerator[SessionChange]:
        """All rounds of a watch; it is never complete."""
        watch, loop, first = Watch(), asyncio.get_running_loop(), True
        try:
            await self._clock.sleep(self._clock.random() * min(period, _MAX_HEAD_START))
            while True:
                started = loop.time()
                async with aclosing(self._round(watch, first=first)) as changes:
                    async for change in changes:
                        yield change
                wait = period * self._clock.random() if first else period
                first = False
                await self._clock.sleep(max(0.0, wait - (loop.time() - started)))
        except asyncio.CancelledError as error:
            raise_if_foreign(error)
            raise

    async def _round(self, watch: Watch, *, first: bool) -> AsyncGenerator[SessionChange]:
        watch.start_round(self._predicate())
        failure: AidpError | None = None
        known = watch.collections
        results = self._results(lambda ref, sleep: self._reader.list_sessions(ref, sleep, known.get(ref.key)))
        async with aclosing(results):
            try:
                async for ref, result in results:
                    for change in watch.update(ref.key, result):
                        yield change
            except PredicateFailedError as failed:
                failed.reraise()
            except AidpError as error:
                if first or self._ends_iteration(error):
                    raise
                failure = error
        for change in watch.end_round(failure):
            yield change

    def _ends_iteration(self, error: AidpError) -> bool:
        """Whether *error* is raised at once, instead of standing for one workspace."""
        return self._on_error == "raise" or isinstance(error, ClientClosedError)

    def _predicate(self) -> Predicate | None:
        """The conditions as they stand now, for `filter`: a timedelta among them starts to count here."""
        try:
            predicates = [condition() for condition in self._conditions]
        except asyncio.CancelledError as error:
            raise_if_foreign(error)
            raise
        if len(predicates) < 2:
            return predicates[0] if predicates else None
        return lambda session: all(matches(session) for matches in predicates)

    async def _results(
        self, read_one: Callable[[WorkspaceRef, Sleep], Awaitable[T]]
    ) -> AsyncGenerator[tuple[WorkspaceRef, T | AidpError]]:
        """What *read_one* returns for each workspace, or the error that it failed with."""

        async def read(ref: WorkspaceRef, slot: Slot[tuple[WorkspaceRef, T | AidpError]]) -> None:
            try:
                await slot.emit((ref, await read_one(ref, slot.pause)))
            except AidpError as error:
                if self._ends_iteration(error):
                    raise
                await slot.emit((ref, error))

        async with aclosing(self._merged(read)) as results:
            async for result in results:
                yield result

    def _merged(self, source: Source[WorkspaceRef, T]) -> AsyncGenerator[T]:
        return merge(self._workspaces.iterate(), source, limit=self._limit, sleep=self._clock.sleep)


def _is_busy(session: SessionSummary) -> bool:
    return activity_of(session) is Activity.BUSY


def _raising(error: AidpError) -> Part:
    def fail() -> NoReturn:
        raise error

    return fail
