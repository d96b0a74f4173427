"""The rows of the report's large table: one per kernel, so that a kernel which sessions share is seen once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..activity import idle_for
from .clusters import NO_CLUSTER
from .html import activity_group, minute, text
from .text import by_idle_time, format_duration, session_state, session_title

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from ..models import KernelSummary, SessionSummary
    from .rollup import Cluster

COLUMNS = (
    *("Session", "Workspace", "Cluster", "State", "Idle for", "Last activity (UTC)", "Connections"),
    *("Kernel", "Session id"),
)


def group_by_kernel(sessions: Iterable[SessionSummary], now: datetime) -> list[Sequence[SessionSummary]]:
    """Group sessions that report the same of the same kernel; the longest idle time first."""
    groups: dict[object, list[SessionSummary]] = {}
    for number, session in enumerate(sessions):
        known = session.kernel is not None and session.kernel.id
        key = (session.workspace_key, session.cluster_id, session.kernel) if known else number
        groups.setdefault(key, []).append(session)
    for group in groups.values():
        group.sort(key=session_title)
    return sorted(groups.values(), key=lambda group: by_idle_time(idle_for(group[0], now), group[0]))


def kernel_row(
    sessions: Sequence[SessionSummary], now: datetime, labels: Mapping[str, str], clusters: Mapping[Cluster, str]
) -> str:
    """The row of one kernel, and of the *sessions* that show it."""
    first = sessions[0]
    place = (first.workspace_key, first.cluster_id or None)
    shared = f"<small>{len(sessions)} sessions share this kernel</small>" if len(sessions) > 1 else ""
    return (
        f'<tr><th scope="row">{_lines([session_title(each) for each in sessions])}{shared}</th>'
        f"<td>{text(labels[first.workspace_key])}</td><td>{text(clusters.get(place, place[1] or NO_CLUSTER))}</td>"
        f'<td class="{activity_group(first)}">{text(session_state(first))}</td>'
        f"{_kernel_cells(first, now)}"
        f'<td class="id">{_lines([each.id or "" for each in sessions])}</td></tr>'
    )


def _lines(values: Sequence[str]) -> str:
    if len(values) == 1:
        return text(values[0])
    return "".join(f"<span>{text(value)}</span>" for value in values)


def _kernel_cells(session: SessionSummary, now: datetime) -> str:
    idle, kernel = idle_for(session, now), session.kernel
    age = "<td></td>" if idle is None else f'<td data-v="{idle.total_seconds():.0f}">{format_duration(idle)}</td>'
    return age + ("<td></td><td></td><td></td>" if kernel is None else _known_kernel_cells(kernel))


def _known_kernel_cells(kernel: KernelSummary) -> str:
    last = "" if kernel.last_activity is None else minute(kernel.last_activity)
    connections = "" if kernel.connections is None else kernel.connections
    return f'<td>{last}</td><td>{connections}</td><td class="id">{text(kernel.id)}</td>'
