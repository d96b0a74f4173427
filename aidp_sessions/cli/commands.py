"""The command ``aidp-sessions``: its subcommands, where each prints its result, and the exit statuses."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, NoReturn, Unpack

import click

from .._display.page import page
from .._display.text import format_duration
from .._version import __version__
from ..activity import Activity, activity_of, idle_predicate
from . import formats, queries, report_tables, running, tables, watching
from .completion import completion
from .cull import cull
from .live import LineView, LiveView, change_line, show_live
from .options import (
    CONNECTED,
    CONNECTION_OPTIONS,
    EVERY,
    GROUP_OPTIONS,
    REPORT_OPTIONS,
    SELECTION_OPTIONS,
    WORKSPACE_OPTIONS,
    add_options,
    output_format,
    output_option,
    since_option,
)
from .output import Application, file_writer, print_text, writing_to
from .progress import progress_bar
from .report import Report, describe_filters, describe_idle, error_console
from .statuses import EXIT_STATUSES, Status, failure_status

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..models import SessionSummary, WorkspaceSummary
    from ..streams.stream import SessionStream
    from .options import ConnectionOptions, ReportOptions, SelectionOptions

_OUTPUT = output_option("table", "jsonl", "json", "csv")
_ENVIRONMENT = """
\b
Each option but --yes can be set by a variable of the environment:
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
@add_options(*SELECTION_OPTIONS, *REPORT_OPTIONS, _OUTPUT, *CONNECTION_OPTIONS)
def list_(**chosen: Unpack[ReportOptions]) -> None:
    """Show all sessions."""
    _run_report(chosen, "", "all sessions", lambda _: True)


@command.command()
@add_options(since_option(required=True), CONNECTED, *SELECTION_OPTIONS, *REPORT_OPTIONS, _OUTPUT, *CONNECTION_OPTIONS)
def idle(*, since: datetime | timedelta, connected: bool | None, **chosen: Unpack[ReportOptions]) -> None:
    """Show the sessions whose kernel is idle."""
    selection = describe_idle(since, connected=connected)
    _run_report(chosen, "idle", selection, idle_predicate(since, connected=connected))


@command.command()
@add_options(*SELECTION_OPTIONS, *REPORT_OPTIONS, _OUTPUT, *CONNECTION_OPTIONS)
def busy(**chosen: Unpack[ReportOptions]) -> None:
    """Show the sessions whose kernel is executing."""
    _run_report(chosen, "busy", "busy", lambda session: activity_of(session) is Activity.BUSY)


@command.command()
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

    Press Ctrl-C to end it; the exit status is then 130. On a terminal it shows the current sessions and the latest
    changes; otherwise it prints one line per change. With --since, a session appears when its kernel has been idle for
    that long, and vanishes when the kernel is used.
    """
    if since is None and connected is not None:
        raise click.UsageError("--connected and --not-connected need --since")

    def narrow(stream: SessionStream) -> SessionStream:
        return stream if since is None else stream.idle_since(since, connected=connected)

    console, as_table = error_console(), output_format(chosen, "table", "jsonl") == "table"
    follow = partial(watching.watch, chosen, every, narrow)
    screen = tables.terminal()
    if as_table and sys.stdout.isatty() and not screen.is_dumb_terminal:
        work = show_live(follow, LiveView(title=_watch_title(every, since), clock=partial(datetime.now, UTC)), screen)
    else:
        as_line = change_line if as_table else formats.json_change
        work = follow(LineView(lambda change, at: print_text(as_line(change, at)), console))
    sys.exit(running.run(work, console))


@command.command()
@add_options(*WORKSPACE_OPTIONS, _OUTPUT, *CONNECTION_OPTIONS)
def workspaces(
    display_name_contains: str | None, lifecycle_state: str | None, **chosen: Unpack[ConnectionOptions]
) -> None:
    """Show the workspaces of the AI Data Platform."""
    found: list[WorkspaceSummary] = []
    listing = queries.list_workspaces(chosen, found.append, name_contains=display_name_contains, state=lifecycle_state)
    status = running.run(listing, error_console())
    output = output_format(chosen, "table", "jsonl")
    if not found and status:
        sys.exit(status)
    if output == "table":
        with writing_to("standard output"):
            tables.print_workspaces(found, tables.terminal())
    else:
        as_text = {"jsonl": formats.json_lines, "json": formats.json_array, "csv": formats.workspaces_as_csv}
        print_text(as_text[output](found))
    sys.exit(failure_status(others=True) if status == Status.NOTHING_READ else status)


@command.command()
@add_options(output_option("table", "json"), *CONNECTION_OPTIONS)
def whoami(**chosen: Unpack[ConnectionOptions]) -> None:
    """Show which credentials and which endpoint are used, and whether the service accepts them."""
    wording = tables.facts_as_lines if output_format(chosen, "table", "json") == "table" else formats.facts_as_json
    sys.exit(running.run(queries.whoami(chosen, lambda facts: print_text(wording(facts))), error_console()))


command.add_command(completion)
command.add_command(cull)


def _run_report(
    chosen: ReportOptions, adjective: str, selection: str, keep: Callable[[SessionSummary], bool]
) -> NoReturn:
    """List the sessions, print them and exit. After Ctrl-C or an error, print what had been found until then."""
    console, output, filters = error_console(), output_format(chosen, "table", "jsonl"), describe_filters(chosen)
    if chosen["clusters"] and (filters or (output != "table" and chosen["html"] is None)):
        raise click.UsageError("--clusters needs all sessions of a workspace, and --output table or --html")
    report = Report(
        now=datetime.now(UTC),
        selection=", ".join([selection, *filters]),
        adjective=adjective,
        is_filtered=bool(filters),
    )
    streaming = output == "jsonl" and chosen["html"] is None

    def emit(sessions: list[SessionSummary]) -> None:
        if streaming:
            print_text(formats.json_lines(sessions))
        else:
            report.kept.extend(sessions)

    with file_writer(chosen["html"], "--html") as save:
        with progress_bar(chosen, output, console, len(set(chosen["workspace"])) or None) as bar:
            work = queries.collect_report(
                chosen, report, keep, emit, console=console, bar=bar, clusters=chosen["clusters"]
            )
            status = running.run(work, console)
        report.interrupted = status == Status.INTERRUPTED
        if report.seen or not status:
            try:
                save(partial(_page, report))
            finally:  # neither output depends on the other
                _print(report, output)
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
        workspaces=dict.fromkeys(report.seen, ""),
        usage=report.usage,
        clusters=None if report.is_filtered else report.clusters,
        facts=report.facts(),
    )


def _print(report: Report, output: str) -> None:
    if output == "table":
        with writing_to("standard output"):
            report_tables.print_report(report, tables.terminal())
    elif output == "csv":
        print_text(formats.sessions_as_csv(report.kept, report.now))
    else:
        print_text((formats.json_array if output == "json" else formats.json_lines)(report.kept))


def _watch_title(every: timedelta, since: datetime | timedelta | None) -> str:
    if since is None:
        selected = "All sessions"
    elif isinstance(since, timedelta):
        selected = f"Idle for {format_duration(since)}"
    else:
        selected = f"Idle since {since:%Y-%m-%d %H:%M %Z}"
    return f"{selected}, every {format_duration(every)}"
