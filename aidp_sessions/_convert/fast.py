"""Decodes JSON with msgspec: documented bodies from bytes to models in one pass.

Returns ``None`` for anything unusual; `strict` then decodes it and explains what is wrong.

msgspec checks and fills structs; their values are then copied into mutable twins of our models. Filling the frozen
models themselves would double the time, because a frozen class sets each field through ``object.__setattr__``.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ..models import NO_FIELDS, KernelSummary, SessionSummary
from .limits import MAX_TINY_OBJECTS, check_density, check_size
from .wire_format import parse_timestamp, wire_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..models import WorkspaceRef

_from_iso: Final = datetime.fromisoformat
_HEX = rb"[0-9a-fA-F]"
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB]%b{2}\\u[dD][c-fC-F]%b{2}|(u[dD][89a-fA-F]%b{2})|.)" % (_HEX, _HEX, _HEX), re.DOTALL
)
"""An escape: a pair of surrogates, a lone one, or any other."""


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
    kernel: _OpenKernel | None = None  # pyright: ignore[reportIncompatibleVariableOverride]  # never assigned


class _OpenCollection(_Collection, forbid_unknown_fields=False, gc=False):
    items: list[_OpenSession]  # type: ignore[assignment]  # a list of subclasses, never appended to


_decode_collection: Final = msgspec.json.Decoder(_Collection).decode
_decode_array: Final = msgspec.json.Decoder(list[_Session]).decode
_decode_open_collection: Final = msgspec.json.Decoder(_OpenCollection).decode
_decode_open_array: Final = msgspec.json.Decoder(list[_OpenSession]).decode
_decode_anything: Final = msgspec.json.Decoder().decode
_validate: Final = msgspec.json.Decoder(msgspec.Raw).decode


def _mutable_twin(cls: type) -> Any:  # noqa: ANN401  # mypy knows the fields of *cls* as frozen
    """A class with the same slots that is not frozen.

    Assigning ``__class__`` afterwards turns the filled instance into a *cls*.
    """
    return type(cls.__name__, (), {"__slots__": cls.__dict__["__slots__"]})


_MutableSession: Final = _mutable_twin(SessionSummary)
_MutableKernel: Final = _mutable_twin(KernelSummary)
_KERNEL_FIELDS: Final = frozenset(_Kernel.__struct_encode_fields__)
_SESSION_FIELDS: Final = frozenset(_Session.__struct_encode_fields__)
_NOTHING_UNKNOWN: Final = repeat(NO_FIELDS)


def decode_sessions(body: bytes, ref: WorkspaceRef) -> tuple[tuple[SessionSummary, ...], dict[str, object]] | None:
    """The sessions in *body*, an object with ``items`` or a bare array, and the unknown fields of that object.

    ``None`` if a documented field has an undocumented form, or *body* is not JSON. Raises `ResponseDecodeError` only
    for too many objects.
    """
    bare = body.startswith(b"[")
    try:
        try:
            found = _decode_array(body) if bare else _decode_collection(body).items
        except msgspec.ValidationError:  # perhaps only an unknown field
            return _decode_with_unknown(body, ref, bare=bare)
        if len(found) > MAX_TINY_OBJECTS:
            check_size(len(found), len(body))
        return _sessions(found, ref), {}
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _decode_with_unknown(
    body: bytes, ref: WorkspaceRef, *, bare: bool
) -> tuple[tuple[SessionSummary, ...], dict[str, object]]:
    found = _decode_open_array(body) if bare else _decode_open_collection(body).items
    check_density(body)
    document = _decode_anything(body)
    items = document if bare else document.pop("items")
    return _sessions(found, ref, items), {} if bare else document


def decode_json(body: bytes) -> Any:  # noqa: ANN401  # as `json.loads`
    """Parse *body*; raises `ValueError` if it is not one JSON document in UTF-8."""
    try:
        body = _encodable(body)
        check_density(body)
        return _decode_anything(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None


def _encodable(body: bytes) -> bytes:
    """*body* with U+FFFD in place of each lone surrogate.

    JSON allows lone surrogates, and Python writes them for file names that are not UTF-8. But msgspec does not read
    them, and they cannot be encoded, so printing or storing such a text would fail.
    """
    try:
        _validate(body)
    except msgspec.DecodeError:
        return re.sub(_ESCAPE, lambda found: rb"\ufffd" if found[1] else found[0], body)
    return body


def _unknown(item: Mapping[str, object], known: frozenset[str]) -> Mapping[str, object]:
    return NO_FIELDS if known.issuperset(item) else {name: item[name] for name in item if name not in known}


def _sessions(
    found: Iterable[_Session], ref: WorkspaceRef, items: Iterable[Mapping[str, Any]] = _NOTHING_UNKNOWN
) -> tuple[SessionSummary, ...]:
    """*items* are the same sessions with all their fields. With a function per object, decoding takes 4 % longer."""
    sessions: list[Any] = []
    key, name = ref
    for wire, item in zip(found, items, strict=False):
        session = _MutableSession()
        session.id = wire.id
        session.name = wire.name
        session.path = wire.path
        session.type = wire.type
        session.cluster_id = wire.cluster_id
        session.agent_flow_key = wire.agent_flow_key
        session.lifecycle_state = wire.lifecycle_state
        kernel: Any = None
        if (wire_kernel := wire.kernel) is not None:
            kernel = _MutableKernel()
            kernel.name = wire_kernel.name
            kernel.id = wire_kernel.id
            kernel.execution_state = wire_kernel.execution_state
            moment: datetime | None = None
            if (text := wire_kernel.last_activity) is not None:
                moment = _from_iso(text)  # the usual form; a call for each costs 4 % of the time
                if moment.tzinfo is not UTC or text[10] != "T":
                    moment = parse_timestamp(text)
            kernel.last_activity = moment
            kernel.connections = wire_kernel.connections
            kernel.extra = item and _unknown(item["kernel"], _KERNEL_FIELDS)
            kernel.__class__ = KernelSummary
        session.kernel = kernel
        session.workspace_key = key
        session.workspace_name = name
        session.extra = item and _unknown(item, _SESSION_FIELDS)
        session.__class__ = SessionSummary
        sessions.append(session)
    return tuple(sessions)


class ErrorBody(msgspec.Struct):
    """The documented body of an error answer (schema ``Error``)."""

    code: str
    message: str


_decode_error: Final = msgspec.json.Decoder(ErrorBody).decode


def decode_error(body: bytes) -> ErrorBody | None:
    """The documented error body, or ``None`` if *body* is anything else, such as a gateway's HTML page."""
    try:
        return _decode_error(_encodable(body))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
