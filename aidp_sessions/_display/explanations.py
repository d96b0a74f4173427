"""What went wrong, in words for people who do not read status codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import (
    AidpError,
    ConfigError,
    ConnectionFailedError,
    CredentialsError,
    NotFoundError,
    RequestTimeoutError,
    ResponseDecodeError,
    TooManyRequestsError,
    UnauthorizedError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORBIDDEN = 403
_MIN_SERVER_ERROR = 500
_WORDS: Mapping[type[AidpError], str] = {
    ConfigError: "The configuration cannot be used",
    CredentialsError: "The credentials cannot be used",
    UnauthorizedError: "The credentials were refused",
    NotFoundError: "Not allowed, or gone",
    TooManyRequestsError: "Asked too often",
    ConnectionFailedError: "No connection",
    RequestTimeoutError: "No answer in time",
    ResponseDecodeError: "The answer was not understood",
}


def explain(error: AidpError) -> str:
    """A few words for *error*, such as ``Not allowed, or gone`` for the status 404."""
    if error.status == _FORBIDDEN:
        return "Not allowed"
    if error.status is not None and error.status >= _MIN_SERVER_ERROR:
        return "The service failed"
    return next((words for kind, words in _WORDS.items() if isinstance(error, kind)), "It failed")
