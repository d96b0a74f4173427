"""The objects of the service's answers as frozen, slotted attrs classes.

Field names are Python's; `_convert` knows the mixed spelling of the JSON (``cluster_id`` beside ``agentFlowKey``).
States and types are open strings, and unknown fields are kept in ``extra``, because the service may add to them. A
lone surrogate, which JSON allows but UTF-8 does not, is decoded as U+FFFD.
Source of every field: the operations on sessions, "List workspaces" and "List clusters" of the AI Data Platform REST
reference, version 20260430.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

import attrs


class _NoFields(dict[str, object]):
    """An immutable empty dict that models share; saves two objects per session."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("the unknown fields of an answer cannot be changed")

    if not TYPE_CHECKING:  # for a type checker these overrides break dict; the models declare a Mapping
        __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> str:
        return "NO_FIELDS"


NO_FIELDS: Final = _NoFields()


class WorkspaceRef(NamedTuple):
    """A workspace to ask: its key, and its display name if it is known."""

    key: str
    name: str = ""

    @property
    def label(self) -> str:
        """What people call it."""
        return self.name or self.key


class ExecutionState(StrEnum):
    """The documented kernel states. Any other string is passed through unchanged."""

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
        name: kernel spec name, the only required field.
        id: UUID of the kernel; several sessions may share a kernel.
        execution_state: usually an `ExecutionState`, but any string is possible.
        last_activity: aware, in UTC, cut to microseconds. A value before the year 2000 is kept as it was sent, but
            does not count as a timestamp: such a kernel is never idle.
        connections: number of active connections.
        extra: fields of the answer that this version does not know.
    """

    name: str
    id: str | None = None
    execution_state: str | None = None
    last_activity: datetime | None = None
    connections: int | None = None
    extra: Mapping[str, object] = attrs.field(default=NO_FIELDS, hash=False)


@attrs.frozen(kw_only=True, weakref_slot=False)
class SessionSummary:
    """A notebook session (schema ``SessionSummary``). No field is required.

    Attributes:
        id: UUID of the session.
        name: a user-friendly name.
        path: path of the notebook, e.g. ``/data/test.ipynb``.
        type: ``notebook``, ``file``, ``agentflow`` or another string.
        cluster_id: the cluster the session is attached to.
        agent_flow_key: the attached agent flow.
        lifecycle_state: ``CREATING``, ``ACTIVE``, ``FAILED`` or another string.
        kernel: ``None`` while the cluster starts.
        workspace_key: the workspace the session was listed in; filled in by the client, not sent by the service. Empty
            in a session that a program has made itself.
        workspace_name: the display name of that workspace, if the client knows it, else empty. For display only: it
            takes no part in comparisons.
        extra: fields of the answer that this version does not know.
    """

    id: str | None = None
    name: str | None = None
    path: str | None = None
    type: str | None = None
    cluster_id: str | None = None
    agent_flow_key: str | None = None
    lifecycle_state: str | None = None
    kernel: KernelSummary | None = None
    workspace_key: str = ""
    workspace_name: str = attrs.field(default="", eq=False)
    extra: Mapping[str, object] = attrs.field(default=NO_FIELDS, hash=False)


@attrs.frozen(kw_only=True, weakref_slot=False)
class Session(SessionSummary):
    """One session, as the service answers the operations on it (schema ``Session``).

    Attributes:
        id: UUID of the session; the one field that is required.
        etag: of this state of the session, for *if_match*. ``None`` if the service sent none, or one that is not ASCII.
        opc_request_id: of the answer.
    """

    id: str  # pyright: ignore[reportGeneralTypeIssues]  # without a default, which attrs permits
    etag: str | None = None
    opc_request_id: str | None = None


@attrs.frozen(kw_only=True)
class WorkspaceSummary:
    """A workspace of the platform (schema ``WorkspaceSummary``). Times are aware and in UTC.

    Attributes:
        key: the workspace key that other operations take.
        type: ``DEFAULT``, ``USER`` or another string.
        lifecycle_state: ``CREATING``, ``UPDATING``, ``ACTIVE``, ``DELETING``, ``DELETED``, ``FAILED`` or another
            string.
        system_tags: namespace → key → value.
        extra: fields of the answer that this version does not know.
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


@attrs.frozen(kw_only=True)
class AttachedSession:
    """A session as its cluster reports it (field ``attachedSessions`` of ``ClusterSummary``); it has no id.

    Attributes:
        type: ``NOTEBOOK``, ``FILE`` or another string.
        path: path of the notebook.
        state: ``ACTIVE``, ``IDLE`` or another string.
        last_command_run: when the last command ran, as the service wrote it.
        extra: fields of the answer that this version does not know.
    """

    type: str | None = None
    path: str | None = None
    state: str | None = None
    last_command_run: str | None = None
    extra: Mapping[str, object] = attrs.field(default=NO_FIELDS, hash=False)


@attrs.frozen(kw_only=True)
class ClusterSummary:
    """A cluster of a workspace (schema ``ClusterSummary``). Times are aware and in UTC.

    Attributes:
        key: what the ``cluster_id`` of sessions refers to.
        type: ``USER``, ``AI_COMPUTE`` or another string.
        state: ``ACTIVE``, ``STOPPED`` or another string.
        stopped_by: who stopped the cluster; ``SYSTEM`` after it was idle for too long.
        attached_notebooks: their paths.
        attached_agent_count: number of agents, which have no session but keep the cluster in use.
        active_cluster_resources: such as ``activeCores``, in the form of the wire.
        extra: fields of the answer that this version does not know.
    """

    key: str
    display_name: str | None = None
    type: str | None = None
    state: str | None = None
    time_created: datetime | None = None
    time_updated: datetime | None = None
    stopped_by: str | None = None
    stopped_by_name: str | None = None
    attached_sessions: tuple[AttachedSession, ...] = ()
    attached_notebooks: tuple[str, ...] = ()
    attached_agent_count: int | None = None
    active_cluster_resources: Mapping[str, object] | None = attrs.field(default=None, hash=False)
    extra: Mapping[str, object] = attrs.field(default=NO_FIELDS, hash=False)
