"""The names, times and types of the service's JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_ON_THE_WIRE: Final = frozenset({"extra", "workspace_key", "workspace_name", "etag", "opc_request_id"})
_SNAKE_CASE_ON_THE_WIRE: Final = frozenset({"cluster_id", "last_activity", "execution_state"})
_MAX_SHOWN: Final = 200


def wire_name(field: str) -> str:
    if field in _SNAKE_CASE_ON_THE_WIRE:
        return field
    head, *tail = field.split("_")
    return head + "".join(map(str.capitalize, tail))


def format_timestamp(moment: datetime, timespec: str = "auto") -> str:
    """Write an aware datetime as ISO 8601, with ``Z`` for UTC."""
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


def parse_timestamp(text: str) -> datetime:
    """Read an ISO 8601 date and time as aware UTC; without an offset it is taken as UTC.

    Takes ``t`` and ``z`` in either case, a space in place of ``t``, and any number of fraction digits, and cuts off
    those beyond microseconds. Raises `ValueError` for other text, such as the dates and weeks that
    `datetime.fromisoformat` accepts.
    """
    moment: datetime | None
    try:
        moment = datetime.fromisoformat(text.upper())
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or text[10:11] not in ("T", "t", " "):
        raise ValueError(f"expected an ISO 8601 timestamp, not {text[:_MAX_SHOWN]!r}")
    return moment


_JSON_NAMES: Final[Mapping[type, str]] = {
    type(None): "null",
    bool: "a boolean",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def json_name(value: object) -> str:
    return _JSON_NAMES.get(type(value), "a number")
