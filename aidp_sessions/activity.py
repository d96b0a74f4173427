"""What "idle" means, decided from values alone: no clock but the one that is passed in.

The rule is the one the REST reference gives for ``last_activity``: a kernel is idle since T when its
``execution_state`` is ``idle`` and its ``last_activity`` is not later than T. Whatever is missing or unknown is
never idle.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from .models import ExecutionState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .models import SessionSummary


class Activity(StrEnum):
    """Why a session is, or is not, idle."""

    IDLE = "idle"
    BUSY = "busy"
    STARTING = "starting"
    """Starting or restarting; a kernel that nobody ever connected to stays here for ever (Jupyter Server)."""
    DEAD = "dead"
    """Dead or terminating."""
    NO_KERNEL = "no_kernel"
    """The session has no kernel, or not yet: a cluster that warms up answers ``kernel: null``."""
    NO_TIMESTAMP = "no_timestamp"
    """The kernel says idle, but not since when."""
    UNKNOWN = "unknown"
    """No state, or one that is not documented."""


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
    """Name what the session is doing; a total function, for any state string and any missing part."""
    kernel = session.kernel
    if kernel is None:
        return Activity.NO_KERNEL
    activity = _BY_STATE.get(kernel.execution_state, Activity.UNKNOWN)
    if activity is Activity.IDLE and kernel.last_activity is None:
        return Activity.NO_TIMESTAMP
    return activity


def is_idle_since(session: SessionSummary, since: datetime | timedelta, *, connected: bool | None = None) -> bool:
    """Is the session's kernel idle, with no activity after *since*?

    *since* is an aware datetime, or a timedelta before now. *connected* narrows it down: ``False`` to kernels without
    connections, ``True`` to those with some; an unknown count matches neither. Raises `ValueError` for a naive
    datetime or a negative timedelta.
    """
    return idle_predicate(since, connected=connected)(session)


def idle_predicate(
    since: datetime | timedelta, *, connected: bool | None = None, clock: Callable[[], float] = time.time
) -> Callable[[SessionSummary], bool]:
    """`is_idle_since` for many sessions: a timedelta is counted back from *clock*'s now, once."""
    limit = instant(since, clock)

    def holds(session: SessionSummary) -> bool:
        kernel = session.kernel
        return (
            kernel is not None
            and kernel.execution_state == ExecutionState.IDLE
            and kernel.last_activity is not None
            and kernel.last_activity <= limit
            and (connected is None or (kernel.connections is not None and (kernel.connections > 0) is connected))
        )

    return holds


def idle_for(session: SessionSummary, now: datetime | None = None) -> timedelta | None:
    """How long the session's kernel has been idle at *now* (aware; default: the present); ``None`` if it is not idle.

    Never negative: an activity that lies in the future, by a clock's skew, counts as just now.
    Raises `ValueError` for a naive *now*.
    """
    now = datetime.now(UTC) if now is None else _aware(now, "now")
    kernel = session.kernel
    if kernel is None or kernel.last_activity is None or activity_of(session) is not Activity.IDLE:
        return None
    return max(now - kernel.last_activity, timedelta(0))


def instant(since: datetime | timedelta, clock: Callable[[], float] = time.time) -> datetime:
    """Fix *since* to a point in time: a timedelta counts back from now, by *clock* in seconds since the epoch."""
    if isinstance(since, timedelta):
        if since < timedelta(0):
            raise ValueError(f"since={since!r} lies in the future; pass a positive timedelta: how long ago")
        try:
            return datetime.fromtimestamp(clock(), UTC) - since
        except OverflowError:
            raise ValueError(f"since={since!r} reaches back before the year 1; pass a shorter timedelta") from None
    return _aware(since, "since")


def _aware(moment: datetime, name: str) -> datetime:
    if not isinstance(moment, datetime):
        raise TypeError(f"{name} must be a datetime or timedelta, not {type(moment).__name__}")
    if moment.utcoffset() is None:
        raise ValueError(f"{name}={moment!r} has no time zone; add one, e.g. datetime(…, tzinfo=timezone.utc)")
    return moment
