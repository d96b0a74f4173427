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
from .._display.text import pluralize, session_state, session_title, strip_control_chars, workspace_labels
from .report import print_failure, print_message
from .running import background_task
from .tables import fit_sessions, longest_idle_first

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
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


class _Labels:
    """What the workspaces are called, as far as their names are known by now."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self.by_key: Mapping[str, str] = {}

    def add(self, names: Mapping[str, str]) -> None:
        if not names.items() <= self._names.items():
            self._names |= names
            self.by_key = workspace_labels(self._names.items())

    def of(self, session: SessionSummary) -> str:
        """The label of its workspace, which may be one that is listed no longer."""
        if session.workspace_key not in self.by_key:
            self.add({session.workspace_key: session.workspace_name})
        return self.by_key[session.workspace_key]


@attrs.frozen
class LineView:
    """Passes each change, with the label of its workspace, to *write*.

    Prints a line on *console* when a workspace starts to fail, and when it recovers.
    """

    write: Callable[[SessionChange, datetime, str], None]
    console: Console
    _labels: _Labels = attrs.field(factory=_Labels, init=False)

    def named(self, names: Mapping[str, str]) -> None:
        self._labels.add(names)

    def listed(self, key: str, at: datetime) -> None:
        pass

    def changed(self, change: SessionChange, at: datetime) -> None:
        self.write(change, at, self._labels.of(change.session))

    def outage(self, key: str | None, error: AidpError | None) -> None:
        if error is not None:
            print_failure(error, self.console)
        else:
            name = "the listing of workspaces" if key is None else self._labels.by_key.get(key, key)
            print_message(self.console, "answers again", "bold green", name)


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
    _labels: _Labels = attrs.field(factory=_Labels, init=False)

    def named(self, names: Mapping[str, str]) -> None:
        self._labels.add(names)

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
        text = _change_text(change, self._labels.of(session))
        if not self._is_first_round:
            self._changes.append(_one_line((f"{_local_time(at)}  ", "dim")) + text)

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
            yield fit_sessions(
                longest_idle_first(self._selected.values(), now)[:room], now, console, self._labels.by_key
            )
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


def change_line(change: SessionChange, at: datetime, workspace: str) -> str:
    """``2026-11-23T08:00:00Z  changed   busy → idle  Churn  Workspace/uplift.ipynb``."""
    return f"{format_timestamp(at, 'seconds')}  {_change_text(change, workspace)}\n"


def _local_time(moment: datetime) -> str:
    return f"{moment.astimezone():%H:%M:%S %Z}"


def _change_text(change: SessionChange, workspace: str) -> Text:
    session, state = change.session, session_state(change.session)
    if change.kind == "changed" and change.previous is not None and session_state(change.previous) != state:
        state = f"{session_state(change.previous)} → {state}"
    words = (strip_control_chars(word) for word in (state, workspace, session_title(session)))
    return _one_line((f"{change.kind:<8}", _KIND_STYLES[change.kind]), *(f"  {word}" for word in words))


def _one_line(*parts: str | tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")
