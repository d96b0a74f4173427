"""Sessions as they are documented, from bytes to models in one pass. Explains nothing: what is not so is left alone.

The decoder checks and fills classes of its own; their values then go into drafts of our models, which are frozen last.
A frozen class stores each field through ``object.__setattr__``, by name, which alone costs as much as the decoding.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from .models import NO_FIELDS, KernelSummary, SessionSummary

if TYPE_CHECKING:
    from collections.abc import Mapping

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


class _OpenKernel(_Kernel, forbid_unknown_fields=False, gc=False):
    pass


class _OpenSession(_Session, forbid_unknown_fields=False, gc=False):
    kernel: _OpenKernel | None = None  # pyright: ignore[reportIncompatibleVariableOverride]  # nobody assigns it


class _OpenCollection(_Collection, forbid_unknown_fields=False, gc=False):
    items: list[_OpenSession]  # type: ignore[assignment]  # a list of subclasses, which nobody appends to


_decode_collection: Final = msgspec.json.Decoder(_Collection).decode
_decode_array: Final = msgspec.json.Decoder(list[_Session]).decode
_decode_open_collection: Final = msgspec.json.Decoder(_OpenCollection).decode
_decode_open_array: Final = msgspec.json.Decoder(list[_OpenSession]).decode
_decode_anything: Final = msgspec.json.Decoder().decode
_from_iso: Final = datetime.fromisoformat


def _draft(cls: type) -> Any:  # noqa: ANN401  # mypy knows the fields of *cls* as frozen
    """A class with the slots of *cls*, but not frozen: a full draft becomes a *cls* by a change of its class."""
    return type(cls.__name__, (), {"__slots__": cls.__dict__["__slots__"]})


_SessionDraft: Final = _draft(SessionSummary)
_KernelDraft: Final = _draft(KernelSummary)
_KERNEL_FIELDS: Final = frozenset(_Kernel.__struct_encode_fields__)
_SESSION_FIELDS: Final = frozenset(_Session.__struct_encode_fields__)


def decode_sessions(body: bytes, workspace_key: str) -> tuple[tuple[SessionSummary, ...], dict[str, object]] | None:
    """The sessions in *body*, an object with ``items`` or a bare array, and the unknown fields of that object.

    ``None`` if any documented field is not as documented, or *body* is no JSON.
    """
    bare = body.startswith(b"[")
    try:
        try:
            found = _decode_array(body) if bare else _decode_collection(body).items
        except msgspec.ValidationError:  # perhaps for no more than an unknown field
            return _decode_with_unknown(body, workspace_key, bare=bare)
        return tuple([_session(wire, workspace_key) for wire in found]), {}
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _decode_with_unknown(
    body: bytes, workspace_key: str, *, bare: bool
) -> tuple[tuple[SessionSummary, ...], dict[str, object]]:
    found = _decode_open_array(body) if bare else _decode_open_collection(body).items
    document = _decode_anything(body)
    items = document if bare else document.pop("items")
    return tuple([_session(wire, workspace_key, item) for wire, item in zip(found, items, strict=True)]), (
        {} if bare else document
    )


def _unknown(item: Mapping[str, object], known: frozenset[str]) -> Mapping[str, object]:
    return NO_FIELDS if known.issuperset(item) else {name: item[name] for name in item if name not in known}


def _session(wire: _Session, workspace_key: str, item: Mapping[str, Any] = NO_FIELDS) -> Any:  # noqa: ANN401  # a SessionSummary
    session = _SessionDraft()
    session.id = wire.id
    session.name = wire.name
    session.path = wire.path
    session.type = wire.type
    session.cluster_id = wire.cluster_id
    session.agent_flow_key = wire.agent_flow_key
    session.lifecycle_state = wire.lifecycle_state
    session.kernel = None if wire.kernel is None else _kernel(wire.kernel, item and item["kernel"])
    session.workspace_key = workspace_key
    session.extra = item and _unknown(item, _SESSION_FIELDS)
    session.__class__ = SessionSummary
    return session


def _kernel(wire: _Kernel, item: Mapping[str, object]) -> Any:  # noqa: ANN401  # a KernelSummary
    kernel = _KernelDraft()
    kernel.name = wire.name
    kernel.id = wire.id
    kernel.execution_state = wire.execution_state
    kernel.last_activity = None if wire.last_activity is None else parse_timestamp(wire.last_activity)
    kernel.connections = wire.connections
    kernel.extra = item and _unknown(item, _KERNEL_FIELDS)
    kernel.__class__ = KernelSummary
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
