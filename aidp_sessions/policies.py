"""How long to wait and when to try again: decided from values, never waiting itself.

Defaults, and why: ``connect`` 10 s and ``read`` 60 s are those of the official SDK; ``total`` bounds the whole call,
slot waits and retries included, at five minutes, the length of the service's own window for a signature's date.
Six attempts from half a second on span at most 15.5 s of waiting: enough for a restart behind a load balancer, short
enough for a person. Up to a minute of ``Retry-After`` is obeyed, the most that OCI advises; a longer one fails at once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Generator, Iterable
from functools import cache
from inspect import isbuiltin
from itertools import islice
from typing import Any, Final

import attrs

from ._checks import check_function
from .errors import AidpError, ServiceError, TransportError

Sleep = Callable[[float], Awaitable[None]]

_MAX_DOUBLINGS: Final = 64  # beyond, a float might overflow
_CONFLICTS_THAT_PASS = frozenset({"IncorrectState", "LockConflict"})


def _seconds(_: object, attribute: attrs.Attribute[float], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{attribute.name} must be a number of seconds, not {value!r}")
    if not 0 <= value < float("inf"):
        raise ValueError(f"{attribute.name} must be zero or more seconds, not {value!r}")


def _limit(_: object, attribute: attrs.Attribute[float], value: object) -> None:
    if value == 0:
        raise ValueError(f"{attribute.name} must be more than zero seconds; None means no limit")
    if value is not None:
        _seconds(None, attribute, value)


def _attempts(_: object, __: attrs.Attribute[int], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"attempts must be a whole number of at least 1 (the first counts), not {value!r}")


def _statuses(values: Iterable[int]) -> frozenset[int]:
    statuses = frozenset(values)
    if not all(type(status) is int and 400 <= status <= 599 for status in statuses):
        raise ValueError(f"statuses must be error statuses, such as {{429, 503}}, not {values!r}")
    return statuses


def _plain_function(_: object, field: attrs.Attribute[Any], value: object) -> None:
    check_function(value, f"{field.name} must be a plain function without arguments")


def _async_function(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not callable(value) or isbuiltin(value):  # such as time.sleep; a lambda may return what asyncio.sleep returns
        raise TypeError(f"{field.name} must be an async function of seconds, such as asyncio.sleep, not {value!r}")


@cache
def load_backoff() -> Callable[..., Generator[float, object, None]]:
    """Import `backoff`; a client does so when it is made, for at a failure there may be no file descriptor left."""
    import backoff  # noqa: PLC0415  # as slow to import as everything here that is not aiohttp

    return backoff.expo


def _bound(base: float, cap: float, attempt: int) -> float:
    """The longest pause after *attempt*: *base*, doubled for each earlier attempt, up to *cap*."""
    bounds = load_backoff()(factor=base, max_value=cap)
    next(bounds)  # starts the generator, which then yields one bound per attempt
    return next(islice(bounds, min(attempt - 1, _MAX_DOUBLINGS), None))


@attrs.frozen(kw_only=True)
class Timeout:
    """Limits in seconds; ``None`` switches one off.

    Attributes:
        connect: per attempt, for name resolution, TCP and TLS together.
        read: per attempt, the longest silence while an answer arrives; its head counts as one piece.
        total: per call, everything included: waiting for a slot, every attempt, every page, every pause.
    """

    connect: float | None = attrs.field(default=10.0, validator=_limit)
    read: float | None = attrs.field(default=60.0, validator=_limit)
    total: float | None = attrs.field(default=300.0, validator=_limit)


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """When a request is sent again, and after how long; times in seconds.

    Retried: connections that fail or break, timeouts of one attempt, the *statuses* below, and 409 with the codes
    ``IncorrectState`` and ``LockConflict`` ("API Errors", OCI documentation). Nothing else is.

    Attributes:
        attempts: how often a request is sent at most, the first time included.
        base: the first pause is drawn between 0 and this; each later bound doubles.
        cap: the longest of these pauses.
        retry_after_cap: a ``Retry-After`` beyond this is not waited for: the error is raised at once and carries it.
        statuses: the statuses to try again.
    """

    attempts: int = attrs.field(default=6, validator=_attempts)
    base: float = attrs.field(default=0.5, validator=_seconds)
    cap: float = attrs.field(default=30.0, validator=_seconds)
    retry_after_cap: float = attrs.field(default=60.0, validator=_seconds)
    statuses: frozenset[int] = attrs.field(default=frozenset({429, 500, 502, 503, 504}), converter=_statuses)

    @classmethod
    def none(cls) -> RetryPolicy:
        """Every request is sent once."""
        return cls(attempts=1)

    def applies_to(self, error: AidpError) -> bool:
        if isinstance(error, ServiceError):
            return error.status in self.statuses or (error.status == 409 and error.code in _CONFLICTS_THAT_PASS)
        return isinstance(error, TransportError) and not error.permanent

    def delay(self, error: AidpError, attempt: int, random: Callable[[], float]) -> float | None:
        """Seconds to wait after *attempt* (from 1) failed with *error*; ``None``: do not try again.

        *random* draws from [0, 1). ``Retry-After`` is a floor with the jitter on top; without it the jitter is all
        there is ("full jitter").
        """
        if attempt >= self.attempts or not self.applies_to(error):
            return None
        jitter = random() * _bound(self.base, self.cap, attempt)
        if error.retry_after is None:
            return jitter
        return None if error.retry_after > self.retry_after_cap else error.retry_after + jitter


@attrs.frozen(kw_only=True)
class Clock:
    """Time, sleeping and randomness, so that tests can control them. Times in seconds.

    Attributes:
        time: our clock, in seconds since the epoch.
        sleep: an async function; waits before a retry.
        random: draws from [0, 1).
    """

    time: Callable[[], float] = attrs.field(default=time.time, validator=_plain_function)
    sleep: Sleep = attrs.field(default=asyncio.sleep, validator=_async_function)
    random: Callable[[], float] = attrs.field(default=random.random, validator=_plain_function)
