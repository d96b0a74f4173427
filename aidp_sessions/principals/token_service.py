"""Requests to token and metadata services, and the errors of those services."""

from __future__ import annotations

import asyncio
import json
from email.utils import formatdate
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

import attrs

from .._operations.failures import error_for
from .._transport.fetch import MAX_ANSWER, Fetch, FetchRequest
from ..auth.signing import SigningRequest, signed_headers
from ..auth.token import Token
from ..errors import CredentialsError, ServiceError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..auth.keys import PrivateKey

_EXCHANGE_TIMEOUT_S: Final = 120.0


@attrs.frozen
class Service:
    """What errors say about a service.

    Attributes:
        name: begins every error.
        unreachable: the remedy if the service does not answer.
        hints: remedies by status.
        transient: statuses to retry, besides 429 and all 5xx except 501.
    """

    name: str
    unreachable: str
    hints: Mapping[int, str] = attrs.field(factory=dict[int, str])
    transient: frozenset[int] = frozenset()


class TransientCredentialsError(CredentialsError):
    """A transient failure; retried by `TokenRefresher`, never raised to users."""


class UnreachableError(TransientCredentialsError):
    """The service did not answer."""


def signed_post(
    url: str, fields: Mapping[str, object], key: PrivateKey, key_id: str, *, now: float, sign_host: bool = True
) -> FetchRequest:
    body = json.dumps(fields).encode()
    parts = urlsplit(url)
    unsigned = SigningRequest("POST", parts.netloc, parts.path, formatdate(now, usegmt=True), body)
    headers = signed_headers(unsigned, key, key_id, sign_host=sign_host)
    return FetchRequest(method="POST", url=url, headers=headers, body=body)


def parse_token(body: bytes | str, source: str) -> str:
    """Return the field ``token`` of a JSON object; raises `CredentialsError`, which never quotes the body."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise CredentialsError(f"{source} answered with something that is not JSON") from None
    token = cast("dict[str, object]", found).get("token") if isinstance(found, dict) else None
    if not isinstance(token, str) or not token.strip():
        raise CredentialsError(f"{source} answered without a token: its JSON has no text field 'token'")
    return token.strip()


async def fetch_token(
    fetch: Fetch,
    request: FetchRequest,
    service: Service,
    time: Callable[[], float],
    *,
    remedy: str,
    parse: Callable[[bytes, str], str] = parse_token,
) -> Token:
    """Send *request*, and return the token that *parse* finds in the body; *remedy* ends errors about the token.

    Raises what `fetch_body` raises, and `CredentialsError` for a token that cannot be used.
    """
    text = parse(await fetch_body(fetch, request, service, time), f"{service.name} at {request.url}")
    return Token.parse(text, f"the token from {request.url}", remedy)


async def fetch_body(fetch: Fetch, request: FetchRequest, service: Service, time: Callable[[], float]) -> bytes:
    """Send *request* and return the body of a 200. The error for a 401 says if *time* differs from the service's.

    Raises `UnreachableError` if the service does not answer, `TransientCredentialsError` for a status to retry, and
    `CredentialsError` for any other answer.
    """
    place = f"{service.name} at {request.url}"
    try:
        async with asyncio.timeout(_EXCHANGE_TIMEOUT_S):
            answer = await fetch(request)
    except TransportError as error:
        kind = CredentialsError if error.permanent else UnreachableError
        text = f"{service.name} cannot be reached at {request.url}: {error.message}; {service.unreachable}"
        raise kind(text) from error.__cause__
    except TimeoutError:
        text = f"{place} took longer than {_EXCHANGE_TIMEOUT_S:g} s; {service.unreachable}"
        raise UnreachableError(text) from None
    refusal = error_for(answer, now=time(), limit=MAX_ANSWER)
    if refusal is None:
        return answer.body
    status, hint = answer.status, service.hints.get(answer.status)
    words = f"{status} {refusal.code}" if refusal.code else str(status)
    text = f"{place} answered {words}: {refusal.message}" + (f"; {hint}" if hint else "")
    retried = status in service.transient or status == 429 or (status >= 500 and status != 501)
    final = (TransientCredentialsError if retried and isinstance(refusal, ServiceError) else CredentialsError)(text)
    final.retry_after = refusal.retry_after
    raise final
