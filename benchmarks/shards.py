"""Uses more than one core: shards of workspaces on a `dask.distributed` cluster. Sends no key, signer or client.

Each worker builds one client from plain configuration and asks on its own event loop; several shards at a time, so
that others fill the slots that the end of one leaves free. `benchmarks.sharded` measures what is gained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import attrs
from distributed import WorkerPlugin, as_completed, get_worker

from aidp_sessions import SessionsClient

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from datetime import datetime

    from distributed import Client, Worker

    from aidp_sessions import WorkspaceOutcome

SHARDS_AT_A_TIME = 4
"""Per worker, as its ``nthreads``; coroutines share the worker's event loop."""


class Sessions(WorkerPlugin):
    """One client per worker process, closed with it; *options* are those of `SessionsClient.from_config`."""

    name = "sessions"

    def __init__(self, **options: object) -> None:
        self.options = options

    async def setup(self, worker: Worker) -> None:  # noqa: ARG002  # dask passes it by name
        self.client = SessionsClient.from_config(**self.options)  # type: ignore[arg-type]  # checked there

    async def teardown(self, worker: Worker) -> None:  # noqa: ARG002  # dask passes it by name
        await self.client.aclose()


@attrs.frozen
class Shard:
    """What one task returns, in one piece: of a bare list, dask would pickle and frame each element by itself."""

    outcomes: list[WorkspaceOutcome]


async def ask(workspaces: Sequence[str], since: datetime) -> Shard:
    """Runs on a worker, which returns idle sessions only."""
    client = cast("Sessions", get_worker().plugins[Sessions.name]).client
    outcomes = client.sessions(workspaces).idle_since(since).by_workspace()
    return Shard([outcome async for outcome in outcomes if outcome.sessions or outcome.error])


async def idle_since(
    cluster: Client, workspaces: Sequence[str], since: datetime, *, size: int = 100
) -> AsyncGenerator[WorkspaceOutcome]:
    """The workspaces with idle sessions and those that failed, as their shards of *size* complete."""
    shards = [workspaces[start : start + size] for start in range(0, len(workspaces), size)]
    futures = cluster.map(ask, shards, since=since, pure=False)
    async for _, shard in as_completed(futures, with_results=True):  # type: ignore[no-untyped-call]
        for outcome in shard.outcomes:
            yield outcome
