"""Sessions as they are documented, from bytes to models in one pass. Explains nothing: what is not so is left alone.

The decoder checks and fills classes of its own; their values then go into the slots of our frozen models directly. A
frozen class stores each field through ``object.__setattr__``, by name, which alone costs as much as the decoding.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import attrs
import msgspec

from .models import KernelSummary, SessionSummary

if TYPE_CHECKING:
    from collections.abc import Callable

NOT_ON_THE_WIRE: Final = frozenset({"extra", "workspace_key"})
_SNAKE_CASE_ON_THE_WIRE: Final = frozenset({"cluster_id", "last_activity", "execution_state"})
_SHOWN = 200


def wire_name(field: str) -> str:
    if field in _SNAKE_CASE_ON_THE_WIRE:
        return field
    head, *tail = field.split("_")
    return head + "".join(map(str.capitalize, tail))


class _Kernel(msgspec.Struct, forbid_unknown_fields=True, rename=wire_name, gc=False):
    name: str
    id: str | None = None
    execution_state: str | None = None
    last_activity: str | None = None
    connections: int | None = None


class _Session(msgspec.Struct, forbid_unknown_fields=True, rename=wire_name, gc=False):
    id: str | None = None
    name: str | None = None
    path: str | None = None
    type: str | None = None
    cluster_id: str | None = None
    agent_flow_key: str | None = None
    lifecycle_state: str | None = None
    kernel: _Kernel | None = None


class _Collection(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    items: list[_Session]


_decode_collection: Final = msgspec.json.Decoder(_Collection).decode
_decode_array: Final = msgspec.json.Decoder(list[_Session]).decode


def _setters(cls: type) -> list[Callable[[object, object], None]]:
    return [cls.__dict__[name].__set__ for name in attrs.fields_dict(cls)]


_new: Final = object.__new__
_from_iso: Final = datetime.fromisoformat
(
    _set_kernel_name,
    _set_kernel_id,
    _set_execution_state,
    _set_last_activity,
    _set_connections,
    _set_kernel_extra,
) = _setters(KernelSummary)
(
    _set_id,
    _set_name,
    _set_path,
    _set_type,
    _set_cluster_id,
    _set_agent_flow_key,
    _set_lifecycle_state,
    _set_kernel,
    _set_workspace_key,
    _set_extra,
) = _setters(SessionSummary)


def decode_documented(body: bytes, workspace_key: str) -> tuple[SessionSummary, ...] | None:
    """The sessions in *body*, an object with ``items`` or a bare array; ``None`` if anything in it is unexpected.

    Unknown fields are unexpected too, although they are no error: there is nowhere to put them here.
    """
    try:
        found = _decode_array(body) if body.startswith(b"[") else _decode_collection(body).items
        return tuple([_session(wire, workspace_key) for wire in found])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _session(wire: _Session, workspace_key: str) -> SessionSummary:
    session = _new(SessionSummary)
    _set_id(session, wire.id)
    _set_name(session, wire.name)
    _set_path(session, wire.path)
    _set_type(session, wire.type)
    _set_cluster_id(session, wire.cluster_id)
    _set_agent_flow_key(session, wire.agent_flow_key)
    _set_lifecycle_state(session, wire.lifecycle_state)
    kernel = wire.kernel
    _set_kernel(session, None if kernel is None else _kernel(kernel))
    _set_workspace_key(session, workspace_key)
    _set_extra(session, {})
    return session


def _kernel(wire: _Kernel) -> KernelSummary:
    kernel = _new(KernelSummary)
    _set_kernel_name(kernel, wire.name)
    _set_kernel_id(kernel, wire.id)
    _set_execution_state(kernel, wire.execution_state)
    moment = wire.last_activity
    _set_last_activity(kernel, None if moment is None else parse_timestamp(moment))
    _set_connections(kernel, wire.connections)
    _set_kernel_extra(kernel, {})
    return kernel


def parse_timestamp(text: str) -> datetime:
    """Read an ISO 8601 date and time as aware UTC; one without an offset is UTC already.

    Any number of fraction digits will do; those beyond microseconds are cut off. Raises `ValueError` for what is no
    date with a time.
    """
    try:
        moment = _from_iso(text)
    except ValueError:
        return _parse_unusual(text)
    return moment if moment.tzinfo is UTC and text[10] == "T" else _parse_unusual(text)


def _parse_unusual(text: str) -> datetime:
    """Lower case, a space, an offset or none; what Python takes for a moment but nobody sends is refused."""
    moment: datetime | None
    try:
        moment = _from_iso(text.upper())
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or text[10:11] not in ("T", "t", " "):
        raise ValueError(f"expected an ISO 8601 timestamp, not {text[:_SHOWN]!r}")
    return moment
