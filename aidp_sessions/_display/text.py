"""Durations, names and states as text, and the order in which sessions are shown; used by tables and by HTML."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ..activity import activity_of

if TYPE_CHECKING:
    from ..models import SessionSummary

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def format_duration(duration: timedelta) -> str:
    """Format *duration* in its two largest units, e.g. ``3 h 12 min``; in seconds if it is under a minute."""
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def pluralize(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def strip_control_chars(text: str) -> str:
    """Put *text* on one line and replace its control characters: a name must not be able to control a terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " if char.isspace() else _REPLACEMENT for char in text)


def by_idle_time(idle: timedelta | None, session: SessionSummary) -> tuple[timedelta, str, str]:
    """Return a sort key: the longest idle time first, sessions that are not idle last."""
    return timedelta(1) if idle is None else -idle, session.workspace_key or "", session_title(session)


def session_title(session: SessionSummary) -> str:
    return session.path or session.name or session.id or ""


def session_state(session: SessionSummary) -> str:
    """Return the state that the service reports; if there is none, the activity, e.g. ``no kernel``."""
    state = None if session.kernel is None else session.kernel.execution_state
    return state or activity_of(session).replace("_", " ")
