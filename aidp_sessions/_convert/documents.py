"""Converts our own attrs classes to JSON documents and back without loss. Errors name the JSON path."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import attrs
from cattrs import (
    BaseConverter,
    BaseValidationError,
    Converter,
    ForbiddenExtraKeysError,
    StructureHandlerNotFoundError,
    transform_error,
)
from cattrs.cols import list_structure_factory
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from .. import errors
from ..errors import AidpError
from ..models import NO_FIELDS
from .strict import strict_hook, timestamp_hook
from .wire_format import format_timestamp, json_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cattrs.dispatch import StructureHook, UnstructureHook

T = TypeVar("T")

_DURATION: Final = re.compile(r"PT([0-9]{1,15})(?:\.([0-9]{6}))?S", re.ASCII)
_ERRORS: Final = {
    name: cls for name, cls in vars(errors).items() if isinstance(cls, type) and issubclass(cls, AidpError)
}


def write(value: object, header: Mapping[str, object]) -> str:
    """*header* and the fields of *value*, an instance of an attrs class, as one JSON object."""
    return json.dumps({**header, **_converter().unstructure(value)}, indent=2)


def read(text: str | bytes, cls: type[T], header: Mapping[str, object], *, ignored: Iterable[str] = ()) -> T:
    """The instance of *cls* that was written with *header*; fields named in *ignored* are not read.

    Raises `ValueError` with the JSON path of the first value that is missing, unknown or wrong.
    """
    try:
        document: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ValueError(f"not a JSON document: {reason}") from None
    if type(document) is not dict:
        raise ValueError(f"expected an object, not {json_name(document)} @ $")
    fields = cast("dict[str, object]", document)
    for name, expected in header.items():
        if name not in fields or fields[name] != expected:
            raise ValueError(f"expected {expected!r} @ $.{name}")
    rest = {name: value for name, value in fields.items() if name not in header and name not in ignored}
    try:
        return _converter().structure(rest, cls)
    except BaseValidationError as error:
        reason = transform_error(error, format_exception=_describe)[0]
    raise ValueError(reason)


def _is_error_class(_: object, __: object, name: str) -> None:
    if name not in _ERRORS:
        raise ValueError(f"unknown error class {name!r}")


@attrs.frozen(kw_only=True)
class _Failure:
    """The values of an `AidpError`; those that not every class has are optional."""

    error: str = attrs.field(validator=_is_error_class)
    message: str
    operation: str | None = None
    workspace_key: str | None = None
    workspace_name: str | None = None
    status: int | None = None
    code: str | None = None
    headers: dict[str, str] = attrs.field(factory=dict[str, str])
    body_excerpt: str = ""
    opc_request_id: str | None = None
    request_ids: tuple[str, ...] = ()
    attempt_seconds: tuple[float, ...] = ()
    retry_after: float | None = None
    delivered: int = 0
    limit: str | None = None
    path: str | None = None
    permanent: bool = False
    unsent: bool = False


_EVIDENCE: Final = attrs.fields_dict(_Failure).keys() - {"error"}


def _to_failure(error: AidpError) -> _Failure:
    """Name the class, or the first of its bases that this package has."""
    cls = next(cls for cls in type(error).__mro__ if _ERRORS.get(cls.__name__) is cls)
    values: dict[str, Any] = {name: getattr(error, name) for name in _EVIDENCE if hasattr(error, name)}
    return _Failure(error=cls.__name__, **values)


def _to_error(failure: _Failure) -> AidpError:
    error = _ERRORS[failure.error](failure.message)
    for name in _EVIDENCE - {"message"}:
        value = getattr(failure, name)
        if value is not None and hasattr(error, name):
            setattr(error, name, value)
    return error


@cache
def _converter() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    for kind, expected in ((str, "a string"), (int, "an integer"), (bool, "a boolean")):
        converter.register_structure_hook(kind, strict_hook(expected, kind))
    converter.register_structure_hook(float, strict_hook("a number", int, float))
    converter.register_structure_hook(datetime, timestamp_hook)
    converter.register_structure_hook(datetime | timedelta, _moment_or_duration)
    converter.register_structure_hook(AidpError, lambda value, _: _to_error(converter.structure(value, _Failure)))
    converter.register_structure_hook_func(lambda cls: cls == Mapping[str, object], strict_hook("an object", dict))
    converter.register_structure_hook_factory(_is_array, _array_hook)
    converter.register_structure_hook_factory(attrs.has, _object_hook)
    converter.register_unstructure_hook_factory(attrs.has, _fields_hook)
    converter.register_unstructure_hook(datetime, format_timestamp)
    converter.register_unstructure_hook(timedelta, _duration_text)
    converter.register_unstructure_hook(AidpError, lambda error: converter.unstructure(_to_failure(error)))
    converter.register_unstructure_hook_func(lambda cls: cls == frozenset[str], sorted)
    return converter


def _moment_or_duration(value: object, _: object) -> datetime | timedelta:
    """A duration in the one form that `_duration_text` writes, or a timestamp."""
    duration = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if duration is None:
        return timestamp_hook(value, _)
    return timedelta(seconds=int(duration[1]), microseconds=int(duration[2] or 0))


def _duration_text(duration: timedelta) -> str:
    seconds = f"{duration.days * 86400 + duration.seconds}"
    return f"PT{seconds}.{duration.microseconds:06}S" if duration.microseconds else f"PT{seconds}S"


def _is_array(cls: object) -> bool:
    return getattr(cls, "__origin__", None) in (tuple, frozenset)


def _array_hook(cls: Any, converter: BaseConverter) -> StructureHook:  # noqa: ANN401  # a generic alias, not a class
    """Strings and objects can be iterated too, but are no arrays."""
    is_array, structure = strict_hook("an array", list), list_structure_factory(cls, converter)
    return lambda value, _: cls.__origin__(structure(is_array(value, _), _))


def _object_hook(cls: type, converter: BaseConverter) -> StructureHook:
    is_object = strict_hook("an object", dict)
    structure = cast("StructureHook", make_dict_structure_fn(cls, converter))
    return lambda value, _: structure(is_object(value, _), _)


def _fields_hook(cls: type[attrs.AttrsInstance], converter: BaseConverter) -> UnstructureHook:
    """Leave out what is missing, but not the defaults of a policy, which another version may change."""
    missing = (None, "", NO_FIELDS)
    overrides: dict[str, Any] = {
        field.name: override(omit_if_default=field.default in missing) for field in attrs.fields(cls)
    }
    return make_dict_unstructure_fn(cls, converter, **overrides)


def _describe(error: BaseException, _: object) -> str:
    if isinstance(error, KeyError):
        return "required field missing"
    if isinstance(error, ForbiddenExtraKeysError):
        return f"unknown fields {', '.join(map(repr, sorted(error.extra_fields)))}"
    if isinstance(error, AttributeError):  # cattrs calls value.items()
        return "expected an object"
    return "must be null" if isinstance(error, StructureHandlerNotFoundError) else str(error)
