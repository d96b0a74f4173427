"""The requests of each subcommand, and the client that the options describe."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Unpack

import attrs
import click
from click.core import ParameterSource

from .._api import can_hold_sessions, check_listed_key
from ..client import SessionsClient
from ..culling.access import Access
from ..errors import AidpError
from ..models import WorkspaceSummary
from ..policies import Timeout
from ..streams.keys import ref_of
from .cluster_listing import clusters_by_workspace
from .report import print_failure, print_message, source_facts
from .running import background_task
from .selection import select_workspaces
from .wording import usage_errors

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable

    from rich.console import Console

    from .._options import Options
    from ..events import Listener
    from ..models import SessionSummary
    from ..streams.keys import WorkspaceLike
    from ..streams.stream import SessionStream
    from ..testing.service import LocalService
    from .options import ConnectionOptions, SelectionOptions, WorkspacesOptions
    from .progress import ProgressListener
    from .report import Report


async def collect_report(
    options: SelectionOptions,
    report: Report,
    keep: Callable[[SessionSummary], bool],
    emit: Callable[[list[SessionSummary]], None],
    *,
    console: Console,
    bar: ProgressListener | None,
    clusters: bool = False,
) -> None:
    """List every workspace once, then with *clusters* also its clusters, and record all that in *report*.

    Passes the sessions that *keep* selects to *emit*, and prints failures on *console*.
    """

    def fail(error: AidpError) -> None:
        report.failures.append(error)
        print_failure(error, console)

    more = client_options(options, None if bar is None else bar.on_event)
    async with open_client(options, report.now, **more) as client:
        report.source = source_facts(client)
        named = await select_workspaces(client, options["workspace"])
        if named is not None:
            report.workspaces |= {each.key: each for each in named if isinstance(each, WorkspaceSummary)}
            if bar is not None:
                bar.set_total(len(named))
        workspaces = named or _prefetched(client, report.workspaces, fail, bar)
        async with aclosing(open_stream(client, options, workspaces).by_workspace()) as outcomes:
            try:
                async for outcome in outcomes:
                    if outcome.error is not None:
                        print_failure(outcome.error, console)
                    emit(report.record(outcome, keep))
            except AidpError as error:
                report.unlisted = error
                raise
        if clusters:
            await _collect_clusters(client, report, console)


async def _collect_clusters(client: SessionsClient, report: Report, console: Console) -> None:
    """List the clusters of the workspaces in *report*. A failure costs only names and states."""
    async with aclosing(clusters_by_workspace(client, tuple(report.seen))) as listings:
        async for workspace, found in listings:
            report.record_clusters(workspace, found)
            if isinstance(found, AidpError):
                print_message(console, "clusters not listed", "yellow", str(found))


async def listed_workspaces(
    client: SessionsClient, fail: Callable[[AidpError], None]
) -> AsyncGenerator[WorkspaceSummary]:
    """The workspaces that can hold sessions; *fail* gets an error for each whose key no URL can contain."""
    async for workspace in client.workspaces():
        if not can_hold_sessions(workspace):
            continue
        try:
            check_listed_key(ref_of(workspace))
        except AidpError as error:
            fail(error)
        else:
            yield workspace


async def _prefetched(
    client: SessionsClient,
    found: dict[str, WorkspaceSummary],
    fail: Callable[[AidpError], None],
    bar: ProgressListener | None,
) -> AsyncGenerator[WorkspaceSummary]:
    """`listed_workspaces`, listed in the background, so that their number is known early; *found* has them by key."""
    queue: asyncio.Queue[WorkspaceSummary | None] = asyncio.Queue()

    async def list_all() -> None:
        try:
            async for workspace in listed_workspaces(client, fail):
                found[workspace.key] = workspace
                queue.put_nowait(workspace)
            if bar is not None:
                bar.set_total(len(found))
        finally:
            queue.put_nowait(None)

    async with background_task(list_all()) as listing:
        while (workspace := await queue.get()) is not None:
            yield workspace
        await listing


async def list_workspaces(options: WorkspacesOptions, found: Callable[[WorkspaceSummary], None]) -> None:
    """Pass every workspace that *options* select to *found*."""
    async with open_client(options, datetime.now(UTC)) as client:
        with usage_errors():
            workspaces = client.workspaces(
                display_name_contains=options["display_name_contains"], lifecycle_state=options["lifecycle_state"]
            )
        async for workspace in workspaces:
            found(workspace)


def client_options(options: SelectionOptions, listener: Listener | None) -> Options:
    chosen: Options = {"on_event": listener}
    if options["max_concurrency"] is not None:
        chosen["max_concurrency"] = options["max_concurrency"]
    return chosen


class CommandClient(SessionsClient):
    """A client that also gives the command what culling is given."""

    @property
    def access(self) -> Access:
        return Access(self._api)


_NOT_WITH_DEMO = ("instance_id", "profile", "config_file", "auth", "region", "endpoint", "proxy", "ca_bundle")


@asynccontextmanager
async def open_client(
    options: ConnectionOptions, now: datetime, **more: Unpack[Options]
) -> AsyncGenerator[CommandClient]:
    """Open the client that *options* describe; *more* are further options of its constructor."""
    if options["timeout"] is not None:
        more["timeout"] = attrs.evolve(more.get("timeout", Timeout()), total=options["timeout"])
    if options["demo"]:
        async with _demo(now) as service:
            platform, signer = service.platform_id, service.signer
            async with CommandClient(platform, signer=signer, endpoint=service.url, **more) as client:
                yield client
        return
    more["proxy"], more["ssl"], more["trust_env"] = options["proxy"], _certificates(options["ca_bundle"]), True
    with usage_errors():
        client = CommandClient.from_config(
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


def _certificates(bundle: str | None) -> ssl.SSLContext | bool:
    if bundle is None:
        return True
    try:
        return ssl.create_default_context(cafile=bundle)
    except OSError as error:
        raise click.BadParameter(f"{bundle!r}: {error.strerror}", param_hint="'--ca-bundle'") from None


def _on_command_line(name: str) -> bool:
    """Whether the option was given there, before or after the command; the environment and `--demo` get along."""
    context = click.get_current_context(silent=True)
    while context is not None and context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
        context = context.parent
    return context is not None


@asynccontextmanager
async def _demo(now: datetime) -> AsyncGenerator[LocalService]:
    from ..testing import Fault, LocalService, demo  # noqa: PLC0415  # only --demo needs a server

    for name in _NOT_WITH_DEMO:
        if _on_command_line(name):
            raise click.UsageError(f"--demo cannot be combined with --{name.replace('_', '-')}")
    async with LocalService() as service:
        held = demo.populate_demo(service, now=now)
        service.fail(demo.demo_key(demo.BEING_DELETED), Fault(status=404, times=None))  # to show a failure
        async with background_task(demo.simulate_activity(service, held)):
            yield service


def open_stream(
    client: SessionsClient,
    options: SelectionOptions,
    workspaces: Iterable[WorkspaceLike] | AsyncIterable[WorkspaceLike],
) -> SessionStream:
    """The sessions in *workspaces* that *options* select."""
    with usage_errors():
        return client.sessions(
            workspaces,
            path=options["path"],
            cluster_id=options["cluster_id"],
            agent_flow_key=options["agent_flow_key"],
        )
