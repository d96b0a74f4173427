"""Clusters and their use as a table, as JSON and as CSV."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from .._convert.codec import to_wire
from .._display.text import format_duration, pluralize, workspace_labels
from .cluster_use import ClusterUse, Use
from .formats import csv_text, record_lines
from .tables import cell, fit_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from .tables import Cells

_STYLES: Final = {Use.IDLE: "yellow", Use.UNATTACHED: "yellow", Use.UNKNOWN: "", Use.BUSY: "green", Use.STOPPED: "dim"}
_COLUMNS: Final = (
    *(
        "workspace_key",
        "workspace_name",
        "key",
        "display_name",
        "type",
        "state",
        "stopped_by",
        "stopped_by_name",
        "use",
        "idle_seconds",
    ),
    *("auto_termination_minutes", "minutes_until_stop", "idle_sessions", "busy_sessions", "other_sessions"),
    *("attached_sessions", "attached_agents"),
)


def print_clusters(found: Sequence[ClusterUse], console: Console) -> None:
    """Print one row per cluster, and how many of those that run are not used."""
    labels = workspace_labels((use.workspace.key, use.workspace.name) for use in found)
    rows: list[Cells] = [
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
    if rows:
        widths = {"Cluster": 12, "Workspace": 6, "Sessions": 8, "State": 6}
        console.print(fit_columns(rows, console.width, ("Key", "Stopped by"), widths))
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


def as_lines(found: Iterable[ClusterUse]) -> str:
    return record_lines(map(_record, found))


def as_array(found: Iterable[ClusterUse]) -> str:
    return json.dumps([_record(use) for use in found], indent=2) + "\n"


def as_csv(found: Iterable[ClusterUse]) -> str:
    """A header and one line per cluster; one that is never stopped has ``never`` for minutes."""
    return csv_text(_COLUMNS, map(_row, found))


def _record(use: ClusterUse) -> dict[str, object]:
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


def _row(use: ClusterUse) -> Sequence[object]:
    cluster, usage = use.cluster, use.usage
    never = "never" if use.has_auto_stop else None
    return (
        *(use.workspace.key, use.workspace.name, cluster.key, cluster.display_name, cluster.type, cluster.state),
        *(cluster.stopped_by, cluster.stopped_by_name, use.use, _idle_seconds(use)),
        *(never if use.auto_stop is None else use.auto_stop, use.stops_in, usage.idle, usage.busy, usage.other),
        *(len(cluster.attached_sessions), cluster.attached_agent_count),
    )


def _idle_seconds(use: ClusterUse) -> int | None:
    return None if use.unused_for is None else int(use.unused_for.total_seconds())
