"""What ``watch`` shows: a board that is redrawn on a terminal, a line per change elsewhere. Asks nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

import attrs
from rich.live import Live
from rich.text import Text

from .._display.text import pluralize, session_state, session_title, strip_control_chars
from .report import print_failure
from .running import beside
from .tables import sessions_table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from datetime import datetime

    from rich.console import Console, ConsoleOptions, RenderResult

    from ..errors import AidpError
    from ..models import SessionSummary
    from ..results import SessionChange
    from .queries import View

_KIND_STYLES = {"appeared": "green", "changed": "", "vanished": "dim"}
_LATEST = 6
_OUTAGES = 3
_FEWEST = 3
_AROUND = 7  # lines that are neither sessions nor changes
_REDRAWN_EVERY = 1.0


@attrs.frozen
class Lines:
    """A line per change by way of *write*, and one on *console* when a workspace stops answering, or answers again."""

    write: Callable[[SessionChange, datetime], None]
    console: Console

    def changed(self, change: SessionChange, at: datetime) -> None:
        self.write(change, at)

    def outage(self, key: str | None, error: AidpError | None) -> None:
        if error is not None:
            print_failure(error, self.console)
        else:
            self.console.print(Text.assemble(("answers again: ", "bold green"), _called(key)), soft_wrap=True)


@attrs.define(kw_only=True)
class Board:
    """The selection as it is, the latest changes, and who does not answer.

    Attributes:
        title: says what is watched.
        clock: says up to when idle times count, at each drawing.
    """

    title: str
    clock: Callable[[], datetime]
    _selected: dict[tuple[str | None, str], SessionSummary] = attrs.field(
        factory=dict["tuple[str | None, str]", "SessionSummary"], init=False
    )
    _changes: deque[Text] = attrs.field(factory=lambda: deque(maxlen=_LATEST), init=False)
    _silent: dict[str | None, AidpError] = attrs.field(factory=dict["str | None", "AidpError"], init=False)

    def changed(self, change: SessionChange, at: datetime) -> None:
        session = change.session
        key = (session.workspace_key, session.id or session_title(session))
        if change.kind == "vanished":
            self._selected.pop(key, None)
        else:
            self._selected[key] = session
        self._changes.append(_line((f"{at.astimezone():%H:%M:%S}  ", "dim")) + _change(change))

    def outage(self, key: str | None, error: AidpError | None) -> None:
        if error is not None:
            self._silent[key] = error
        else:
            self._silent.pop(key, None)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        below = [*self._outages(), *self._changes]
        room = max(_FEWEST, console.height - len(below) - _AROUND)
        yield _line((f"{self.title} · {pluralize(len(self._selected), 'session')}", "bold"))
        yield ""
        if self._selected:
            yield sessions_table(self._selected.values(), self.clock(), console, most=room)
            if (rest := len(self._selected) - room) > 0:
                yield _line((f"… and {rest} more", "dim"))
            yield ""
        yield from below

    def _outages(self) -> Iterator[Text]:
        for error in islice(self._silent.values(), _OUTAGES):
            yield _line(("failed: ", "bold red"), strip_control_chars(str(error)))
        if len(self._silent) > _OUTAGES:
            yield _line((f"… and {len(self._silent) - _OUTAGES} more failed", "red"))


async def drawn(follow: Callable[[View], Awaitable[int]], board: Board, console: Console) -> int:
    """Let *follow* fill *board*, and keep that up to date on *console*, a terminal; its last state stays there."""

    async def redraw() -> None:
        while True:
            await asyncio.sleep(_REDRAWN_EVERY)
            live.refresh()

    with Live(board, console=console, auto_refresh=False) as live:
        async with beside(redraw()):
            return await follow(board)


def change_line(change: SessionChange, at: datetime) -> str:
    """``2026-11-23T08:00:00Z  changed   busy → idle  churn  Workspace/uplift.ipynb``."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}  {_change(change)}"


def _change(change: SessionChange) -> Text:
    session, state = change.session, session_state(change.session)
    if change.kind == "changed" and change.previous is not None and session_state(change.previous) != state:
        state = f"{session_state(change.previous)} → {state}"
    words = (strip_control_chars(word) for word in (state, session.workspace_key or "", session_title(session)))
    return _line((f"{change.kind:<8}", _KIND_STYLES[change.kind]), *(f"  {word}" for word in words))


def _called(key: str | None) -> str:
    return "the listing of workspaces" if key is None else strip_control_chars(key)


def _line(*parts: str | tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")
