"""The plan: which kernels would be shut down, and why the others are kept. Pure, and without a clock."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import attrs
from attrs.validators import min_len, optional

from .. import _convert, _display
from ..activity import instant, require_aware
from ..errors import AidpError
from ..models import AttachedSession, SessionSummary, WorkspaceRef
from ..results import WorkspaceOutcome
from .policy import CullPolicy, KeepReason, reason_on_cluster, reason_to_keep

_FORMAT: Final = "aidp_sessions.CullPlan"
_VERSION: Final = 1


class CullResult(StrEnum):
    """What became of a candidate."""

    DELETED = "deleted"
    GONE = "gone"
    """The kernel was gone before it was to be deleted."""
    CHANGED = "changed"
    """The kernel or its sessions are no longer as in the plan, so it was kept."""
    DENIED = "denied"
    """The service does not permit it: it answers 404 for a session that it lists."""
    FAILED = "failed"
    """The service refused, or could not be asked; the kernel was not deleted."""
    UNKNOWN = "unknown"
    """The answer was lost, and whether the kernel was deleted could not be read."""


def _aware(_: object, field: attrs.Attribute[Any], value: datetime) -> None:
    require_aware(value, field.name)


def _known(reason: str) -> str:
    return KeepReason(reason) if reason in frozenset(KeepReason) else reason


def _without_veto(policy: CullPolicy) -> CullPolicy:
    return policy if policy.veto is None else attrs.evolve(policy, veto=None)


def _failure_keys(failures: Iterable[AidpError]) -> tuple[tuple[type[AidpError], str], ...]:
    """Exceptions compare by identity, and those of a plan that was read from a file would never be equal."""
    return tuple((type(error), str(error)) for error in failures)


@attrs.frozen(kw_only=True)
class CullCandidate:
    """A kernel that the policy does not keep.

    Attributes:
        sessions: all sessions of the kernel, in the order of their ids.
        last_activity: in UTC; the latest that any of the sessions reports.
    """

    workspace_key: str
    kernel_id: str
    sessions: tuple[SessionSummary, ...] = attrs.field(validator=min_len(1))
    last_activity: datetime = attrs.field(validator=_aware)


@attrs.frozen(kw_only=True)
class KeptKernel:
    """A kernel that is kept, or a session whose kernel is not known.

    Attributes:
        kernel_id: ``None`` for a session without a kernel, or whose kernel has no id.
        sessions: all sessions of the kernel, in the order of their ids.
        last_activity: in UTC; the latest that any of the sessions reports.
        reason: usually a `KeepReason`; a plan written by a later version may have others.
    """

    workspace_key: str
    kernel_id: str | None
    sessions: tuple[SessionSummary, ...]
    last_activity: datetime | None = attrs.field(validator=optional(_aware))
    reason: str = attrs.field(converter=_known)


@attrs.frozen(kw_only=True)
class CullPlan:
    """What a policy would shut down, what it keeps and why. Made by `SessionsClient.plan_cull`; nothing was deleted.

    Attributes:
        taken: when the sessions were listed, by the service's clock, in UTC.
        platform_id: OCID of the AI Data Platform.
        policy: without its ``veto``.
        candidates: in the order of their workspaces and kernel ids. A plan with fewer of them, made with
            `attrs.evolve` or by editing its JSON, is a plan too.
        kept: every other kernel, in the same order.
        failures: what could not be listed; no kernel of these workspaces is a candidate.
    """

    taken: datetime = attrs.field(validator=_aware)
    platform_id: str
    policy: CullPolicy = attrs.field(converter=_without_veto)
    candidates: tuple[CullCandidate, ...] = attrs.field(converter=tuple[CullCandidate, ...])
    kept: tuple[KeptKernel, ...] = ()
    failures: tuple[AidpError, ...] = attrs.field(default=(), eq=_failure_keys)

    @property
    def since(self) -> datetime:
        """``policy.since`` as a point in time."""
        return instant(self.policy.since, self.taken.timestamp)

    @property
    def refusal(self) -> str | None:
        """Why the plan must not be applied as it is: too many candidates for the policy's caps."""
        found, policy = len(self.candidates), self.policy
        kernels = found + sum(kernel.kernel_id is not None for kernel in self.kept)
        if policy.max_kernels is not None and found > policy.max_kernels:
            return f"candidates: {found}, more than max_kernels={policy.max_kernels}"
        if policy.max_share is not None and found and found / kernels > policy.max_share:
            return f"candidates: {found} of {kernels} kernels, more than max_share={policy.max_share}"
        return None

    def to_json(self) -> str:
        """The plan as a JSON document for people to read and for `from_json`."""
        return _convert.documents.write(self, {"format": _FORMAT, "version": _VERSION, "refusal": self.refusal})

    @classmethod
    def from_json(cls, text: str | bytes) -> CullPlan:
        """The plan that *text* holds; raises `ValueError` with the JSON path of what is wrong."""
        return _convert.documents.read(text, cls, {"format": _FORMAT, "version": _VERSION}, ignored=("refusal",))

    def _repr_html_(self) -> str:
        """Show it as tables in a notebook: the candidates' first hundred sessions, and the failures."""
        reasons = Counter(kernel.reason for kernel in self.kept)
        kept = ", ".join(f"{_display.html.text(reason)} {count}" for reason, count in sorted(reasons.items()))
        lines = [f"candidates: {len(self.candidates)}; kept: {kept or 'none'}", *filter(None, [self.refusal])]
        sessions = [session for candidate in self.candidates for session in candidate.sessions]
        failures = _display.html.failures_table(self.failures) if self.failures else ""
        return "".join(f"<p>{line}</p>" for line in lines) + _display.html.sessions_table(sessions) + failures


@attrs.frozen(kw_only=True)
class CullOutcome:
    """What became of one candidate.

    Attributes:
        reason: what had changed, or what the service answered, in words.
        error: what the attempt ended with, if it failed.
        request_ids: of every request that was sent for this candidate alone, oldest first.
        at: when that was known, by the service's clock, in UTC.
    """

    candidate: CullCandidate
    result: CullResult = attrs.field(converter=CullResult)
    reason: str | None = None
    error: AidpError | None = None
    request_ids: tuple[str, ...] = ()
    at: datetime = attrs.field(validator=_aware)


def make_plan(
    outcomes: Iterable[WorkspaceOutcome],
    policy: CullPolicy,
    *,
    platform_id: str,
    taken: datetime,
    failures: Iterable[AidpError] = (),
) -> CullPlan:
    """Apply every rule of *policy* but ``clusters`` to the kernels of *outcomes*, which are unfiltered listings.

    *taken* is the service's present time. *failures* are those that concern no single workspace. `apply_clusters`
    applies the last rule; only the clusters of workspaces with candidates have to be listed for it.
    """
    outcomes = tuple(outcomes)
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    failed = {outcome.workspace_key for outcome in outcomes if outcome.error is not None}
    kernels = list(_kernels_by_workspace(outcomes))
    workspaces = Counter(kernel_id for _, kernel_id, _ in kernels)
    since = instant(policy.since, taken.timestamp)

    def judge(key: str, kernel_id: str | None, sessions: Sequence[SessionSummary]) -> KeepReason | None:
        if kernel_id is None or key in failed:
            return KeepReason.UNKNOWN
        return KeepReason.SHARED if workspaces[kernel_id] > 1 else reason_to_keep(sessions, policy, since)

    candidates, kept = _split(_entry(*kernel, reason=judge(*kernel)) for kernel in kernels)
    return CullPlan(
        taken=taken,
        platform_id=platform_id,
        policy=policy,
        candidates=candidates,
        kept=kept,
        failures=tuple(sorted((*errors, *failures), key=lambda error: (error.workspace_key or "", str(error)))),
    )


def apply_clusters(plan: CullPlan, attached: Mapping[str, Sequence[AttachedSession]]) -> CullPlan:
    """Keep the candidates that clusters veto.

    *attached* holds all clusters' sessions by workspace; those of a workspace that is missing could not be listed.
    """
    if plan.policy.clusters == "ignore":
        return plan
    candidates, kept = _split(
        _entry(kernel.workspace_key, kernel.kernel_id, kernel.sessions, reason=reason)
        for kernel in plan.candidates
        for reason in [reason_on_cluster(kernel.sessions, attached.get(kernel.workspace_key))]
    )
    return attrs.evolve(plan, candidates=candidates, kept=tuple(sorted((*plan.kept, *kept), key=_position)))


def check_applicable(plan: CullPlan, *, platform_id: str, now: datetime, max_age: timedelta) -> None:
    """Raise `ValueError` if *plan* must not be applied at *now*, the service's present time."""
    if plan.refusal is not None:
        raise ValueError(f"the plan is refused: {plan.refusal}")
    if plan.platform_id != platform_id:
        raise ValueError(f"the plan belongs to the platform {plan.platform_id!r}, not to {platform_id!r}")
    if abs(now - plan.taken) > max_age:
        raise ValueError(f"the plan was made at {plan.taken}, and it is {now}: more than max_age={max_age} apart")


def workspace_of(candidate: CullCandidate) -> WorkspaceRef:
    return WorkspaceRef(candidate.workspace_key, candidate.sessions[0].workspace_name)


def kernels_of(
    sessions: Iterable[SessionSummary], workspace_key: str
) -> Iterator[tuple[str | None, tuple[SessionSummary, ...]]]:
    """Group the sessions of one workspace by kernel id, in an order that does not depend on theirs.

    A session without a kernel id is a group of its own.
    """
    groups = defaultdict[str, list[SessionSummary]](list)
    for session in sessions:
        ours = session if session.workspace_key == workspace_key else attrs.evolve(session, workspace_key=workspace_key)
        groups[(session.kernel and session.kernel.id) or ""].append(ours)
    for kernel_id in sorted(groups):
        ordered = _ordered(groups[kernel_id])
        yield from [(kernel_id, ordered)] if kernel_id else ((None, (session,)) for session in ordered)


def latest_activity(sessions: Iterable[SessionSummary]) -> datetime | None:
    times = (session.kernel.last_activity for session in sessions if session.kernel is not None)
    return max((time for time in times if time is not None), default=None)


def _ordered(sessions: Sequence[SessionSummary]) -> tuple[SessionSummary, ...]:
    """Sort by id and then by all other values, each session once."""
    return tuple(dict.fromkeys(sorted(sessions, key=repr))) if len(sessions) > 1 else tuple(sessions)


def _kernels_by_workspace(
    outcomes: Iterable[WorkspaceOutcome],
) -> Iterator[tuple[str, str | None, tuple[SessionSummary, ...]]]:
    listed = defaultdict[str, list[SessionSummary]](list)
    for outcome in outcomes:
        listed[outcome.workspace_key].extend(outcome.sessions)
    for key in sorted(listed):
        yield from ((key, *kernel) for kernel in kernels_of(listed[key], key))


def _entry(
    workspace_key: str, kernel_id: str | None, sessions: tuple[SessionSummary, ...], *, reason: KeepReason | None
) -> CullCandidate | KeptKernel:
    last_activity = latest_activity(sessions)
    if reason is None and kernel_id is not None and last_activity is not None:
        return CullCandidate(
            workspace_key=workspace_key, kernel_id=kernel_id, sessions=sessions, last_activity=last_activity
        )
    return KeptKernel(
        workspace_key=workspace_key,
        kernel_id=kernel_id,
        sessions=sessions,
        last_activity=last_activity,
        reason=reason or KeepReason.UNKNOWN,
    )


def _split(
    kernels: Iterable[CullCandidate | KeptKernel],
) -> tuple[tuple[CullCandidate, ...], tuple[KeptKernel, ...]]:
    decided = list(kernels)
    candidates = tuple(kernel for kernel in decided if isinstance(kernel, CullCandidate))
    return candidates, tuple(kernel for kernel in decided if isinstance(kernel, KeptKernel))


def _position(kernel: KeptKernel) -> tuple[str, str]:
    return kernel.workspace_key, kernel.kernel_id or ""
