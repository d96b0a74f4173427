"""How the command words what was found: a table for people, JSON for programs; asks nothing and decides nothing."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import attrs
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from ._convert import to_wire
from ._words import age, count, printable, state_of, title_of
from .activity import Activity, activity_of, idle_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from rich.console import ConsoleOptions, RenderResult

    from .client import SessionsClient
    from .errors import AidpError
    from .models import SessionSummary

_STYLES = {
    Activity.IDLE: "yellow",
    Activity.BUSY: "green",
    Activity.STARTING: "cyan",
    Activity.DEAD: "red",
    Activity.NO_TIMESTAMP: "yellow",
}
_OTHER_STYLE = "dim"
_NOT_IDLE = timedelta(-1)
_SHORTEST_TITLE = 16
_NARROW = 70
_DISPENSABLE = ("Kernel", "Conn.")
_RIGHT_ALIGNED = ("Idle for", "Conn.")
_UNBOUNDED = 100_000


@attrs.define(kw_only=True)
class Report:
    """What one run of the command has seen so far.

    Attributes:
        now: idle times count up to here.
        adjective: what the kept sessions have in common, e.g. ``"idle"``; empty if all were kept.
        kept: the sessions to show.
        seen: sessions that came, kept or not.
        answered: workspaces that answered.
        failed: workspaces that did not.
    """

    now: datetime
    adjective: str = ""
    kept: list[SessionSummary] = attrs.field(factory=list["SessionSummary"])
    seen: int = 0
    answered: int = 0
    failed: int = 0

    def summary(self) -> str:
        """One line of totals, e.g. ``37 idle of 214 sessions in 11 workspaces; 1 workspace failed``."""
        kept = f"{len(self.kept)} {self.adjective} of " if self.adjective else ""
        text = f"{kept}{count(self.seen, 'session')} in {count(self.answered, 'workspace')}"
        return f"{text}; {count(self.failed, 'workspace')} failed" if self.failed else text


def json_object(session: SessionSummary) -> dict[str, object]:
    """Word the session as the service does, led by the workspace it came from."""
    return {"workspaceKey": session.workspace_key, **to_wire(session)}


def json_lines(sessions: Iterable[SessionSummary]) -> str:
    """One JSON object a line; ASCII only, so that it is safe for any terminal and locale."""
    return "".join(json.dumps(json_object(session)) + "\n" for session in sessions)


def json_array(sessions: Iterable[SessionSummary]) -> str:
    return json.dumps([json_object(session) for session in sessions], indent=2)


def print_table(report: Report, console: Console | None = None) -> None:
    """Print the kept sessions, those idle for longest first, and a line of totals.

    Fits the terminal; on its way to a file or a pipe nothing is cut off.
    """
    console = console or Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = _UNBOUNDED
    if report.kept:
        console.print(_table(report, narrow=console.width < _NARROW))
        console.print()
    console.print(report.summary(), style="bold", soft_wrap=True)


def _table(report: Report, *, narrow: bool) -> Table:
    """Lay the table out; on a *narrow* terminal the less telling columns give way."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    ages = [(idle_for(session, report.now), session) for session in report.kept]
    rows = [_cells(session, idle) for idle, session in sorted(ages, key=lambda pair: _order(*pair))]
    for title in rows[0]:
        if not (narrow and title in _DISPENSABLE):
            table.add_column(title, no_wrap=title != "Session", justify="right" if title in _RIGHT_ALIGNED else "left")
    for row in rows:
        table.add_row(*(row[str(column.header)] for column in table.columns))
    return table


@attrs.frozen
class _Tail:
    """A cell that keeps the end of its text where room is short: a path's end tells more than its beginning."""

    text: str

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        width = cell_len(self.text)
        return Measurement(min(width, _SHORTEST_TITLE), width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text = self.text
        if cell_len(text) > options.max_width:
            while text and cell_len(text) >= options.max_width:
                text = text[1:]
            text = "…" + text
        yield Text(text, no_wrap=True)


def _order(idle: timedelta | None, session: SessionSummary) -> tuple[timedelta, str, str]:
    return -(_NOT_IDLE if idle is None else idle), session.workspace_key or "", title_of(session)


def _cells(session: SessionSummary, idle: timedelta | None) -> dict[str, Text | _Tail]:
    kernel = session.kernel
    activity = activity_of(session)
    connections = None if kernel is None else kernel.connections
    return {
        "Workspace": _text(session.workspace_key),
        "Session": _Tail(printable(title_of(session))),
        "Kernel": _text(None if kernel is None else kernel.name),
        "State": _text(state_of(session), _STYLES.get(activity, _OTHER_STYLE)),
        "Idle for": _text(None if idle is None else age(idle)),
        "Conn.": _text(None if connections is None else str(connections)),
    }


def _text(value: str | None, style: str = "") -> Text:
    return Text(printable(value or ""), style)


def print_failure(error: AidpError) -> None:
    """Say on stderr, in one line, why a workspace or the whole run failed."""
    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    console.print(Text.assemble(("failed: ", "bold red"), printable(str(error))), soft_wrap=True)


def identity(client: SessionsClient, skew: timedelta | None) -> dict[str, str | None]:
    """Who signs and where requests go, as texts; nothing secret is among them."""
    signer = client.signer
    expires = getattr(signer, "expires_at", None)
    return {
        "signer": type(signer).__name__,
        "tenancy": getattr(signer, "tenancy", None),
        "user": getattr(signer, "user", None),
        "fingerprint": getattr(signer, "fingerprint", None),
        "region": getattr(signer, "region", None) or client.platform_id.split(".")[3] or None,
        "platform": client.platform_id,
        "endpoint": client.endpoint,
        "token expires": expires and expires.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "service's clock": None if skew is None else f"{round(skew.total_seconds()):+d} s from ours",
    }


def facts_as_lines(facts: Mapping[str, str | None]) -> str:
    width = max(map(len, facts))
    return "\n".join(f"{name:<{width}}  {printable(value)}" for name, value in facts.items() if value is not None)


def facts_as_json(facts: Mapping[str, str | None]) -> str:
    return json.dumps({name.replace("'s ", "_").replace(" ", "_"): value for name, value in facts.items()}, indent=2)
