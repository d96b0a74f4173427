"""Turns the exceptions of the network stack into those of this package, in one place.

The exceptions of aiohttp hold the request with its headers, and the frames of its tracebacks hold them as local
variables. So they are never chained to ours, and an exception that passes through, such as a cancellation, loses the
frames inside aiohttp.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import aiohttp

from .._iteration import is_foreign
from .._operations.redaction import one_line
from ..errors import AidpError, ConnectionFailedError, RequestTimeoutError, TransportError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ..policies import Timeout

T = TypeVar("T")
_Caught = aiohttp.ClientError | OSError | ValueError | RuntimeError

_MAX_REASON: Final = 500


async def mapping_exceptions(waiting: Awaitable[T], limits: Timeout) -> T:
    """Await *waiting*, a step of aiohttp; raises a `TransportError` or `ResponseDecodeError` for what fails there."""
    try:
        return await waiting
    except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as caught:  # the last: its session was closed
        error = map_exception(caught, limits)
    except BaseException as caught:  # noqa: BLE001  # a cancellation, above all; it is raised again
        if not is_foreign(caught):
            caught.__cause__ = caught.__context__ = None
            raise caught.with_traceback(None) from None
        error = ConnectionFailedError("the connection was given up while it was being made: was its session closed?")
    raise error


def map_exception(caught: _Caught, limits: Timeout) -> AidpError:
    if isinstance(caught, aiohttp.ClientHttpProxyError):
        return _proxy_error(caught)
    if isinstance(caught, aiohttp.ClientResponseError) and "Got more than" in caught.message:
        too_large = ConnectionFailedError(f"the head of the response is too large: {describe(caught)}")
        too_large.permanent = True
        return too_large
    error: TransportError
    if isinstance(caught, aiohttp.SocketTimeoutError):
        error = RequestTimeoutError(f"the read timeout of {limits.read:g} s ran out: the service fell silent", "read")
    elif isinstance(caught, TimeoutError):
        error = RequestTimeoutError(f"the connect timeout of {limits.connect:g} s ran out", "connect")
    elif isinstance(caught, ValueError | RuntimeError) and not isinstance(caught, aiohttp.ClientError):
        error = ConnectionFailedError(f"the request cannot be sent: {describe(caught)}")
        error.permanent = error.unsent = True
        return error
    else:
        error = ConnectionFailedError(f"the connection failed: {describe(caught)}")
        error.permanent = isinstance(caught, aiohttp.ClientConnectorCertificateError)
    error.unsent = isinstance(caught, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    cause = getattr(caught, "os_error", None)
    error.__cause__ = cause if isinstance(cause, OSError) else None
    return error


def _proxy_error(caught: aiohttp.ClientHttpProxyError) -> ConnectionFailedError:
    remedies = {407: "; put user and password into its URL", 403: "; it does not allow this host"}
    text = f"the proxy refused the connection with {caught.status} {describe(caught)}{remedies.get(caught.status, '')}"
    error = ConnectionFailedError(text)
    error.permanent, error.unsent = caught.status < 500, True
    return error


def describe(caught: _Caught) -> str:
    """What went wrong, in a line without credentials."""
    if isinstance(caught, aiohttp.ServerDisconnectedError):  # its text may be half of a response's headers
        return "it was closed before an answer came"
    # The text of a ClientResponseError would repeat the request, headers included.
    text = caught.message if isinstance(caught, aiohttp.ClientResponseError) else str(caught)
    return one_line(" ".join(text.split()))[:_MAX_REASON] or type(caught).__name__
