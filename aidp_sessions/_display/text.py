"""How times, names and states are worded, and sessions are ordered, for people; knows neither terminal nor HTML."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ..activity import activity_of

if TYPE_CHECKING:
    from ..models import SessionSummary

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def age(duration: timedelta) -> str:
    """*duration* in its two largest units, e.g. ``3 h 12 min``; under a minute in seconds."""
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def printable(text: str) -> str:
    """*text* on one line and without control characters, which a name could otherwise send to the terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " if char.isspace() else _REPLACEMENT for char in text)


def longest_idle_first(idle: timedelta | None, session: SessionSummary) -> tuple[timedelta, str, str]:
    """A key to sort by; those that are not idle come last."""
    return timedelta(1) if idle is None else -idle, session.workspace_key or "", title_of(session)


def title_of(session: SessionSummary) -> str:
    return session.path or session.name or session.id or ""


def state_of(session: SessionSummary) -> str:
    """The kernel's own word for its state; where it has none, ours for why."""
    state = None if session.kernel is None else session.kernel.execution_state
    return state or activity_of(session).replace("_", " ")
