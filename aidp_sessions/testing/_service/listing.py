"""How lists are filtered, sorted and divided into pages. No I/O."""

from __future__ import annotations

import re
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeVar

from .responses import HttpError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

T = TypeVar("T")
Wire = Mapping[str, object]
Query = dict[str, str]

MAX_PAGE: Final = 1000
_LIMIT: Final = re.compile(r"[1-9][0-9]{0,3}")  # int() raises for text of more than 4,300 digits

_TOKEN_PREFIX: Final = b"\xfb\xff\xfe"
"""Makes every token begin with ``+//+``, so that a client that does not escape it fails."""


def filtered_and_sorted(summaries: Iterable[Wire], query: Query, state: str) -> list[Wire]:
    """Apply the filters and the order that workspaces and clusters share; *state* is the parameter for the state."""
    wanted = query.get(state, "").lower()
    found = [
        summary
        for summary in summaries
        if wanted in ("", str(summary.get(state)).lower())
        and query.get("displayNameContains", "") in str(summary.get("displayName"))
        and all(summary.get(name) == query[name] for name in ("displayName", "type") if name in query)
    ]
    field = _one_of(query, "sortBy", ("timeCreated", "displayName"))
    order = _one_of(query, "sortOrder", ("DESC", "ASC") if field == "timeCreated" else ("ASC", "DESC"))
    return sorted(found, key=lambda summary: str(summary.get(field)), reverse=order == "DESC")


def sorted_by_creation(sessions: Sequence[Wire], query: Query) -> Sequence[Wire]:
    """Apply ``sortBy`` and ``sortOrder`` to *sessions*, which are in the order of their creation."""
    if not query.keys() & {"sortBy", "sortOrder"}:
        return sessions
    _one_of(query, "sortBy", ("timeCreated",))
    return sessions[::-1] if _one_of(query, "sortOrder", ("DESC", "ASC")) == "DESC" else sessions


def _one_of(query: Query, name: str, allowed: tuple[str, ...]) -> str:
    """Return the value of *name*; the first of *allowed* is the default."""
    value = query.get(name, allowed[0])
    if value not in allowed:
        raise HttpError(400, f"{name} must be one of {', '.join(sorted(allowed))}.")
    return value


def one_page(items: Sequence[T], query: Query, page_size: int | None) -> tuple[Sequence[T], dict[str, str]]:
    """Return the page that *query* names and, if it is not the last one, ``opc-next-page``."""
    size, start = _limit(query, page_size), _position(query)
    if size is None or start + size >= len(items):
        return items[start:], {}
    return items[start : start + size], {"opc-next-page": _token(start + size, query)}


def _limit(query: Query, page_size: int | None) -> int | None:
    limit = query.get("limit")
    if limit is None:
        return page_size
    if not _LIMIT.fullmatch(limit) or int(limit) > MAX_PAGE:
        raise HttpError(400, f"limit must be from 1 to {MAX_PAGE}.")
    return int(limit)


def _token(position: int, query: Query) -> str:
    """Bind the token to the other parameters, which the service does not allow to change between pages."""
    others = sorted(item for item in query.items() if item[0] != "page")
    binding = zlib.crc32(repr(others).encode())
    return b64encode(_TOKEN_PREFIX + position.to_bytes(4, "big") + binding.to_bytes(4, "big")).decode()


def _position(query: Query) -> int:
    token = query.get("page")
    if token is None:
        return 0
    try:
        position = int.from_bytes(b64decode(token, validate=True)[3:7], "big")
    except ValueError:
        position = -1
    if position < 0 or token != _token(position, query):
        raise HttpError(400, "page is not a token of this listing with these parameters.")
    return position
