"""How the service spells names and times. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_ON_THE_WIRE: Final = frozenset({"extra", "workspace_key"})
_SNAKE_CASE_ON_THE_WIRE: Final = frozenset({"cluster_id", "last_activity", "execution_state"})
_SHOWN: Final = 200
_from_iso: Final = datetime.fromisoformat


def wire_name(field: str) -> str:
    if field in _SNAKE_CASE_ON_THE_WIRE:
        return field
    head, *tail = field.split("_")
    return head + "".join(map(str.capitalize, tail))


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


_JSON_NAMES: Final[Mapping[type, str]] = {
    type(None): "null",
    bool: "a boolean",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def _json_name(value: object) -> str:
    return _JSON_NAMES.get(type(value), "a number")
