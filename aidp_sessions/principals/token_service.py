"""Requests to token and metadata services, and the errors of those services."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final, cast

from .._operations.failures import error_for
from .._transport.fetch import MAX_ANSWER, Fetch, FetchRequest
from ..errors import CredentialsError, ServiceError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_EXCHANGE_TIMEOUT_S: Final = 120.0
_NO_HINTS: Final[Mapping[int, str]] = {}


class TransientCredentialsError(CredentialsError):
    """A transient failure; retried by `TokenRefresher`, never raised to users."""


class UnreachableError(TransientCredentialsError):
    """The service did not answer."""


async def fetch_body(
    fetch: Fetch,
    request: FetchRequest,
    service: str,
    *,
    clock: Callable[[], float],
    unreachable: str = "check the network and try again",
    hints: Mapping[int, str] = _NO_HINTS,
    transient: frozenset[int] = frozenset(),
) -> bytes:
    """Send *request* and return the body of a 200.

    Args:
        fetch: sends the request.
        request: the request.
        service: its name, which begins every error.
        clock: the local time; the error for a 401 says if it differs from the service's.
        unreachable: the remedy if the service does not answer.
        hints: remedies by status.
        transient: statuses to retry, besides 429 and all 5xx except 501.

    Raises `UnreachableError` if the service does not answer, `TransientCredentialsError` for a status to retry, and
    `CredentialsError` for any other answer.
    """
    try:
        async with asyncio.timeout(_EXCHANGE_TIMEOUT_S):
            answer = await fetch(request)
    except TransportError as error:
        kind = CredentialsError if error.permanent else UnreachableError
        raise kind(f"{service} cannot be reached at {request.url}: {error.message}; {unreachable}") from error.__cause__
    except TimeoutError:
        raise UnreachableError(
            f"{service} at {request.url} took longer than {_EXCHANGE_TIMEOUT_S:g} s; {unreachable}"
        ) from None
    refusal = error_for(answer, now=clock(), limit=MAX_ANSWER)
    if refusal is None:
        return answer.body
    status = " ".join(str(part) for part in (refusal.status, refusal.code) if part is not None)
    hint = hints.get(answer.status)
    text = f"{service} at {request.url} answered {status}: {refusal.message}" + (f"; {hint}" if hint else "")
    retried = answer.status in transient or answer.status == 429 or (answer.status >= 500 and answer.status != 501)
    final = (TransientCredentialsError if retried and isinstance(refusal, ServiceError) else CredentialsError)(text)
    final.retry_after = refusal.retry_after
    raise final


def parse_token(body: bytes | str, service: str) -> str:
    """Return the field ``token`` of a JSON object; raises `CredentialsError`, which never quotes the body."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise CredentialsError(f"{service} answered with something that is not JSON") from None
    token = cast("dict[str, object]", found).get("token") if isinstance(found, dict) else None
    if not isinstance(token, str) or not token.strip():
        raise CredentialsError(f"{service} answered without a token: its JSON has no text field 'token'")
    return token.strip()
