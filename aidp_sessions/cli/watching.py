"""The requests of ``watch``: the sessions again and again, and the workspaces that fail meanwhile."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import attrs

from ..errors import AidpError
from ..events import CallEnded
from .queries import client_options, listed_keys, open_client, open_stream, usage_errors
from .statuses import Status

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from ..client import SessionsClient
    from ..events import Event
    from ..results import SessionChange
    from ..streams.stream import SessionStream
    from .options import SelectionOptions


class View(Protocol):
    """Receives the changes and outages of a watch.

    *key* is the workspace, or ``None`` for the listing of workspaces; *error* is ``None`` when it has recovered.
    """

    def changed(self, change: SessionChange, at: datetime) -> None: ...
    def outage(self, key: str | None, error: AidpError | None) -> None: ...


async def watch(
    options: SelectionOptions, every: timedelta, narrow: Callable[[SessionStream], SessionStream], view: View
) -> int:
    """List the sessions every *every*, and pass changes and outages to *view*.

    Returns only if the first listing fails: then it returns the exit status, and *view* has shown why.
    """
    outages = _Outages(view)
    async with open_client(options, datetime.now(UTC), **client_options(options, outages.on_event)) as client:
        keys = None if options["workspace"] else _Discovery(client, outages)
        with usage_errors():
            changes = narrow(open_stream(client, options, keys)).watch(every)
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
    """The keys of all workspaces. The listing is one outage or none, although it takes several calls."""

    client: SessionsClient
    outages: _Outages

    async def __aiter__(self) -> AsyncGenerator[str]:
        try:
            async for key in listed_keys(self.client, lambda error: self.outages.record(error.workspace_key, error)):
                yield key
        except AidpError as error:
            self.outages.record(None, error)
            raise
        self.outages.record(None, None)
