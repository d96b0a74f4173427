"""The command ``clusters``: which clusters run, and which of them are used."""

from __future__ import annotations

import sys
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Unpack

import attrs
import click

from .._display.cluster_use import ClusterUse, Use, auto_stop_of, least_needed_first, use_of
from .._display.rollup import Usage, usage_by_cluster
from .._merge import Merge
from ..errors import AidpError, ResponseDecodeError
from ..models import WorkspaceRef
from . import cluster_formats, running, tables
from .lookup import list_each
from .options import CONNECTION_OPTIONS, WORKSPACE, ScopeOptions, ShapeOptions, add_options
from .output import writing_to
from .queries import open_client
from .report import error_console, print_failure
from .shaping import Rows, shape_options, shaped_format
from .statuses import Status, failure_status

if TYPE_CHECKING:
    from rich.console import Console

    from .._merge import Slot
    from ..client import SessionsClient
    from ..results import WorkspaceOutcome


class ClustersOptions(ScopeOptions, ShapeOptions):
    """The options of the command that shows clusters."""


@click.command()
@add_options(WORKSPACE, *shape_options(cluster_formats.COLUMNS), *CONNECTION_OPTIONS)
def clusters(**chosen: Unpack[ClustersOptions]) -> None:
    """Show the clusters, and which of those that run are not used.

    A cluster is idle if no kernel and no attached notebook on it is in use, and no agent is attached. Its idle time is
    that since the last of them was used. Clusters that are idle for the longest time come first.
    """
    output, console, survey = shaped_format(chosen, chosen["output"]), error_console(), Survey()
    status = running.run(survey.run(chosen, console), console)
    found = sorted(survey.found, key=least_needed_first)
    if not found and status:
        sys.exit(status)
    rows = Rows(
        items=found, columns=cluster_formats.COLUMNS, record=cluster_formats.record, document=cluster_formats.document
    )
    if output == "table":
        screen = tables.terminal()
        table = rows.table(chosen, screen.width, lambda uses: cluster_formats.fit_clusters(uses, screen.width))
        with writing_to("standard output"):
            cluster_formats.print_clusters(table, found, screen)
    else:
        rows.print(chosen, output)
    sys.exit(status)


@attrs.frozen
class Survey:
    """The clusters of many workspaces.

    Attributes:
        now: when the survey began; idle times are measured at that time.
    """

    now: datetime = attrs.field(factory=lambda: datetime.now(UTC))
    found: list[ClusterUse] = attrs.field(factory=list[ClusterUse])
    _failures: list[AidpError] = attrs.field(factory=list[AidpError])

    async def run(self, chosen: ScopeOptions, console: Console) -> int:
        """Ask every workspace; says on *console* what failed, and returns the exit status."""

        def fail(error: AidpError) -> None:
            self._failures.append(error)
            print_failure(error, console)

        read = 0
        async with open_client(chosen, self.now) as client:
            listing, reader = list_each(client, chosen["workspace"]), _Reader(client, self.now)
            async with aclosing(Merge(listing, reader.read, limit=client.access.max_concurrency)) as results:
                async for result in results:
                    if isinstance(result, AidpError):
                        fail(result)
                    else:
                        read += 1
                        self.found.extend(result)
        return failure_status(others=bool(read)) if self._failures else Status.DONE


@attrs.frozen
class _Reader:
    client: SessionsClient
    now: datetime

    async def read(self, outcome: WorkspaceOutcome | AidpError, slot: Slot[list[ClusterUse] | AidpError]) -> None:
        """Emit the clusters of a workspace, and each error."""
        if isinstance(outcome, AidpError):
            await slot.emit(outcome)
            return
        workspace = WorkspaceRef(outcome.workspace_key, outcome.workspace_name)
        usage = usage_by_cluster(outcome.sessions, self.now)
        found: list[ClusterUse] = []
        try:
            async for cluster in self.client.clusters(workspace.key):
                use = use_of(workspace, cluster, usage.get((workspace.key, cluster.key), Usage()), self.now)
                found.append(use if use.use is Use.STOPPED else await self._with_auto_stop(use, slot))
        except AidpError as error:
            await slot.emit(error)
        else:
            await slot.emit(found)

    async def _with_auto_stop(self, use: ClusterUse, slot: Slot[list[ClusterUse] | AidpError]) -> ClusterUse:
        """Read ``autoTerminationMinutes``, which the list of clusters does not have ("Get cluster")."""
        segments = {"workspaceKey": use.workspace.key, "clusterKey": use.cluster.key}
        try:
            response = await self.client.request("GET", "workspaces/{workspaceKey}/clusters/{clusterKey}", segments)
            return attrs.evolve(use, auto_stop=auto_stop_of(response.json()), has_auto_stop=True)
        except ValueError as error:
            text = f"cluster {use.cluster.key!r} of workspace {use.workspace.label!r} cannot be read: {error}"
            await slot.emit(ResponseDecodeError(text))
        except AidpError as error:
            await slot.emit(error)
        return use
