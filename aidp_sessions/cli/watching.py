"""The command ``watch``: lists the sessions again and again, and tells what changes and which workspaces fail."""

from __future__ import annotations

import sys
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Protocol, Unpack

import attrs
import click

from .._display.text import format_duration
from ..errors import AidpError
from ..events import CallEnded
from . import formats, running, tables
from .live import LineView, LiveView, change_line, show_live
from .options import (
    CONNECTED,
    CONNECTION_OPTIONS,
    EVERY,
    SELECTION_OPTIONS,
    add_options,
    output_format,
    output_option,
    since_option,
)
from .output import print_text
from .queries import client_options, listed_workspaces, open_client, open_stream
from .report import error_console
from .selection import names_of, select_workspaces
from .statuses import Status
from .wording import usage_errors

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from ..client import SessionsClient
    from ..events import Event
    from ..models import WorkspaceSummary
    from ..results import SessionChange
    from ..streams.stream import SessionStream
    from .options import SelectionOptions


@click.command()
@add_options(
    EVERY,
    since_option(required=False),
    CONNECTED,
    *SELECTION_OPTIONS,
    output_option("table", "jsonl"),
    *CONNECTION_OPTIONS,
)
def watch(
    *,
    every: timedelta,
    since: datetime | timedelta | None,
    connected: bool | None,
    **chosen: Unpack[SelectionOptions],
) -> None:
    """List the sessions repeatedly, and show what changes.

    Press Ctrl-C to end it; the exit status is then 130. On a terminal it shows the current sessions, the latest changes
    after the first listing, and when it last asked; otherwise it prints one line per change. With --since, a session
    appears when its kernel has been idle for that long, and vanishes when the kernel is used.
    """
    if since is None and connected is not None:
        raise click.UsageError("--connected and --not-connected need --since")

    def narrow(stream: SessionStream) -> SessionStream:
        return stream if since is None else stream.idle_since(since, connected=connected)

    console, as_table = error_console(), output_format(chosen, "table", "jsonl") == "table"
    follow = partial(watch_sessions, chosen, every, narrow)
    screen = tables.terminal()
    if as_table and sys.stdout.isatty() and not screen.is_dumb_terminal:
        work = show_live(follow, LiveView(title=_watch_title(every, since), clock=partial(datetime.now, UTC)), screen)
        if sys.stderr.isatty():
            console = screen  # which puts messages above the view
    else:
        work = follow(LineView(_print_change_line if as_table else _print_json_change, console))
    sys.exit(running.run(work, console))


def _print_change_line(change: SessionChange, at: datetime, workspace: str) -> None:
    print_text(change_line(change, at, workspace))


def _print_json_change(change: SessionChange, at: datetime, _: str) -> None:
    print_text(formats.json_change(change, at))


def _watch_title(every: timedelta, since: datetime | timedelta | None) -> str:
    if since is None:
        selected = "All sessions"
    elif isinstance(since, timedelta):
        selected = f"Idle for {format_duration(since)}"
    else:
        selected = f"Idle since {since:%Y-%m-%d %H:%M %Z}"
    return f"{selected}, every {format_duration(every)}"


class View(Protocol):
    """Receives when a workspace was listed, then its changes; and outages.

    *key* is the workspace, or ``None`` for the listing of workspaces; *error* is ``None`` when it has recovered.
    *names* are those of the watched workspaces, by key, as far as they are known.
    """

    def named(self, names: Mapping[str, str]) -> None: ...
    def listed(self, key: str, at: datetime) -> None: ...
    def changed(self, change: SessionChange, at: datetime) -> None: ...
    def outage(self, key: str | None, error: AidpError | None) -> None: ...


async def watch_sessions(
    options: SelectionOptions, every: timedelta, narrow: Callable[[SessionStream], SessionStream], view: View
) -> int:
    """List the sessions every *every*, and pass changes and outages to *view*.

    Returns only if the first listing fails: then it returns the exit status, and *view* has shown why.
    """
    outages = _Outages(view)
    async with open_client(options, datetime.now(UTC), **client_options(options, outages.on_event)) as client:
        selected = await select_workspaces(client, options["workspace"])
        view.named(names_of(selected or ()))
        workspaces = selected or _Discovery(client, outages)
        with usage_errors():
            changes = narrow(open_stream(client, options, workspaces)).watch(every)
        async with aclosing(changes):
            try:
                async for change in changes:
                    view.changed(change, datetime.now(UTC))
            except AidpError as error:
                if error is not outages.now.get(error.workspace_key):
                    raise
    return Status.NOTHING_READ


@attrs.frozen
class _Outages:
    """The workspaces that fail *now*, by key (``None``: the listing of workspaces); tells *view* when that changes."""

    view: View
    now: dict[str | None, AidpError] = attrs.field(factory=dict["str | None", AidpError])

    def on_event(self, event: Event) -> None:
        if not isinstance(event, CallEnded) or event.call.workspace_key is None:
            return
        if event.error is None or isinstance(event.error, AidpError):  # and not cancelled
            self.view.listed(event.call.workspace_key, datetime.now(UTC))
            self.record(event.call.workspace_key, event.error)

    def record(self, key: str | None, error: AidpError | None) -> None:
        if error is None and key in self.now:
            del self.now[key]
            self.view.outage(key, None)
        elif error is not None and key not in self.now:
            self.now[key] = error
            self.view.outage(key, error)


@attrs.frozen
class _Discovery:
    """All workspaces, once all are listed. The listing is one outage or none, although it takes several calls."""

    client: SessionsClient
    outages: _Outages

    async def __aiter__(self) -> AsyncGenerator[WorkspaceSummary]:
        try:
            listing = listed_workspaces(self.client, lambda error: self.outages.record(error.workspace_key, error))
            workspaces = [workspace async for workspace in listing]
        except AidpError as error:
            self.outages.record(None, error)
            raise
        self.outages.record(None, None)
        self.outages.view.named(names_of(workspaces))
        for workspace in workspaces:
            yield workspace
