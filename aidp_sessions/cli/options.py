"""The command's options, and how their values are parsed."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import click
from click.shell_completion import CompletionItem

from ..activity import Activity
from ..auth.config import load_profile
from ..errors import ConfigError
from ..models import ExecutionState
from ..principals.factories import SIGNER_FACTORIES
from .since import parse_every, parsed_by, read_since

if TYPE_CHECKING:
    from jmespath.parser import ParsedResult

_Command = TypeVar("_Command", bound="Callable[..., None]")
_Decorator = Callable[[_Command], _Command]

_log = logging.getLogger("aidp_sessions")


class ConnectionOptions(TypedDict):
    """The options for the platform, the endpoint and the credentials."""

    instance_id: str | None
    profile: str | None
    config_file: str | None
    auth: str | None
    region: str | None
    endpoint: str | None
    output: str | None
    demo: bool
    proxy: str | None
    ca_bundle: str | None
    timeout: float | None


class ScopeOptions(ConnectionOptions):
    """The options of the commands that concern some workspaces, or all."""

    workspace: tuple[str, ...]


class SelectionOptions(ScopeOptions):
    """The options that select sessions."""

    max_concurrency: int | None
    path: str | None
    cluster_id: str | None
    agent_flow_key: str | None


class ProgressOptions(SelectionOptions):
    """The options of the commands that may show a progress bar."""

    progress: bool


class ShapeOptions(TypedDict):
    """The options that shape rows; see `shaping`."""

    sort_by: str | None
    limit: int | None
    columns: tuple[str, ...] | None
    query: ParsedResult | None
    summary: bool
    no_header: bool
    local_time: bool


class WorkspacesOptions(ConnectionOptions, ShapeOptions):
    """The options of the command that lists workspaces."""

    display_name_contains: str | None
    lifecycle_state: str | None


class ReportOptions(ProgressOptions, ShapeOptions):
    """The options of the commands that list the sessions once."""

    html: str | None
    clusters: bool


def output_format(chosen: ConnectionOptions, on_terminal: str, elsewhere: str) -> str:
    return chosen["output"] or (on_terminal if sys.stdout.isatty() else elsewhere)


def _refer_to_watch(_: click.Context, __: click.Parameter, value: object) -> None:
    if value:
        raise click.UsageError("--watch is a command of its own: aidp-sessions watch")


def _profiles(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    try:
        file = context.params.get("config_file") or context.find_root().params.get("config_file")
        known = load_profile("DEFAULT", file).known
    except ConfigError:
        return []
    return [CompletionItem(name) for name in known if name.startswith(incomplete)]


def _log_attempts(context: click.Context, _: click.Parameter, value: object) -> None:
    if value and not context.resilient_parsing:
        before = _log.level
        context.call_on_close(lambda: _log.setLevel(before))
        _log.setLevel(logging.DEBUG)


def add_options(*decorators: _Decorator[Any]) -> Callable[[_Command], _Command]:
    """Decorate a command with these options; ``--help`` shows them in this order."""
    return lambda function: reduce(lambda decorated, option: option(decorated), reversed(decorators), function)


def output_option(*formats: str) -> _Decorator[Any]:
    """``--output``: on a terminal the default is the first of *formats*, otherwise the second."""
    return click.option(
        *("-o", "--output"),
        type=click.Choice(formats),
        help=f"Output format.  [default: {formats[0]} on a terminal, otherwise {formats[1]}]",
    )


def since_option(*, required: bool) -> _Decorator[Any]:
    return click.option(
        "--since",
        metavar="WHEN",
        callback=read_since,
        required=required,
        help="Only kernels idle for at least this long (2h30m, 1.5h, 3d, 1w, PT2H), or since this time "
        "(2026-11-23T08:00Z, 2026-11-23, yesterday).",
    )


STATE = click.option(
    "--state",
    multiple=True,
    type=click.Choice(list(dict.fromkeys([*map(str, Activity), *map(str, ExecutionState)]))),
    metavar="STATE",
    help=f"Only sessions in this state: {', '.join(Activity)}, or another state of a kernel; may be repeated.",
)
CONNECTED = click.option(
    "--connected/--not-connected", default=None, help="Only idle kernels with (or without) open connections."
)
EVERY = click.option(
    "--every",
    metavar="SPAN",
    callback=parsed_by(parse_every),
    default="5m",
    show_default=True,
    help="Time between two listings: 5m, 1h30m. Frequent listings may keep clusters running; use minutes.",
)
PROGRESS = click.option(
    "--progress/--no-progress",
    default=True,
    help="Show a progress bar on standard error, if that is a terminal.  [default]",
)
REPORT_OPTIONS = (
    click.option("--watch", is_flag=True, hidden=True, expose_value=False, callback=_refer_to_watch),
    click.option("--html", metavar="FILE", type=click.Path(dir_okay=False), help="Also write an HTML report to FILE."),
    click.option(
        "--clusters",
        is_flag=True,
        help="Also ask for the names and states of the clusters, which takes a request more per workspace.",
    ),
    PROGRESS,
)
WORKSPACE_OPTIONS = (
    click.option("--display-name-contains", metavar="TEXT", help="Only workspaces whose name contains TEXT."),
    click.option("--lifecycle-state", metavar="STATE", help="Only workspaces in this state, such as ACTIVE."),
)


def _connection_options(*, hidden: bool, allow_from_autoenv: bool) -> tuple[_Decorator[Any], ...]:
    option = partial(click.option, hidden=hidden, allow_from_autoenv=allow_from_autoenv)
    return (
        option("--instance-id", metavar="OCID", help="AI Data Platform instance.  [env: AIDP_INSTANCE_ID]"),
        option(
            *("-p", "--profile"),
            metavar="NAME",
            shell_complete=_profiles,
            help="Profile of the configuration file.  [env: OCI_CLI_PROFILE]",
        ),
        option(
            "--config-file",
            metavar="FILE",
            type=click.Path(),
            help="Default: ~/.oci/config.  [env: OCI_CLI_CONFIG_FILE, OCI_CONFIG_FILE]",
        ),
        option(
            "--auth",
            metavar="KIND",
            type=click.Choice(list(SIGNER_FACTORIES)),
            help=f"Authentication type: {', '.join(SIGNER_FACTORIES)}.  [env: OCI_CLI_AUTH]",
        ),
        option("--region", metavar="REGION", help="Default: the region in the OCID.  [env: OCI_CLI_REGION]"),
        option(
            "--endpoint",
            metavar="URL",
            help="URL of the service, instead of the one of the region.  [env: AIDP_ENDPOINT]",
        ),
        option(
            "--proxy",
            metavar="URL",
            help="HTTP proxy.  [env: HTTPS_PROXY, ALL_PROXY; NO_PROXY names hosts without one]",
        ),
        option(
            "--ca-bundle",
            metavar="FILE",
            type=click.Path(),
            help="Trust these certificate authorities (PEM) instead of the system's.  [env: SSL_CERT_FILE]",
        ),
        option(
            "--timeout",
            metavar="SECONDS",
            type=click.FloatRange(min=0, min_open=True),
            help="Time limit of each request, with its repetitions.  [default: 300]",
        ),
        option(
            "--debug",
            is_flag=True,
            expose_value=False,
            callback=_log_attempts,
            help="Print each attempt on standard error: request id, status, time and pauses.",
        ),
        option("--demo", is_flag=True, help="Use a simulated platform inside this process; no account is needed."),
    )


GROUP_OPTIONS = _connection_options(hidden=True, allow_from_autoenv=True)
"""Those that may stand before the command; `--help` shows them with each command."""
CONNECTION_OPTIONS = _connection_options(hidden=False, allow_from_autoenv=False)  # the group's have variables
WORKSPACE = click.option(
    "--workspace",
    metavar="WORKSPACE",
    multiple=True,
    help="Only this workspace: its name, its key, or a pattern such as 'prod-*' for both; may be repeated.  "
    "[default: all workspaces]",
)
SELECTION_OPTIONS = (
    WORKSPACE,
    click.option("--path", metavar="PATH", help="Only sessions of this notebook."),
    click.option("--cluster-id", metavar="ID", help="Only sessions attached to this cluster."),
    click.option("--agent-flow-key", metavar="KEY", help="Only sessions of this agent flow."),
    click.option(
        "--max-concurrency", type=click.IntRange(min=1), help="Maximum number of workspaces listed at the same time."
    ),
)
