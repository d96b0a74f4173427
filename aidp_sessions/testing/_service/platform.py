"""The workspaces and sessions of a local service, and how they are listed: filters, order, pages. No I/O."""

from __future__ import annotations

import re
import zlib
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeVar

import attrs

from ..._convert.codec import to_wire
from ...models import SessionSummary
from .responses import HttpError, StubResponse, json_response

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .jupyter import JupyterServer

T = TypeVar("T")
Wire = dict[str, object]
Query = dict[str, str]

MAX_PAGE: Final = 1000
_LIMIT: Final = re.compile(r"[1-9][0-9]{0,3}")  # int() raises for text of more than 4,300 digits
SESSION_FILTERS: Final = ("path", "cluster_id", "agentFlowKey")

_TOKEN_PREFIX: Final = b"\xfb\xff\xfe"
"""Makes every token begin with ``+//+``, so that a client that does not escape it fails."""


@attrs.define(kw_only=True)
class Workspace:
    """One workspace: its summary as listed, and its sessions or the Jupyter server that holds them."""

    summary: Wire
    sessions: tuple[SessionSummary | Mapping[str, object], ...] = ()
    jupyter: JupyterServer | None = None
    _responses: dict[tuple[bool, str | None], StubResponse] = attrs.field(
        factory=dict[tuple[bool, str | None], StubResponse], init=False
    )

    def replace(self, sessions: Iterable[SessionSummary | Mapping[str, object]]) -> None:
        self.sessions = tuple(sessions)
        self._responses.clear()

    def list_sessions(self, query: Query, page_size: int | None, *, bare: bool) -> StubResponse:
        """List from memory. Unfiltered pages, which pollers request, are encoded once."""
        if query.keys() - {"page"}:
            return sessions_response(self._wire(), query, page_size, bare=bare)
        page = (bare, query.get("page"))
        if page not in self._responses:
            self._responses[page] = sessions_response(self._wire(), query, page_size, bare=bare)
        return self._responses[page]

    def _wire(self) -> list[Mapping[str, object]]:
        return [to_wire(session) if isinstance(session, SessionSummary) else session for session in self.sessions]


def sessions_response(
    items: Sequence[Mapping[str, object]], query: Query, page_size: int | None, *, bare: bool
) -> StubResponse:
    """Filter, take one page and encode it; *bare* is the plain array of the older API version."""
    wanted = {name: query[name] for name in SESSION_FILTERS if name in query}
    found = [item for item in items if all(item.get(name) == value for name, value in wanted.items())]
    page, headers = _page(found, query, page_size)
    answer = json_response(page if bare else {"items": page}, headers)
    return attrs.evolve(answer, headers={**answer.headers, "etag": f'"{sha256(answer.body).hexdigest()[:32]}"'})


class Platform:
    """All workspaces by key, and their listing."""

    def __init__(self) -> None:
        self.workspaces: dict[str, Workspace] = {}
        self._found: dict[frozenset[tuple[str, str]], list[Wire]] = {}

    def add(self, key: str, workspace: Workspace) -> None:
        if key in self.workspaces:
            raise ValueError(f"workspace {key!r} was added before; use set_sessions to change what it holds")
        self.workspaces[key] = workspace
        self._found.clear()

    def list_workspaces(self, query: Query, page_size: int) -> StubResponse:
        """List workspaces as the operation "List workspaces" documents it."""
        page, headers = _page(self._matching(query), query, page_size)
        return json_response({"items": page}, headers)

    def _matching(self, query: Query) -> list[Wire]:
        """Filter and sort once for all pages of a listing."""
        filters = frozenset(item for item in query.items() if item[0] not in {"page", "limit"})
        if filters not in self._found:
            summaries = (workspace.summary for workspace in self.workspaces.values())
            self._found[filters] = _sorted([each for each in summaries if _matches(each, query)], query)
        return self._found[filters]


def _matches(summary: Wire, query: Query) -> bool:
    state = query.get("lifecycleState", "").lower()
    private = query.get("isPrivateNetworkEnabled", "false").lower() == "true"
    return (
        summary["isPrivateNetworkEnabled"] is private
        and state in ("", str(summary["lifecycleState"]).lower())
        and query.get("displayNameContains", "") in str(summary["displayName"])
        and all(summary[name] == query[name] for name in ("displayName", "type") if name in query)
    )


def _sorted(summaries: list[Wire], query: Query) -> list[Wire]:
    field = _one_of(query, "sortBy", ("timeCreated", "displayName"))
    order = _one_of(query, "sortOrder", ("DESC", "ASC") if field == "timeCreated" else ("ASC", "DESC"))
    return sorted(summaries, key=lambda summary: str(summary[field]), reverse=order == "DESC")


def _one_of(query: Query, name: str, allowed: tuple[str, str]) -> str:
    """Return the value of *name*; the first of *allowed* is the default."""
    value = query.get(name, allowed[0])
    if value not in allowed:
        raise HttpError(400, f"{name} must be one of {', '.join(sorted(allowed))}.")
    return value


def _page(items: Sequence[T], query: Query, page_size: int | None) -> tuple[Sequence[T], dict[str, str]]:
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
