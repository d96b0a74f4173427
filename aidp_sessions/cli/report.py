"""The results of one run of the command, and its messages on standard error."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import attrs
from rich.console import Console
from rich.text import Text

from .._convert.wire_format import format_timestamp
from .._display.text import pluralize, strip_control_chars
from ..activity import Activity, activity_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from ..client import SessionsClient
    from ..errors import AidpError
    from ..models import SessionSummary
    from ..results import WorkspaceOutcome


@attrs.define(kw_only=True)
class Report:
    """What one run of the command has found so far.

    Attributes:
        now: when the run began; idle times are measured at that time.
        adjective: what the kept sessions have in common, e.g. ``"idle"``; empty if all sessions are kept.
        kept: the sessions to show.
        seen: for each workspace that was listed, the number of its sessions by activity, kept or not.
        failures: the errors of the workspaces that failed.
        unlisted: the error that ended the listing of workspaces.
        interrupted: whether the run was ended by Ctrl-C.
    """

    now: datetime
    adjective: str = ""
    kept: list[SessionSummary] = attrs.field(factory=list["SessionSummary"])
    seen: dict[str, Counter[Activity]] = attrs.field(factory=dict[str, Counter[Activity]])
    failures: list[AidpError] = attrs.field(factory=list["AidpError"])
    unlisted: AidpError | None = None
    interrupted: bool = False

    def record(self, outcome: WorkspaceOutcome, keep: Callable[[SessionSummary], bool]) -> list[SessionSummary]:
        """Count the sessions or the failure of a workspace. Returns the sessions that *keep* selects."""
        if outcome.error is not None:
            self.failures.append(outcome.error)
            return []
        self.seen[outcome.workspace_key] = Counter(map(activity_of, outcome.sessions))
        return [session for session in outcome.sessions if keep(session)]

    def summary(self) -> str:
        """One line of totals, e.g. ``37 idle of 214 sessions in 11 workspaces; 1 workspace failed``."""
        kept = f"{len(self.kept)} {self.adjective} of " if self.adjective else ""
        total = sum(counts.total() for counts in self.seen.values())
        text = f"{kept}{pluralize(total, 'session')} in {pluralize(len(self.seen), 'workspace')}"
        if self.failures:
            text += f"; {pluralize(len(self.failures), 'workspace')} failed"
        if self.unlisted is not None:
            text += "; not all workspaces are known"
        return f"{text}; interrupted" if self.interrupted else text


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
    print_message(console, "failed", "bold red", str(error))


def client_facts(client: SessionsClient, skew: timedelta | None) -> dict[str, str | None]:
    """The credentials in use, without secrets, and the endpoint, as texts."""
    signer = client.signer
    expires = getattr(signer, "expires_at", None)
    return {
        "signer": type(signer).__name__,
        "tenancy": getattr(signer, "tenancy", None),
        "user": getattr(signer, "user", None),
        "fingerprint": getattr(signer, "fingerprint", None),
        "region": getattr(signer, "region", None) or client.platform_id.split(".")[3] or None,
        "platform": client.platform_id,
        "endpoint": client.endpoint,
        "token expires": expires and format_timestamp(expires, "seconds"),
        "service's clock": None if skew is None else f"{round(skew.total_seconds()):+d} s from ours",
    }
