"""The service's operations without any I/O: what to ask for, and what an answer means.

Sources: "Get available sessions" and "List workspaces" of the AI Data Platform REST reference; the pages "REST APIs"
(paging, request ids) and "API Errors" of the OCI documentation.
"""

from __future__ import annotations

import math
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar
from urllib.parse import quote

import attrs

from ._convert import decode_collection, decode_json, envelope, excerpt, structure_workspaces
from ._redact import redact, shortened
from .errors import SERVICE_ERRORS, AidpError, ResponseDecodeError, ServiceError, TransportError
from .responses import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .models import SessionSummary, WorkspaceSummary

T = TypeVar("T")

MAX_CLOCK_SKEW: Final = 300.0
"""Seconds by which the date of a signature may differ from the service's clock ("Request Signatures")."""

THRESHOLD: Final = 1024 * 1024
"""Bytes up to which an answer is decoded in one go: a few milliseconds of work, a few megabytes of objects."""

_LONGEST_EXCERPT: Final = 1024
_PLAIN = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9_.~-]*", re.ASCII)
_REQUEST_ID = r"[A-Za-z0-9_-]+"
_API_VERSION = r"[0-9]{8}"
_AUTHORITY = r"(?ai)(?:[a-z][a-z0-9+.-]*:)?//([^/?#]*)"
_CONTROL = r"[\x00-\x1f\x7f-\x9f]"
_PRIVATE_HEADERS = frozenset({"set-cookie", "cookie", "authorization", "proxy-authorization", "opc-obo-token"})
_LARGEST_PAGE = "1000"
_NO_HEADERS: Final[Mapping[str, str]] = {}
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_REFUSED_BEFOREHAND = frozenset({409, 429})
_RESOURCE_BEFORE_20260430 = "dataLakes"


@attrs.define(eq=False, repr=False)
class Request:
    """One request, before it is signed.

    Attributes:
        target: path and query, percent-encoded, exactly as they are signed and sent.
        headers: beside those that every request carries; names in lower case.
        sink: takes the body of a large answer piece by piece.
        any_success: every 2xx is an answer, not only 200.
    """

    target: str
    headers: Mapping[str, str] = attrs.field(default=_NO_HEADERS)
    sink: Sink | None = None
    method: str = attrs.field(default="GET", kw_only=True)
    body: bytes = attrs.field(default=b"", kw_only=True, repr=False)
    any_success: bool = attrs.field(default=False, kw_only=True)

    def may_be_repeated(self, error: AidpError) -> bool:
        """Whether sending this again after *error* does no more than sending it once.

        So it is for methods that are idempotent (RFC 9110, 9.2.2), with an ``opc-retry-token``, and where the service
        said before it did anything that it would not, or was not even reached. Not once a part of an answer was used.
        """
        if self.sink is not None and self.sink.irrevocable:
            return False
        if self.method in _IDEMPOTENT or "opc-retry-token" in self.headers:
            return True
        return error.unsent if isinstance(error, TransportError) else error.status in _REFUSED_BEFOREHAND


class Sink(Protocol):
    """Where the body of a large answer goes.

    Attributes:
        irrevocable: what was taken has had effects, so the request cannot be sent again.
    """

    irrevocable: bool

    def begin(self) -> None:
        """An attempt begins: forget what an earlier one had brought."""

    async def take(self, chunk: bytes) -> None:
        """Use a piece; raises `ResponseDecodeError` if it cannot be right."""


@attrs.define(eq=False, repr=False)
class Answer:
    """A complete answer; *headers* must look names up regardless of case.

    Attributes:
        body: decompressed; empty if a sink took it.
        size: bytes of the body, wherever they went.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = attrs.field(repr=False)
    size: int = attrs.field(default=attrs.Factory(lambda self: len(self.body), takes_self=True))


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


def path_segment(value: object, name: str) -> str:
    """Percent-encode *value* with no safe characters; *name* is what errors call it.

    Raises `ValueError` for what would change the path's meaning: blank, ``.``, ``..`` or control characters.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}")
    if _PLAIN.fullmatch(value):
        return value
    if not value.strip() or value in (".", "..") or re.search(_CONTROL, value):
        raise ValueError(f"{name}={value!r} must not be blank, '.' or '..', nor contain control characters")
    return quoted(value, name)


def quoted(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}")
    try:
        return quote(value, safe="")
    except UnicodeEncodeError:
        raise ValueError(f"{name}={value!r} contains a lone surrogate, which is not text") from None


def request_id(value: object) -> str:
    """Check a caller's ``opc-request-id``: letters, digits, underscore and dash only ("Get available sessions")."""
    if not isinstance(value, str):
        raise TypeError(f"opc_request_id must be a string, not {type(value).__name__}")
    if not re.fullmatch(_REQUEST_ID, value):
        raise ValueError(f"opc_request_id={value!r} may hold only letters, digits, '_' and '-', and must not be empty")
    return value


def workspaces_path(base_path: str, api_version: str, platform_id: str) -> str:
    """The path under which a platform's workspaces live; version 20240831 still calls the platform a data lake."""
    if not re.fullmatch(_API_VERSION, api_version):
        raise ValueError(f"api_version={api_version!r} must be eight digits, such as '20260430'")
    resource = _RESOURCE_BEFORE_20260430 if api_version < "20260430" else "aiDataPlatforms"
    versioned = base_path if base_path.endswith(f"/{api_version}") else f"{base_path}/{api_version}"
    return f"{versioned}/{resource}/{quote(platform_id, safe='')}/workspaces"


def query_string(parameters: Mapping[str, str | None]) -> str:
    """``name=value`` pairs in the order given, absent ones left out; space is ``%20``, hexadecimal in upper case."""
    return "&".join(f"{name}={quoted(value, name)}" for name, value in parameters.items() if value is not None)


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


def failure(
    answer: Answer, *, now: float, limit: float = math.inf, conditional: bool = False, any_success: bool = False
) -> AidpError | None:
    """The error that *answer* stands for, or ``None`` for a 200 of at most *limit* bytes.

    A *conditional* request also takes a 304 for an answer, and with *any_success* every 2xx is one. *now* is our
    clock, in seconds since the epoch.
    """
    error: AidpError
    if answer.size > limit:
        error = ResponseDecodeError(f"the body is larger than max_response_bytes={limit}")
    elif answer.status == 200 or (conditional and answer.status == 304) or (any_success and answer.status // 100 == 2):
        return None
    elif answer.status >= 300:
        error = _service_error(answer, now)
    else:
        error = ResponseDecodeError(f"an answer with this status was not expected; its body: {excerpt(answer.body)}")
    attach_answer(error, answer)
    error.retry_after = retry_after(answer.headers, now)
    return error


def raw_response(answer: Answer) -> Response:
    return Response(status=answer.status, headers=_shown_headers(answer), body=answer.body)


def _shown_headers(answer: Answer) -> dict[str, str]:
    shown: dict[str, str] = {}
    for header, value in answer.headers.items():
        name = header.lower()
        if name not in _PRIVATE_HEADERS:
            shown[name] = f"{shown[name]}, {redact(value)}" if name in shown else redact(value)
    return shown


def decoded(answer: Answer, decode: Callable[[Answer], T]) -> T:
    """Decode *answer*; a `ResponseDecodeError` keeps it as the evidence."""
    try:
        return decode(answer)
    except ResponseDecodeError as error:
        attach_answer(error, answer)
        raise


def attach_answer(error: AidpError, answer: Answer) -> None:
    """Keep the evidence of *answer* in *error*, without the credentials that an answer may echo."""
    error.status = answer.status
    error.headers = _shown_headers(answer)
    error.body_excerpt = redact(answer.body[:_LONGEST_EXCERPT].decode("utf-8", "replace"))
    error.code = None if error.code is None else redact(error.code)
    error.args = (redact(error.message), *error.args[1:])
    error.__context__ = None  # what a decoder said, as it said it


def _service_error(answer: Answer, now: float) -> ServiceError:
    from ._wire import decode_error  # noqa: PLC0415  # as in `decode_collection`

    details = decode_error(answer.body)
    if 300 <= answer.status < 400 and answer.status != 304:
        location = answer.headers.get("location", "")
        authority = re.match(_AUTHORITY, location)
        host = authority[1].rpartition("@")[2] if authority else "the same host" if location else "no place it names"
        text = f"redirects are not followed, for a signature holds for one host only; this one leads to {host}"
    elif details is not None:
        text = shortened(details.message)
    elif answer.body:
        text = f"the body is not the documented error; it begins {excerpt(answer.body)}"
    else:
        text = "the body is empty"
    skew = clock_skew(answer.headers, now)
    if answer.status == 401 and skew is not None and abs(skew) > MAX_CLOCK_SKEW:
        text += f"; this machine's clock is {abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} the service's"
    error = SERVICE_ERRORS.get(answer.status, ServiceError)(text)
    error.code = shortened(details.code) if details else None
    return error


def clock_skew(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds by which the service's clock, read from its ``Date``, is ahead of *now*."""
    date = http_date(headers.get("date"))
    return None if date is None else date - now


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait, never negative, from either form of ``Retry-After``; a date counts from the answer's own."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.replace(".", "", 1).isdigit():
        return float(value)
    date = http_date(value)
    if date is None:
        return None
    sent = http_date(headers.get("date"))
    return max(0.0, date - (now if sent is None else sent))


def http_date(value: str | None) -> float | None:
    """Seconds since the epoch, or ``None`` for what is no date."""
    try:
        date = parsedate_to_datetime(value) if value else None
    except (ValueError, OverflowError):
        return None
    if date is None:
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def next_token(page: str | None, seen: set[str]) -> str | None:
    """Pass *page* on, once: a token that comes again would lead in circles, so it is a `ResponseDecodeError`."""
    if page is None:
        return None
    if page in seen:
        raise ResponseDecodeError("the service repeated a token, so its pages would never end", "opc-next-page")
    seen.add(page)
    return page


def annotate(
    error: AidpError,
    operation: str,
    workspace_key: str | None,
    request_ids: Iterable[str],
    attempt_seconds: Iterable[float] = (),
) -> None:
    """Note in *error* which call it ended, how often that call was tried, and how long that took."""
    error.operation = operation
    error.workspace_key = workspace_key
    error.request_ids = tuple(request_ids)
    error.attempt_seconds = tuple(attempt_seconds)
    error.opc_request_id = error.headers.get("opc-request-id") or (error.request_ids or (None,))[-1]
