"""Sessions and failures as HTML: a self-contained report page, and tables for notebooks.

All text from the service is escaped by `_text` and is used as element content only, never in an attribute.
"""

from __future__ import annotations

from base64 import b64encode
from bisect import bisect_right
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, TypeVar

from ..activity import Activity, activity_of, idle_for, require_aware
from .text import by_idle_time, format_duration, pluralize, session_state, session_title, strip_control_chars

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ..errors import AidpError
    from ..models import SessionSummary

_T = TypeVar("_T")

_GROUPS = ("idle", "busy", "other")
_COLUMNS = ("Session", "Workspace", "Kernel", "State", "Idle for", "Last activity (UTC)", "Connections")
_NUMERIC = ("Idle for", "Connections", "Sessions", "Idle", "Busy")
_BINS = (
    ("under 10 min", timedelta(0)),
    ("10 &ndash; 30 min", timedelta(minutes=10)),
    ("30 &ndash; 60 min", timedelta(minutes=30)),
    ("1 &ndash; 2 h", timedelta(hours=1)),
    ("2 &ndash; 4 h", timedelta(hours=2)),
    ("4 &ndash; 8 h", timedelta(hours=4)),
    ("8 &ndash; 24 h", timedelta(hours=8)),
    ("1 &ndash; 3 d", timedelta(days=1)),
    ("3 &ndash; 7 d", timedelta(days=3)),
    ("over 7 d", timedelta(days=7)),
)
_RIGHT = ' class="n"'
_SORTED = ' aria-sort="descending"'
_MAX_ROWS = 100


def page(
    sessions: Sequence[SessionSummary],
    failures: Sequence[AidpError],
    *,
    title: str,
    taken: datetime,
    workspaces: Sequence[str] = (),
) -> str:
    """Build one HTML document that loads nothing from anywhere.

    *taken*, an aware datetime, is when the sessions were listed; idle times are measured at that time. *workspaces*
    are the keys of the workspaces that were listed: one without sessions is shown only if its key is among them.
    Raises `ValueError` for a naive *taken*.
    """
    moment = require_aware(taken, "taken").astimezone(UTC)
    rows = sorted(sessions, key=lambda session: by_idle_time(idle_for(session, taken), session))
    failed = {error.workspace_key for error in failures}
    cells = (_row(session, taken) for session in rows)
    return Template(_asset("report.html")).substitute(
        policy=_content_security_policy(),
        style=_asset("report.css"),
        script=_asset("report.js"),
        title=_text(title),
        timestamp=moment.isoformat(timespec="seconds"),
        taken=_minute(moment),
        figures=_figures(rows, len(failed - {None})),
        failures=_failure_section(failures),
        idle_times=_histogram(rows, taken),
        by_workspace=_by_workspace(rows, [key for key in workspaces if key not in failed]),
        sessions=_table(f"All sessions ({len(rows):,})", _COLUMNS, cells, "sessions sortable", "Idle for"),
    )


@cache
def _asset(name: str) -> str:
    return files("aidp_sessions._display").joinpath(name).read_text(encoding="utf-8")


def _content_security_policy() -> str:
    """Allow the page's own style and script, by their hashes, and nothing else."""
    style, script = (b64encode(sha256(_asset(name).encode()).digest()).decode() for name in ("report.css", "report.js"))
    return (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _text(value: str | None) -> str:
    return escape(strip_control_chars(value or ""))


def _minute(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "minutes")


def _group(session: SessionSummary) -> str:
    activity = activity_of(session)
    return activity.value if activity in (Activity.IDLE, Activity.BUSY) else "other"


def _figures(sessions: Sequence[SessionSummary], failed: int) -> str:
    groups = Counter(map(_group, sessions))
    kernels = {
        (session.workspace_key, session.kernel.id or number)
        for number, session in enumerate(sessions)
        if session.kernel is not None
    }
    figures = [("", "Sessions", len(sessions)), ("", "Kernels", len(kernels))]
    figures += [(group, group.capitalize(), groups[group]) for group in _GROUPS]
    figures += [("failed" if failed else "", "Workspaces failed", failed)]
    items = (
        f'<div><dt class="{css}">{name}</dt><dd class="{css}">{number:,}</dd></div>' for css, name, number in figures
    )
    return f"<dl>{''.join(items)}</dl>"


def _histogram(sessions: Iterable[SessionSummary], now: datetime) -> str:
    """Draw a histogram of idle times. Each bin includes its lower bound."""
    starts = [start for _, start in _BINS]
    ages = [idle for session in sessions if (idle := idle_for(session, now)) is not None]
    counts = Counter(bisect_right(starts, idle) - 1 for idle in ages)
    largest = max(counts.values(), default=1)
    rows = (
        f'<tr><th scope="row">{label}</th><td>{_bar({"idle": counts[bin_]}, largest)}</td>'
        f"<td>{counts[bin_]:,}</td></tr>"
        for bin_, (label, _) in enumerate(_BINS)
    )
    return _table("Idle sessions by idle time", ("Idle time", "", "Sessions"), rows, "bars numbers")


def _by_workspace(sessions: Iterable[SessionSummary], workspaces: Iterable[str]) -> str:
    """Draw the number of sessions of each workspace, the largest first."""
    by_key = {key: Counter[str]() for key in workspaces}
    for session in sessions:
        by_key.setdefault(session.workspace_key, Counter())[_group(session)] += 1
    largest = max((counts.total() for counts in by_key.values()), default=0) or 1
    rows = (
        f'<tr><th scope="row">{_text(key)}</th><td>{_bar(counts, largest)}</td><td>{counts.total():,}</td>'
        f"<td>{counts['idle']:,}</td><td>{counts['busy']:,}</td></tr>"
        for key, counts in sorted(by_key.items(), key=lambda item: (-item[1].total(), item[0]))
    )
    columns = ("Workspace", "", "Sessions", "Idle", "Busy")
    table = _table(f"By workspace ({len(by_key):,})", columns, rows, "bars numbers")
    return f'<div class="scroll" tabindex="0" role="region" aria-label="Sessions by workspace">{table}</div>'


def _bar(parts: Mapping[str, int], largest: int) -> str:
    """Draw one stacked bar; its length is relative to the *largest* row."""
    start, drawn = 0.0, list[str]()
    for group in _GROUPS:
        share = 100 * parts.get(group, 0) / largest
        if share:
            drawn.append(f'<rect class="{group}" x="{start:.2f}%" width="{share:.2f}%" height="12"/>')
        start += share
    return f'<svg aria-hidden="true">{"".join(drawn)}</svg>'


def _failure_section(failures: Sequence[AidpError]) -> str:
    return f"<section>{_failure_table(failures, map(_failure_row, failures))}</section>" if failures else ""


def _failure_table(failures: Sequence[AidpError], rows: Iterable[str]) -> str:
    return _table(pluralize(len(failures), "failure"), ("Workspace", "Error", "What happened"), rows, "failures")


def _failure_row(error: AidpError) -> str:
    return (
        f'<tr><th scope="row">{_text(error.workspace_key)}</th><td>{type(error).__name__}</td>'
        f"<td>{_text(str(error))}</td></tr>"
    )


def _table(caption: str, columns: Iterable[str], rows: Iterable[str], css: str, sorted_by: str = "") -> str:
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


def _row(session: SessionSummary, now: datetime) -> str:
    kernel = session.kernel
    idle = idle_for(session, now)
    last = None if kernel is None else kernel.last_activity
    connections = None if kernel is None else kernel.connections
    return (
        f'<tr><th scope="row">{_text(session_title(session))}</th><td>{_text(session.workspace_key)}</td>'
        f"<td>{_text(None if kernel is None else kernel.name)}</td>"
        f'<td class="{_group(session)}">{_text(session_state(session))}</td>'
        + ("<td></td>" if idle is None else f'<td data-v="{idle.total_seconds():.0f}">{format_duration(idle)}</td>')
        + f"<td>{'' if last is None else _minute(last)}</td>"
        f"<td>{'' if connections is None else connections}</td></tr>"
    )


def sessions_table(sessions: Sequence[SessionSummary], workspace_key: str | None = None) -> str:
    """Build a table for a notebook: the first hundred sessions, with their idle times now."""
    now = datetime.now(UTC)
    where = "" if workspace_key is None else f"{_text(workspace_key)}: "
    idle = sum(activity_of(session) is Activity.IDLE for session in sessions)
    caption = f"{where}{pluralize(len(sessions), 'session')}, {idle} idle"
    return _for_notebook(_table(caption, _COLUMNS, _first(sessions, lambda session: _row(session, now)), "sessions"))


def failures_table(failures: Sequence[AidpError]) -> str:
    """Build a table for a notebook: the first hundred failures."""
    return _for_notebook(_failure_table(failures, _first(failures, _failure_row)))


def _first(items: Sequence[_T], row: Callable[[_T], str]) -> Iterator[str]:
    yield from map(row, items[:_MAX_ROWS])
    if len(items) > _MAX_ROWS:
        yield f'<tr><td colspan="{len(_COLUMNS)}">and {len(items) - _MAX_ROWS} more</td></tr>'


def _for_notebook(table: str) -> str:
    """Wrap *table* with a style that aligns its cells to the left; notebooks align them to the right."""
    style = "<style>.aidp-sessions :is(caption, th, td) { text-align: left }</style>"
    return f'<div class="aidp-sessions">{style}{table}</div>'
