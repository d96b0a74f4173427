"""JSON bytes to sessions and workspaces, and back: the fast way first, the strict one for everything unusual."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ..errors import ResponseDecodeError
from .strict import _converter, structure_sessions
from .wire_format import _json_name

if TYPE_CHECKING:
    from ..models import KernelSummary, SessionSummary, WorkspaceSummary

_EXCERPT = 200


def decode_json(body: bytes) -> object:
    """Parse *body*; raises `ResponseDecodeError` with an excerpt if it is not one JSON document in UTF-8."""
    import msgspec  # noqa: PLC0415  # as in `decode_collection`

    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ResponseDecodeError(f"the body is not JSON: {reason}; it begins {excerpt(body)}") from None


def excerpt(body: bytes) -> str:
    """The beginning of *body* as printable text, for error messages."""
    text = body[:_EXCERPT].decode("utf-8", "replace")
    return repr(text) + ("…" if len(body) > _EXCERPT else "")


def envelope(document: object, *, bare_array: bool = False) -> tuple[list[object], str, dict[str, object]]:
    """Split a collection into its items, their JSON path, and its unknown fields.

    *bare_array* also admits a plain array of items. Any other shape is a `ResponseDecodeError`, never "no items".
    """
    if bare_array and type(document) is list:
        return cast("list[object]", document), "$", {}
    if type(document) is not dict:
        raise ResponseDecodeError(f'expected an object with "items", not {_json_name(document)}')
    fields = cast("dict[str, object]", document)
    if "items" not in fields:
        raise ResponseDecodeError("required field missing", "$.items")
    items = fields["items"]
    if type(items) is not list:
        raise ResponseDecodeError(f"expected an array, not {_json_name(items)}", "$.items")
    extra = {key: value for key, value in fields.items() if key != "items"}
    return cast("list[object]", items), "$.items", extra


def decode_collection(body: bytes, workspace_key: str) -> tuple[tuple[SessionSummary, ...], dict[str, object]]:
    """The sessions in *body*, an object with ``items`` or a bare array, and the object's unknown fields."""
    from .fast import decode_sessions  # noqa: PLC0415  # with the decoder, a sixth of this package's import time

    decoded = decode_sessions(body, workspace_key)
    if decoded is not None:
        return decoded
    items, path, extra = envelope(decode_json(body), bare_array=True)
    return structure_sessions(items, path, workspace_key), extra


def to_wire(model: KernelSummary | SessionSummary | WorkspaceSummary) -> dict[str, object]:
    """Turn *model* back into the JSON object of the wire: wire names, unknown fields included, absent values left out.

    ``workspace_key`` is left out too: it never came from the wire. Timestamps end in ``Z``.
    """
    return cast("dict[str, object]", _converter(detailed=False).unstructure(model))
