"""What was found as tables for people, fitted to their terminal; counts and decides nothing."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import attrs
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .._display.text import by_idle_time, format_duration, pluralize, session_state, session_title, strip_control_chars
from ..activity import Activity, activity_of, idle_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from rich.console import ConsoleOptions, JustifyMethod, RenderResult

    from ..models import SessionSummary, WorkspaceSummary
    from .report import Report

    Cells = Mapping[str, "Text | Tail"]

STYLES: Mapping[str, str] = {
    Activity.IDLE: "yellow",
    Activity.BUSY: "green",
    Activity.STARTING: "cyan",
    Activity.DEAD: "red",
    Activity.NO_TIMESTAMP: "yellow",
}
OTHER_STYLE = "dim"
_LIFECYCLE_STYLES = {"ACTIVE": "green", "CREATING": "cyan", "UPDATING": "cyan", "FAILED": "red"}
_STEPS = (
    *(timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4), timedelta(hours=12)),
    *(timedelta(days=1), timedelta(days=3), timedelta(weeks=1), timedelta(weeks=4)),
)
_STEP_STYLES = ("", "green", "green", "yellow", "yellow", "dark_orange", "dark_orange", "red", "red")
_ALL = "All workspaces"
_OTHER = "other"
_BAR = "Bar"  # the column has no title of its own
_RIGHT_ALIGNED = frozenset({"Idle for", "Conn."})
_GIVING_WAY = ("Id", "Kernel", "Conn.", _BAR)  # an id is shown whole or not at all
_GAP = 2
_COMFORTABLE = 30
_SHRINKING = {"Session": 12, "Workspace": 6, "State": 4}
_UNBOUNDED = 100_000


@attrs.frozen
class Tail:
    """A cell that keeps the end of its text where room is short: a path's end tells more than its beginning."""

    plain: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text, mark = self.plain, "..." if options.ascii_only else "…"
        if cell_len(text) > options.max_width:
            while text and cell_len(text) + len(mark) > options.max_width:
                text = text[1:]
            text = mark + text
        yield Text(text, no_wrap=True)


def terminal() -> Console:
    """Standard output, for tables: text is shown as it is; on its way to a file or a pipe nothing is cut off."""
    console = Console(markup=False, emoji=False, highlight=False)
    if not sys.stdout.isatty():  # FORCE_COLOR asks for colours, not for 80 columns
        console.width = _UNBOUNDED
    return console


def print_report(report: Report, console: Console) -> None:
    """Print the kept sessions, those idle for longest first; then totals."""
    if report.kept:
        console.print(sessions_table(report.kept, report.now, console))
        console.print()
        console.print(_totals(report, console))
        console.print()
    console.print(report.summary(), style="bold", soft_wrap=True)


def print_workspaces(workspaces: Sequence[WorkspaceSummary], console: Console) -> None:
    """Print one row per workspace, by name, and how many there are."""
    if workspaces:
        console.print(_workspaces_table(workspaces, console.width))
        console.print()
    console.print(pluralize(len(workspaces), "workspace"), style="bold")


def sessions_table(
    sessions: Iterable[SessionSummary], now: datetime, console: Console, *, most: int | None = None
) -> Table:
    """One row per session, those idle for longest first, at most *most*; where it is narrow, columns give way."""
    ages = sorted(((idle_for(session, now), session) for session in sessions), key=lambda pair: by_idle_time(*pair))
    rows = [_cells(session, idle, ascii_only=console.options.ascii_only) for idle, session in ages[:most]]
    return _fitted(rows, console.width, _GIVING_WAY, _SHRINKING)


def _workspaces_table(workspaces: Iterable[WorkspaceSummary], room: int) -> Table:
    rows = [
        {
            "Key": _text(workspace.key),
            "Name": _text(workspace.display_name),
            "State": _text(workspace.lifecycle_state, _LIFECYCLE_STYLES.get(workspace.lifecycle_state, OTHER_STYLE)),
            "Type": _text(workspace.type),
            "Private network": _text("yes" if workspace.is_private_network_enabled else "no"),
            "Created": _text(f"{workspace.time_created:%Y-%m-%d}"),
        }
        for workspace in sorted(workspaces, key=lambda each: (each.display_name.casefold(), each.key))
    ]
    return _fitted(rows, room, ("Created", "Type", "Private network"), {"Name": 12, "Key": 6, "State": 4})


def facts_as_lines(facts: Mapping[str, str | None]) -> str:
    width = max(map(len, facts))
    return "\n".join(
        f"{name:<{width}}  {strip_control_chars(value)}" for name, value in facts.items() if value is not None
    )


def _plain_table() -> Table:
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")


def _fitted(rows: Sequence[Cells], room: int, giving_way: Iterable[str], shrinking: Mapping[str, int]) -> Table:
    """Lay *rows* out within *room*: columns go, in the order *giving_way*; what then is too wide gets shorter.

    *shrinking* says which columns may, in this order, and how much of each must be left; all others go if they are
    empty. There must be a row.
    """
    titles = [title for title in rows[0] if title in shrinking or any(row[title].plain for row in rows)]
    full = {title: max(len(title), *(cell_len(row[title].plain) for row in rows)) for title in titles}
    widths, first, room = dict(full), next(iter(shrinking)), room + _GAP  # there is no gap behind the last column
    for title in giving_way:
        if _taken(widths) <= room:
            break
        widths.pop(title, None)
        widths[first] = min(full[first], _COMFORTABLE)
    for title, least in shrinking.items():
        widths[title] = max(min(full[title], widths[title] + room - _taken(widths)), min(full[title], least))
    table = _plain_table()
    for title, width in widths.items():
        justify: JustifyMethod = "right" if title in _RIGHT_ALIGNED else "left"
        # Not `width`: older versions of rich add a blank to a last column whose width is given.
        table.add_column("" if title == _BAR else title, no_wrap=True, max_width=width, justify=justify)
    for row in rows:
        table.add_row(*(row[title] for title in widths))
    return table


def _taken(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + _GAP * len(widths)


def _cells(session: SessionSummary, idle: timedelta | None, *, ascii_only: bool) -> Cells:
    kernel = session.kernel
    connections = None if kernel is None else kernel.connections
    steps = 0 if idle is None else bisect_right(_STEPS, idle)
    return {
        "Workspace": _text(session.workspace_key),
        "Session": Tail(strip_control_chars(session_title(session))),
        "Kernel": _text(None if kernel is None else kernel.name),
        "State": _text(session_state(session), STYLES.get(activity_of(session), OTHER_STYLE)),
        "Idle for": _text(None if idle is None else format_duration(idle), _STEP_STYLES[steps]),
        _BAR: _text(("=" if ascii_only else "━") * steps, _STEP_STYLES[steps]),
        "Conn.": _text(None if connections is None else str(connections)),
        "Id": _text(session.id, "dim"),
    }


def _text(value: str | None, style: str = "") -> Text:
    return Text(strip_control_chars(value or ""), style)


def _totals(report: Report, console: Console) -> Table:
    """What the sessions are doing, for each workspace that a kept one came from, and for all that answered."""
    kept = Counter(session.workspace_key or "" for session in report.kept)
    everything = sum(report.seen.values(), Counter[Activity]())
    most_first = sorted(kept, key=lambda key: (-kept[key], key))
    rows = [(key, kept[key], report.seen.get(key, everything)) for key in most_first]
    if len(report.seen) > 1:
        rows.append((_ALL, kept.total(), everything))
    columns = {"Shown": [number for _, number, _ in rows]} if report.adjective else {}
    columns["Sessions"] = [seen.total() for _, _, seen in rows]
    columns |= {state: [seen[state] for _, _, seen in rows] for state in Activity if everything[state]}
    names = [_text(key) for key, _, _ in rows]
    columns = _side_by_side(columns, console.width - max(cell_len(name.plain) for name in names))
    table = _plain_table()
    table.add_column("Workspace", no_wrap=True)
    for title in columns:
        style = STYLES.get(title, OTHER_STYLE) if title in (*Activity, _OTHER) else ""
        table.add_column(title.replace("_", " "), justify="right", style=style, no_wrap=True)
    for name, *numbers in zip(names, *columns.values(), strict=True):
        table.add_row(name, *(str(number or "-") for number in numbers))
    if len(rows) > len(kept):
        table.rows[-1].style = "bold"
    return table


def _side_by_side(columns: dict[str, list[int]], room: int) -> dict[str, list[int]]:
    """Add the last columns up, as "other", until the rest finds room."""
    while len(columns) > 3 and _taken({title: max(len(title), len(str(n[-1]))) for title, n in columns.items()}) > room:
        (_, last), (_, before) = columns.popitem(), columns.popitem()
        columns[_OTHER] = [sum(pair) for pair in zip(before, last, strict=True)]
    return columns
