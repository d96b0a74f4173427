"""Finds sessions by their ids, with the other sessions of their kernels."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import attrs

from ..culling.named import NamedKernel, named_kernels
from ..errors import AidpError
from .options import ScopeOptions
from .queries import open_client
from .report import print_failure, print_message
from .selection import select_workspaces
from .statuses import Status, failure_status
from .wording import usage_errors

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from rich.console import Console

    from ..client import SessionsClient
    from ..results import WorkspaceOutcome


class NamedOptions(ScopeOptions):
    """The options of the commands that are given the ids of sessions."""

    sessions: tuple[str, ...]


@attrs.define
class Lookup:
    """What was found of the sessions that are named.

    Attributes:
        now: when the search began.
        kernels: the kernels of the sessions, by workspace.
        platform_id: OCID of the AI Data Platform that was asked.
    """

    now: datetime = attrs.field(factory=lambda: datetime.now(UTC))
    kernels: list[NamedKernel] = attrs.field(factory=list[NamedKernel])
    platform_id: str = ""

    async def run(self, chosen: NamedOptions, console: Console) -> int:
        """List the workspaces. Says on *console* what failed and what is missing, and returns the exit status."""
        read = failed = 0
        async with open_client(chosen, self.now) as client:
            self.platform_id = client.platform_id
            async with aclosing(list_each(client, chosen["workspace"])) as outcomes:
                async for outcome in outcomes:
                    if isinstance(outcome, AidpError):
                        failed += 1
                        print_failure(outcome, console)
                    else:
                        read += 1
                        key, sessions = outcome.workspace_key, outcome.sessions
                        self.kernels.extend(named_kernels(sessions, key, chosen["sessions"]))
        self.kernels.sort(key=lambda kernel: (kernel.workspace_key, kernel.kernel_id or ""))
        found = {name for kernel in self.kernels for name in kernel.names}
        missing = [name for name in dict.fromkeys(chosen["sessions"]) if name not in found]
        for name in missing:
            print_message(console, "failed", "bold red", f"session {name!r} was not found")
        return failure_status(others=bool(read)) if failed or missing else Status.DONE


async def list_each(client: SessionsClient, named: tuple[str, ...]) -> AsyncGenerator[WorkspaceOutcome | AidpError]:
    """The sessions of each workspace that is *named*, by default of all, or the error that took their place."""
    workspaces = await select_workspaces(client, named)
    with usage_errors():
        listing = client.sessions(workspaces).by_workspace()
    async with aclosing(listing):
        try:
            async for outcome in listing:
                yield outcome if outcome.error is None else outcome.error
        except AidpError as error:  # the listing of workspaces failed
            yield error
