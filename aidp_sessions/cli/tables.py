"""Results as tables, fitted to the width of the terminal."""

from __future__ import annotations

import errno
import sys
from bisect import bisect_right
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NoReturn, TypeVar

import attrs
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .._convert.wire_format import format_timestamp
from .._display.text import (
    by_idle_time,
    format_duration,
    names_in,
    pluralize,
    session_state,
    session_title,
    strip_control_chars,
    workspace_labels,
)
from ..activity import Activity, activity_of, idle_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import tzinfo

    from rich.console import ConsoleOptions, JustifyMethod, RenderResult

    from ..models import SessionSummary, WorkspaceSummary
    from .report import Report

    _Key = TypeVar("_Key", str, tuple[str, str])
    Cells = Mapping[str, "Text | LeftTruncated"]

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
TOTAL_ROW = "All workspaces"
_OTHER = "other"
_BAR = "Bar"  # this column is shown without a title
_RIGHT_ALIGNED = frozenset({"Idle for", "Conn.", "Sessions", "Idle", "Busy", "Other", "Longest idle", "Unused for"})
_TEXTS = ("path", "description", "name", "display_name", "workspace_name")
_IDENTIFIERS = ("agent_flow_key", "kernel_id", "cluster_id", "workspace_key", "key", "id")
_OFTEN_CONSTANT = ("Kernel", "State", "Conn.")
_DROP_ORDER = ("Id", "Kernel", "Conn.", _BAR)  # an id is never shortened
_GAP = 2
_PREFERRED_WIDTH = 30
_MIN_WIDTHS = {"Session": 12, "Workspace": 6, "State": 4}
_NO_LIMIT = 100_000
_EMOJI_STYLE = "\N{VARIATION SELECTOR-16}"  # may make the character before it one cell wider


@attrs.frozen
class LeftTruncated:
    """A cell that is shortened at its start: the end of a path matters more than its beginning."""

    plain: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text, mark = self.plain, "..." if options.ascii_only else "…"
        if cell_len(text) > options.max_width:
            text = mark + _last_cells(text, options.max_width - len(mark))
        yield Text(text, no_wrap=True)


def _last_cells(text: str, width: int) -> str:
    """The end of *text* that is at most *width* cells wide. It does not begin with a combining character."""
    start = len(text)
    for index in range(len(text) - 1, -1, -1):
        cells = 1 if text[index] == _EMOJI_STYLE else cell_len(text[index])
        width -= cells
        if width < 0:
            break
        if cells:
            start = index
    return text[start:]


class _Terminal(Console):
    def on_broken_pipe(self) -> NoReturn:
        """Fail as every other write does; rich would exit with status 1."""
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def terminal() -> Console:
    """Standard output, without rich's markup. A file or a pipe has no width limit, so that no text is cut off."""
    console = _Terminal(markup=False, emoji=False, highlight=False)
    if not sys.stdout.isatty():  # without this, FORCE_COLOR would limit the width to 80 columns
        console.width = _NO_LIMIT
    return console


def print_workspaces(table: Table | None, number: int, console: Console) -> None:
    """Print *table* and the *number* of all workspaces."""
    if table is not None:
        console.print(table)
        console.print()
    console.print(pluralize(number, "workspace"), style="bold")


def longest_idle_first(sessions: Iterable[SessionSummary], now: datetime) -> list[SessionSummary]:
    return sorted(sessions, key=lambda session: (*by_idle_time(idle_for(session, now), session), session.id or ""))


def fit_sessions(
    sessions: Iterable[SessionSummary], now: datetime, console: Console, labels: Mapping[str, str] | None = None
) -> Table:
    """The sessions in columns that fit *console*. *labels* are what the workspaces are called, by key."""
    rows = session_cells(list(sessions), now, console, labels)
    return fit_columns(rows, console.width, (*_constant(rows), *_DROP_ORDER), _MIN_WIDTHS)


def _constant(rows: Sequence[Cells]) -> list[str]:
    """The columns that say the same in every row, so that they can go first."""
    return [title for title in _OFTEN_CONSTANT if len(rows) > 1 and len({row[title].plain for row in rows}) == 1]


def fit_workspaces(workspaces: Iterable[WorkspaceSummary], room: int, zone: tzinfo | None = UTC) -> Table:
    rows = [
        {
            "Key": cell(workspace.key),
            "Name": cell(workspace.display_name),
            "State": cell(workspace.lifecycle_state, _LIFECYCLE_STYLES.get(workspace.lifecycle_state, OTHER_STYLE)),
            "Type": cell(workspace.type),
            "Private network": cell("yes" if workspace.is_private_network_enabled else "no"),
            "Created": cell(f"{workspace.time_created.astimezone(zone):%Y-%m-%d}"),
            "Created by": cell(workspace.created_by_name),
        }
        for workspace in workspaces
    ]
    drop_order = ("Created", "Type", "Private network", "Created by")
    return fit_columns(rows, room, drop_order, {"Name": 12, "Key": 6, "State": 4})


def fit_records(columns: Sequence[str], records: Iterable[Mapping[str, object]], room: int) -> Table:
    """The *columns* of *records*. Texts are shortened first, then identifiers; numbers, states and times are not."""
    rows = [{name: _record_cell(name, record[name]) for name in columns} for record in records]
    shortened = {**dict.fromkeys(_TEXTS, 12), **dict.fromkeys(_IDENTIFIERS, 8)}
    least = {name: width for name, width in shortened.items() if name in columns}
    return fit_columns(rows, room, (), least | {name: _NO_LIMIT for name in columns if name not in least})


def _record_cell(name: str, value: object) -> Text | LeftTruncated:
    text = "" if value is None else format_timestamp(value, "seconds") if isinstance(value, datetime) else str(value)
    return LeftTruncated(strip_control_chars(text)) if name == "path" else cell(text)


def facts_as_lines(facts: Mapping[str, str | None]) -> str:
    width = max(map(len, facts))
    known = {name: strip_control_chars(value) for name, value in facts.items() if value is not None}
    return "".join(f"{name:<{width}}  {value}\n" for name, value in known.items())


def _plain_table() -> Table:
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")


def fit_columns(rows: Sequence[Cells], room: int, drop_order: Iterable[str], min_widths: Mapping[str, int]) -> Table:
    """Build a table of *rows*, at least one, that is at most *room* wide.

    First drops columns in *drop_order*, then shortens those in *min_widths*, not below the width given there. All
    other columns are left out if they are empty.
    """
    titles = [title for title in rows[0] if title in min_widths or any(row[title].plain for row in rows)]
    full = {title: max(len(title), *(cell_len(row[title].plain) for row in rows)) for title in titles}
    widths, first, room = dict(full), next(iter(min_widths)), room + _GAP  # the last column has no gap behind it
    for title in drop_order:
        if _total_width(widths) <= room:
            break
        widths.pop(title, None)
        widths[first] = min(full[first], _PREFERRED_WIDTH)
    for title in [title for title in min_widths if title in widths]:
        least = min_widths[title]
        widths[title] = max(min(full[title], widths[title] + room - _total_width(widths)), min(full[title], least))
    table = _plain_table()
    for title, width in widths.items():
        justify: JustifyMethod = "right" if title in _RIGHT_ALIGNED else "left"
        # Not `width`: older versions of rich add a space to a last column whose width is given.
        table.add_column("" if title == _BAR else title, no_wrap=True, max_width=width, justify=justify)
    for row in rows:
        table.add_row(*(row[title] for title in widths))
    return table


def _total_width(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + _GAP * len(widths)


def session_cells(
    sessions: Sequence[SessionSummary], now: datetime, console: Console, labels: Mapping[str, str] | None = None
) -> list[Cells]:
    """The cells of each session, by column. *labels* are what the workspaces are called, by key."""
    labels, ascii_only = labels or workspace_labels(names_in(sessions)), console.options.ascii_only
    return [_cells(session, idle_for(session, now), labels, ascii_only=ascii_only) for session in sessions]


def _cells(session: SessionSummary, idle: timedelta | None, labels: Mapping[str, str], *, ascii_only: bool) -> Cells:
    kernel = session.kernel
    connections = None if kernel is None else kernel.connections
    steps = 0 if idle is None else bisect_right(_STEPS, idle)
    return {
        "Workspace": cell(labels[session.workspace_key]),
        "Session": LeftTruncated(strip_control_chars(session_title(session))),
        "Kernel": cell(None if kernel is None else kernel.name),
        "State": cell(session_state(session), STYLES.get(activity_of(session), OTHER_STYLE)),
        "Idle for": cell(None if idle is None else format_duration(idle), _STEP_STYLES[steps]),
        _BAR: cell(("=" if ascii_only else "━") * steps, _STEP_STYLES[steps]),
        "Conn.": cell(None if connections is None else str(connections)),
        "Id": cell(session.id, "dim"),
    }


def cell(value: str | None, style: str = "") -> Text:
    return Text(strip_control_chars(value or ""), style)


def totals(report: Report, console: Console) -> Table:
    """Sessions by activity, for each workspace that has kept sessions, and for all workspaces together."""
    kept = Counter(session.workspace_key for session in report.kept)
    everything = sum(report.seen.values(), Counter[Activity]())
    labels = report.labels
    keys = sorted(kept, key=lambda key: (-kept[key], labels[key]))
    rows = [(labels[key], kept[key], report.seen.get(key, everything)) for key in keys]
    if len(report.seen) > 1:
        rows.append((TOTAL_ROW, kept.total(), everything))
    columns = {"Shown": [number for _, number, _ in rows]} if report.adjective else {}
    columns["Sessions"] = [seen.total() for _, _, seen in rows]
    columns |= {state: [seen[state] for _, _, seen in rows] for state in Activity if everything[state]}
    table = number_table({"Workspace": [name for name, _, _ in rows]}, columns, console.width)
    if len(rows) > len(kept):
        table.rows[-1].style = "bold"
    return table


def most_first(counts: Mapping[_Key, int]) -> list[_Key]:
    return sorted(counts, key=lambda key: (-counts[key], key))


def number_table(names: Mapping[str, Sequence[str]], columns: dict[str, list[int]], room: int) -> Table:
    """A table of *names* and numbers, with trailing columns merged until it fits."""
    texts = [[cell(name) for name in column] for column in names.values()]
    columns = _collapse_columns(
        columns, room - sum(max(cell_len(name.plain) for name in column) for column in texts) - _GAP * (len(texts) - 1)
    )
    table = _plain_table()
    for title in names:
        table.add_column(title, no_wrap=True)
    for title in columns:
        style = "" if title[0].isupper() else STYLES.get(title, OTHER_STYLE)
        table.add_column(title.replace("_", " "), justify="right", style=style, no_wrap=True)
    for row in zip(*texts, *columns.values(), strict=True):
        table.add_row(*(value if isinstance(value, Text) else str(value or "-") for value in row))
    return table


def _collapse_columns(columns: dict[str, list[int]], room: int) -> dict[str, list[int]]:
    """Merge trailing columns into "other" until the table fits; without it if it would repeat another column."""
    while (
        len(columns) > 3
        and _total_width({title: max(len(title), len(str(n[-1]))) for title, n in columns.items()}) > room
    ):
        (_, last), (_, before) = columns.popitem(), columns.popitem()
        columns[_OTHER] = [sum(pair) for pair in zip(before, last, strict=True)]
    numbers = [values for title, values in columns.items() if title != _OTHER]
    return {title: values for title, values in columns.items() if title != _OTHER or values not in numbers}
