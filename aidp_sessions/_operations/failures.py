"""Errors for responses that are no success, and the evidence that each error keeps.

Source: "API Errors" of the OCI documentation.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final, TypeVar

from .. import _convert
from .._convert.codec import excerpt
from ..errors import SERVICE_ERRORS, AidpError, ResponseDecodeError, ServiceError
from ..results import Response
from .messages import MAX_CLOCK_SKEW, RawResponse, clock_skew, retry_after
from .redaction import one_line, public_headers, redact, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..models import WorkspaceRef

T = TypeVar("T")

_MAX_EXCERPT: Final = 1024
_AUTHORITY: Final = r"(?ai)(?:[a-z][a-z0-9+.-]*:)?//([^/?#]*)"


def error_for(
    response: RawResponse, *, now: float, limit: float = math.inf, conditional: bool = False, accept_2xx: bool = False
) -> AidpError | None:
    """The error for *response*, or ``None`` for a 200 of at most *limit* bytes.

    304 is a success too for a *conditional* request, and every 2xx with *accept_2xx*. *now* is this machine's clock,
    in seconds since the epoch.
    """
    status = response.status
    error: AidpError
    if response.size > limit:
        error = ResponseDecodeError(f"the body is larger than max_response_bytes={limit}")
    elif status == 200 or (conditional and status == 304) or (accept_2xx and status // 100 == 2):
        return None
    elif status >= 300:
        error = _service_error(response, now)
    else:
        error = ResponseDecodeError(f"an answer with this status was not expected; its body: {excerpt(response.body)}")
    attach_response(error, response)
    error.retry_after = retry_after(response.headers, now)
    return error


def raw_response(response: RawResponse) -> Response:
    return Response(status=response.status, headers=public_headers(response), body=response.body)


def attach_response(error: AidpError, response: RawResponse) -> None:
    """Note in *error* what *response* was, without credentials that the service may have echoed."""
    error.status = response.status
    error.headers = public_headers(response)
    error.body_excerpt = redact(response.body[:_MAX_EXCERPT].decode("utf-8", "replace"))
    error.code = None if error.code is None else one_line(error.code)
    error.args = (one_line(error.message), *error.args[1:])
    error.__context__ = None  # a decoder's own exception quotes the body unredacted


def attach_call(
    error: AidpError,
    operation: str,
    workspace: WorkspaceRef | None,
    request_ids: Iterable[str],
    attempt_seconds: Iterable[float] = (),
) -> None:
    """Note in *error* which call it ended, the ids of its requests, and how long each took."""
    error.operation = operation
    error.workspace_key = workspace and workspace.key
    error.workspace_name = (workspace and workspace.name) or None
    error.request_ids = tuple(request_ids)
    error.attempt_seconds = tuple(attempt_seconds)
    error.opc_request_id = error.headers.get("opc-request-id") or (error.request_ids or (None,))[-1]


def _service_error(response: RawResponse, now: float) -> ServiceError:
    details = _convert.fast.decode_error(response.body)
    if 300 <= response.status < 400 and response.status != 304:
        text = _describe_redirect(response.headers.get("location", ""))
    elif details is not None:
        text = shortened(details.message)
    elif response.body:
        text = f"the body is not the documented error; it begins {excerpt(response.body)}"
    else:
        text = "the body is empty"
    skew = clock_skew(response.headers, now)
    if response.status == 401 and skew is not None and abs(skew) > MAX_CLOCK_SKEW:
        text += f"; this machine's clock is {abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} the service's"
    error = SERVICE_ERRORS.get(response.status, ServiceError)(text)
    error.code = shortened(details.code) if details else None
    return error


def _describe_redirect(location: str) -> str:
    authority = re.match(_AUTHORITY, location)
    host = authority[1].rpartition("@")[2] if authority else "the same host" if location else "an unknown place"
    return f"redirects are not followed, because a signature holds for one host only; this one leads to {host}"
