"""Complete, plausible sessions and workspaces for tests, each with its own ids and names."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Final

from ..activity import require_aware
from ..models import ExecutionState, KernelSummary, SessionSummary, WorkspaceSummary

_numbers: Final = itertools.count(1)


def make_session(
    name: str | None = None,
    *,
    idle_for: timedelta | None = None,
    execution_state: str | None = None,
    connections: int | None = 0,
    path: str | None = None,
    cluster_id: str | None = None,
    now: datetime | None = None,
) -> SessionSummary:
    """Make a session with its own id, name, path, cluster and kernel; `attrs.evolve` changes the rest.

    Args:
        name: by default ``notebook-1.ipynb`` and so on.
        idle_for: how long before *now* the kernel was last active; without it, the kernel is busy now.
        execution_state: by default ``idle`` with *idle_for*, ``busy`` without.
        connections: of the kernel; ``None`` for an unknown number.
        path: by default *name* in the folder ``Workspace``.
        cluster_id: by default a new one.
        now: aware; by default the present.
    """
    number = next(_numbers)
    name = f"notebook-{number}.ipynb" if name is None else name
    state = ExecutionState.BUSY if idle_for is None else ExecutionState.IDLE
    return SessionSummary(
        id=_uuid(1, number),
        name=name,
        path=f"Workspace/{name}" if path is None else path,
        type="notebook",
        cluster_id=_uuid(2, number) if cluster_id is None else cluster_id,
        lifecycle_state="ACTIVE",
        kernel=KernelSummary(
            name="notebook",
            id=_uuid(3, number),
            execution_state=state if execution_state is None else execution_state,
            last_activity=_utc(now, "now") - (idle_for or timedelta(0)),
            connections=connections,
        ),
    )


def make_workspace(
    key: str | None = None,
    *,
    display_name: str | None = None,
    type: str = "USER",  # noqa: A002  # the service's word
    lifecycle_state: str = "ACTIVE",
    is_private_network_enabled: bool = False,
    time_created: datetime | None = None,
    created_by_name: str | None = None,
) -> WorkspaceSummary:
    """Make a workspace; by default with a UUID and a name of its own, and created now."""
    number = next(_numbers)
    return WorkspaceSummary(
        key=_uuid(4, number) if key is None else key,
        display_name=f"Workspace {number}" if display_name is None else display_name,
        type=type,
        lifecycle_state=lifecycle_state,
        is_private_network_enabled=is_private_network_enabled,
        time_created=_utc(time_created, "time_created"),
        created_by_name=created_by_name,
    )


def _utc(given: datetime | None, name: str) -> datetime:
    """Convert to UTC, as on the wire, so that the value compares equal to the decoded one."""
    return datetime.now(UTC) if given is None else require_aware(given, name).astimezone(UTC)


def _uuid(kind: int, number: int) -> str:
    """Make a UUID that is easy to read in a failed assertion: a *kind* per field, a *number* per session."""
    return f"{kind:08x}-0000-4000-8000-{number:012x}"
