"""Applies a plan: each kernel is looked at again right before it is deleted, and one kernel is deleted at a time."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

import attrs

from .._merge import Iteration
from ..errors import AidpError, CredentialsError, NotFoundError, PreconditionFailedError, ServiceError, TransportError
from .plan import CullOutcome, CullResult, check_applicable, kernels_of, latest_activity, workspace_of
from .policy import reason_on_cluster, reason_to_keep

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
    from datetime import datetime, timedelta

    from .._merge import Progress
    from ..models import AttachedSession, Session, SessionSummary, WorkspaceRef
    from .access import Access
    from .plan import CullCandidate, CullPlan

MAX_LOST: Final = 2
"""Deletions of one kernel whose responses may be lost: the kernel is read again after each, and deleted once more."""


class Finding(NamedTuple):
    result: CullResult
    reason: str | None = None
    error: AidpError | None = None


@attrs.frozen
class Look:
    """A workspace as it was listed right before its kernels are deleted.

    Attributes:
        kernels: the sessions of each kernel by its id.
        ids: of all sessions.
        attached: the sessions attached to any cluster.
    """

    kernels: Mapping[str | None, Sequence[SessionSummary]]
    ids: frozenset[str | None]
    attached: Sequence[AttachedSession]


def apply_plan(plan: CullPlan, access: Access, *, platform_id: str, max_age: timedelta) -> AsyncGenerator[CullOutcome]:
    """Delete the candidates of *plan* that are still as they were, and yield what became of each.

    Nothing is deleted before the next outcome is asked for, and nothing is under way while an outcome is yielded.
    """
    return Iteration(partial(_apply, plan, access, platform_id, max_age))


async def _apply(
    plan: CullPlan, access: Access, platform_id: str, max_age: timedelta, progress: Progress
) -> AsyncGenerator[CullOutcome]:
    check_applicable(plan, platform_id=platform_id, now=plan.taken, max_age=max_age)  # before any request
    now = await access.read_clock()
    check_applicable(plan, platform_id=platform_id, now=now(), max_age=max_age)
    culling = Culling(plan, access, now)
    ordered = sorted(plan.candidates, key=lambda candidate: (candidate.workspace_key, candidate.kernel_id))
    for _, group in groupby(ordered, key=lambda candidate: candidate.workspace_key):
        candidates = list(group)
        look = await culling.look(workspace_of(candidates[0]))
        for candidate in candidates:
            yield await culling.cull(candidate, look)
    progress.is_complete = True


@attrs.frozen
class Culling:
    plan: CullPlan
    access: Access
    now: Callable[[], datetime]

    async def look(self, workspace: WorkspaceRef) -> Look | AidpError:
        try:
            ignored = self.plan.policy.clusters == "ignore"
            attached = () if ignored else await self.access.list_attached(workspace)
            sessions = await self.access.list_sessions(workspace)
        except AidpError as error:
            return error
        kernels = dict(kernels_of(sessions, workspace.key))
        return Look(kernels, frozenset(session.id for session in sessions), attached)

    async def cull(self, candidate: CullCandidate, look: Look | AidpError) -> CullOutcome:
        sent: list[str] = []
        found = self._judge(candidate, look)
        if isinstance(found, Look):
            found = await Deletion(self, candidate, found, sent).run()
        result, reason, error = found
        return CullOutcome(
            candidate=candidate, result=result, reason=reason, error=error, request_ids=tuple(sent), at=self.now()
        )

    def _judge(self, candidate: CullCandidate, look: Look | AidpError) -> Finding | Look:
        """Compare the kernel with the plan; returns *look* itself if the kernel is to be deleted."""
        if isinstance(look, AidpError):
            return Finding(CullResult.FAILED, "the workspace could not be listed again", look)
        ids = {session.id for session in candidate.sessions}
        sessions = look.kernels.get(candidate.kernel_id, ())
        if not sessions:
            return Finding(CullResult.CHANGED, "its sessions have another kernel") if ids & look.ids else _GONE
        if {session.id for session in sessions} != ids:
            return Finding(CullResult.CHANGED, "it has other sessions")
        if latest_activity(sessions) != candidate.last_activity:
            return Finding(CullResult.CHANGED, "it was active")
        reason = self.reason_to_keep(sessions, look)
        return look if reason is None else Finding(CullResult.CHANGED, reason)

    def reason_to_keep(self, sessions: Sequence[SessionSummary], look: Look) -> str | None:
        policy = self.plan.policy
        reason = reason_to_keep(sessions, policy, self.plan.since)
        return reason_on_cluster(sessions, look.attached) if reason is None and policy.clusters == "veto" else reason


@attrs.define
class Deletion:
    """The deletion of one kernel, by one of its sessions.

    Attributes:
        sent: collects the ids of the requests.
        lost: deletions whose responses were lost, so that they may have worked.
        failure: of the latest deletion.
    """

    culling: Culling
    candidate: CullCandidate
    look: Look
    sent: list[str]
    lost: int = 0
    failure: AidpError | None = None

    async def run(self) -> Finding:
        """Read the session and delete it, again after a failure that can pass; a read precedes every deletion."""
        attempt, may_delete = 0, True
        while True:
            session = await self._read()
            if isinstance(session, Finding):
                return session
            if not may_delete:
                return Finding(CullResult.FAILED, "it could not be deleted", self.failure)
            attempt += 1
            error = await self._delete(session)
            if error is None:
                return Finding(CullResult.DELETED)
            if isinstance(error, Finding):
                return error
            self.failure = error
            self.lost += _may_have_worked(error)
            may_delete = await self.culling.access.pause(error, attempt) and self.lost < MAX_LOST
            if not (self.lost or may_delete):
                return Finding(CullResult.FAILED, "it could not be deleted", error)

    async def _read(self) -> Session | Finding:
        expected = self.look.kernels[self.candidate.kernel_id][0]
        try:
            session = await self.culling.access.get_session(self._workspace, expected.id or "", self.sent)
        except NotFoundError as error:
            return await self._find_missing(error)
        except AidpError as error:
            result = CullResult.UNKNOWN if self.lost else CullResult.FAILED
            return Finding(result, "its session could not be read", error)
        if _kernel_values(session) != _kernel_values(expected):
            return Finding(CullResult.CHANGED, "it was active, or its session has another kernel")
        reason = self.culling.reason_to_keep([session], self.look)
        return session if reason is None else Finding(CullResult.CHANGED, reason)

    async def _delete(self, session: Session) -> Finding | AidpError | None:
        try:
            await self.culling.access.delete_session(self._workspace, session.id, session.etag, self.sent)
        except PreconditionFailedError:
            return Finding(CullResult.CHANGED, "its session has changed since it was read")
        except AidpError as error:
            return await self._find_missing(error) if error.status in (404, 410) else error
        return None

    async def _find_missing(self, error: AidpError) -> Finding:
        """The session was answered 404: deleted by us, or by others, or we lack the permission."""
        if self.lost:
            return Finding(CullResult.DELETED, "the response was lost, and the session is gone")
        try:
            sessions = await self.culling.access.list_sessions(self._workspace, self.sent)
        except AidpError as unlisted:
            return Finding(CullResult.FAILED, "the workspace could not be listed again", unlisted)
        if self.look.kernels[self.candidate.kernel_id][0].id in {session.id for session in sessions}:
            return Finding(CullResult.DENIED, "the service lists the session, but answers 404", error)
        kernels = dict(kernels_of(sessions, self._workspace.key))
        return Finding(CullResult.CHANGED, "it has other sessions") if self.candidate.kernel_id in kernels else _GONE

    @property
    def _workspace(self) -> WorkspaceRef:
        return workspace_of(self.candidate)


_GONE: Final = Finding(CullResult.GONE)


def _kernel_values(session: SessionSummary) -> tuple[str | None, datetime | None] | None:
    return None if session.kernel is None else (session.kernel.id, session.kernel.last_activity)


def _may_have_worked(error: AidpError) -> bool:
    """Whether the service may have deleted the session: it was reached, and did not refuse."""
    if isinstance(error, ServiceError):
        return (error.status or 0) >= 500
    return not (isinstance(error, CredentialsError) or (isinstance(error, TransportError) and error.unsent))
