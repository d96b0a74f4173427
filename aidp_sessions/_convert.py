"""JSON bytes to models and back: the only importer of `cattrs`, and of the JSON decoder beside `_wire`.

Strict where coercion would lie (``None`` or ``5`` is never a string), open where the service may grow (unknown fields
go to ``extra``). Sessions whose documented fields are as documented are decoded by `_wire`. What that refuses goes
through a converter, and what the converter refuses through one that collects paths, so that a failure names its place
in the document. The usual answer pays for neither: `cattrs` is imported when it is needed, and the JSON decoder when a
client is made.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import attrs

from ._spelling import NOT_ON_THE_WIRE, parse_timestamp, wire_name
from .errors import ResponseDecodeError
from .models import KernelSummary, SessionSummary, WorkspaceSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cattrs import ClassValidationError, Converter

T = TypeVar("T")
Model = KernelSummary | SessionSummary | WorkspaceSummary

_WIRE_CLASSES: Final = (KernelSummary, SessionSummary, WorkspaceSummary)
_EXCERPT = 200
_NOT_TAGS: Final = "expected an object of objects: namespace, key, value"


_WIRE_NAMES: Final[Mapping[type, dict[str, str]]] = {
    cls: {name: wire_name(name) for name in attrs.fields_dict(cls) if name not in NOT_ON_THE_WIRE}
    for cls in _WIRE_CLASSES
}
_JSON_NAMES: Final[Mapping[type, str]] = {
    type(None): "null",
    bool: "a boolean",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def _json_name(value: object) -> str:
    return _JSON_NAMES.get(type(value), "a number")


def _exactly(expected: str, *kinds: type) -> Callable[[object, object], object]:
    def structure(value: object, _: object) -> object:
        if type(value) not in kinds:
            raise TypeError(f"expected {expected}, not {_json_name(value)}")
        return value

    return structure


def _timestamp(value: object, _: object) -> datetime:
    if type(value) is not str:
        raise TypeError(f"expected a string, not {_json_name(value)}")
    return parse_timestamp(value)


def _timestamp_or_none(value: object, _: object) -> datetime | None:
    return None if value is None else _timestamp(value, _)


def _tags(value: object, _: object) -> Mapping[str, Mapping[str, object]] | None:
    if value is None:
        return None
    if type(value) is not dict:
        raise TypeError(_NOT_TAGS)
    namespaces = cast("dict[str, Mapping[str, object]]", value)
    if not all(type(tags) is dict for tags in namespaces.values()):
        raise TypeError(_NOT_TAGS)
    return namespaces


@cache
def _converter(*, detailed: bool) -> Converter:
    from cattrs import Converter  # noqa: PLC0415  # with the converters, an eighth of this package's import time

    converter = Converter(detailed_validation=detailed, omit_if_default=True)
    for kind, expected in ((str, "a string"), (int, "an integer"), (bool, "a boolean")):
        converter.register_structure_hook(kind, _exactly(expected, kind))
        # Left to itself cattrs asks "is it None?" in one call and converts in a second.
        converter.register_structure_hook(kind | None, _exactly(expected, kind, type(None)))
    converter.register_structure_hook(datetime, _timestamp)
    converter.register_structure_hook(datetime | None, _timestamp_or_none)
    converter.register_unstructure_hook(datetime, lambda moment: moment.isoformat().replace("+00:00", "Z"))
    for cls in _WIRE_CLASSES:
        _register(converter, cls)
    return converter


def _register(converter: Converter, cls: type[Model]) -> None:
    from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override  # noqa: PLC0415

    names = _WIRE_NAMES[cls]
    overrides: dict[str, Any] = {
        field: override(rename=names[field]) if field in names else override(omit=True)
        for field in attrs.fields_dict(cls)
    }
    if "system_tags" in names:
        overrides["system_tags"] = override(rename=names["system_tags"], struct_hook=_tags)
    build = make_dict_structure_fn(cls, converter, **overrides)
    flatten = make_dict_unstructure_fn(cls, converter, _cattrs_omit_if_default=True, **overrides)
    known = frozenset(names.values())

    def structure(value: object, _: object) -> Model:
        if type(value) is not dict:
            raise TypeError(f"expected an object, not {_json_name(value)}")
        fields = cast("dict[str, object]", value)
        model = build(fields, cls)
        if not known.issuperset(fields):
            _fill_in(model, "extra", {key: fields[key] for key in fields if key not in known})
        return model

    converter.register_structure_hook(cls, structure)
    converter.register_unstructure_hook(cls, lambda model: {**model.extra, **flatten(model)})


_fill_in = object.__setattr__
"""Completes a frozen model that nobody else has seen yet; rebuilding it would cost as much as decoding it."""


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
    from ._wire import decode_sessions  # noqa: PLC0415  # with the decoder, a sixth of this package's import time

    decoded = decode_sessions(body, workspace_key)
    if decoded is not None:
        return decoded
    items, path, extra = envelope(decode_json(body), bare_array=True)
    return structure_sessions(items, path, workspace_key), extra


def structure_sessions(
    items: Iterable[object], path: str, workspace_key: str, *, first: int = 0
) -> tuple[SessionSummary, ...]:
    """Convert *items* and note in each the workspace it was asked from.

    Error paths begin with *path*; *first* is the place of the first item in the array of the whole answer.
    """
    sessions = _structure_all(items, SessionSummary, path, first)
    for session in sessions:
        _fill_in(session, "workspace_key", workspace_key)
    return sessions


def structure_workspaces(items: Iterable[object], path: str) -> tuple[WorkspaceSummary, ...]:
    return _structure_all(items, WorkspaceSummary, path)


def _structure_all(items: Iterable[object], cls: type[T], path: str, first: int = 0) -> tuple[T, ...]:
    structure = cast("Callable[[object, type[T]], T]", _converter(detailed=False).get_structure_hook(cls))
    done: list[T] = []
    item: object = None
    try:
        for item in items:
            done.append(structure(item, cls))
    except (KeyError, TypeError, ValueError):
        raise _explain(item, cls, f"{path}[{first + len(done)}]") from None
    return tuple(done)


def _explain(value: object, cls: type[object], path: str) -> ResponseDecodeError:
    from cattrs import ClassValidationError  # noqa: PLC0415

    try:
        _converter(detailed=True).structure(value, cls)
    except ClassValidationError as error:
        return _first_leaf(error, path)
    except TypeError as error:
        return ResponseDecodeError(str(error), path)
    raise AssertionError(f"{cls.__name__} was refused once and accepted once")


def _first_leaf(error: ClassValidationError, path: str) -> ResponseDecodeError:
    noted, _ = error.group_exceptions()
    cause, note = noted[0]
    path = f"{path}.{_WIRE_NAMES[error.cl][note.name]}"
    if isinstance(cause, type(error)):
        return _first_leaf(cause, path)
    return ResponseDecodeError("required field missing" if isinstance(cause, KeyError) else str(cause), path)


def to_wire(model: KernelSummary | SessionSummary | WorkspaceSummary) -> dict[str, object]:
    """Turn *model* back into the JSON object of the wire: wire names, unknown fields included, absent values left out.

    ``workspace_key`` is left out too: it never came from the wire. Timestamps end in ``Z``.
    """
    return cast("dict[str, object]", _converter(detailed=False).unstructure(model))
