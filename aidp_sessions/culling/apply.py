"""Applies a plan: each kernel is looked at again right before it is deleted, and one kernel is deleted at a time."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

import attrs

from .._iteration import Iteration
from ..errors import AidpError
from .deletion import GONE, Deletion, Finding
from .plan import CullOutcome, CullResult, check_applicable, kernels_of, latest_activity, workspace_of
from .policy import reason_on_cluster, reason_to_keep

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
    from datetime import datetime, timedelta

    from .._iteration import Progress
    from ..models import AttachedSession, Session, SessionSummary, WorkspaceRef
    from .access import Access
    from .plan import CullCandidate, CullPlan


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
    progress.may_go_on = False
    check_applicable(plan, platform_id=platform_id, now=plan.taken, max_age=max_age)  # before any request
    now = await access.api.read_clock()
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
        result, reason, error = await self._delete(candidate, look, sent)
        return CullOutcome(
            candidate=candidate, result=result, reason=reason, error=error, request_ids=tuple(sent), at=self.now()
        )

    async def _delete(self, candidate: CullCandidate, look: Look | AidpError, sent: list[str]) -> Finding:
        """Delete the kernel, if it is still as in the plan."""
        if isinstance(look, AidpError):
            return Finding(CullResult.FAILED, "the workspace could not be listed again", look)
        sessions = look.kernels.get(candidate.kernel_id, ())
        if found := self._difference(candidate, sessions, look):
            return found
        return await Deletion(self.access, sessions[0], partial(self._reason_after_read, sessions[0], look), sent).run()

    def _difference(self, candidate: CullCandidate, sessions: Sequence[SessionSummary], look: Look) -> Finding | None:
        """What keeps the kernel from being deleted: it is gone, or it or its *sessions* are not as in the plan."""
        ids = {session.id for session in candidate.sessions}
        if not sessions:
            return Finding(CullResult.CHANGED, "its sessions have another kernel") if ids & look.ids else GONE
        if {session.id for session in sessions} != ids:
            return Finding(CullResult.CHANGED, "it has other sessions")
        if latest_activity(sessions) != candidate.last_activity:
            return Finding(CullResult.CHANGED, "it was active")
        reason = self._reason_to_keep(sessions, look)
        return None if reason is None else Finding(CullResult.CHANGED, reason)

    def _reason_after_read(self, listed: SessionSummary, look: Look, session: Session) -> str | None:
        if _kernel_values(session) != _kernel_values(listed):
            return "it was active, or its session has another kernel"
        return self._reason_to_keep([session], look)

    def _reason_to_keep(self, sessions: Sequence[SessionSummary], look: Look) -> str | None:
        policy = self.plan.policy
        reason = reason_to_keep(sessions, policy, self.plan.since)
        return reason_on_cluster(sessions, look.attached) if reason is None and policy.clusters == "veto" else reason


def _kernel_values(session: SessionSummary) -> tuple[str | None, datetime | None] | None:
    return None if session.kernel is None else (session.kernel.id, session.kernel.last_activity)
