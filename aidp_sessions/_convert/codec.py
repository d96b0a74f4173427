"""JSON bytes to models, and back: first by the fast decoder, then by the strict one what is unusual."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from .. import _convert
from ..errors import ResponseDecodeError
from .wire_format import json_name

if TYPE_CHECKING:
    from ..models import Session, SessionSummary, WorkspaceRef
    from .strict import Model

T = TypeVar("T")

_MAX_EXCERPT = 200


def load_decoders() -> None:
    """Import the fast and the strict decoder, which otherwise happens when they are first used."""
    _ = _convert.fast, _convert.strict


def decode_collection(
    body: bytes, workspace: WorkspaceRef, *, path: str | None = None, first: int = 0
) -> tuple[tuple[SessionSummary, ...], dict[str, object]]:
    """The sessions in *body*, an object with ``items`` or a bare array, and the object's unknown fields.

    For a part of an answer, *path* is the array's path in the answer and *first* the index of the part's first item.
    """
    decoded = _convert.fast.decode_sessions(body, workspace)
    if decoded is not None:
        return decoded
    items, found_path, extra = envelope(decode_json(body), bare_array=True)
    return _convert.strict.structure_sessions(items, path or found_path, workspace, first=first), extra


def decode_usual_sessions(array: bytes, workspace: WorkspaceRef) -> tuple[SessionSummary, ...] | None:
    """The sessions in *array*, or ``None`` if it is not JSON or a session is unusual."""
    decoded = _convert.fast.decode_sessions(array, workspace)
    return decoded and decoded[0]


def decode_items(body: bytes, cls: type[T], *, bare_array: bool = False) -> tuple[T, ...]:
    """The models *cls* in *body*, an object with ``items``; *bare_array* also accepts a plain array."""
    items, path, _ = envelope(decode_json(body), bare_array=bare_array)
    return _convert.strict.structure_items(items, cls, path)


def decode_session(body: bytes, workspace: WorkspaceRef) -> Session:
    """The session in *body*, the answer to an operation on one session."""
    return _convert.strict.structure_session(decode_json(body), workspace)


def decode_json(body: bytes) -> object:
    """Parse *body*; raises `ResponseDecodeError` with an excerpt if it is not one JSON document in UTF-8."""
    try:
        return _convert.fast.decode_json(body)
    except ValueError as error:
        raise ResponseDecodeError(f"the body is not JSON: {error}; it begins {excerpt(body)}") from None


def excerpt(body: bytes) -> str:
    """The beginning of *body* as printable text, for error messages."""
    text = body[:_MAX_EXCERPT].decode("utf-8", "replace")
    return repr(text) + ("…" if len(body) > _MAX_EXCERPT else "")


def envelope(document: object, *, bare_array: bool = False) -> tuple[list[object], str, dict[str, object]]:
    """Split a collection into its items, their JSON path, and its unknown fields.

    *bare_array* also accepts a plain array of items. Any other shape is a `ResponseDecodeError`, never "no items".
    """
    if bare_array and type(document) is list:
        return cast("list[object]", document), "$", {}
    if type(document) is not dict:
        raise ResponseDecodeError(f'expected an object with "items", not {json_name(document)}')
    fields = cast("dict[str, object]", document)
    if "items" not in fields:
        raise ResponseDecodeError("required field missing", "$.items")
    items = fields["items"]
    if type(items) is not list:
        raise ResponseDecodeError(f"expected an array, not {json_name(items)}", "$.items")
    extra = {key: value for key, value in fields.items() if key != "items"}
    return cast("list[object]", items), "$.items", extra


def to_wire(model: Model) -> dict[str, object]:
    """Turn *model* back into the service's JSON object: wire names, unknown fields included, absent values left out.

    What the service does not send there is left out too: ``workspace_key``, ``workspace_name``, ``etag`` and
    ``opc_request_id``. Timestamps end in ``Z``.
    """
    return _convert.strict.unstructure(model)
