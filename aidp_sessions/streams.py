"""The facade over many workspaces: one lazy stream of sessions. Knows how to ask one workspace only by being told."""

from __future__ import annotations

import logging
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
)
from contextlib import aclosing
from typing import TYPE_CHECKING, Literal, Self

import attrs

from ._merge import Sleep, merge
from .activity import Activity, activity_of, idle_predicate, instant
from .errors import AidpError, FanOutError
from .models import SessionSummary, WorkspaceOutcome

if TYPE_CHECKING:
    from datetime import datetime, timedelta

OnError = Literal["defer", "raise", "skip"]
Predicate = Callable[[SessionSummary], bool]
Fetch = Callable[[str, Sleep], Awaitable[tuple[SessionSummary, ...]]]
Keys = Callable[[], AsyncGenerator[str]]

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
    _limit: int = attrs.field(alias="limit")
    _sleep: Sleep = attrs.field(alias="sleep")
    _on_error: OnError = attrs.field(alias="on_error")
    _conditions: tuple[Callable[[], Predicate], ...] = attrs.field(default=(), alias="conditions")

    def where(self, predicate: Predicate) -> Self:
        """Keep the sessions for which *predicate* holds; its exceptions end the iteration."""
        if not callable(predicate):
            raise TypeError(f"where() takes a function of a session, not {predicate!r}")
        return self._narrowed(lambda: predicate)

    def idle_since(self, since: datetime | timedelta, *, connected: bool | None = None) -> Self:
        """Keep the sessions whose kernel has been idle since *since*; see `is_idle_since`.

        A timedelta counts back from the moment an iteration starts. Raises `ValueError` for a naive datetime.
        """
        instant(since)
        return self._narrowed(lambda: idle_predicate(since, connected=connected))

    def busy(self) -> Self:
        """Keep the sessions whose kernel is executing."""
        return self.where(lambda session: activity_of(session) is Activity.BUSY)

    def _narrowed(self, condition: Callable[[], Predicate]) -> Self:
        return attrs.evolve(self, conditions=(*self._conditions, condition))

    def __aiter__(self) -> AsyncIterator[SessionSummary]:
        return self._sessions()

    async def _sessions(self) -> AsyncGenerator[SessionSummary]:
        failures: list[AidpError] = []
        async with aclosing(self._outcomes()) as outcomes:
            try:
                async for outcome in outcomes:
                    for session in outcome.sessions:
                        yield session
                    if outcome.error is not None:
                        self._note(outcome.error, failures)
            except AidpError as error:
                if self._on_error != "defer":
                    raise
                failures.append(error)
        if failures:
            raise FanOutError.of(failures)

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
        predicates = [condition() for condition in self._conditions]

        async def ask(key: str, pause: Sleep) -> AsyncGenerator[WorkspaceOutcome]:
            try:
                sessions = await self._fetch(key, pause)
            except AidpError as error:
                if self._on_error == "raise":
                    raise
                yield WorkspaceOutcome(workspace_key=key, error=error)
            else:
                kept = tuple(session for session in sessions if all(holds(session) for holds in predicates))
                yield WorkspaceOutcome(workspace_key=key, sessions=kept)

        async with aclosing(merge(self._keys(), ask, limit=self._limit, sleep=self._sleep)) as outcomes:
            async for outcome in outcomes:
                yield outcome


def keys_of(workspaces: str | Iterable[str] | AsyncIterable[str], check: Callable[[str], object]) -> Keys:
    """A function that begins to enumerate *workspaces* each time it is called; *check* raises for a bad key.

    A collection is checked at once, and a key that it holds twice is asked once. An iterator can be enumerated once;
    the second time raises `RuntimeError`, for an empty stream would be a lie.
    """
    if isinstance(workspaces, str):
        workspaces = (workspaces,)
    if isinstance(workspaces, Collection):
        keys = tuple(dict.fromkeys(workspaces))
        for key in keys:
            check(key)
        return lambda: _enumerate(keys, check)
    if not isinstance(workspaces, Iterable | AsyncIterable):
        raise TypeError(f"workspaces must be a key or an iterable of keys, not {type(workspaces).__name__}")
    begun = False

    def begin() -> AsyncGenerator[str]:
        nonlocal begun
        if begun and isinstance(workspaces, Iterator | AsyncIterator):
            raise RuntimeError("these workspaces came from an iterator, which is used up; pass a list to iterate again")
        begun = True
        return _enumerate(workspaces, check)

    return begin


async def _enumerate(
    workspaces: Iterable[str] | AsyncIterable[str], check: Callable[[str], object]
) -> AsyncGenerator[str]:
    if isinstance(workspaces, AsyncIterable):
        iterator = aiter(workspaces)
        try:
            async for key in iterator:
                check(key)
                yield key
        finally:
            if isinstance(iterator, AsyncGenerator):
                await iterator.aclose()
    else:
        for key in workspaces:
            check(key)
            yield key
