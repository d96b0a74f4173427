"""Decides whether a session is idle. Reads no clock but the one that is passed in.

The rule is that of the REST reference for ``last_activity``: a kernel is idle since T when its ``execution_state`` is
``idle`` and its ``last_activity`` is not later than T. A kernel with a missing or unknown value is never idle. A
``last_activity`` before the year 2000 is no timestamp: services send zero values such as ``1970-01-01T00:00:00Z`` or
``0001-01-01T00:00:00Z`` for "never".
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from .models import ExecutionState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .models import SessionSummary

MIN_LAST_ACTIVITY: Final = datetime(2000, 1, 1, tzinfo=UTC)


class Activity(StrEnum):
    """Why a session is, or is not, idle."""

    IDLE = "idle"
    BUSY = "busy"
    STARTING = "starting"
    """Starting or restarting. On Jupyter Server, a kernel that never had a connection stays in this state."""
    DEAD = "dead"
    """Dead or terminating."""
    NO_KERNEL = "no_kernel"
    """The session has no kernel, for example while its cluster starts."""
    NO_TIMESTAMP = "no_timestamp"
    """The kernel is idle, but since when is not known: ``last_activity`` is missing or before the year 2000."""
    UNKNOWN = "unknown"
    """No state, or an undocumented one."""


_BY_STATE: Mapping[str | None, Activity] = {
    ExecutionState.IDLE: Activity.IDLE,
    ExecutionState.BUSY: Activity.BUSY,
    ExecutionState.STARTING: Activity.STARTING,
    ExecutionState.RESTARTING: Activity.STARTING,
    ExecutionState.AUTORESTARTING: Activity.STARTING,
    ExecutionState.TERMINATING: Activity.DEAD,
    ExecutionState.DEAD: Activity.DEAD,
    ExecutionState.UNKNOWN: Activity.UNKNOWN,
}


def activity_of(session: SessionSummary) -> Activity:
    """Classify what the session is doing. Defined for every state string and every missing value."""
    kernel = session.kernel
    if kernel is None:
        return Activity.NO_KERNEL
    activity = _BY_STATE.get(kernel.execution_state, Activity.UNKNOWN)
    if activity is Activity.IDLE and (kernel.last_activity is None or kernel.last_activity < MIN_LAST_ACTIVITY):
        return Activity.NO_TIMESTAMP
    return activity


def is_idle_since(session: SessionSummary, since: datetime | timedelta, *, connected: bool | None = None) -> bool:
    """Whether the session's kernel is idle, without activity after *since*.

    *since* is an aware datetime, or a timedelta before now. *connected* restricts the result: ``False`` to kernels
    without connections, ``True`` to kernels with connections; an unknown count matches neither. Raises `ValueError`
    for a naive datetime or a negative timedelta.
    """
    return idle_predicate(since, connected=connected)(session)


def idle_predicate(
    since: datetime | timedelta, *, connected: bool | None = None, clock: Callable[[], float] = time.time
) -> Callable[[SessionSummary], bool]:
    """`is_idle_since` for many sessions. A timedelta is subtracted once from the present time of *clock*."""
    limit = instant(since, clock)

    def matches(session: SessionSummary) -> bool:
        kernel = session.kernel
        return (
            kernel is not None
            and kernel.execution_state == ExecutionState.IDLE
            and kernel.last_activity is not None
            and MIN_LAST_ACTIVITY <= kernel.last_activity <= limit
            and (connected is None or (kernel.connections is not None and (kernel.connections > 0) is connected))
        )

    return matches


def idle_for(session: SessionSummary, now: datetime | None = None) -> timedelta | None:
    """How long the session's kernel has been idle at *now* (aware; default: the present); ``None`` if it is not idle.

    Never negative: an activity in the future, caused by clock skew, counts as now. Raises `ValueError` for a naive
    *now*.
    """
    now = datetime.now(UTC) if now is None else require_aware(now, "now")
    kernel = session.kernel
    if kernel is None or kernel.last_activity is None or activity_of(session) is not Activity.IDLE:
        return None
    return max(now - kernel.last_activity, timedelta(0))


def instant(since: datetime | timedelta, clock: Callable[[], float] = time.time) -> datetime:
    """Convert *since* to an aware datetime; *clock* returns seconds since the epoch."""
    if isinstance(since, timedelta):
        if since < timedelta(0):
            raise ValueError(f"since={since!r} lies in the future; pass a positive timedelta: how long ago")
        try:
            return datetime.fromtimestamp(clock(), UTC) - since
        except OverflowError:
            raise ValueError(f"since={since!r} reaches back before the year 1; pass a shorter timedelta") from None
    return require_aware(since, "since")


def require_aware(moment: datetime, name: str) -> datetime:
    if not isinstance(moment, datetime):
        raise TypeError(f"{name} must be a datetime or timedelta, not {type(moment).__name__}")
    if moment.utcoffset() is None:
        raise ValueError(f"{name}={moment!r} has no time zone; add one, e.g. datetime(…, tzinfo=timezone.utc)")
    return moment
