"""Pauses stay within their bounds, invalid settings are refused, and only some errors are retried."""

from __future__ import annotations

import asyncio
import math
import time
from functools import partial
from typing import Any, Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_sessions.errors import (
    AidpError,
    ConfigError,
    ConnectionFailedError,
    CredentialsError,
    InternalServerError,
    NotFoundError,
    RequestTimeoutError,
    ResponseDecodeError,
    ServiceError,
    TooManyRequestsError,
    UnauthorizedError,
)
from aidp_sessions.policies import Clock, RetryPolicy, Timeout
from aidp_sessions.results import FanOutError

from ..helpers.strategies import brief

seconds: Final = st.floats(0, 1e6)
draws: Final = st.floats(0, 1, exclude_max=True)


def throttled(retry_after: float | None = None) -> AidpError:
    error = TooManyRequestsError("slow down")
    error.status, error.retry_after = 429, retry_after
    return error


def service_error(status: int, code: str | None = None) -> ServiceError:
    error = ServiceError("no")
    error.status, error.code = status, code
    return error


def untrusted() -> AidpError:
    error = ConnectionFailedError("certificate")
    error.permanent = True
    return error


def test_the_default_policies_are_the_documented_ones() -> None:
    """Every field of every default policy."""
    assert attrs.asdict(Timeout()) == {"connect": 10.0, "read": 60.0, "total": 300.0}
    assert attrs.asdict(RetryPolicy()) == {
        "attempts": 6,
        "base": 0.5,
        "cap": 30.0,
        "retry_after_cap": 60.0,
        "statuses": frozenset({429, 500, 502, 503, 504}),
    }
    assert RetryPolicy.none() == RetryPolicy(attempts=1)


def test_policies_do_not_change() -> None:
    """A policy can be shared between clients."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        RetryPolicy().attempts = 2  # type: ignore[misc]  # on purpose
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Timeout().read = 2.0  # type: ignore[misc]  # on purpose


@brief
@given(st.just(0.0) | st.floats(1e-3, 1e6), seconds, st.integers(1, 2000), draws)
def test_a_pause_is_drawn_between_zero_and_a_bound_that_doubles_up_to_the_cap(
    base: float, cap: float, attempt: int, draw: float
) -> None:
    """Full jitter: a random share of the bound, which never overflows."""
    policy = RetryPolicy(attempts=5000, base=base, cap=cap)
    delay = policy.delay(throttled(), attempt, lambda: draw)
    bound = min(cap, base * 2.0 ** min(attempt - 1, 500))

    assert delay is not None
    assert 0.0 <= delay <= bound
    assert delay == pytest.approx(draw * bound)


def test_the_bounds_of_the_default_pauses() -> None:
    """Half a second, doubled each time: at most 15.5 s in all."""
    policy = RetryPolicy()
    longest = [policy.delay(throttled(), attempt, lambda: 1.0) for attempt in range(1, 6)]
    shortest = [policy.delay(throttled(), attempt, lambda: 0.0) for attempt in range(1, 6)]

    assert longest == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert shortest == [0.0] * 5


@brief
@given(
    seconds, st.builds(RetryPolicy, attempts=st.just(200), base=seconds, cap=seconds, retry_after_cap=seconds), draws
)
def test_retry_after_is_a_floor_with_the_jitter_on_top(asked: float, policy: RetryPolicy, draw: float) -> None:
    """The pause is never shorter than the service asked for; beyond the limit there is no retry."""
    delay = policy.delay(throttled(asked), 3, lambda: draw)
    jitter = policy.delay(throttled(), 3, lambda: draw)

    assert jitter is not None
    assert delay == (asked + jitter if asked <= policy.retry_after_cap else None)


def test_the_limit_of_retry_after_is_inclusive() -> None:
    """A Retry-After of exactly the limit is waited for, a longer one is not."""
    policy = RetryPolicy(base=0.0, retry_after_cap=60.0)

    assert policy.delay(throttled(60.0), 1, lambda: 0.9) == 60.0
    assert policy.delay(throttled(math.nextafter(60.0, math.inf)), 1, lambda: 0.9) is None
    assert policy.delay(throttled(math.inf), 1, lambda: 0.9) is None
    assert policy.delay(throttled(0.0), 1, lambda: 0.9) == 0.0


@brief
@given(st.integers(1, 50), st.integers(1, 100))
def test_there_are_as_many_attempts_as_asked_for(attempts: int, attempt: int) -> None:
    """No attempt follows attempt N of N."""
    delay = RetryPolicy(attempts=attempts).delay(throttled(), attempt, lambda: 0.0)

    assert delay == (0.0 if attempt < attempts else None)


def test_the_policy_none_never_retries() -> None:
    """Not even with a Retry-After."""
    assert RetryPolicy.none().delay(throttled(0.0), 1, lambda: 0.0) is None


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (service_error(429), True),
        (service_error(500), True),
        (service_error(502), True),
        (service_error(503), True),
        (service_error(504), True),
        (throttled(), True),
        (service_error(409, "IncorrectState"), True),
        (service_error(409, "LockConflict"), True),
        (ConnectionFailedError("reset"), True),
        (RequestTimeoutError("silence"), True),
        (untrusted(), False),
        (service_error(409, "InvalidatedRetryToken"), False),
        (service_error(409), False),
        (service_error(400, "IncorrectState"), False),
        (service_error(302), False),
        (service_error(400), False),
        (service_error(401), False),
        (service_error(403), False),
        (service_error(404), False),
        (service_error(408), False),
        (service_error(412), False),
        (service_error(418), False),
        (service_error(501), False),
        (service_error(505), False),
        (UnauthorizedError("no"), False),
        (NotFoundError("no"), False),
        (InternalServerError("without a status"), False),
        (ResponseDecodeError("no"), False),
        (CredentialsError("no"), False),
        (ConfigError("no"), False),
        (FanOutError("no", [throttled()]), False),
    ],
    ids=lambda value: f"{type(value).__name__} {value.status} {value.code}" if isinstance(value, AidpError) else None,
)
def test_only_transient_failures_are_retried(error: AidpError, again: bool) -> None:
    """Broken connections, timeouts, throttling, failures of the service and two kinds of conflict; nothing else."""
    assert RetryPolicy().applies_to(error) is again
    assert (RetryPolicy().delay(error, 1, lambda: 0.0) is not None) is again


def test_the_statuses_to_retry_can_be_chosen() -> None:
    """The set replaces the default one; transient conflicts are retried with any set."""
    options: dict[str, Any] = {"statuses": [404]}
    policy = RetryPolicy(**options)

    assert [policy.applies_to(service_error(status)) for status in (404, 429, 500)] == [True, False, False]
    assert policy.applies_to(service_error(409, "LockConflict"))


@pytest.mark.parametrize("name", ["base", "cap", "retry_after_cap"])
@pytest.mark.parametrize("value", [-1, -0.001, math.nan, math.inf, -math.inf])
def test_a_length_of_time_of_a_retry_policy_is_finite_and_not_negative(name: str, value: float) -> None:
    """The error names the setting and the value."""
    options: dict[str, Any] = {name: value}
    with pytest.raises(ValueError) as caught:
        RetryPolicy(**options)

    assert str(caught.value) == f"{name} must be zero or more seconds, not {value!r}"


@pytest.mark.parametrize("name", ["base", "cap", "retry_after_cap"])
@pytest.mark.parametrize("value", [None, "1", True, [1]])
def test_a_length_of_time_of_a_retry_policy_is_a_number(name: str, value: object) -> None:
    """Text and booleans are not numbers of seconds."""
    options: dict[str, Any] = {name: value}
    with pytest.raises(TypeError) as caught:
        RetryPolicy(**options)

    assert str(caught.value) == f"{name} must be a number of seconds, not {value!r}"


@pytest.mark.parametrize("value", [0, -1, 1.0, "3", None, True])
def test_attempts_are_counted_from_one(value: object) -> None:
    """Zero attempts would be no request at all."""
    options: dict[str, Any] = {"attempts": value}
    with pytest.raises(ValueError) as caught:
        RetryPolicy(**options)

    assert str(caught.value) == f"attempts must be a whole number of at least 1 (the first counts), not {value!r}"


@pytest.mark.parametrize("name", ["connect", "read", "total"])
def test_a_timeout_can_be_switched_off_or_set(name: str) -> None:
    """None is no limit, and any positive number is one."""
    options: dict[str, Any] = {name: None}
    assert getattr(Timeout(**options), name) is None
    options = {name: 0.25}
    assert getattr(Timeout(**options), name) == 0.25


@pytest.mark.parametrize("name", ["connect", "read", "total"])
@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (0, ValueError, "must be more than zero seconds; None means no limit"),
        (0.0, ValueError, "must be more than zero seconds; None means no limit"),
        (-1, ValueError, "must be zero or more seconds, not -1"),
        (math.nan, ValueError, "must be zero or more seconds, not nan"),
        (math.inf, ValueError, "must be zero or more seconds, not inf"),
        ("10", TypeError, "must be a number of seconds, not '10'"),
        (True, TypeError, "must be a number of seconds, not True"),
    ],
)
def test_an_invalid_timeout_is_refused(name: str, value: object, kind: type[Exception], message: str) -> None:
    """Zero is ambiguous, since some libraries read it as "for ever"."""
    options: dict[str, Any] = {name: value}
    with pytest.raises(kind) as caught:
        Timeout(**options)

    assert str(caught.value) == f"{name} {message}"


PLAIN: Final = "must be a plain function without arguments"
ASYNC: Final = "must be an async function of seconds, such as asyncio.sleep"


@pytest.mark.parametrize(
    ("name", "function", "requirement"),
    [
        ("time", 0.0, PLAIN),
        ("time", asyncio.sleep, PLAIN),
        ("random", 0.5, PLAIN),
        ("random", asyncio.sleep, PLAIN),
        ("sleep", time.sleep, ASYNC),
        ("sleep", 0.0, ASYNC),
        ("sleep", None, ASYNC),
    ],
)
def test_a_clock_refuses_a_function_of_the_wrong_kind(name: str, function: object, requirement: str) -> None:
    with pytest.raises(TypeError) as caught:
        Clock(**{name: function})  # type: ignore[arg-type]  # on purpose

    assert str(caught.value) == f"{name} {requirement}, not {function!r}"


async def test_the_sleep_of_a_clock_may_be_any_async_function() -> None:
    """Also a method, a partial function, an object that is called, and a plain function that returns an awaitable."""
    for sleep in (Waiting().wait, partial(asyncio.sleep, result=None), Waiting(), lambda _: asyncio.sleep(0)):
        await Clock(sleep=sleep).sleep(0)


class Waiting:
    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    __call__ = wait
