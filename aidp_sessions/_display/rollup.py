"""Sessions added up by cluster, by workspace and in all: how many are idle, and for how long. Pure functions."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import attrs

from ..activity import MIN_LAST_ACTIVITY, Activity, activity_of, idle_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from ..models import SessionSummary

    Cluster = tuple[str, str | None]
    """The key of a workspace and the id of a cluster in it; without id: the sessions that name no cluster."""

_AT_REST = (Activity.IDLE, Activity.DEAD)


@attrs.frozen(kw_only=True)
class Usage:
    """What a group of sessions adds up to. Sessions that share a kernel count as one kernel.

    Attributes:
        idle: number of sessions whose kernel is idle.
        busy: number of sessions whose kernel is executing.
        idle_kernels: number of kernels that all of their sessions report as idle.
        longest_idle: the longest idle time of these kernels; ``None`` if there are none.
        idle_time: the sum of their idle times.
        unused_for: the time since any kernel was last used; ``None`` if one is in use, or if it is not known for each.
    """

    sessions: int = 0
    idle: int = 0
    busy: int = 0
    kernels: int = 0
    idle_kernels: int = 0
    longest_idle: timedelta | None = None
    idle_time: timedelta = timedelta(0)
    unused_for: timedelta | None = None

    @property
    def other(self) -> int:
        """Number of sessions that are neither idle nor busy."""
        return self.sessions - self.idle - self.busy


def usage_by_cluster(sessions: Iterable[SessionSummary], now: datetime) -> dict[Cluster, Usage]:
    """Add up the *sessions* of each cluster. A kernel belongs to the first cluster that its sessions name."""
    clusters: dict[Cluster, list[Sequence[SessionSummary]]] = {}
    for kernel in _by_kernel(sessions):
        cluster = next((session.cluster_id for session in kernel if session.cluster_id), None)
        clusters.setdefault((kernel[0].workspace_key, cluster), []).append(kernel)
    return {cluster: _add_up(kernels, now) for cluster, kernels in clusters.items()}


def total(parts: Iterable[Usage]) -> Usage:
    """Add up groups that have no session in common."""
    groups = list(parts)
    return Usage(
        sessions=sum(group.sessions for group in groups),
        idle=sum(group.idle for group in groups),
        busy=sum(group.busy for group in groups),
        kernels=sum(group.kernels for group in groups),
        idle_kernels=sum(group.idle_kernels for group in groups),
        longest_idle=max((group.longest_idle for group in groups if group.longest_idle is not None), default=None),
        idle_time=sum((group.idle_time for group in groups), timedelta(0)),
        unused_for=_least(group.unused_for for group in groups),
    )


def total_by_workspace(usage: Mapping[Cluster, Usage]) -> dict[str, Usage]:
    """Add up the clusters of each workspace."""
    workspaces: dict[str, list[Usage]] = {}
    for (workspace, _), group in usage.items():
        workspaces.setdefault(workspace, []).append(group)
    return {workspace: total(groups) for workspace, groups in workspaces.items()}


def _by_kernel(sessions: Iterable[SessionSummary]) -> list[Sequence[SessionSummary]]:
    """Group sessions that share a kernel. A session without a kernel, or whose kernel has no id, is a group alone."""
    kernels: dict[tuple[str, str | int], list[SessionSummary]] = {}
    for number, session in enumerate(sessions):
        key = number if session.kernel is None else session.kernel.id or number
        kernels.setdefault((session.workspace_key, key), []).append(session)
    return list(kernels.values())


def _add_up(kernels: Sequence[Sequence[SessionSummary]], now: datetime) -> Usage:
    sessions = [session for kernel in kernels for session in kernel]
    activities = [activity_of(session) for session in sessions]
    idle_times = [idle for kernel in kernels if (idle := _least(idle_for(each, now) for each in kernel)) is not None]
    return Usage(
        sessions=len(sessions),
        idle=activities.count(Activity.IDLE),
        busy=activities.count(Activity.BUSY),
        kernels=sum(kernel[0].kernel is not None for kernel in kernels),
        idle_kernels=len(idle_times),
        longest_idle=max(idle_times, default=None),
        idle_time=sum(idle_times, timedelta(0)),
        unused_for=_least(_unused_for(session, now) for session in sessions),
    )


def _least(times: Iterable[timedelta | None]) -> timedelta | None:
    """The shortest of *times*; ``None`` if one of them is not known."""
    known: list[timedelta] = []
    for time in times:
        if time is None:
            return None
        known.append(time)
    return min(known, default=None)


def _unused_for(session: SessionSummary, now: datetime) -> timedelta | None:
    last = None if session.kernel is None else session.kernel.last_activity
    if activity_of(session) not in _AT_REST or last is None or last < MIN_LAST_ACTIVITY:
        return None
    return max(now - last, timedelta(0))
