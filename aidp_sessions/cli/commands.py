"""The command ``aidp-sessions``: what each of its commands prints where, and its exit status. Asks nothing itself."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, NoReturn, Unpack

import click

from .._display.text import format_duration
from .._version import __version__
from ..activity import Activity, activity_of, idle_predicate
from . import formats as _formats
from . import options as _arguments
from . import queries as _asking
from . import running as _running
from . import tables as _tables
from .live import Board, Lines, change_line, drawn
from .options import CONNECTED, IDENTITY, LOOK, SELECTION, options, output
from .progress import progress_bar
from .report import Report, messages

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager

    from rich.console import Console

    from ..models import SessionSummary, WorkspaceSummary
    from ..results import SessionChange
    from ..streams.stream import SessionStream
    from .options import Identity, Selection, Survey
    from .progress import Bar

_OUTPUT = output("table", "jsonl", "json", "csv")
_STATUS = """\b
Exit status:
  0    every workspace answered
  1    one did not, or the configuration or the credentials are unusable,
       or nobody reads the output any more
  2    wrong usage; nothing was asked
  130  ended by Ctrl-C, after printing what had been found
"""
_COMPLETION = """
\b
Completion, once per shell:
  bash  eval "$(_AIDP_SESSIONS_COMPLETE=bash_source aidp-sessions)"
  zsh   eval "$(_AIDP_SESSIONS_COMPLETE=zsh_source aidp-sessions)"
  fish  _AIDP_SESSIONS_COMPLETE=fish_source aidp-sessions | source
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_STATUS + _COMPLETION)
@click.version_option(__version__)
def command() -> None:
    """Notebook sessions of Oracle AI Data Platform: what runs, and which kernels sit idle."""
    if reconfigure := getattr(sys.stdout, "reconfigure", None):
        reconfigure(errors="replace")  # a locale without, say, Greek loses letters, not the table


@command.command("list", epilog=_STATUS)
@options(*SELECTION, *LOOK, _OUTPUT, *IDENTITY)
def list_(**given: Unpack[Survey]) -> None:
    """Show every session."""
    _survey(given, "", lambda _: True)


@command.command(epilog=_STATUS)
@options(_arguments.since(required=True), CONNECTED, *SELECTION, *LOOK, _OUTPUT, *IDENTITY)
def idle(since: datetime | timedelta, connected: bool | None, **given: Unpack[Survey]) -> None:  # noqa: FBT001  # click names it
    """Show the sessions whose kernel sits idle."""
    _survey(given, "idle", idle_predicate(since, connected=connected))


@command.command(epilog=_STATUS)
@options(*SELECTION, *LOOK, _OUTPUT, *IDENTITY)
def busy(**given: Unpack[Survey]) -> None:
    """Show the sessions whose kernel is executing."""
    _survey(given, "busy", lambda session: activity_of(session) is Activity.BUSY)


@command.command(epilog=_STATUS)
@options(_arguments.EVERY, _arguments.since(required=False), CONNECTED, *SELECTION, output("table", "jsonl"), *IDENTITY)
def watch(
    every: timedelta,
    since: datetime | timedelta | None,
    connected: bool | None,  # noqa: FBT001  # click names it
    **given: Unpack[Selection],
) -> None:
    """Look again and again, and show what changes.

    Ctrl-C ends it, with exit status 130. On a terminal, the sessions as they are and the latest changes; elsewhere a
    line per change. With --since, a session appears once its kernel has been idle for that long, and vanishes when it
    is used.
    """
    if since is None and connected is not None:
        raise click.UsageError("--connected and --not-connected narrow --since down; give it too")

    def narrow(stream: SessionStream) -> SessionStream:
        return stream if since is None else stream.idle_since(since, connected=connected)

    console, as_table = messages(), _kind(given, "table", "jsonl") == "table"
    follow = partial(_asking.follow, given, every, narrow)
    screen = _tables.terminal()
    if as_table and sys.stdout.isatty() and not screen.is_dumb_terminal:
        work = drawn(follow, Board(title=_title(every, since), clock=partial(datetime.now, UTC)), screen)
    else:
        work = follow(Lines(_write_change if as_table else _write_change_as_json, console))
    sys.exit(_running.run(work, console))


@command.command(epilog=_STATUS)
@options(*_arguments.WORKSPACES, _OUTPUT, *IDENTITY)
def workspaces(display_name_contains: str | None, lifecycle_state: str | None, **given: Unpack[Identity]) -> None:
    """Show the workspaces of the platform."""
    found: list[WorkspaceSummary] = []
    listing = _asking.list_workspaces(given, found.append, name_contains=display_name_contains, state=lifecycle_state)
    status = _running.run(listing, messages())
    kind = _kind(given, "table", "jsonl")
    if not found and status:
        sys.exit(status)
    if kind == "table":
        _tables.print_workspaces(found, _tables.terminal())
    else:
        as_text = {"jsonl": _formats.json_lines, "json": _formats.json_array, "csv": _formats.workspaces_as_csv}
        click.echo(as_text[kind](found), nl=False)
    sys.exit(status)


@command.command(epilog=_STATUS)
@options(output("table", "json"), *IDENTITY)
def whoami(**given: Unpack[Identity]) -> None:
    """Show who signs, where requests go, and what the service says."""
    wording = _tables.facts_as_lines if _kind(given, "table", "json") == "table" else _formats.facts_as_json
    sys.exit(_running.run(_asking.who(given, lambda facts: click.echo(wording(facts))), messages()))


def _survey(given: Survey, adjective: str, keep: Callable[[SessionSummary], bool]) -> NoReturn:
    """Ask, print and exit; what had been found is printed also when asking ends early."""
    report, kind, console = (
        Report(now=datetime.now(UTC), adjective=adjective),
        _kind(given, "table", "jsonl"),
        messages(),
    )

    def emit(sessions: list[SessionSummary]) -> None:
        if kind == "jsonl":
            click.echo(_formats.json_lines(sessions), nl=False)
        if kind != "jsonl" or given["html"] is not None:
            report.kept.extend(sessions)

    with ExitStack() as stack:
        save = None if given["html"] is None else stack.enter_context(_replacement(given["html"]))
        with _bar(given, kind, console) as bar:
            status = _running.run(_asking.survey(given, report, keep, emit, console=console, bar=bar), console)
        report.interrupted = status == _running.INTERRUPTED
        if report.seen or not status:
            if save is not None:
                save(_page(report))
            _print(report, kind)
    sys.exit(status or int(bool(report.failures)))


def _kind(given: Identity, on_terminal: str, elsewhere: str) -> str:
    return given["output"] or (on_terminal if sys.stdout.isatty() else elsewhere)


def _bar(given: Survey, kind: str, console: Console) -> AbstractContextManager[Bar | None]:
    """A progress bar, where it is seen and disturbs nothing: lines that go to the same terminal would."""
    apart = not (kind == "jsonl" and sys.stdout.isatty())
    if given["progress"] and apart and sys.stderr.isatty() and not console.is_dumb_terminal:
        return progress_bar(console, len(set(given["workspace"])) or None)
    return nullcontext()


@contextmanager
def _replacement(path: str) -> Generator[Callable[[str], None]]:
    with ExitStack() as stack:
        try:
            put = stack.enter_context(_formats.replacement(path))
        except OSError as error:
            reason = f"{path!r} cannot be written: {error.strerror}"
            raise click.BadParameter(reason, param_hint="'--html'") from None

        def save(text: str) -> None:
            try:
                put(text)
            except OSError as error:
                raise click.FileError(path, error.strerror) from None

        yield save


def _page(report: Report) -> str:
    from .._display.html import page  # noqa: PLC0415  # it is long, and most runs do without

    title = f"{report.adjective} notebook sessions".strip().capitalize()
    failures = [*report.failures, *([report.unlisted] if report.unlisted else [])]
    return page(report.kept, failures, title=title, taken=report.now, workspaces=tuple(report.seen))


def _print(report: Report, kind: str) -> None:
    if kind == "table":
        _tables.print_report(report, _tables.terminal())
    elif kind == "json":
        click.echo(_formats.json_array(report.kept), nl=False)
    elif kind == "csv":
        click.echo(_formats.sessions_as_csv(report.kept, report.now), nl=False)


def _title(every: timedelta, since: datetime | timedelta | None) -> str:
    if since is None:
        selected = "All sessions"
    elif isinstance(since, timedelta):
        selected = f"Idle for {format_duration(since)}"
    else:
        selected = f"Idle since {since:%Y-%m-%d %H:%M %Z}"
    return f"{selected}, every {format_duration(every)}"


def _write_change(change: SessionChange, at: datetime) -> None:
    click.echo(change_line(change, at))


def _write_change_as_json(change: SessionChange, at: datetime) -> None:
    click.echo(_formats.json_change(change, at), nl=False)
