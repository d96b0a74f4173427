"""The facade over many workspaces: one lazy stream of sessions. Knows how to ask one workspace only by being told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, NoReturn, Self, TypeVar

import attrs

from .._merge import Sleep, Slot, Source, merge
from ..activity import Activity, activity_of, idle_predicate, instant
from ..errors import AidpError
from ..models import SessionSummary
from ..results import FanOutError, SessionChange, SessionCollection, WorkspaceOutcome
from .changes import Watch

if TYPE_CHECKING:
    from datetime import datetime

    from ..policies import Clock
    from .keys import Keys

T = TypeVar("T")
OnError = Literal["defer", "raise", "skip"]
Predicate = Callable[[SessionSummary], bool]
Fetch = Callable[[str, Sleep, SessionCollection | None], Awaitable[SessionCollection]]
"""``fetch(workspace_key, sleep, known)``: all sessions of a workspace; *known* itself, if nothing has changed since."""
Emit = Callable[[tuple[SessionSummary, ...]], Awaitable[None]]
Part = Callable[[], Iterable[SessionSummary]]
"""Sessions that are there, but not decoded before somebody calls for them; then they may raise an `AidpError`."""
Deliver = Callable[[str, Sleep, Emit | None], Awaitable[Part]]
"""``deliver(workspace_key, sleep, emit)``: the same sessions; if they are many, some are emitted before the rest."""

_LONGEST_HEAD_START = 1.0
_log = logging.getLogger("aidp_sessions")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SessionStream:
    """The sessions of many workspaces, in the order in which the workspaces answer. Made by `SessionsClient.sessions`.

    Nothing is asked before the iteration starts; each iteration asks anew. A stream never changes: `where`,
    `idle_since` and `busy` return narrower ones. Leaving an iteration early closes what it had open; wrap it in
    `contextlib.aclosing` to have that happen before the next statement.

    What happens when a workspace fails was chosen with ``on_error``: ``"defer"`` yields everything healthy and then
    raises one `FanOutError`; ``"raise"`` raises the first `AidpError` and cancels the rest; ``"skip"`` logs a warning.
    """

    _keys: Keys = attrs.field(alias="keys")
    _fetch: Fetch = attrs.field(alias="fetch")
    _deliver: Deliver = attrs.field(alias="deliver")
    _limit: int = attrs.field(alias="limit")
    _clock: Clock = attrs.field(alias="clock")
    _on_error: OnError = attrs.field(alias="on_error")
    _conditions: tuple[Callable[[], Predicate], ...] = attrs.field(default=(), alias="conditions")

    def where(self, predicate: Predicate) -> Self:
        """Keep the sessions for which *predicate* holds; its exceptions end the iteration."""
        if not callable(predicate):
            raise TypeError(f"where() takes a function of a session, not {predicate!r}")
        return self._narrowed(lambda: _guarded(predicate))

    def idle_since(self, since: datetime | timedelta, *, connected: bool | None = None) -> Self:
        """Keep the sessions whose kernel has been idle since *since*; see `is_idle_since`.

        A timedelta counts back from the moment an iteration starts. Raises `ValueError` for a naive datetime.
        """
        instant(since)
        return self._narrowed(lambda: idle_predicate(since, connected=connected, clock=self._clock.time))

    def busy(self) -> Self:
        """Keep the sessions whose kernel is executing."""
        return self._narrowed(lambda: _is_busy)

    def _narrowed(self, condition: Callable[[], Predicate]) -> Self:
        return attrs.evolve(self, conditions=(*self._conditions, condition))

    def __aiter__(self) -> AsyncGenerator[SessionSummary]:
        return self._sessions()

    async def _sessions(self) -> AsyncGenerator[SessionSummary]:
        failures: list[AidpError] = []
        async with aclosing(self._merged(self._asking_for_parts())) as parts:
            try:
                async for part in parts:
                    try:
                        sessions = part()
                    except AidpError as error:
                        if self._on_error == "raise":
                            raise
                        self._note(error, failures)
                        continue
                    for session in sessions:
                        yield session
            except _FilterFailedError as failed:
                raise failed.error from failed.error.__cause__
            except AidpError as error:
                if self._on_error != "defer":
                    raise
                failures.append(error)
        if failures:
            raise FanOutError.of(failures)

    def _asking_for_parts(self) -> Source[str, Part]:
        holds = self._predicate()

        async def ask(key: str, slot: Slot[Part]) -> None:
            delivered = 0

            async def emit(sessions: tuple[SessionSummary, ...]) -> None:
                nonlocal delivered
                if kept := sessions if holds is None else tuple(filter(holds, sessions)):
                    await slot.emit(lambda: kept)
                    delivered += len(kept)

            try:
                rest = await self._deliver(key, slot.pause, emit)
            except AidpError as error:
                error.delivered = delivered
                if self._on_error == "raise":
                    raise
                rest = _raising(error)
            await slot.emit(rest if holds is None else lambda: filter(holds, rest()))

        return ask

    def _note(self, error: AidpError, failures: list[AidpError]) -> None:
        if self._on_error == "skip":
            _log.warning("workspace skipped: %s", error)
        else:
            failures.append(error)

    async def by_workspace(self) -> AsyncGenerator[WorkspaceOutcome]:
        """One outcome per workspace, as each completes: its sessions that pass the filters, or its error.

        Raises only what concerns no single workspace (the listing of workspaces failed), and with
        ``on_error="raise"`` the first error of any.
        """
        async with aclosing(self._outcomes()) as outcomes:
            async for outcome in outcomes:
                if outcome.error is not None and self._on_error == "skip":
                    _log.warning("workspace skipped: %s", outcome.error)
                yield outcome

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

    async def _outcomes(self) -> AsyncGenerator[WorkspaceOutcome]:
        holds = self._predicate()
        async with aclosing(self._answers(lambda key, sleep: self._deliver(key, sleep, None))) as answers:
            async for key, answer in answers:
                part = _raising(answer) if isinstance(answer, AidpError) else answer
                try:
                    outcome = WorkspaceOutcome(workspace_key=key, sessions=tuple(filter(holds, part())))
                except _FilterFailedError as failed:
                    raise failed.error from failed.error.__cause__
                except AidpError as error:
                    if self._on_error == "raise":
                        raise
                    outcome = WorkspaceOutcome(workspace_key=key, error=error)
                yield outcome

    def watch(self, every: timedelta = timedelta(minutes=5)) -> AsyncGenerator[SessionChange]:
        """Ask again and again, and yield what changed; the first round yields every session as ``appeared``.

        A session that enters the selection appears, one that leaves it vanishes; so ``idle_since`` of two hours shows
        a kernel once it has been idle for that long. Rounds begin *every* so often and never overlap; the first begins
        within a second, the second after a random part of the period, so that watches started together drift apart.
        Unchanged answers are neither sent nor decoded again where the service honours ``If-None-Match``.

        A workspace that fails keeps its sessions until it answers again, and one warning is logged; so does the
        listing of workspaces. In the first round, and always with ``on_error="raise"``, a failed listing is raised.

        Polling may keep clusters alive, and their cost: one of Oracle's samples lists sessions for that purpose. The
        claim is not documented; keep to minutes. Raises `ValueError` for a period that is not positive, and for
        workspaces that came from an iterator.
        """
        if every <= timedelta(0):
            raise ValueError(f"every={every!r} must be a positive timedelta; minutes are advised")
        if self._keys.once:
            raise ValueError("watch() asks the same workspaces again and again; pass a list instead of an iterator")
        return self._changes(every.total_seconds())

    async def _changes(self, period: float) -> AsyncGenerator[SessionChange]:
        watch, loop, first = Watch(), asyncio.get_running_loop(), True
        await self._clock.sleep(self._clock.random() * min(period, _LONGEST_HEAD_START))
        while True:
            began = loop.time()
            watch.begin(self._predicate())
            failure: AidpError | None = None
            async with aclosing(
                self._answers(lambda key, sleep: self._fetch(key, sleep, watch.collections.get(key)))
            ) as answers:
                try:
                    async for key, answer in answers:
                        for change in watch.update(key, answer):
                            yield change
                except _FilterFailedError as failed:
                    raise failed.error from failed.error.__cause__
                except AidpError as error:
                    if first or self._on_error == "raise":
                        raise
                    failure = error
            for change in watch.end(failure):
                yield change
            wait = period * self._clock.random() if first else period
            first = False
            await self._clock.sleep(max(0.0, wait - (loop.time() - began)))

    def _predicate(self) -> Predicate | None:
        """The conditions as they stand now, for `filter`: a timedelta among them starts to count here."""
        predicates = [condition() for condition in self._conditions]
        if len(predicates) < 2:
            return predicates[0] if predicates else None
        return lambda session: all(holds(session) for holds in predicates)

    async def _answers(
        self, ask_one: Callable[[str, Sleep], Awaitable[T]]
    ) -> AsyncGenerator[tuple[str, T | AidpError]]:
        """What *ask_one* gives for each workspace, or the error that it failed with."""

        async def ask(key: str, slot: Slot[tuple[str, T | AidpError]]) -> None:
            answer: T | AidpError
            try:
                answer = await ask_one(key, slot.pause)
            except AidpError as error:
                if self._on_error == "raise":
                    raise
                answer = error
            await slot.emit((key, answer))

        async with aclosing(self._merged(ask)) as answers:
            async for answer in answers:
                yield answer

    def _merged(self, ask: Source[str, T]) -> AsyncGenerator[T]:
        return merge(self._keys.begin(), ask, limit=self._limit, sleep=self._clock.sleep)


class _FilterFailedError(Exception):
    """Carries what a filter raised past those who would take it for the failure of a workspace."""

    def __init__(self, error: AidpError) -> None:
        super().__init__(error)
        self.error = error


def _is_busy(session: SessionSummary) -> bool:
    return activity_of(session) is Activity.BUSY


def _guarded(predicate: Predicate) -> Predicate:
    def holds(session: SessionSummary) -> bool:
        try:
            return predicate(session)
        except AidpError as error:
            raise _FilterFailedError(error) from None

    return holds


def _raising(error: AidpError) -> Part:
    def fail() -> NoReturn:
        raise error

    return fail
