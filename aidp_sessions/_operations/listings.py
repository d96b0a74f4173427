"""The two listings: their targets, their pages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import quote

from .._convert.codec import decode_collection, decode_json, envelope
from .._convert.strict import structure_workspaces
from ..errors import ResponseDecodeError
from .encoding import path_segment, query_string

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..models import SessionSummary, WorkspaceSummary
    from .messages import Answer

T = TypeVar("T")

_API_VERSION = r"[0-9]{8}"
_LARGEST_PAGE = "1000"
_RESOURCE_BEFORE_20260430 = "dataLakes"


class SessionPage(NamedTuple):
    sessions: tuple[SessionSummary, ...]
    next_page: str | None
    etag: str | None
    opc_request_id: str | None
    extra: Mapping[str, object]
    size: int


class WorkspacePage(NamedTuple):
    workspaces: tuple[WorkspaceSummary, ...]
    next_page: str | None


def workspaces_path(base_path: str, api_version: str, platform_id: str) -> str:
    """The path under which a platform's workspaces live; version 20240831 still calls the platform a data lake."""
    if not re.fullmatch(_API_VERSION, api_version):
        raise ValueError(f"api_version={api_version!r} must be eight digits, such as '20260430'")
    resource = _RESOURCE_BEFORE_20260430 if api_version < "20260430" else "aiDataPlatforms"
    versioned = base_path if base_path.endswith(f"/{api_version}") else f"{base_path}/{api_version}"
    return f"{versioned}/{resource}/{quote(platform_id, safe='')}/workspaces"


def workspaces_queries(filters: Mapping[str, str | None], *, private: bool | None = None) -> list[str]:
    """The queries that together list the workspaces that *filters* leave.

    The service takes silence about private networks for "without"; ``private=None`` means both, hence two queries.
    """
    return [
        query_string({"limit": _LARGEST_PAGE, **filters, "isPrivateNetworkEnabled": "true" if each else "false"})
        for each in ((False, True) if private is None else (private,))
    ]


def with_page(target: str, page: str | None) -> str:
    """*target* for the page that an ``opc-next-page`` header named, other parameters unchanged."""
    if page is None:
        return target
    return f"{target}{'&' if '?' in target else '?'}page={quote(page, safe='', errors='surrogateescape')}"


def sessions_target(workspaces: str, workspace_key: str, query: str) -> str:
    path = f"{workspaces}/{path_segment(workspace_key, 'workspace_key')}/notebook/api/sessions"
    return f"{path}?{query}" if query else path


def decode_sessions(answer: Answer, workspace_key: str) -> SessionPage:
    """A page of sessions; the array may be bare, as version 20240831 sends it."""
    return session_page(answer, *decode_collection(answer.body, workspace_key))


def session_page(answer: Answer, sessions: tuple[SessionSummary, ...], extra: Mapping[str, object]) -> SessionPage:
    get = answer.headers.get
    return SessionPage(sessions, get("opc-next-page") or None, get("etag"), get("opc-request-id"), extra, answer.size)


def unless_unchanged(decode: Callable[[Answer], T]) -> Callable[[Answer], T | None]:
    """*decode* for a conditional request: ``None`` for a 304, which has no body."""
    return lambda answer: None if answer.status == 304 else decode(answer)


def decode_workspaces(answer: Answer) -> WorkspacePage:
    items, path, _ = envelope(decode_json(answer.body))
    return WorkspacePage(structure_workspaces(items, path), answer.headers.get("opc-next-page") or None)


def next_token(page: str | None, seen: set[str]) -> str | None:
    """Pass *page* on, once: a token that comes again would lead in circles, so it is a `ResponseDecodeError`."""
    if page is None:
        return None
    if page in seen:
        raise ResponseDecodeError("the service repeated a token, so its pages would never end", "opc-next-page")
    seen.add(page)
    return page
