"""Which clusters are used, since when the others are not, and when they will stop. Pure, and without a clock."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, cast

import attrs

from .._convert.wire_format import json_name, parse_timestamp
from ..errors import ResponseDecodeError

if TYPE_CHECKING:
    from datetime import datetime

    from ..models import ClusterSummary, WorkspaceRef
    from .rollup import Usage

_NOT_RUNNING: Final = frozenset(
    {"ACCEPTED", "CREATING", "STOPPING", "STOPPED", "FAILED", "DELETING", "DELETED", "INACTIVE"}
)


class Use(StrEnum):
    """What a cluster is doing."""

    IDLE = "idle"
    """It runs, and nothing that is attached to it is in use."""
    UNATTACHED = "unattached"
    """It runs, and nothing is attached to it."""
    UNKNOWN = "unknown"
    """It runs, but not everything that is attached to it tells when it was last used."""
    BUSY = "busy"
    STOPPED = "stopped"
    """It does not run; its state says more."""


@attrs.frozen(kw_only=True)
class ClusterUse:
    """A cluster and the sessions that name it.

    Attributes:
        usage: of these sessions.
        unused_for: the time since anything that is attached was last used, if the cluster is idle.
        auto_stop: its field ``autoTerminationMinutes``: after how many idle minutes the service stops it; ``None``:
            never.
        has_auto_stop: whether that field was read.
    """

    workspace: WorkspaceRef
    cluster: ClusterSummary
    usage: Usage
    use: Use
    unused_for: timedelta | None = None
    auto_stop: int | None = None
    has_auto_stop: bool = False

    @property
    def stops_in(self) -> int | None:
        """Minutes until the service stops it, unless it is used; ``None`` if it is not idle or never stops."""
        if self.unused_for is None or self.auto_stop is None:
            return None
        return max(self.auto_stop - int(self.unused_for.total_seconds()) // 60, 0)


def auto_stop_of(document: object) -> int | None:
    """The field ``autoTerminationMinutes`` of *document*, a cluster; raises `ResponseDecodeError` if it is not one."""
    if not isinstance(document, dict):
        raise ResponseDecodeError(f"expected an object, not {json_name(document)}")
    minutes = cast("dict[str, object]", document).get("autoTerminationMinutes")
    if minutes is not None and type(minutes) is not int:
        raise ResponseDecodeError(f"expected an integer, not {json_name(minutes)}", "$.autoTerminationMinutes")
    return minutes


def is_running(cluster: ClusterSummary) -> bool:
    """Whether it may cost money: a state that is not known to be at rest does."""
    return (cluster.state or "").upper() not in _NOT_RUNNING


def use_of(workspace: WorkspaceRef, cluster: ClusterSummary, usage: Usage, now: datetime) -> ClusterUse:
    """Judge *cluster* by *usage*, that of its sessions, and by what it reports itself."""
    use, unused_for = judge(cluster, usage, now)
    return ClusterUse(workspace=workspace, cluster=cluster, usage=usage, use=use, unused_for=unused_for)


def judge(cluster: ClusterSummary, usage: Usage, now: datetime) -> tuple[Use, timedelta | None]:
    """What *cluster* is doing, and if it is idle, since when."""
    attached = cluster.attached_sessions
    states = {session.state for session in attached}
    if not is_running(cluster):
        return Use.STOPPED, None
    if usage.busy or "ACTIVE" in states or cluster.attached_agent_count:
        return Use.BUSY, None
    if not (usage.sessions or attached or cluster.attached_notebooks):
        return Use.UNATTACHED, None
    times = [_time_since(session.last_command_run, now) for session in attached if session.last_command_run is not None]
    times += [usage.unused_for] if usage.sessions else []
    known = [time for time in times if time is not None]
    if not known or len(known) < len(times) or not states <= {"IDLE"}:
        return Use.UNKNOWN, None
    return Use.IDLE, min(known)


def _time_since(text: str, now: datetime) -> timedelta | None:
    try:
        return max(now - parse_timestamp(text), timedelta(0))
    except ValueError:
        return None


def least_needed_first(use: ClusterUse) -> tuple[int, timedelta, str, str, str]:
    """A sort key: the longest idle first, then those to which nothing is attached; last those that do not run."""
    return (
        list(Use).index(use.use),
        -(use.unused_for or timedelta(0)),
        use.workspace.label.casefold(),
        use.workspace.key,
        use.cluster.key,
    )
