"""Turns the exceptions of the network stack into those of this package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aiohttp

from .._operations.redaction import redact
from ..errors import AidpError, ConnectionFailedError, RequestTimeoutError, ResponseDecodeError, TransportError

if TYPE_CHECKING:
    from ..policies import Timeout

_LONGEST_REASON: Final = 500


def _translate(caught: aiohttp.ClientError | OSError, timeout: Timeout) -> AidpError:
    """The one place where exceptions of the network stack become ours."""
    if type(caught.__cause__).__name__ == "DecompressSizeError":  # aiohttp 3.13 has a limit of its own, per chunk
        return ResponseDecodeError("the body is larger than max_response_bytes, or than aiohttp inflates at once")
    error: TransportError
    if isinstance(caught, aiohttp.SocketTimeoutError):
        error = _fell_silent(timeout)
    elif isinstance(caught, TimeoutError):
        error = RequestTimeoutError(f"the connect timeout of {timeout.connect:g} s ran out", "connect")
    else:
        error = ConnectionFailedError(f"the connection failed: {_reason(caught)}")
        error.permanent = isinstance(caught, aiohttp.ClientConnectorCertificateError)
    error.unsent = isinstance(caught, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    cause = getattr(caught, "os_error", None)
    error.__cause__ = cause if isinstance(cause, OSError) else None
    return error


def _fell_silent(timeout: Timeout) -> RequestTimeoutError:
    return RequestTimeoutError(f"the read timeout of {timeout.read:g} s ran out: the service fell silent", "read")


def _reason(caught: aiohttp.ClientError | OSError) -> str:
    if isinstance(caught, aiohttp.ServerDisconnectedError):  # whose text may be half an answer's headers
        return "it was closed before an answer came"
    # The text of a ClientResponseError would repeat the request, headers and all.
    text = caught.message if isinstance(caught, aiohttp.ClientResponseError) else str(caught)
    return redact(" ".join(text.split()))[:_LONGEST_REASON] or type(caught).__name__
