"""Converts parsed JSON to models and back with cattrs.

Strict where coercion would hide an error (``None`` or ``5`` is never a string), open where the service may grow
(unknown fields go to ``extra``). What the converter refuses goes through a second converter that collects paths, so
that the error names the value's place in the document.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import attrs
from cattrs import BaseConverter, ClassValidationError, Converter, IterableValidationError
from cattrs.cols import list_structure_factory
from cattrs.errors import IterableValidationNote
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from ..errors import ResponseDecodeError
from ..models import AttachedSession, ClusterSummary, KernelSummary, Session, SessionSummary, WorkspaceSummary
from .wire_format import NOT_ON_THE_WIRE, format_timestamp, json_name, parse_timestamp, wire_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cattrs.dispatch import StructureHook

    from ..models import WorkspaceRef

T = TypeVar("T")
ValidationError = ClassValidationError | IterableValidationError
Model = KernelSummary | SessionSummary | WorkspaceSummary | AttachedSession | ClusterSummary

_WIRE_CLASSES: Final = (KernelSummary, SessionSummary, Session, WorkspaceSummary, AttachedSession, ClusterSummary)
_NOT_TAGS: Final = "expected an object of objects: namespace, key, value"
_WIRE_NAMES: Final[Mapping[type, dict[str, str]]] = {
    cls: {name: wire_name(name) for name in attrs.fields_dict(cls) if name not in NOT_ON_THE_WIRE}
    for cls in _WIRE_CLASSES
}


def strict_hook(expected: str, *kinds: type) -> Callable[[object, object], object]:
    def structure(value: object, _: object) -> object:
        if type(value) not in kinds:
            raise TypeError(f"expected {expected}, not {json_name(value)}")
        return value

    return structure


def timestamp_hook(value: object, _: object) -> datetime:
    if type(value) is not str:
        raise TypeError(f"expected a string, not {json_name(value)}")
    return parse_timestamp(value)


def _timestamp_or_none(value: object, _: object) -> datetime | None:
    return None if value is None else timestamp_hook(value, _)


def _tags(value: object, _: object) -> Mapping[str, Mapping[str, object]] | None:
    if value is None:
        return None
    if type(value) is not dict:
        raise TypeError(_NOT_TAGS)
    namespaces = cast("dict[str, Mapping[str, object]]", value)
    if not all(type(tags) is dict for tags in namespaces.values()):
        raise TypeError(_NOT_TAGS)
    return namespaces


_HOOKS: Final[Mapping[str, StructureHook]] = {
    "system_tags": _tags,
    "active_cluster_resources": strict_hook("an object", dict, type(None)),
}
"""The fields whose annotations do not say enough."""


def _is_array(cls: object) -> bool:
    return getattr(cls, "__origin__", None) is tuple


def _array_hook(cls: Any, converter: BaseConverter) -> StructureHook:  # noqa: ANN401  # a generic alias, not a class
    """Strings and objects can be iterated too, but are no arrays; null is an empty one."""
    array_or_none, structure = strict_hook("an array", list, type(None)), list_structure_factory(cls, converter)
    return lambda value, _: tuple(structure(array_or_none(value, _) or [], _))


@cache
def _converter(*, detailed: bool) -> Converter:
    converter = Converter(detailed_validation=detailed, omit_if_default=True)
    for kind, expected in ((str, "a string"), (int, "an integer"), (bool, "a boolean")):
        converter.register_structure_hook(kind, strict_hook(expected, kind))
        # Without this, cattrs checks for None in one call and converts in a second.
        converter.register_structure_hook(kind | None, strict_hook(expected, kind, type(None)))
    converter.register_structure_hook(datetime, timestamp_hook)
    converter.register_structure_hook(datetime | None, _timestamp_or_none)
    converter.register_unstructure_hook(datetime, format_timestamp)
    converter.register_structure_hook_factory(_is_array, _array_hook)
    for cls in _WIRE_CLASSES:
        _register(converter, cls)
    return converter


def _register(converter: Converter, cls: type[Model]) -> None:
    names = _WIRE_NAMES[cls]
    overrides: dict[str, Any] = {
        field: override(rename=names[field]) if field in names else override(omit=True)
        for field in attrs.fields_dict(cls)
    }
    for field in _HOOKS.keys() & names.keys():
        overrides[field] = override(rename=names[field], struct_hook=_HOOKS[field])
    build = make_dict_structure_fn(cls, converter, **overrides)
    flatten = make_dict_unstructure_fn(cls, converter, _cattrs_omit_if_default=True, **overrides)
    known = frozenset(names.values())

    def structure(value: object, _: object) -> Model:
        if type(value) is not dict:
            raise TypeError(f"expected an object, not {json_name(value)}")
        fields = cast("dict[str, object]", value)
        if cls is ClusterSummary and "state" not in fields and "lifecycleState" in fields:
            # The name in version 20240831.
            fields = {"state" if name == "lifecycleState" else name: fields[name] for name in fields}
        model = build(fields, cls)
        if not known.issuperset(fields):
            _set_on_frozen(model, "extra", {key: fields[key] for key in fields if key not in known})
        return model

    converter.register_structure_hook(cls, structure)
    converter.register_unstructure_hook(cls, lambda model: {**model.extra, **flatten(model)})


_set_on_frozen = object.__setattr__
"""Sets a field of a frozen model before it is published; rebuilding it would double the decoding cost."""


def structure_sessions(
    items: Iterable[object], path: str, workspace: WorkspaceRef, *, first: int = 0
) -> tuple[SessionSummary, ...]:
    """Convert *items*, the sessions of *workspace*.

    Error paths begin with *path*; *first* is the index of the first item in the array of the whole answer.
    """
    sessions = structure_items(items, SessionSummary, path, first)
    for session in sessions:
        _set_workspace(session, workspace)
    return sessions


def structure_session(document: object, workspace: WorkspaceRef) -> Session:
    """Convert *document*, the answer to an operation on one session of *workspace*."""
    try:
        session = _converter(detailed=False).structure(document, Session)
    except (KeyError, TypeError, ValueError):
        raise _explain(document, Session, "$") from None
    _set_workspace(session, workspace)
    return session


def _set_workspace(session: SessionSummary, workspace: WorkspaceRef) -> None:
    _set_on_frozen(session, "workspace_key", workspace.key)
    _set_on_frozen(session, "workspace_name", workspace.name)


def structure_items(items: Iterable[object], cls: type[T], path: str, first: int = 0) -> tuple[T, ...]:
    structure = cast("Callable[[object, type[T]], T]", _converter(detailed=False).get_structure_hook(cls))
    done: list[T] = []
    item: object = None
    try:
        for item in items:
            done.append(structure(item, cls))
    except (KeyError, TypeError, ValueError):
        raise _explain(item, cls, f"{path}[{first + len(done)}]") from None
    return tuple(done)


def unstructure(model: Model) -> dict[str, object]:
    return cast("dict[str, object]", _converter(detailed=False).unstructure(model))


def _explain(value: object, cls: type[object], path: str) -> ResponseDecodeError:
    try:
        _converter(detailed=True).structure(value, cls)
    except (ClassValidationError, IterableValidationError) as error:
        return _first_error(error, path)
    except TypeError as error:
        return ResponseDecodeError(str(error), path)
    raise AssertionError(f"{cls.__name__} was refused once and accepted once")


def _first_error(error: ValidationError, path: str) -> ResponseDecodeError:
    noted, _ = error.group_exceptions()
    cause, note = noted[0]
    path += f"[{note.index}]" if isinstance(note, IterableValidationNote) else f".{_WIRE_NAMES[error.cl][note.name]}"
    if isinstance(cause, ValidationError):
        return _first_error(cause, path)
    return ResponseDecodeError("required field missing" if isinstance(cause, KeyError) else str(cause), path)
