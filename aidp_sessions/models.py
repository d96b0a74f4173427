"""The values the service answers with: frozen, slotted, plain data.

Field names are Python's; the wire's mixed spelling (``cluster_id`` beside ``agentFlowKey``) is known only to the
converter. What the service owns stays open: states and types are strings, unknown fields are kept in ``extra``.
Source of every field: the operations "Get available sessions" and "List workspaces" of the AI Data Platform
REST reference, version 20260430.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NoReturn

import attrs


class _NoFields(dict[str, object]):
    """Empty for good, so that all models without unknown fields can share one: two objects less for each session."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("the unknown fields of an answer cannot be changed")

    if not TYPE_CHECKING:  # who refuses is no dict to a type checker; the models promise a Mapping only
        __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> str:
        return "NO_FIELDS"


NO_FIELDS: Final = _NoFields()


class ExecutionState(StrEnum):
    """The kernel states that the service documents; any other string passes through as it is."""

    UNKNOWN = "unknown"
    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    TERMINATING = "terminating"
    RESTARTING = "restarting"
    AUTORESTARTING = "autorestarting"
    DEAD = "dead"


@attrs.frozen(kw_only=True, weakref_slot=False)
class KernelSummary:
    """The kernel behind a session (schema ``KernelSummary``).

    Attributes:
        name: kernel spec name, the one field the service promises.
        id: UUID of the kernel; several sessions may share one kernel.
        execution_state: usually an `ExecutionState`, but any string may come.
        last_activity: aware, in UTC; digits beyond microseconds are cut off.
        connections: number of active connections.
        extra: wire fields this version does not know.
    """

    name: str
    id: str | None = None
    execution_state: str | None = None
    last_activity: datetime | None = None
    connections: int | None = None
    extra: Mapping[str, object] = attrs.field(default=NO_FIELDS, hash=False)


@attrs.frozen(kw_only=True, weakref_slot=False)
class SessionSummary:
    """One notebook session (schema ``SessionSummary``). The service requires none of the fields.

    Attributes:
        id: UUID of the session.
        name: a user-friendly name.
        path: path of the notebook, e.g. ``/data/test.ipynb``.
        type: ``notebook``, ``file``, ``agentflow`` or another string.
        cluster_id: the cluster the session is attached to.
        agent_flow_key: the attached agent flow.
        lifecycle_state: ``CREATING``, ``ACTIVE``, ``FAILED`` or another string.
        kernel: ``None`` while the cluster warms up.
        workspace_key: the workspace that was asked; filled in by the client, not sent by the service.
        extra: wire fields this version does not know.
    """

    id: str | None = None
    name: str | None = None
    path: str | None = None
    type: str | None = None
    cluster_id: str | None = None
    agent_flow_key: str | None = None
    lifecycle_state: str | None = None
    kernel: KernelSummary | None = None
    workspace_key: str | None = None
    extra: Mapping[str, object] = attrs.field(default=NO_FIELDS, hash=False)


@attrs.frozen(kw_only=True)
class WorkspaceSummary:
    """One workspace of the platform (schema ``WorkspaceSummary``); times are aware and in UTC.

    Attributes:
        key: what the other operations call the workspace key.
        type: ``DEFAULT``, ``USER`` or another string.
        lifecycle_state: ``CREATING``, ``UPDATING``, ``ACTIVE``, ``DELETING``, ``DELETED``, ``FAILED`` or another
            string.
        system_tags: namespace → key → value.
        extra: wire fields this version does not know.
    """

    key: str
    display_name: str
    type: str
    lifecycle_state: str
    time_created: datetime
    time_updated: datetime | None = None
    description: str | None = None
    lifecycle_details: str | None = None
    system_tags: Mapping[str, Mapping[str, object]] | None = attrs.field(default=None, hash=False)
    created_by: str | None = None
    created_by_name: str | None = None
    updated_by: str | None = None
    updated_by_name: str | None = None
    default_catalog_key: str | None = None
    is_private_network_enabled: bool | None = None
    aic_user_schema_name: str | None = None
    extra: Mapping[str, object] = attrs.field(default=NO_FIELDS, hash=False)
