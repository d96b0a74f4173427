"""A session as a flat record, for data frames and CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..activity import activity_of, idle_for

if TYPE_CHECKING:
    from datetime import datetime

    from ..models import SessionSummary


def to_record(session: SessionSummary, now: datetime | None = None) -> dict[str, object]:
    """Return *session* as one row of a table; ``pandas.DataFrame(map(to_record, found))`` is the table.

    The columns are always the same, in this order: ``workspace_key``, ``workspace_name`` (empty if it is
    not known), ``id``, ``name``, ``path``, ``type``, ``cluster_id``, ``agent_flow_key``, ``lifecycle_state``,
    ``kernel_id``, ``kernel_name``, ``execution_state``, ``last_activity`` (a datetime), ``connections``, ``activity``
    (the value of an `Activity`) and ``idle_seconds`` (whole seconds until *now*, by default the present; ``None`` for
    a session that is not idle).
    """
    kernel, idle = session.kernel, idle_for(session, now)
    return {
        "workspace_key": session.workspace_key,
        "workspace_name": session.workspace_name,
        "id": session.id,
        "name": session.name,
        "path": session.path,
        "type": session.type,
        "cluster_id": session.cluster_id,
        "agent_flow_key": session.agent_flow_key,
        "lifecycle_state": session.lifecycle_state,
        "kernel_id": kernel and kernel.id,
        "kernel_name": kernel and kernel.name,
        "execution_state": kernel and kernel.execution_state,
        "last_activity": kernel and kernel.last_activity,
        "connections": kernel and kernel.connections,
        "activity": activity_of(session).value,
        "idle_seconds": None if idle is None else int(idle.total_seconds()),
    }
