"""The results of one run of the command, and its messages on standard error."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import attrs
from rich.console import Console
from rich.text import Text

from .._display.rollup import usage_by_cluster
from .._display.text import format_span, names_in, pluralize, strip_control_chars, workspace_labels
from .._version import __version__
from ..activity import Activity, activity_of
from ..errors import AidpError, ServiceError
from ..principals.settings import NO_PLATFORM
from .wording import FIRST_STEPS, in_options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from .._display.rollup import Cluster, Usage
    from ..auth.signing import Signer
    from ..client import SessionsClient
    from ..models import ClusterSummary, SessionSummary, WorkspaceSummary
    from ..results import WorkspaceOutcome
    from .options import SelectionOptions


@attrs.define(kw_only=True)
class Report:
    """What one run of the command has found so far.

    Attributes:
        now: when the run began; idle times are measured at that time.
        selection: which sessions are kept, e.g. ``"idle for 2 h or longer"``.
        adjective: what the kept sessions have in common, e.g. ``"idle"``; empty if all sessions are kept.
        kept: the sessions to show.
        source: the platform, the endpoint and the signer.
        workspaces: the workspaces that are asked, by key, as far as their listing is permitted.
        seen: for each workspace that was listed, the number of its sessions by activity, kept or not.
        usage: the same sessions, added up by cluster.
        clusters: what the service says of the clusters, if it was asked.
        is_filtered: whether the service left out sessions, so that the usage of clusters is not known.
        failures: the errors of the workspaces that failed.
        unlisted_clusters: the errors of the workspaces whose clusters could not be listed.
        unlisted: the error that ended the listing of workspaces.
        interrupted: whether the run was ended by Ctrl-C.
    """

    now: datetime
    selection: str = "all sessions"
    adjective: str = ""
    source: Mapping[str, str] = attrs.field(factory=dict[str, str])
    kept: list[SessionSummary] = attrs.field(factory=list["SessionSummary"])
    workspaces: dict[str, WorkspaceSummary] = attrs.field(factory=dict[str, "WorkspaceSummary"])
    seen: dict[str, Counter[Activity]] = attrs.field(factory=dict[str, Counter[Activity]])
    usage: dict[Cluster, Usage] = attrs.field(factory=dict["Cluster", "Usage"])
    clusters: dict[Cluster, ClusterSummary] = attrs.field(factory=dict["Cluster", "ClusterSummary"])
    is_filtered: bool = False
    failures: list[AidpError] = attrs.field(factory=list["AidpError"])
    unlisted_clusters: list[AidpError] = attrs.field(factory=list["AidpError"])
    unlisted: AidpError | None = None
    interrupted: bool = False

    def record(self, outcome: WorkspaceOutcome, keep: Callable[[SessionSummary], bool]) -> list[SessionSummary]:
        """Count the sessions or the failure of a workspace. Returns the sessions that *keep* selects."""
        if outcome.error is not None:
            self.failures.append(outcome.error)
            return []
        self.seen[outcome.workspace_key] = Counter(map(activity_of, outcome.sessions))
        self.usage |= usage_by_cluster(outcome.sessions, self.now)
        return [session for session in outcome.sessions if keep(session)]

    def record_clusters(self, workspace: str, found: list[ClusterSummary] | AidpError) -> None:
        """Keep the clusters of a workspace, or the error of their listing."""
        if isinstance(found, AidpError):
            self.unlisted_clusters.append(found)
        else:
            self.clusters |= {(workspace, cluster.key): cluster for cluster in found}

    @property
    def names(self) -> dict[str, str]:
        """The names of the workspaces that were listed, by key; empty where they are not known."""
        return {key: self.workspaces[key].display_name if key in self.workspaces else "" for key in self.seen}

    @property
    def owners(self) -> dict[str, str]:
        """Who created the workspaces, by key, where it is known."""
        return {key: each.created_by_name for key, each in self.workspaces.items() if each.created_by_name}

    @property
    def labels(self) -> Mapping[str, str]:
        """What the workspaces are called, by key."""
        return workspace_labels([*self.names.items(), *names_in(self.kept), *names_in(self.failures)])

    def facts(self) -> dict[str, str]:
        """What was asked, where, and by whom."""
        asked = pluralize(len(self.seen) + len(self.failures), "workspace")
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return {
            "Selected": self.selection,
            "Asked": asked + failed + self._incompleteness(),
            **self.source,
            "Made by": f"aidp_sessions {__version__}",
        }

    def summary(self) -> str:
        """One line of totals, e.g. ``37 idle of 214 sessions in 11 workspaces; 1 workspace failed``."""
        kept = f"{len(self.kept)} {self.adjective} of " if self.adjective else ""
        total = sum(counts.total() for counts in self.seen.values())
        text = f"{kept}{pluralize(total, 'session')} in {pluralize(len(self.seen), 'workspace')}"
        if self.failures:
            text += f"; {pluralize(len(self.failures), 'workspace')} failed"
        return text + self._incompleteness()

    def _incompleteness(self) -> str:
        unlisted = "" if self.unlisted is None else "; not all workspaces are known"
        return f"{unlisted}; interrupted" if self.interrupted else unlisted


def error_console() -> Console:
    """Standard error, without rich's markup: messages may contain any text."""
    return _ErrorConsole(stderr=True, markup=False, emoji=False, highlight=False)


class _ErrorConsole(Console):
    def on_broken_pipe(self) -> None:
        """Go on without messages; rich would also silence standard output and exit."""
        self.quiet = True


def print_message(console: Console, title: str, style: str, text: str) -> None:
    """Print a message in one line. It is lost if it cannot be written: the results matter more."""
    with suppress(OSError):
        console.print(Text.assemble((f"{title}: ", style), strip_control_chars(text)), soft_wrap=True)


def print_failure(error: AidpError, console: Console) -> None:
    """Print why a workspace or the whole run failed."""
    of_service = isinstance(error, ServiceError)  # whose words are left alone
    print_message(console, "failed", "bold red", str(error) if of_service else in_options(str(error)))
    if error.args == (NO_PLATFORM,):
        for title, text in FIRST_STEPS.items():
            print_message(console, f"  {title}", "bold", text)


def describe_idle(since: datetime | timedelta, *, connected: bool | None) -> str:
    """``idle for 2 h or longer, not connected``, or ``idle since 2026-11-23 08:00:00 UTC``."""
    if isinstance(since, timedelta):
        when = f"for {format_span(since)} or longer"
    else:
        when = f"since {since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return f"idle {when}" + {None: "", True: ", connected", False: ", not connected"}[connected]


def describe_filters(options: SelectionOptions) -> list[str]:
    """The filters that the service applies, e.g. ``of notebook a.ipynb``."""
    filters = {"notebook": "path", "cluster": "cluster_id", "agent flow": "agent_flow_key"}
    return [f"of {noun} {value}" for noun, name in filters.items() if (value := options.get(name)) is not None]


def source_facts(client: SessionsClient) -> dict[str, str]:
    """The platform, the endpoint, and the signer without its secrets."""
    return {"Platform": client.platform_id, "Endpoint": client.endpoint, "Asked by": _describe_signer(client.signer)}


def _describe_signer(signer: Signer) -> str:
    name, user, tenancy = type(signer).__name__, getattr(signer, "user", None), getattr(signer, "tenancy", None)
    if user:
        return f"user {user} ({name})"
    return f"{name} of tenancy {tenancy}" if tenancy else name


def signer_facts(signer: Signer) -> dict[str, str | None]:
    """The credentials of *signer*, without secrets."""
    public = {name: getattr(signer, name, None) for name in ("tenancy", "user", "fingerprint")}
    return {"signer": type(signer).__name__, **public}
