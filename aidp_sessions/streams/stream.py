"""The sessions of many workspaces as one lazy stream."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, NoReturn, Self

import attrs

from .._checks import check_function
from .._iteration import Iteration, iterated_after_await
from ..activity import Activity, activity_of, idle_predicate, instant
from ..results import FanOutError, SessionChange, WorkspaceOutcome
from .fan_out import OutcomesRun, SessionsRun
from .predicates import REQUIREMENT, guarded
from .watching import WatchRun

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from datetime import datetime

    from ..models import SessionSummary
    from .fan_out import FanOut
    from .predicates import Predicate


@attrs.frozen(eq=False, repr=False)
class SessionStream:
    """The sessions of many workspaces, in the order in which the workspaces answer. Made by `SessionsClient.sessions`.

    Nothing is asked before the iteration starts; each iteration asks anew. A stream never changes: `where`,
    `idle_since` and `busy` return narrower ones. Leaving an iteration early closes what it had open; wrap it in
    `contextlib.aclosing` to have that happen before the next statement. A step may be cancelled, as by
    ``asyncio.wait_for(anext(iterator), 60)``: the next step goes on, and sends again the requests that were under way.

    What happens when a workspace fails was chosen with ``on_error``: ``"defer"`` yields everything healthy and then
    raises one `FanOutError`; ``"raise"`` raises the first `AidpError` and cancels the rest; ``"skip"`` logs a warning.
    """

    _fan_out: FanOut

    def where(self, predicate: Predicate) -> Self:
        """Keep the sessions for which *predicate* holds; its exceptions end the iteration."""
        check_function(predicate, REQUIREMENT)
        return self._filtered(lambda: guarded(predicate))

    def idle_since(self, since: datetime | timedelta, *, connected: bool | None = None) -> Self:
        """Keep the sessions whose kernel has been idle since *since*; see `is_idle_since`.

        A timedelta counts back from the moment an iteration starts. Raises `ValueError` for a naive datetime.
        """
        instant(since)
        return self._filtered(partial(idle_predicate, since, connected=connected, clock=self._fan_out.clock.time))

    def busy(self) -> Self:
        """Keep the sessions whose kernel is executing."""
        return self._filtered(lambda: _is_busy)

    def _filtered(self, condition: Callable[[], Predicate]) -> Self:
        conditions = (*self._fan_out.conditions, condition)
        return attrs.evolve(self, fan_out=attrs.evolve(self._fan_out, conditions=conditions))

    def __aiter__(self) -> AsyncGenerator[SessionSummary]:
        return Iteration(SessionsRun(self._fan_out).sessions)

    if not TYPE_CHECKING:  # a type checker refuses all three without these

        def _refuse(self) -> NoReturn:
            raise TypeError("read a stream with 'async for session in stream' or 'await stream.collect()'")

        __iter__ = __len__ = __await__ = _refuse

    def by_workspace(self) -> AsyncGenerator[WorkspaceOutcome]:
        """One outcome per workspace, as each completes: its sessions that pass the filters, or its error.

        Raises only what concerns no single workspace (the listing of workspaces failed), and with
        ``on_error="raise"`` the first error of any.
        """
        return Iteration(OutcomesRun(self._fan_out).outcomes)

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
        if self._fan_out.single_use:
            raise ValueError("watch() asks the same workspaces again and again; pass a list instead of an iterator")
        return Iteration(WatchRun(self._fan_out, every.total_seconds()).changes)


def _is_busy(session: SessionSummary) -> bool:
    return activity_of(session) is Activity.BUSY
