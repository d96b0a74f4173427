"""The command ``aidp-sessions``: options in, the client asked once, a report out; what is idle is decided elsewhere."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import time
from collections.abc import Callable
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

import click

from . import _report
from ._operations import clock_skew
from ._version import __version__
from ._words import printable
from .activity import is_idle_since
from .client import SessionsClient
from .errors import AidpError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterable

    from ._options import Options
    from .models import SessionSummary, WorkspaceOutcome
    from .testing import LocalService

_Command = TypeVar("_Command", bound="Callable[..., None]")

_INTERRUPTED = 130
_SPAN = re.compile(r"(?=\d)(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)
_NOT_WITH_DEMO = ("instance_id", "profile", "config_file", "auth", "region", "endpoint")


class _Identity(TypedDict):
    instance_id: str | None
    profile: str | None
    config_file: str | None
    auth: str | None
    region: str | None
    endpoint: str | None
    output: str | None
    demo: bool


class _Options(_Identity):
    workspace: tuple[str, ...]
    max_concurrency: int | None
    path: str | None
    cluster_id: str | None
    agent_flow_key: str | None


def parse_since(text: str, now: datetime) -> datetime:
    """Read a span before *now* (``2h30m``, ``90m``, ``3d``, ``1w``) or an ISO 8601 time with an offset or ``Z``.

    A minute is ``m``, units go from the largest to the smallest. Raises `ValueError` for anything else.
    """
    span = _SPAN.fullmatch(text)
    try:
        if span:
            weeks, days, hours, minutes, seconds = (int(part or 0) for part in span.groups())
            return now - timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
        moment = datetime.fromisoformat(text)
    except OverflowError:
        raise ValueError(f"{text!r} reaches back before the calendar begins") from None
    except ValueError:
        raise ValueError(
            f"{text!r} is neither a span such as 2h30m, 90m, 3d or 1w nor a time such as 2026-11-23T08:00Z"
        ) from None
    if moment.utcoffset() is None:
        example = moment.isoformat()
        raise ValueError(f"{text!r} names no time zone; append Z or an offset, e.g. {example}Z or {example}+01:00")
    return moment


def _since(_: click.Context, __: click.Parameter, value: str) -> datetime:
    try:
        return parse_since(value, datetime.now(UTC))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


_IDENTITY = (
    click.option("--instance-id", metavar="OCID", help="AI Data Platform instance.  [env: AIDP_INSTANCE_ID]"),
    click.option("--profile", metavar="NAME", help="Profile of the configuration file.  [env: OCI_CLI_PROFILE]"),
    click.option("--config-file", metavar="FILE", help="Default: ~/.oci/config.  [env: OCI_CONFIG_FILE]"),
    click.option("--auth", metavar="KIND", help="How to sign, e.g. api_key, security_token.  [env: OCI_CLI_AUTH]"),
    click.option("--region", metavar="REGION", help="Default: the region in the OCID.  [env: OCI_CLI_REGION]"),
    click.option("--endpoint", metavar="URL", help="Ask this address instead.  [env: AIDP_ENDPOINT]"),
    click.option("--demo", is_flag=True, help="Ask a made-up platform inside this process; needs no account."),
)
_SELECTION = (
    click.option("--workspace", metavar="KEY", multiple=True, help="Repeatable.  [default: every workspace]"),
    click.option("--path", metavar="PATH", help="Only sessions of this notebook."),
    click.option("--cluster-id", metavar="ID", help="Only sessions attached to this cluster."),
    click.option("--agent-flow-key", metavar="KEY", help="Only sessions of this agent flow."),
    click.option("--max-concurrency", type=click.IntRange(min=1), help="Workspaces to ask at the same time."),
    click.option(
        "--output",
        type=click.Choice(["table", "json", "jsonl"]),
        help="[default: table on a terminal, jsonl elsewhere]",
    ),
)
_Decorator = Callable[[_Command], _Command]


def _options(*options: _Decorator[Any]) -> _Decorator[_Command]:
    return lambda function: reduce(lambda decorated, option: option(decorated), reversed(options), function)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def command() -> None:
    """Notebook sessions of Oracle AI Data Platform: what runs, and which kernels sit idle.

    Exit status: 0 every workspace answered; 1 some did not, or the configuration or credentials are unusable;
    2 wrong usage; 130 interrupted, after printing what had been found.
    """


@command.command("list")
@_options(*_IDENTITY, *_SELECTION)
def list_(**options: Unpack[_Options]) -> None:
    """Show every session."""
    _run(options, _report.Report(now=datetime.now(UTC)), lambda _: True)


@command.command()
@click.option(
    "--since",
    metavar="WHEN",
    callback=_since,
    required=True,
    help="Not used for that long, or since then: 2h30m, 90m, 3d, 1w, 2026-11-23T08:00Z.",
)
@click.option("--connected/--not-connected", default=None, help="Only kernels with, or without, open connections.")
@_options(*_IDENTITY, *_SELECTION)
def idle(since: datetime, connected: bool | None, **options: Unpack[_Options]) -> None:  # noqa: FBT001  # click names it
    """Show the sessions whose kernel is idle and was not used since a point in time."""
    report = _report.Report(now=datetime.now(UTC), adjective="idle")
    _run(options, report, partial(is_idle_since, since=since, connected=connected))


@command.command()
@_options(*_IDENTITY)
@click.option("--output", type=click.Choice(["table", "json"]), help="[default: table on a terminal, json elsewhere]")
def whoami(**options: Unpack[_Identity]) -> None:
    """Show who signs and where requests go, and ask the service once whether it agrees."""
    try:
        facts, failure = asyncio.run(_identify(options))
    except AidpError as error:
        _report.print_failure(error)
        sys.exit(1)
    as_table = options["output"] == "table" or (options["output"] is None and sys.stdout.isatty())
    click.echo(_report.facts_as_lines(facts) if as_table else _report.facts_as_json(facts))
    if failure is not None:
        _report.print_failure(failure)
        sys.exit(1)


async def _identify(options: _Identity) -> tuple[dict[str, str | None], AidpError | None]:
    _end_on_ctrl_c()
    async with _client(options, datetime.now(UTC)) as client:
        skew, failure = None, None
        try:
            skew = await client.clock_skew()
        except AidpError as error:
            seconds = clock_skew(error.headers, time.time())
            skew, failure = None if seconds is None else timedelta(seconds=seconds), error
        return _report.identity(client, skew), failure


def _run(options: _Options, report: _report.Report, keep: Callable[[SessionSummary], bool]) -> None:
    """Ask, print and exit; what had been found is printed also when asking ends early."""
    output = options["output"] or ("table" if sys.stdout.isatty() else "jsonl")
    status = 0
    try:
        asyncio.run(_ask(options, report, keep, _print_lines if output == "jsonl" else report.kept.extend))
    except AidpError as error:
        _report.print_failure(error)
        status = 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        status = _INTERRUPTED
    if report.answered or not status:
        _print_report(report, output)
    sys.exit(status or int(report.failed > 0))


def _print_lines(sessions: Iterable[SessionSummary]) -> None:
    click.echo(_report.json_lines(sessions), nl=False)


def _print_report(report: _report.Report, output: str) -> None:
    if output == "json":
        click.echo(_report.json_array(report.kept))
    elif output == "table":
        _report.print_table(report)


async def _ask(
    options: _Options,
    report: _report.Report,
    keep: Callable[[SessionSummary], bool],
    emit: Callable[[Iterable[SessionSummary]], None],
) -> None:
    _end_on_ctrl_c()
    limit: Options = {} if options["max_concurrency"] is None else {"max_concurrency": options["max_concurrency"]}
    async with _client(options, report.now, **limit) as client:
        with _misuse():
            stream = client.sessions(
                options["workspace"] or None,
                path=options["path"],
                cluster_id=options["cluster_id"],
                agent_flow_key=options["agent_flow_key"],
            )
        async with aclosing(stream.by_workspace()) as outcomes:
            async for outcome in outcomes:
                _note(report, outcome)
                emit([session for session in outcome.sessions if keep(session)])


def _end_on_ctrl_c() -> None:
    """Cancel the current task on Ctrl-C, unless that is ignored.

    `asyncio.run` would too, but only once the loop wakes up by itself if the signal comes just as it falls asleep.
    """
    task = asyncio.current_task()
    if task is not None and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        with suppress(NotImplementedError, RuntimeError):  # on Windows, and in a thread other than the main one
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)


def _note(report: _report.Report, outcome: WorkspaceOutcome) -> None:
    if outcome.error is not None:
        report.failed += 1
        _report.print_failure(outcome.error)
        return
    report.answered += 1
    report.seen += len(outcome.sessions)


@contextmanager
def _misuse() -> Generator[None]:
    """Turn what the client calls a wrong argument into wrong usage of the command."""
    try:
        yield
    except ValueError as error:
        raise click.UsageError(printable(str(error))) from None


@asynccontextmanager
async def _client(options: _Identity, now: datetime, **limit: Unpack[Options]) -> AsyncGenerator[SessionsClient]:
    if options["demo"]:
        async with _demo(options, now) as service, service.client(**limit) as client:
            yield client
        return
    with _misuse():
        client = SessionsClient.from_config(
            options["instance_id"],
            profile=options["profile"],
            config_file=options["config_file"],
            auth=options["auth"],
            region=options["region"],
            endpoint=options["endpoint"],
            **limit,
        )
    async with client:
        yield client


@asynccontextmanager
async def _demo(options: _Identity, now: datetime) -> AsyncGenerator[LocalService]:
    from .testing import LocalService, populate_demo  # noqa: PLC0415  # no other option needs a server

    for name, value in options.items():
        if name in _NOT_WITH_DEMO and value is not None:
            raise click.UsageError(f"--demo has a platform of its own; leave out --{name.replace('_', '-')}")
    async with LocalService() as service:
        populate_demo(service, now=now)
        yield service
