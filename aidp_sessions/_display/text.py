"""Durations, names and states as text, and the order in which sessions are shown; used by tables and by HTML."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Final

from ..activity import activity_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ..errors import AidpError
    from ..models import SessionSummary

_MIN_KEY: Final = 8
"""Characters of a key that are shown beside a name; the first group of a UUID has as many."""
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_CONTROLS = r"\x00-\x1f\x7f-\x9f\ud800-\udfff"
_BIDI_CONTROLS = r"\u202a-\u202e\u2066-\u2069"
_NOT_IN_DATA = re.compile(f"[{_CONTROLS}]")
_NOT_IN_DISPLAY = re.compile(rf"[{_CONTROLS}\u2028\u2029{_BIDI_CONTROLS}]")


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


def format_span(span: timedelta) -> str:
    """Format *span* to the second, e.g. ``1 h 30 min``."""
    minutes, seconds = divmod(span.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    units = ((span.days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s"))
    return " ".join(f"{number} {unit}" for number, unit in units if number) or "0 s"


def pluralize(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def one_line(text: str) -> str:
    """Replace control characters, line breaks among them, and surrogates, which cannot be encoded."""
    return _NOT_IN_DATA.sub(_substitute, text)


def strip_control_chars(text: str) -> str:
    """`one_line` for people: a name must not control a terminal, nor reverse the text around it.

    Other invisible characters stay: many languages need joiners and special spaces.
    """
    return _NOT_IN_DISPLAY.sub(_substitute, text)


def _substitute(found: re.Match[str]) -> str:
    return " " if found[0].isspace() else _REPLACEMENT


def workspace_labels(named: Iterable[tuple[str | None, str | None]]) -> Mapping[str, str]:
    """What to call workspaces, given pairs of key and display name: the label of each by its key.

    The label is the name; the key, if the name is not known; both, where several workspaces have the same name.
    """
    names: dict[str, str] = {}
    for key, name in dict.fromkeys(named):
        if key is not None:
            names[key] = strip_control_chars(name or "").strip() or names.get(key) or strip_control_chars(key)
    groups = defaultdict[str, list[str]](list)
    for key, name in names.items():
        groups[name].append(key)
    return {key: label for name, keys in groups.items() for key, label in _distinct_labels(name, keys)}


def names_in(found: Iterable[SessionSummary | AidpError]) -> Iterator[tuple[str | None, str | None]]:
    """The key and the name of each workspace in *found*, for `workspace_labels`."""
    return ((each.workspace_key, each.workspace_name) for each in found)


def _distinct_labels(name: str, keys: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Add to *name* as much of each key as tells *keys* apart."""
    if len(keys) == 1:
        yield keys[0], name
        return
    length = next(length for length in count(_MIN_KEY) if len({key[:length] for key in keys}) == len(keys))
    for key in keys:
        shown = strip_control_chars(key[:length])
        yield key, f"{name} ({shown}{'…' if len(key) > length else ''})"


def by_idle_time(idle: timedelta | None, session: SessionSummary) -> tuple[timedelta, *tuple[str, ...]]:
    """Return a sort key: the longest idle time first, sessions that are not idle last."""
    return timedelta(1) if idle is None else -idle, *by_place(session)


def by_place(session: SessionSummary) -> tuple[str, ...]:
    """Return a sort key: the workspace by its name, then the path, then the id."""
    name = session.workspace_name or session.workspace_key
    return name.casefold(), session.workspace_key, session_title(session), session.id or ""


def session_title(session: SessionSummary) -> str:
    return session.path or session.name or session.id or ""


def session_state(session: SessionSummary) -> str:
    """Return the state that the service reports; if there is none, the activity, e.g. ``no kernel``."""
    state = None if session.kernel is None else session.kernel.execution_state
    return state or activity_of(session).replace("_", " ")
