"""What an answer that is no success means, and the evidence that an error keeps of it."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final, TypeVar

from .._convert.codec import excerpt
from ..errors import SERVICE_ERRORS, AidpError, ResponseDecodeError, ServiceError
from ..results import Response
from .messages import MAX_CLOCK_SKEW, Answer, clock_skew, retry_after
from .redaction import _shown_headers, redact, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

_LONGEST_EXCERPT: Final = 1024
_AUTHORITY = r"(?ai)(?:[a-z][a-z0-9+.-]*:)?//([^/?#]*)"


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
    from .._convert.fast import decode_error  # noqa: PLC0415  # as in `decode_collection`

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
