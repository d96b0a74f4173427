"""Lists the clusters of many workspaces, a few workspaces at a time."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from .._merge import FromIterable, Merge
from ..errors import AidpError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from .._merge import Slot
    from ..client import SessionsClient
    from ..models import ClusterSummary

_MAX_CONCURRENCY = 8


async def clusters_by_workspace(
    client: SessionsClient, workspaces: Iterable[str]
) -> AsyncGenerator[tuple[str, list[ClusterSummary] | AidpError]]:
    """Yield each workspace with all its clusters, or with the error of their listing, as they come."""

    async def read(workspace: str, slot: Slot[tuple[str, list[ClusterSummary] | AidpError]]) -> None:
        try:
            await slot.emit((workspace, [cluster async for cluster in client.clusters(workspace)]))
        except AidpError as error:
            await slot.emit((workspace, error))

    async with aclosing(Merge(FromIterable(workspaces), read, limit=_MAX_CONCURRENCY)) as listings:
        async for listing in listings:
            yield listing
