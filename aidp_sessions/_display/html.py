"""Sessions and failures as HTML tables, for notebooks; the report page is built from the same parts.

All text from the service is escaped by `text` and is used as element content only, never in an attribute.
"""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, TypeVar

from ..activity import Activity, activity_of, idle_for
from .text import (
    format_duration,
    names_in,
    pluralize,
    session_state,
    session_title,
    strip_control_chars,
    workspace_labels,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ..errors import AidpError
    from ..models import SessionSummary

_T = TypeVar("_T")

COLUMNS = ("Session", "Workspace", "Kernel", "State", "Idle for", "Last activity (UTC)", "Connections")
_NUMERIC = frozenset(
    {"Idle for", "Connections", "Shown", "Sessions", "Idle", "Busy", "Other", "Longest idle", "Unused for"}
)
_RIGHT = ' class="n"'
_SORTED = ' aria-sort="descending"'
_MAX_ROWS = 100


def text(value: str | None) -> str:
    return escape(strip_control_chars(value or ""))


def minute(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "minutes")


def table(caption: str, columns: Iterable[str], rows: Iterable[str], css: str, sorted_by: str = "") -> str:
    heads = (
        f'<th scope="col"{_RIGHT if name in _NUMERIC else ""}{_SORTED if name == sorted_by else ""}>{name}</th>'
        if name
        else "<td></td>"
        for name in columns
    )
    return (
        f'<table class="{css}"><caption>{caption}</caption>\n<thead><tr>{"".join(heads)}</tr></thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table>"
    )


def failure_table(failures: Sequence[AidpError], rows: Iterable[str]) -> str:
    return table(pluralize(len(failures), "failure"), ("Workspace", "Error", "What happened"), rows, "failures")


def failure_row(error: AidpError, labels: Mapping[str, str]) -> str:
    return (
        f'<tr><th scope="row">{text(labels.get(error.workspace_key or ""))}</th><td>{type(error).__name__}</td>'
        f"<td>{text(str(error))}</td></tr>"
    )


def row(session: SessionSummary, now: datetime, labels: Mapping[str, str]) -> str:
    kernel = session.kernel
    idle = idle_for(session, now)
    last = None if kernel is None else kernel.last_activity
    connections = None if kernel is None else kernel.connections
    return (
        f'<tr><th scope="row">{text(session_title(session))}</th><td>{text(labels[session.workspace_key])}</td>'
        f"<td>{text(None if kernel is None else kernel.name)}</td>"
        f'<td class="{activity_group(session)}">{text(session_state(session))}</td>'
        + ("<td></td>" if idle is None else f'<td data-v="{idle.total_seconds():.0f}">{format_duration(idle)}</td>')
        + f"<td>{'' if last is None else minute(last)}</td>"
        f"<td>{'' if connections is None else connections}</td></tr>"
    )


def activity_group(session: SessionSummary) -> str:
    """The group in which the report counts *session*; it is also the class of its cell."""
    activity = activity_of(session)
    return activity.value if activity in (Activity.IDLE, Activity.BUSY) else "other"


def sessions_table(sessions: Sequence[SessionSummary], workspace: str | None = None) -> str:
    """Build a table for a notebook: the first hundred sessions, with their idle times now."""
    now, labels = datetime.now(UTC), workspace_labels(names_in(sessions))
    where = "" if workspace is None else f"{text(workspace)}: "
    idle = sum(activity_of(session) is Activity.IDLE for session in sessions)
    caption = f"{where}{pluralize(len(sessions), 'session')}, {idle} idle"
    rows = _first(sessions, lambda session: row(session, now, labels))
    return _for_notebook(table(caption, COLUMNS, rows, "sessions"))


def failures_table(failures: Sequence[AidpError]) -> str:
    """Build a table for a notebook: the first hundred failures."""
    labels = workspace_labels(names_in(failures))
    return _for_notebook(failure_table(failures, _first(failures, lambda error: failure_row(error, labels))))


def _first(items: Sequence[_T], as_row: Callable[[_T], str]) -> Iterator[str]:
    yield from map(as_row, items[:_MAX_ROWS])
    if len(items) > _MAX_ROWS:
        yield f'<tr><td colspan="{len(COLUMNS)}">and {len(items) - _MAX_ROWS} more</td></tr>'


def _for_notebook(content: str) -> str:
    """Wrap *content* with a style that aligns its cells to the left; notebooks align them to the right."""
    style = "<style>.aidp-sessions :is(caption, th, td) { text-align: left }</style>"
    return f'<div class="aidp-sessions">{style}{content}</div>'
