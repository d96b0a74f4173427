"""A session as a flat record, for data frames and CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..activity import activity_of, idle_for

if TYPE_CHECKING:
    from datetime import datetime

    from ..models import SessionSummary


def to_record(session: SessionSummary, now: datetime | None = None) -> dict[str, object]:
    """Return *session* as one row of a table; ``pandas.DataFrame(map(to_record, found))`` is the table.

    In a notebook, how long the idle kernels of each workspace and cluster have been idle, as a plot and as a table:

    ```python
    import pandas
    from aidp_sessions import SessionsClient, to_record

    async with SessionsClient.from_config() as client:
        found = await client.sessions(on_error="skip").collect()

    kernels = pandas.DataFrame(map(to_record, found)).drop_duplicates(["workspace_key", "kernel_id"])
    kernels["idle_hours"] = kernels["idle_seconds"] / 3600
    hours = kernels.groupby(["workspace_name", "cluster_id"], dropna=False)["idle_hours"].agg(["count", "sum", "max"])
    hours["sum"].groupby("workspace_name").sum().sort_values().plot.barh(xlabel="idle hours")
    hours
    ```

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
