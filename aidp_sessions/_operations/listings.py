"""The two listings: what is requested, and how their pages are read.

Sources: "Get available sessions" and "List workspaces" of the AI Data Platform REST reference; "REST APIs" (paging) of
the OCI documentation.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar
from urllib.parse import quote

from .._convert import codec
from ..errors import ResponseDecodeError
from .encoding import MAX_PAGE_SIZE, path_segment, query_string

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .messages import RawResponse

T = TypeVar("T")

_API_VERSION = r"[0-9]{8}"
MAX_PAGES: Final = 10_000
"""Pages of one listing; a thousand workspaces or sessions each are more than any platform holds."""

_RESOURCE_BEFORE_20260430 = "dataLakes"


class Page(NamedTuple, Generic[T]):
    items: tuple[T, ...]
    next_page: str | None


def workspaces_path(base_path: str, api_version: str, platform_id: str) -> str:
    """The path under which a platform's workspaces live; version 20240831 still calls the platform a data lake."""
    if not re.fullmatch(_API_VERSION, api_version):
        raise ValueError(f"api_version={api_version!r} must be eight digits, such as '20260430'")
    resource = _RESOURCE_BEFORE_20260430 if api_version < "20260430" else "aiDataPlatforms"
    versioned = base_path if base_path.endswith(f"/{api_version}") else f"{base_path}/{api_version}"
    return f"{versioned}/{resource}/{quote(platform_id, safe='')}/workspaces"


def workspaces_queries(filters: Mapping[str, str | None], *, private: bool | None = None) -> list[str]:
    """The queries that together list the workspaces that match *filters*.

    Without ``isPrivateNetworkEnabled`` the service lists public workspaces only, so ``private=None`` takes two queries.
    """
    return [
        query_string({"limit": MAX_PAGE_SIZE, **filters, "isPrivateNetworkEnabled": "true" if each else "false"})
        for each in ((False, True) if private is None else (private,))
    ]


def with_page(target: str, page: str | None) -> str:
    """*target* for the page that an ``opc-next-page`` header named, other parameters unchanged."""
    if page is None:
        return target
    return f"{target}{'&' if '?' in target else '?'}page={quote(page, safe='', errors='surrogateescape')}"


def sessions_target(workspaces: str, workspace_key: str, query: str) -> str:
    path = f"{workspaces}/{path_segment(workspace_key)}/notebook/api/sessions"
    return f"{path}?{query}" if query else path


def or_not_modified(decode: Callable[[RawResponse], T]) -> Callable[[RawResponse], T | None]:
    """*decode* for a conditional request: ``None`` for a 304, which has no body."""
    return lambda response: None if response.status == 304 else decode(response)


def page_decoder(cls: type[T], *, bare_array: bool = False) -> Callable[[RawResponse], Page[T]]:
    """Decodes pages of *cls*; *bare_array* also accepts a plain array, as version 20240831 sends."""

    def decode(response: RawResponse) -> Page[T]:
        items = codec.decode_items(response.body, cls, bare_array=bare_array)
        return Page(items, response.headers.get("opc-next-page") or None)

    return decode


def next_page_token(token: str | None, seen: set[str]) -> str | None:
    """Return *token*; raises `ResponseDecodeError` for one that was *seen* before, and after `MAX_PAGES` pages."""
    _check_token(token, seen)
    if token is not None:
        seen.add(token)
    return token


def _check_token(token: str | None, seen: set[str]) -> None:
    if token in seen:
        raise ResponseDecodeError("the service repeated a token, so its pages would never end", "opc-next-page")
    if token is not None and len(seen) >= MAX_PAGES:
        raise ResponseDecodeError(f"there are more than {MAX_PAGES:,} pages", "opc-next-page")


class Pages:
    """Where the pages of *targets* are, one target after the other.

    Attributes:
        target: of the next page; ``None`` after the last.
    """

    def __init__(self, targets: Iterable[str]) -> None:
        self._targets = iter(targets)
        self._seen: set[str] = set()
        self._first = self.target = next(self._targets, None)

    def check(self, token: str | None) -> None:
        """Raise for the *token* of the next page as `next_page_token` does."""
        _check_token(token, self._seen)

    def go_on(self, token: str | None) -> None:
        """Go on to the page that *token* names, or to the next target."""
        if token is None or self._first is None:
            self._seen.clear()
            self._first = self.target = next(self._targets, None)
        else:
            self._seen.add(token)
            self.target = with_page(self._first, token)
