"""The output of ``watch``: a live view on a terminal, otherwise one line per change."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

import attrs
from rich.live import Live
from rich.text import Text

from .._convert.wire_format import format_timestamp
from .._display.text import pluralize, session_state, session_title, strip_control_chars
from .report import print_failure, print_message
from .running import background_task
from .tables import fit_sessions, longest_idle_first

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from datetime import datetime

    from rich.console import Console, ConsoleOptions, RenderResult

    from ..errors import AidpError
    from ..models import SessionSummary
    from ..results import SessionChange

_KIND_STYLES = {"appeared": "green", "changed": "", "vanished": "dim"}
_MAX_CHANGES = 6
_MAX_OUTAGES = 3
_MIN_ROWS = 3
_FIXED_LINES = 7  # lines of the live view that are neither sessions nor changes
_REFRESH_S = 1.0


@attrs.frozen
class LineView:
    """Passes changes to *write*; prints a line on *console* when a workspace starts to fail, and when it recovers."""

    write: Callable[[SessionChange, datetime], None]
    console: Console

    def listed(self, key: str, at: datetime) -> None:
        pass

    def changed(self, change: SessionChange, at: datetime) -> None:
        self.write(change, at)

    def outage(self, key: str | None, error: AidpError | None) -> None:
        if error is not None:
            print_failure(error, self.console)
        else:
            print_message(self.console, "answers again", "bold green", key or "the listing of workspaces")


@attrs.define(kw_only=True)
class LiveView:
    """The current sessions, the latest changes after the first round, and the workspaces that fail.

    Attributes:
        title: describes what is watched.
        clock: returns the current time, for the idle times.
    """

    title: str
    clock: Callable[[], datetime]
    _selected: dict[tuple[str, str], SessionSummary] = attrs.field(
        factory=dict["tuple[str, str]", "SessionSummary"], init=False
    )
    _changes: deque[Text] = attrs.field(factory=lambda: deque(maxlen=_MAX_CHANGES), init=False)
    _failing: dict[str | None, AidpError] = attrs.field(factory=dict["str | None", "AidpError"], init=False)
    _listed: set[str] = attrs.field(factory=set[str], init=False)
    _is_first_round: bool = attrs.field(default=False, init=False)
    _asked_at: datetime | None = attrs.field(default=None, init=False)

    def listed(self, key: str, at: datetime) -> None:
        self._is_first_round = key not in self._listed and (self._is_first_round or not self._listed)
        self._listed.add(key)
        self._asked_at = at

    def changed(self, change: SessionChange, at: datetime) -> None:
        session = change.session
        key = (session.workspace_key, session.id or session_title(session))
        if change.kind == "vanished":
            self._selected.pop(key, None)
        else:
            self._selected[key] = session
        if not self._is_first_round:
            self._changes.append(_one_line((f"{_local_time(at)}  ", "dim")) + _change_text(change))

    def outage(self, key: str | None, error: AidpError | None) -> None:
        if error is not None:
            self._failing[key] = error
        else:
            self._failing.pop(key, None)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        below = [*self._outages(), *self._changes]
        room = max(_MIN_ROWS, console.height - len(below) - _FIXED_LINES)
        asked = "" if self._asked_at is None else f" · asked at {_local_time(self._asked_at)}"
        yield _one_line((f"{self.title} · {pluralize(len(self._selected), 'session')}{asked}", "bold"))
        yield ""
        if self._selected:
            now = self.clock()
            yield fit_sessions(longest_idle_first(self._selected.values(), now)[:room], now, console)
            if (rest := len(self._selected) - room) > 0:
                yield _one_line((f"… and {rest} more", "dim"))
            yield ""
        yield from below

    def _outages(self) -> Iterator[Text]:
        for error in islice(self._failing.values(), _MAX_OUTAGES):
            yield _one_line(("failed: ", "bold red"), strip_control_chars(str(error)))
        if len(self._failing) > _MAX_OUTAGES:
            yield _one_line((f"… and {len(self._failing) - _MAX_OUTAGES} more failed", "red"))


async def show_live(watch: Callable[[LiveView], Awaitable[int]], view: LiveView, console: Console) -> int:
    """Run *watch*, and show *view* on the terminal *console* meanwhile; its last state stays there."""

    async def redraw() -> None:
        while True:
            await asyncio.sleep(_REFRESH_S)
            live.refresh()

    with Live(view, console=console, auto_refresh=False) as live:
        async with background_task(redraw()):
            return await watch(view)


def change_line(change: SessionChange, at: datetime) -> str:
    """``2026-11-23T08:00:00Z  changed   busy → idle  Churn  Workspace/uplift.ipynb``."""
    return f"{format_timestamp(at, 'seconds')}  {_change_text(change)}\n"


def _local_time(moment: datetime) -> str:
    return f"{moment.astimezone():%H:%M:%S %Z}"


def _change_text(change: SessionChange) -> Text:
    session, state = change.session, session_state(change.session)
    if change.kind == "changed" and change.previous is not None and session_state(change.previous) != state:
        state = f"{session_state(change.previous)} → {state}"
    workspace = session.workspace_name or session.workspace_key
    words = (strip_control_chars(word) for word in (state, workspace, session_title(session)))
    return _one_line((f"{change.kind:<8}", _KIND_STYLES[change.kind]), *(f"  {word}" for word in words))


def _one_line(*parts: str | tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")
