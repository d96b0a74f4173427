"""Clusters and their use as a table, as JSON and as records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .._convert.codec import to_wire
from .._display.cluster_use import ClusterUse, Use
from .._display.text import format_duration, pluralize, workspace_labels
from .tables import cell, fit_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

_STYLES: Final = {Use.IDLE: "yellow", Use.UNATTACHED: "yellow", Use.UNKNOWN: "", Use.BUSY: "green", Use.STOPPED: "dim"}
COLUMNS: Final = (
    *("workspace_key", "workspace_name", "key", "display_name", "type", "state"),
    *("stopped_by", "stopped_by_name", "use", "idle_seconds"),
    *("auto_termination_minutes", "never_stops", "minutes_until_stop"),
    *("idle_sessions", "busy_sessions", "other_sessions", "attached_sessions", "attached_agents"),
)


def fit_clusters(found: Sequence[ClusterUse], room: int) -> Table:
    labels = workspace_labels((use.workspace.key, use.workspace.name) for use in found)
    rows = [
        {
            "Workspace": cell(labels[use.workspace.key]),
            "Cluster": cell(use.cluster.display_name or use.cluster.key),
            "State": cell(use.cluster.state, _STYLES[use.use]),
            "Use": cell("" if use.use is Use.STOPPED else use.use, _STYLES[use.use]),
            "Idle for": cell(None if use.unused_for is None else format_duration(use.unused_for)),
            "Auto-stop": cell(_auto_stop_text(use)),
            "Sessions": cell(_sessions_text(use)),
            "Stopped by": cell(use.cluster.stopped_by_name or use.cluster.stopped_by),
            "Key": cell(use.cluster.key, "dim"),
        }
        for use in found
    ]
    return fit_columns(rows, room, ("Key", "Stopped by"), {"Cluster": 12, "Workspace": 6, "Sessions": 8, "State": 6})


def print_clusters(table: Table | None, found: Sequence[ClusterUse], console: Console) -> None:
    """Print *table*, and how many of the clusters that run are not used."""
    if table is not None:
        console.print(table)
        console.print()
    running = [use for use in found if use.use is not Use.STOPPED]
    unused = sum(use.use in (Use.IDLE, Use.UNATTACHED) for use in running)
    text = f"{pluralize(len(found), 'cluster')}, {len(running)} running, {unused} of them not used"
    console.print(text, style="bold", soft_wrap=True)


def _auto_stop_text(use: ClusterUse) -> str:
    if not use.has_auto_stop:
        return ""
    if use.stops_in is not None:
        return f"in {use.stops_in} min"
    return "never" if use.auto_stop is None else f"after {use.auto_stop} min"


def _sessions_text(use: ClusterUse) -> str:
    numbers = {"idle": use.usage.idle, "busy": use.usage.busy, "other": use.usage.other}
    parts = [f"{number} {name}" for name, number in numbers.items() if number]
    agents = use.cluster.attached_agent_count
    return ", ".join([*parts, pluralize(agents, "agent")] if agents else parts)


def document(use: ClusterUse) -> dict[str, object]:
    """The JSON of the service, with ``autoTerminationMinutes`` if it was read, and what it means now."""
    return {
        "workspaceKey": use.workspace.key,
        "workspaceName": use.workspace.name or None,
        **to_wire(use.cluster),
        **({"autoTerminationMinutes": use.auto_stop} if use.has_auto_stop else {}),
        "use": use.use,
        "idleSeconds": _idle_seconds(use),
        "minutesUntilStop": use.stops_in,
        "sessions": {"idle": use.usage.idle, "busy": use.usage.busy, "other": use.usage.other},
    }


def record(use: ClusterUse) -> dict[str, object]:
    """The values of `COLUMNS`."""
    cluster, usage = use.cluster, use.usage
    values = (
        *(use.workspace.key, use.workspace.name, cluster.key, cluster.display_name, cluster.type, cluster.state),
        *(cluster.stopped_by, cluster.stopped_by_name, use.use.value, _idle_seconds(use)),
        *(use.auto_stop, use.auto_stop is None if use.has_auto_stop else None, use.stops_in),
        *(usage.idle, usage.busy, usage.other, len(cluster.attached_sessions), cluster.attached_agent_count),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _idle_seconds(use: ClusterUse) -> int | None:
    return None if use.unused_for is None else int(use.unused_for.total_seconds())
