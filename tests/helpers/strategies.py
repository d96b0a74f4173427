"""Hypothesis strategies for the service's JSON, with absent, null and unknown fields."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from hypothesis import settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterable

Wire = dict[str, object]

brief: Final = settings(max_examples=60)
"""For tests that take milliseconds per example."""

KERNEL_FIELDS: Final = ("connections", "execution_state", "id", "last_activity", "name")
SESSION_FIELDS: Final = ("agentFlowKey", "cluster_id", "id", "kernel", "lifecycleState", "name", "path", "type")
WORKSPACE_FIELDS: Final = (
    "aicUserSchemaName",
    "createdBy",
    "createdByName",
    "defaultCatalogKey",
    "description",
    "displayName",
    "isPrivateNetworkEnabled",
    "key",
    "lifecycleDetails",
    "lifecycleState",
    "systemTags",
    "timeCreated",
    "timeUpdated",
    "type",
    "updatedBy",
    "updatedByName",
)
_LOOKALIKES: Final = (
    "",
    "extra",
    "workspace_key",
    "agent_flow_key",
    "lifecycle_state",
    "lastActivity",
    "clusterId",
    "Name",
)
"""Unknown names that a converter could mistake for fields of its own."""

json_values: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
states: Final = st.sampled_from(
    ("unknown", "starting", "idle", "busy", "terminating", "restarting", "autorestarting", "dead")
) | st.text(max_size=12)
moments: Final = st.datetimes(timezones=st.just(UTC))
timestamps: Final = moments.map(lambda moment: moment.isoformat().replace("+00:00", "Z"))


def _unknown_fields(known: Iterable[str]) -> st.SearchStrategy[Wire]:
    taken = frozenset(known)
    names = st.sampled_from(_LOOKALIKES) | st.text(max_size=8).filter(lambda name: name not in taken)
    return st.dictionaries(names, json_values, max_size=3)


def _objects(
    required: dict[str, st.SearchStrategy[object]], optional: dict[str, st.SearchStrategy[object]]
) -> st.SearchStrategy[Wire]:
    """Objects whose optional fields are present, null or absent, and which may hold unknown fields."""
    fields = st.fixed_dictionaries(required, optional={name: st.none() | values for name, values in optional.items()})
    unknown = _unknown_fields([*required, *optional])
    return st.tuples(unknown, fields).map(lambda parts: {**parts[0], **parts[1]})


_texts: Final[st.SearchStrategy[object]] = st.text(max_size=20)
_kernel_names: Final[dict[str, st.SearchStrategy[object]]] = {"name": _texts}
wire_kernels: Final = _objects(
    _kernel_names,
    {"id": _texts, "execution_state": states, "last_activity": timestamps, "connections": st.integers()},
)
wire_sessions: Final = _objects(
    {}, {**dict.fromkeys((name for name in SESSION_FIELDS if name != "kernel"), _texts), "kernel": wire_kernels}
)
wire_collections: Final = st.tuples(_unknown_fields(["items"]), st.lists(wire_sessions, max_size=4)).map(
    lambda parts: {**parts[0], "items": parts[1]}
)
wire_workspaces: Final = _objects(
    {"key": _texts, "displayName": _texts, "type": _texts, "lifecycleState": _texts, "timeCreated": timestamps},
    {
        "timeUpdated": timestamps,
        "systemTags": st.dictionaries(_texts, st.dictionaries(_texts, json_values, max_size=2), max_size=2),
        "isPrivateNetworkEnabled": st.booleans(),
        **dict.fromkeys(
            (
                "description",
                "lifecycleDetails",
                "createdBy",
                "createdByName",
                "updatedBy",
                "updatedByName",
                "defaultCatalogKey",
                "aicUserSchemaName",
            ),
            _texts,
        ),
    },
)


def without_nulls(wire: Wire, known: Iterable[str]) -> Wire:
    """*wire* as the models encode it: known fields that are null become absent."""
    fields = frozenset(known)
    return {name: value for name, value in wire.items() if value is not None or name not in fields}


def session_without_nulls(wire: Wire) -> Wire:
    kernel = wire.get("kernel")
    if isinstance(kernel, dict):
        wire = {**wire, "kernel": without_nulls(kernel, KERNEL_FIELDS)}
    return without_nulls(wire, SESSION_FIELDS)


def moment_of(text: object) -> datetime | None:
    """The time of one of `timestamps`, read without the code under test."""
    if text is None:
        return None
    assert isinstance(text, str)
    form = "%Y-%m-%dT%H:%M:%S.%fZ" if "." in text else "%Y-%m-%dT%H:%M:%SZ"
    return datetime.strptime(text, form).replace(tzinfo=UTC)
