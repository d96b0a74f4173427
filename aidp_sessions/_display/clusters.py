"""Which clusters are paid for and not used: their sessions added up, beside what the service says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from .rollup import Usage, longest_unused_first
from .text import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..models import ClusterSummary
    from .rollup import Cluster

NO_CLUSTER = "no cluster"
_COSTS_NOTHING = frozenset({"STOPPED", "DELETED"})


@attrs.frozen
class ClusterRow:
    """One cluster: its sessions, and its summary if its workspace's clusters were listed."""

    workspace_key: str
    cluster_id: str | None
    usage: Usage
    summary: ClusterSummary | None

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
        if self.usage.unused_for is not None:
            return format_duration(self.usage.unused_for)
        if self.usage.busy:
            return "in use"
        return "not known" if self.usage.sessions else "no sessions"


def cluster_names(listed: Mapping[Cluster, ClusterSummary]) -> dict[Cluster, str]:
    """The display names of the clusters that have one."""
    return {key: cluster.display_name for key, cluster in listed.items() if cluster.display_name}


def cluster_rows(usage: Mapping[Cluster, Usage], listed: Mapping[Cluster, ClusterSummary]) -> list[ClusterRow]:
    """The clusters in *usage* and in *listed*, those that are unused for the longest time first, stopped ones last."""
    everything = dict.fromkeys(listed, Usage()) | dict(usage)
    rows = [ClusterRow(*key, everything[key], listed.get(key)) for key in longest_unused_first(everything)]
    return sorted(rows, key=lambda row: row.state in _COSTS_NOTHING)
