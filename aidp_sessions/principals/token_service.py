"""What signers ask of token and metadata services, and what they make of the answers; never sends anything itself."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final, cast

from .._operations.failures import error_for
from .._transport.fetch import MAX_ANSWER, Fetch, FetchRequest
from ..errors import CredentialsError, ServiceError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_WHOLE_EXCHANGE_S: Final = 120.0
_NO_HINTS: Final[Mapping[int, str]] = {}


class TryAgainError(CredentialsError):
    """A failure that may pass by itself; it never leaves this package as such."""


class UnreachableError(TryAgainError):
    """Nobody answered at all."""


async def ask(
    fetch: Fetch,
    request: FetchRequest,
    what: str,
    *,
    clock: Callable[[], float],
    unreachable: str = "check the network and try again",
    hints: Mapping[int, str] = _NO_HINTS,
    transient: frozenset[int] = frozenset(),
) -> bytes:
    """The body of a 200. *what* begins every error, *hints* end it: the way out for a status.

    *clock* is ours, for an error to say if it is off.
    Raises `TryAgainError` where nothing answered, and for 429, 5xx but 501, and *transient*; `CredentialsError` for
    any other answer.
    """
    try:
        async with asyncio.timeout(_WHOLE_EXCHANGE_S):
            answer = await fetch(request)
    except TransportError as error:
        kind = CredentialsError if error.permanent else UnreachableError
        raise kind(f"{what} cannot be reached at {request.url}: {error.message}; {unreachable}") from error.__cause__
    except TimeoutError:
        raise UnreachableError(
            f"{what} at {request.url} took longer than {_WHOLE_EXCHANGE_S:g} s; {unreachable}"
        ) from None
    refused = error_for(answer, now=clock(), limit=MAX_ANSWER)
    if refused is None:
        return answer.body
    said = " ".join(str(part) for part in (refused.status, refused.code) if part is not None)
    hint = hints.get(answer.status)
    text = f"{what} at {request.url} answered {said}: {refused.message}" + (f"; {hint}" if hint else "")
    passes = answer.status in transient or answer.status == 429 or (answer.status >= 500 and answer.status != 501)
    final = (TryAgainError if passes and isinstance(refused, ServiceError) else CredentialsError)(text)
    final.retry_after = refused.retry_after
    raise final


def token_of(body: bytes | str, what: str) -> str:
    """The field ``token`` of a JSON object; raises `CredentialsError`, which never quotes the body."""
    try:
        found = json.loads(body)
    except ValueError:
        raise CredentialsError(f"{what} answered with something that is not JSON") from None
    token = cast("dict[str, object]", found).get("token") if isinstance(found, dict) else None
    if not isinstance(token, str) or not token.strip():
        raise CredentialsError(f"{what} answered without a token: its JSON has no text field 'token'")
    return token.strip()
