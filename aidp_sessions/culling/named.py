"""Deletes sessions that are named by their ids. Each is read again right before, and kept if it has changed."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Final

import attrs

from ..activity import Activity, activity_of
from ..errors import AidpError
from ..models import WorkspaceRef
from .deletion import GONE, Deletion, Finding
from .plan import CullResult, kernels_of, latest_activity
from .policy import KeepReason

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Iterator, Sequence
    from datetime import datetime

    from ..models import Session, SessionSummary
    from .access import Access

_NOTHING_RUNS: Final = (Activity.IDLE, Activity.NO_TIMESTAMP, Activity.NO_KERNEL, Activity.DEAD)
_NOT_IDLE: Final = {Activity.BUSY: KeepReason.BUSY, Activity.STARTING: KeepReason.STARTING}


@attrs.frozen(kw_only=True)
class NamedKernel:
    """A kernel of which sessions were named, or a named session without a kernel.

    Attributes:
        kernel_id: ``None`` for a session without a kernel, or whose kernel has no id.
        sessions: all sessions of the kernel, the named ones first; deleting one of them ends all of them.
        names: the ids that were named.
    """

    workspace_key: str
    kernel_id: str | None
    sessions: tuple[SessionSummary, ...]
    names: frozenset[str]

    @property
    def workspace(self) -> WorkspaceRef:
        return WorkspaceRef(self.workspace_key, self.sessions[0].workspace_name)

    @property
    def named(self) -> tuple[SessionSummary, ...]:
        return tuple(session for session in self.sessions if session.id in self.names)

    @property
    def others(self) -> tuple[SessionSummary, ...]:
        return tuple(session for session in self.sessions if session.id not in self.names)

    @property
    def last_activity(self) -> datetime | None:
        """In UTC; the latest that any of the sessions reports."""
        return latest_activity(self.sessions)


@attrs.frozen(kw_only=True)
class NamedOutcome:
    """What became of the kernel of named sessions; the attributes are those of `CullOutcome`."""

    candidate: NamedKernel
    result: CullResult
    reason: str | None
    error: AidpError | None
    request_ids: tuple[str, ...]
    at: datetime


def named_kernels(
    sessions: Iterable[SessionSummary], workspace_key: str, names: Collection[str]
) -> Iterator[NamedKernel]:
    """The kernels of those of *sessions*, all sessions of one workspace, whose ids are in *names*."""
    for kernel_id, group in kernels_of(sessions, workspace_key):
        found = frozenset(session.id for session in group if session.id is not None and session.id in names)
        if found:
            ordered = tuple(sorted(group, key=lambda session: session.id not in names))
            yield NamedKernel(workspace_key=workspace_key, kernel_id=kernel_id, sessions=ordered, names=found)


def reason_to_refuse(kernel: NamedKernel, *, allow_busy: bool, allow_shared: bool) -> KeepReason | None:
    """Why *kernel* must not be deleted: it may be executing, or it has sessions that were not named."""
    reason = None if allow_busy else _reason_not_idle(kernel.sessions)
    return KeepReason.SHARED if reason is None and kernel.others and not allow_shared else reason


def _reason_not_idle(sessions: Iterable[SessionSummary]) -> KeepReason | None:
    activities = {activity_of(session) for session in sessions}.difference(_NOTHING_RUNS)
    known = [_NOT_IDLE[activity] for activity in _NOT_IDLE if activity in activities]
    return known[0] if known else KeepReason.UNKNOWN if activities else None


@attrs.frozen(kw_only=True)
class NamedDeletions:
    """Deletes kernels that are still as they were.

    Attributes:
        allow_busy: delete a kernel that is not idle, or was active in the meantime, too.
        clock: the time of the outcomes, aware.
    """

    access: Access
    allow_busy: bool
    clock: Callable[[], datetime]

    async def run(self, kernels: Iterable[NamedKernel]) -> AsyncGenerator[NamedOutcome]:
        """Yield what became of each of *kernels*. Nothing is deleted before the next outcome is asked for."""
        ordered = sorted(kernels, key=lambda kernel: (kernel.workspace_key, kernel.kernel_id or ""))
        for _, group in groupby(ordered, key=lambda kernel: kernel.workspace_key):
            same_workspace = list(group)
            listed = await self._list(same_workspace[0].workspace)
            for kernel in same_workspace:
                sent: list[str] = []
                result, reason, error = await self._delete(kernel, listed, sent)
                ids, now = tuple(sent), self.clock()
                yield NamedOutcome(candidate=kernel, result=result, reason=reason, error=error, request_ids=ids, at=now)

    async def _list(self, workspace: WorkspaceRef) -> Sequence[SessionSummary] | AidpError:
        try:
            return await self.access.list_sessions(workspace)
        except AidpError as error:
            return error

    async def _delete(
        self, kernel: NamedKernel, listed: Sequence[SessionSummary] | AidpError, sent: list[str]
    ) -> Finding:
        if isinstance(listed, AidpError):
            return Finding(CullResult.FAILED, "the workspace could not be listed again", listed)
        now = next(named_kernels(listed, kernel.workspace_key, kernel.names), None)
        if now is None:
            return GONE
        reason = self._difference(kernel, now)
        if reason is not None:
            return Finding(CullResult.CHANGED, reason)
        session = now.named[0]
        return await Deletion(self.access, session, partial(self._reason_after_read, session), sent).run()

    def _difference(self, before: NamedKernel, now: NamedKernel) -> str | None:
        if now.kernel_id != before.kernel_id:
            return "its sessions have another kernel"
        if {session.id for session in now.sessions} != {session.id for session in before.sessions}:
            return "it has other sessions"
        if self.allow_busy:
            return None
        return _reason_not_idle(now.sessions) or (
            "it was active" if now.last_activity != before.last_activity else None
        )

    def _reason_after_read(self, listed: SessionSummary, session: Session) -> str | None:
        return self._difference(_alone(listed), _alone(session))


def _alone(session: SessionSummary) -> NamedKernel:
    (kernel,) = named_kernels([session], session.workspace_key, [session.id or ""])
    return kernel
