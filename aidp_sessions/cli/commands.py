"""The command ``aidp-sessions``: its subcommands, where each prints its result, and the exit statuses."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, NoReturn, Unpack

import click

from .._convert.codec import to_wire
from .._display.page import page
from .._version import __version__
from ..activity import Activity, activity_of, idle_predicate
from . import formats, queries, report_tables, running, tables
from .clusters import clusters
from .completion import completion
from .cull import cull
from .delete import delete
from .get import get
from .options import (
    CONNECTED,
    CONNECTION_OPTIONS,
    GROUP_OPTIONS,
    REPORT_OPTIONS,
    SELECTION_OPTIONS,
    STATE,
    WORKSPACE_OPTIONS,
    add_options,
    since_option,
)
from .output import Application, file_writer, print_text, writing_to
from .progress import progress_bar
from .report import Report, describe_filters, describe_idle, error_console
from .shaping import Rows, is_shaped, shape_options, shaped_format
from .statuses import EXIT_STATUSES, Status, failure_status
from .watching import watch
from .whoami import whoami

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ..models import SessionSummary, WorkspaceSummary
    from .options import ReportOptions, WorkspacesOptions

_SESSION_SHAPE = shape_options(formats.SESSION_COLUMNS)
_ENVIRONMENT = """
\b
Options can be set by variables of the environment, except those that
permit deletions:
  AIDP_SESSIONS_PROFILE     --profile, of all commands
  AIDP_SESSIONS_IDLE_SINCE  --since of the command idle
"""


@click.group(
    cls=Application,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "aidp_sessions"},
    epilog=EXIT_STATUSES + _ENVIRONMENT,
)
@click.version_option(__version__, allow_from_autoenv=False)
@add_options(*GROUP_OPTIONS)
@click.pass_context
def command(context: click.Context, /, **before: object) -> None:
    """List the notebook sessions of Oracle AI Data Platform, and find idle kernels.

    The options of the connection, such as --profile, may also stand before the command. The last one wins.
    """
    given = {name: value for name, value in before.items() if value}
    context.default_map = dict.fromkeys(command.commands, given)
    if reconfigure := getattr(sys.stdout, "reconfigure", None):
        reconfigure(errors="replace")  # an ASCII locale must not make a name with an accent an error


@command.command("list")
@add_options(STATE, *SELECTION_OPTIONS, *REPORT_OPTIONS, *_SESSION_SHAPE, *CONNECTION_OPTIONS)
def list_(state: tuple[str, ...], **chosen: Unpack[ReportOptions]) -> None:
    """Show all sessions, or those in some states."""
    states = " or ".join(state).replace("_", " ")
    _run_report(chosen, states, states or "all sessions", lambda session: not state or _is_in_state(session, state))


@command.command()
@add_options(
    since_option(required=True),
    CONNECTED,
    *SELECTION_OPTIONS,
    *REPORT_OPTIONS,
    *_SESSION_SHAPE,
    *CONNECTION_OPTIONS,
)
def idle(*, since: datetime | timedelta, connected: bool | None, **chosen: Unpack[ReportOptions]) -> None:
    """Show the sessions whose kernel is idle."""
    selection = describe_idle(since, connected=connected)
    _run_report(chosen, "idle", selection, idle_predicate(since, connected=connected))


@command.command()
@add_options(*SELECTION_OPTIONS, *REPORT_OPTIONS, *_SESSION_SHAPE, *CONNECTION_OPTIONS)
def busy(**chosen: Unpack[ReportOptions]) -> None:
    """Show the sessions whose kernel is executing."""
    _run_report(chosen, "busy", "busy", lambda session: activity_of(session) is Activity.BUSY)


@command.command()
@add_options(*WORKSPACE_OPTIONS, *shape_options(formats.WORKSPACE_COLUMNS), *CONNECTION_OPTIONS)
def workspaces(**chosen: Unpack[WorkspacesOptions]) -> None:
    """Show the workspaces of the AI Data Platform."""
    output, found = shaped_format(chosen, chosen["output"]), list["WorkspaceSummary"]()
    listing = queries.list_workspaces(chosen, found.append)
    status = running.run(listing, error_console())
    if not found and status:
        sys.exit(status)
    rows = Rows(
        items=sorted(found, key=lambda workspace: (workspace.display_name.casefold(), workspace.key)),
        columns=formats.WORKSPACE_COLUMNS,
        record=formats.workspace_record,
        document=to_wire,
    )
    if output == "table":
        screen, zone = tables.terminal(), None if chosen["local_time"] else UTC
        table = rows.table(chosen, screen.width, lambda items: tables.fit_workspaces(items, screen.width, zone))
        with writing_to("standard output"):
            tables.print_workspaces(table, len(found), screen)
    else:
        rows.print(chosen, output)
    sys.exit(failure_status(others=True) if status == Status.NOTHING_READ else status)


command.add_command(completion)
command.add_command(clusters)
command.add_command(get)
command.add_command(delete)
command.add_command(cull)
command.add_command(watch)
command.add_command(whoami)


def _is_in_state(session: SessionSummary, states: Collection[str]) -> bool:
    """Whether one of *states* is what the session does, or the state of its kernel."""
    kernel = session.kernel
    return activity_of(session) in states or (kernel is not None and kernel.execution_state in states)


def _run_report(
    chosen: ReportOptions, adjective: str, selection: str, keep: Callable[[SessionSummary], bool]
) -> NoReturn:
    """List the sessions, print them and exit. After Ctrl-C or an error, print what had been found until then."""
    console, output, filters = error_console(), shaped_format(chosen, chosen["output"]), describe_filters(chosen)
    if chosen["clusters"] and (filters or (output != "table" and chosen["html"] is None)):
        raise click.UsageError("--clusters needs all sessions of a workspace, and --output table or --html")
    report = Report(
        now=datetime.now(UTC),
        selection=", ".join([selection, *filters]),
        adjective=adjective,
        is_filtered=bool(filters),
    )
    streaming = output == "jsonl" and chosen["html"] is None and not is_shaped(chosen)

    def emit(sessions: list[SessionSummary]) -> None:
        if streaming:
            print_text(formats.json_lines(sessions, report.now))
        else:
            report.kept.extend(sessions)

    with file_writer(chosen["html"], "--html") as save:
        with progress_bar(chosen, output, console) as bar:
            work = queries.collect_report(
                chosen, report, keep, emit, console=console, bar=bar, clusters=chosen["clusters"]
            )
            status = running.run(work, console)
        report.interrupted = status == Status.INTERRUPTED
        if report.seen or not status:
            try:
                save(partial(_page, report))
            finally:  # neither output depends on the other
                if not streaming:
                    _print(report, chosen, output)
    if status == Status.NOTHING_READ or (report.failures and not status):
        status = failure_status(others=bool(report.seen))
    sys.exit(status)


def _page(report: Report) -> str:
    title = f"{report.adjective} notebook sessions".strip().capitalize()
    failures = [*report.failures, *([report.unlisted] if report.unlisted else []), *report.unlisted_clusters]
    return page(
        report.kept,
        failures,
        title=title,
        taken=report.now,
        workspaces=report.names,
        owners=report.owners,
        usage=report.usage,
        clusters=None if report.is_filtered else report.clusters,
        facts=report.facts(),
    )


def _print(report: Report, chosen: ReportOptions, output: str) -> None:
    rows = Rows(
        items=tables.longest_idle_first(report.kept, report.now),
        columns=formats.SESSION_COLUMNS,
        record=lambda session: formats.session_record(session, report.now, report.owners),
        document=lambda session: formats.json_object(session, report.now),
    )
    if output != "table":
        rows.print(chosen, output)
        return
    screen = tables.terminal()
    table = rows.table(
        chosen, screen.width, lambda items: tables.fit_sessions(items, report.now, screen, report.labels)
    )
    omitted = len(rows.items) - len(rows.chosen(chosen))
    shown = report_tables.Shown(table, omitted, None if chosen["local_time"] else UTC)
    with writing_to("standard output"):
        report_tables.print_report(report, screen, shown)
