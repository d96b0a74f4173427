"""What the command asks: every workspace once, again and again, or who we are. Lays out nothing."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol, Unpack

import attrs
import click

from .._api import can_hold_sessions
from .._display.text import strip_control_chars
from .._operations.messages import clock_skew
from ..client import SessionsClient
from ..errors import AidpError
from ..events import CallEnded
from .report import identity, print_failure
from .running import beside

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator

    from rich.console import Console

    from .._options import Options
    from ..events import Event, Listener
    from ..models import SessionSummary, WorkspaceSummary
    from ..results import SessionChange
    from ..streams.stream import SessionStream
    from ..testing.service import LocalService
    from .options import Identity, Selection
    from .progress import Bar
    from .report import Report


async def survey(
    options: Selection,
    report: Report,
    keep: Callable[[SessionSummary], bool],
    emit: Callable[[list[SessionSummary]], None],
    *,
    console: Console,
    bar: Bar | None,
) -> None:
    """Ask every workspace once: note in *report* what comes, *emit* what to keep, print failures to *console*."""
    async with client_of(options, report.now, **_chosen(options, None if bar is None else bar.on_event)) as client:
        ahead = None if bar is None or options["workspace"] else _keys_ahead(client, bar.expect)
        async with aclosing(stream_of(client, options, ahead).by_workspace()) as outcomes:
            try:
                async for outcome in outcomes:
                    if outcome.error is not None:
                        print_failure(outcome.error, console)
                    emit(report.note(outcome, keep))
            except AidpError as error:
                report.unlisted = error
                raise


async def follow(
    options: Selection, every: timedelta, narrow: Callable[[SessionStream], SessionStream], view: View
) -> int:
    """Look *every* so often, and tell *view* of each change and each outage.

    Ends only if the first look fails: then it returns 1, and *view* knows why.
    """
    outages = _Outages(view)
    async with client_of(options, datetime.now(UTC), **_chosen(options, outages.on_event)) as client:
        keys = None if options["workspace"] else _Discovery(client, outages)
        with misuse():
            changes = narrow(stream_of(client, options, keys)).watch(every)
        async with aclosing(changes):
            try:
                async for change in changes:
                    view.changed(change, datetime.now(UTC))
            except AidpError as error:
                if error is not outages.now.get(error.workspace_key):
                    raise
    return 1


@attrs.frozen
class _Outages:
    """Who does not answer *now*, by key (``None``: the listing of workspaces); *view* is told when that changes."""

    view: View
    now: dict[str | None, AidpError] = attrs.field(factory=dict["str | None", AidpError])

    def on_event(self, event: Event) -> None:
        if not isinstance(event, CallEnded) or event.call.workspace_key is None:
            return
        if event.error is None or isinstance(event.error, AidpError):  # and not cancelled
            self.note(event.call.workspace_key, event.error)

    def note(self, key: str | None, error: AidpError | None) -> None:
        if error is None and key in self.now:
            del self.now[key]
            self.view.outage(key, None)
        elif error is not None and key not in self.now:
            self.now[key] = error
            self.view.outage(key, error)


@attrs.frozen
class _Discovery:
    """The keys that a stream would find by itself. Listing them takes several calls; what counts is how it ends."""

    client: SessionsClient
    outages: _Outages

    async def __aiter__(self) -> AsyncGenerator[str]:
        try:
            async for workspace in self.client.workspaces():
                if can_hold_sessions(workspace):
                    yield workspace.key
        except AidpError as error:
            self.outages.note(None, error)
            raise
        self.outages.note(None, None)


async def _keys_ahead(client: SessionsClient, expect: Callable[[int], None]) -> AsyncGenerator[str]:
    """The keys that a stream would find by itself, but listed at once, so that their number is soon known."""
    keys: asyncio.Queue[str | None] = asyncio.Queue()

    async def list_all() -> None:
        found = 0
        try:
            async for workspace in client.workspaces():
                if can_hold_sessions(workspace):
                    found += 1
                    keys.put_nowait(workspace.key)
            expect(found)
        finally:
            keys.put_nowait(None)

    async with beside(list_all()) as listing:
        while (key := await keys.get()) is not None:
            yield key
        await listing


async def list_workspaces(
    options: Identity, found: Callable[[WorkspaceSummary], None], *, name_contains: str | None, state: str | None
) -> None:
    """Tell *found* of every workspace whose name contains *name_contains* and that is in *state*."""
    async with client_of(options, datetime.now(UTC)) as client:
        async for workspace in client.workspaces(display_name_contains=name_contains, lifecycle_state=state):
            found(workspace)


async def who(options: Identity, show: Callable[[dict[str, str | None]], None]) -> None:
    """Ask once, and *show* who signs and where requests go, also if the service refuses; then that is raised."""
    async with client_of(options, datetime.now(UTC)) as client:
        try:
            skew = await client.clock_skew()
        except AidpError as error:
            seconds = clock_skew(error.headers, time.time())
            show(identity(client, None if seconds is None else timedelta(seconds=seconds)))
            raise
        show(identity(client, skew))


def _chosen(options: Selection, listener: Listener | None) -> Options:
    chosen: Options = {"on_event": listener}
    if options["max_concurrency"] is not None:
        chosen["max_concurrency"] = options["max_concurrency"]
    return chosen


_NOT_WITH_DEMO = ("instance_id", "profile", "config_file", "auth", "region", "endpoint")


@contextmanager
def misuse() -> Generator[None]:
    """Turn what the client calls a wrong argument into wrong usage of the command."""
    try:
        yield
    except ValueError as error:
        raise click.UsageError(strip_control_chars(str(error))) from None


@asynccontextmanager
async def client_of(options: Identity, now: datetime, **more: Unpack[Options]) -> AsyncGenerator[SessionsClient]:
    """The client that *options* describe, closed in the end; *more* are further options of its constructor."""
    if options["demo"]:
        async with _demo(options, now) as service, service.client(**more) as client:
            yield client
        return
    with misuse():
        client = SessionsClient.from_config(
            options["instance_id"],
            profile=options["profile"],
            config_file=options["config_file"],
            auth=options["auth"],
            region=options["region"],
            endpoint=options["endpoint"],
            **more,
        )
    async with client:
        yield client


@asynccontextmanager
async def _demo(options: Identity, now: datetime) -> AsyncGenerator[LocalService]:
    from ..testing import LocalService  # noqa: PLC0415  # no other option needs a server
    from ..testing.demo import populate_demo, stir_demo  # noqa: PLC0415

    for name in _NOT_WITH_DEMO:
        if options.get(name) is not None:
            raise click.UsageError(f"--demo has a platform of its own; leave out --{name.replace('_', '-')}")
    async with LocalService() as service, beside(stir_demo(service, populate_demo(service, now=now))):
        yield service


def stream_of(client: SessionsClient, options: Selection, keys: AsyncIterable[str] | None = None) -> SessionStream:
    """The sessions that *options* ask for, of the workspaces *keys* if they are given."""
    with misuse():
        return client.sessions(
            keys or options["workspace"] or None,
            path=options["path"],
            cluster_id=options["cluster_id"],
            agent_flow_key=options["agent_flow_key"],
        )


class View(Protocol):
    """Whom a watch tells what changed; that workspace *key*, or (``None``) their listing, fails, or does no longer."""

    def changed(self, change: SessionChange, at: datetime) -> None: ...
    def outage(self, key: str | None, error: AidpError | None) -> None: ...
