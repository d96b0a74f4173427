"""What the iterations over many workspaces share, and two of them: the sessions, and one outcome per workspace.

When a step of an iteration is cancelled, its generator ends, and the next one goes on. How one workspace is read is up
to a `WorkspaceReader`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Literal, NoReturn, Protocol, TypeVar

import attrs

from .._iteration import raise_if_foreign
from .._merge import Merge, Sleep, Slot, Source
from ..errors import AidpError, ClientClosedError, ConnectionFailedError
from ..models import SessionSummary, WorkspaceRef
from ..results import FanOutError, WorkspaceOutcome
from .predicates import PredicateFailedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .._iteration import Progress
    from ..policies import Clock
    from ..results import SessionCollection
    from .keys import WorkspaceRefs
    from .predicates import Predicate

T = TypeVar("T")
OnError = Literal["defer", "raise", "skip"]
Emit = Callable[[tuple[SessionSummary, ...]], Awaitable[bool]]
"""Passes sessions on; returns whether the consumer will see any of them."""
Part = Callable[[], Iterable[SessionSummary]]
"""Decodes and returns sessions; raises an `AidpError` if they cannot be decoded."""

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
class FanOut:
    """Which workspaces to ask, how, and which of their sessions to keep."""

    _workspaces: WorkspaceRefs = attrs.field(alias="workspaces")
    reader: WorkspaceReader
    _limit: int = attrs.field(alias="limit")
    clock: Clock
    on_error: OnError
    conditions: tuple[Callable[[], Predicate], ...] = ()

    @property
    def single_use(self) -> bool:
        return self._workspaces.single_use

    def ends_iteration(self, error: AidpError) -> bool:
        """Whether *error* is raised at once, instead of standing for one workspace."""
        return self.on_error == "raise" or isinstance(error, ClientClosedError)

    def raise_or_log(self, error: AidpError) -> None:
        if self.ends_iteration(error):
            raise error
        if self.on_error == "skip":
            _log.warning("workspace skipped: %s", error)

    def predicate(self) -> Predicate | None:
        """The conditions as they stand now, for `filter`: a timedelta among them starts to count here."""
        try:
            predicates = [condition() for condition in self.conditions]
        except asyncio.CancelledError as error:
            raise_if_foreign(error)
            raise
        if len(predicates) < 2:
            return predicates[0] if predicates else None
        return lambda session: all(matches(session) for matches in predicates)

    def merged(self, source: Source[WorkspaceRef, T]) -> Merge[WorkspaceRef, T]:
        return Merge(self._workspaces.iterate(), source, limit=self._limit, sleep=self.clock.sleep)

    def results(
        self, read_one: Callable[[WorkspaceRef, Sleep], Awaitable[T]]
    ) -> Merge[WorkspaceRef, tuple[WorkspaceRef, T | AidpError]]:
        """What *read_one* returns for each workspace, or the error that it failed with."""

        async def read(ref: WorkspaceRef, slot: Slot[tuple[WorkspaceRef, T | AidpError]]) -> None:
            try:
                await slot.emit((ref, await read_one(ref, slot.pause)))
            except AidpError as error:
                if self.ends_iteration(error):
                    raise
                await slot.emit((ref, error))

        return self.merged(read)


def raising(error: AidpError) -> Part:
    def fail() -> NoReturn:
        raise error

    return fail


@attrs.define(eq=False, repr=False)
class SessionsRun:
    """Yields the sessions of all workspaces.

    A workspace that was yielded in part when a step was cancelled is not asked again; it has failed.

    Attributes:
        _delivered: the number of sessions yielded so far of a workspace under way, by the `id` of its reference.
        _rest: what is left to yield of the latest part.
    """

    _fan_out: FanOut
    _parts: Merge[WorkspaceRef, Part] | None = attrs.field(default=None, init=False)
    _failures: list[AidpError] = attrs.field(factory=list["AidpError"], init=False)
    _delivered: dict[int, int] = attrs.field(factory=dict[int, int], init=False)
    _rest: Iterable[SessionSummary] = attrs.field(default=(), init=False)

    async def sessions(self, progress: Progress) -> AsyncGenerator[SessionSummary]:
        progress.may_go_on = False
        if self._parts is None:
            self._parts = self._fan_out.merged(self._source())
        async with aclosing(self._parts):
            try:
                for session in self._rest:
                    yield session
                async for part in self._parts:
                    self._rest = self._decoded(part)
                    for session in self._rest:
                        yield session
            except PredicateFailedError as failed:
                failed.reraise()
            except AidpError as error:
                if self._fan_out.on_error != "defer" or isinstance(error, ClientClosedError):
                    raise
                self._failures.append(error)
            except asyncio.CancelledError:
                progress.may_go_on = True
                raise
        if self._failures:
            raise FanOutError.of(self._failures)
        progress.is_complete = True

    def _decoded(self, part: Part) -> Iterator[SessionSummary]:
        try:
            return iter(part())
        except AidpError as error:
            self._fan_out.raise_or_log(error)
            if self._fan_out.on_error == "defer":
                self._failures.append(error)
        return iter(())

    def _source(self) -> Source[WorkspaceRef, Part]:
        fan_out = self._fan_out
        matches, delivered = fan_out.predicate(), self._delivered

        async def read(ref: WorkspaceRef, slot: Slot[Part]) -> None:
            async def emit(sessions: tuple[SessionSummary, ...]) -> bool:
                if kept := sessions if matches is None else tuple(filter(matches, sessions)):
                    await slot.emit(lambda: kept)
                    delivered[id(ref)] = delivered.get(id(ref), 0) + len(kept)
                return bool(kept)

            try:
                if id(ref) in delivered:
                    raise _cancelled_error(ref)
                rest = await fan_out.reader.stream_sessions(ref, slot.pause, emit)
            except AidpError as error:
                error.delivered = delivered.get(id(ref), 0)
                if fan_out.ends_iteration(error):
                    raise
                rest = raising(error)
            await slot.emit(rest if matches is None else lambda: filter(matches, rest()))
            delivered.pop(id(ref), None)

        return read


def _cancelled_error(ref: WorkspaceRef) -> ConnectionFailedError:
    error = ConnectionFailedError("a step of the iteration was cancelled while a large answer was read")
    error.operation, error.workspace_key, error.workspace_name = "list_sessions", ref.key, ref.name or None
    return error


@attrs.define(eq=False, repr=False)
class OutcomesRun:
    """Yields one outcome per workspace."""

    _fan_out: FanOut
    _results: Merge[WorkspaceRef, tuple[WorkspaceRef, Part | AidpError]] | None = attrs.field(default=None, init=False)
    _matches: Predicate | None = attrs.field(default=None, init=False)

    async def outcomes(self, progress: Progress) -> AsyncGenerator[WorkspaceOutcome]:
        progress.may_go_on, fan_out = False, self._fan_out
        if self._results is None:
            self._matches, reader = fan_out.predicate(), fan_out.reader
            self._results = fan_out.results(lambda ref, sleep: reader.stream_sessions(ref, sleep, None))
        async with aclosing(self._results):
            try:
                async for ref, result in self._results:
                    part = raising(result) if isinstance(result, AidpError) else result
                    outcome_of = partial(WorkspaceOutcome, workspace_key=ref.key, workspace_name=ref.name)
                    try:
                        outcome = outcome_of(sessions=tuple(filter(self._matches, part())))
                    except PredicateFailedError as failed:
                        failed.reraise()
                    except AidpError as error:
                        fan_out.raise_or_log(error)
                        outcome = outcome_of(error=error)
                    yield outcome
            except asyncio.CancelledError:
                progress.may_go_on = True
                raise
        progress.is_complete = True
