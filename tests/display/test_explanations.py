"""Failures in words for people."""

from __future__ import annotations

import pytest

from aidp_sessions import (
    AidpError,
    ConfigError,
    ConnectionFailedError,
    CredentialsError,
    NotFoundError,
    RequestTimeoutError,
    ResponseDecodeError,
    ServiceError,
    TooManyRequestsError,
    UnauthorizedError,
)
from aidp_sessions._display.explanations import explain


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        (UnauthorizedError, 401, "The credentials were refused"),
        (NotFoundError, 404, "Not allowed, or gone"),
        (TooManyRequestsError, 429, "Asked too often"),
        (ServiceError, 403, "Not allowed"),
        (ServiceError, 418, "It failed"),
        (ServiceError, 503, "The service failed"),
        (ResponseDecodeError, 200, "The answer was not understood"),
        (RequestTimeoutError, None, "No answer in time"),
        (ConnectionFailedError, None, "No connection"),
        (CredentialsError, None, "The credentials cannot be used"),
        (ConfigError, None, "The configuration cannot be used"),
        (AidpError, None, "It failed"),
    ],
)
def test_a_failure_has_a_few_words(kind: type[AidpError], status: int | None, words: str) -> None:
    error = kind("gone")
    error.status = status

    assert explain(error) == words
