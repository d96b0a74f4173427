"""Which clusters are paid for and not used: their sessions added up, beside what the service says of them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import attrs

from .cluster_use import Use, judge
from .rollup import Usage
from .text import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ..models import ClusterSummary
    from .rollup import Cluster

NO_CLUSTER = "no cluster"
_WORDS: Mapping[Use, str] = {
    Use.UNATTACHED: "nothing attached",
    Use.UNKNOWN: "not known",
    Use.BUSY: "in use",
    Use.STOPPED: "",
}


@attrs.frozen(kw_only=True)
class ClusterRow:
    """One cluster: its sessions, and its summary if its workspace's clusters were listed.

    Attributes:
        use: what it is doing, as far as that is known.
        idle_for: the time since it was last used, if it is idle.
    """

    workspace_key: str
    cluster_id: str | None
    usage: Usage
    summary: ClusterSummary | None
    use: Use
    idle_for: timedelta | None

    @property
    def name(self) -> str:
        if self.cluster_id is None:
            return NO_CLUSTER
        return (self.summary and self.summary.display_name) or self.cluster_id

    @property
    def state(self) -> str:
        return (self.summary and self.summary.state) or ""

    @property
    def stopped_by(self) -> str:
        return (self.summary and (self.summary.stopped_by_name or self.summary.stopped_by)) or ""

    @property
    def unused_for(self) -> str:
        """The time since it was last used, or why there is none."""
        return _WORDS[self.use] if self.idle_for is None else format_duration(self.idle_for)


def cluster_names(listed: Mapping[Cluster, ClusterSummary]) -> dict[Cluster, str]:
    """The display names of the clusters that have one."""
    return {key: cluster.display_name for key, cluster in listed.items() if cluster.display_name}


def cluster_rows(
    usage: Mapping[Cluster, Usage], listed: Mapping[Cluster, ClusterSummary], now: datetime
) -> list[ClusterRow]:
    """The clusters in *usage* and in *listed*: unused for the longest time first, then unattached, in use, stopped.

    The sessions that name no cluster come last.
    """
    everything = dict.fromkeys(listed, Usage()) | dict(usage)
    return sorted((_row(place, each, listed.get(place), now) for place, each in everything.items()), key=_rank)


def _row(place: Cluster, usage: Usage, summary: ClusterSummary | None, now: datetime) -> ClusterRow:
    use, idle_for = _judge_by_sessions(usage) if summary is None else judge(summary, usage, now)
    return ClusterRow(
        workspace_key=place[0], cluster_id=place[1], usage=usage, summary=summary, use=use, idle_for=idle_for
    )


def _judge_by_sessions(usage: Usage) -> tuple[Use, timedelta | None]:
    if usage.busy:
        return Use.BUSY, None
    return (Use.UNKNOWN if usage.unused_for is None else Use.IDLE), usage.unused_for


def _rank(row: ClusterRow) -> tuple[bool, int, timedelta, timedelta, str, str]:
    idle_for = row.idle_for or timedelta(0)
    position = list(Use).index(row.use)
    return (
        *(row.cluster_id is None, position, -idle_for, -row.usage.idle_time, row.workspace_key),
        row.cluster_id or "",
    )
