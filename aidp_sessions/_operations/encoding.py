"""Percent-encoding, and checks of the parts of a request target."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import quote

from .._checks import check_count, check_string

if TYPE_CHECKING:
    from collections.abc import Mapping

SortBy = Literal["timeCreated"]
SortOrder = Literal["ASC", "DESC"]

MAX_PAGE_SIZE: Final = "1000"
_ORDERS: Final = {"sort_by": ("timeCreated",), "sort_order": ("ASC", "DESC")}
_UNRESERVED = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9_.~-]*", re.ASCII)
_REQUEST_ID = r"[A-Za-z0-9_-]+"
FIELD_VALUE = r"[!-~](?:[ -~]*[!-~])?"
_CONTROL = r"[\x00-\x1f\x7f-\x9f]"


def path_segment(value: object, name: str = "workspace_key") -> str:
    """Percent-encode *value* with no safe characters; *name* is what errors call it.

    Raises `ValueError` for what would change the path's meaning: blank, ``.``, ``..`` or control characters.
    """
    if isinstance(value, str) and _UNRESERVED.fullmatch(value):
        return value
    text = check_string(value, name)
    if not text.strip() or text in (".", "..") or re.search(_CONTROL, text):
        raise ValueError(f"{name}={text!r} must not be blank, '.' or '..', nor contain control characters")
    return percent_encode(text, name)


def percent_encode(value: object, name: str) -> str:
    try:
        return quote(check_string(value, name), safe="")
    except UnicodeEncodeError:
        raise ValueError(f"{name}={value!r} contains a lone surrogate, which is not text") from None


def request_id(value: object) -> str:
    """Check a caller's ``opc-request-id``: letters, digits, underscore and dash only ("Get available sessions")."""
    text = check_string(value, "opc_request_id")
    if not re.fullmatch(_REQUEST_ID, text):
        raise ValueError(f"opc_request_id={text!r} may hold only letters, digits, '_' and '-', and must not be empty")
    return text


def field_value(value: object, name: str) -> str:
    """Check the value of a header field: printable ASCII, not blank (RFC 9110, 5.5)."""
    text = check_string(value, name)
    if not re.fullmatch(FIELD_VALUE, text):
        raise ValueError(f"{name}={text!r} must be printable ASCII, and not blank")
    return text


def query_string(parameters: Mapping[str, str | None]) -> str:
    """``name=value`` pairs in the order given, absent ones left out; space is ``%20``, hexadecimal in upper case."""
    return "&".join(f"{name}={percent_encode(value, name)}" for name, value in parameters.items() if value is not None)


def sessions_query(
    filters: Mapping[str, str | None], limit: int | None, sort_by: SortBy | None, sort_order: SortOrder | None
) -> str:
    """The query of a listing of sessions. Raises `ValueError` or `TypeError` for what the service would refuse."""
    if limit is not None:
        check_count(limit, "limit")
        if limit > int(MAX_PAGE_SIZE):
            raise ValueError(f"limit={limit} must be at most {MAX_PAGE_SIZE}")
    for name, value in (("sort_by", sort_by), ("sort_order", sort_order)):
        if value is not None and value not in _ORDERS[name]:
            raise ValueError(f"{name}={value!r} must be {' or '.join(map(repr, _ORDERS[name]))}")
    size = None if limit is None else str(limit)
    return query_string({**filters, "limit": size, "sortOrder": sort_order, "sortBy": sort_by})
