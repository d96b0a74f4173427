"""The command ``delete``: ends single sessions, by their ids, after a look at what would end with them."""

from __future__ import annotations

import sys
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TextIO, Unpack

import attrs
import click

from .._display.text import pluralize, strip_control_chars
from ..culling.named import NamedDeletions, reason_to_refuse
from ..culling.plan import CullResult
from ..culling.policy import KeepReason
from . import cull_tables, formats, running, tables
from .audit import Audit
from .cull_options import AUDIT, NO_INPUT
from .lookup import Lookup, NamedOptions
from .options import CONNECTION_OPTIONS, WORKSPACE, add_options, output_format, output_option
from .output import print_text, writing_to
from .queries import open_client
from .question import can_ask, confirm
from .report import error_console, print_failure, print_message
from .statuses import Status, failure_status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from ..culling.named import NamedKernel, NamedOutcome

    Decision = tuple[NamedKernel, KeepReason | None]

_DONE = (CullResult.DELETED, CullResult.GONE)
_WHY_KEPT = {
    KeepReason.BUSY: "is busy; --allow-busy permits to delete it",
    KeepReason.STARTING: "is starting; --allow-busy permits to delete it",
    KeepReason.UNKNOWN: "is in an unknown state; --allow-busy permits to delete it",
    KeepReason.SHARED: "has other sessions; --allow-shared permits to delete it",
}
_flag = partial(click.option, is_flag=True, allow_from_autoenv=False)


class DeleteOptions(NamedOptions):
    """The options of the command that deletes sessions."""

    allow_busy: bool
    allow_shared: bool
    yes: bool
    no_input: bool
    audit: TextIO | None


@click.command()
@click.argument("sessions", metavar="SESSION...", nargs=-1, required=True)
@add_options(
    WORKSPACE,
    _flag("--allow-busy", help="Also delete sessions whose kernel is not idle."),
    _flag("--allow-shared", help="Also delete sessions whose kernel has other sessions."),
    _flag("--yes", help="Delete the sessions. On a terminal, ask first."),
    NO_INPUT,
    AUDIT,
    output_option("table", "jsonl"),
    *CONNECTION_OPTIONS,
)
def delete(**chosen: Unpack[DeleteOptions]) -> None:
    """Show which of the sessions with these ids would be deleted; with --yes, delete them.

    Deleting a session shuts its kernel down, and ends the other sessions of that kernel. Without --workspace, every
    workspace is searched. Right before it is deleted, a session is read again, and kept if anything has changed. One
    that is kept or not found makes the status 1. After Ctrl-C or SIGTERM, no further session is deleted.
    """
    if chosen["audit"] is not None and not chosen["yes"]:
        raise click.UsageError("--audit needs --yes")
    lookup, console = Lookup(), error_console()
    status = running.run(lookup.run(chosen, console), console)
    _refuse_ambiguous(lookup.kernels)
    if not lookup.kernels or status == Status.INTERRUPTED:
        sys.exit(status)
    run = DeleteRun(chosen, lookup, output_format(chosen, "table", "jsonl"), console)
    run.show()
    if chosen["yes"] and run.may_begin():
        status = max(status, run.apply())
    sys.exit(status)


def _refuse_ambiguous(kernels: Iterable[NamedKernel]) -> None:
    seen: dict[str, str] = {}
    for kernel in kernels:
        for name in kernel.names:
            if seen.setdefault(name, kernel.workspace_key) != kernel.workspace_key:
                text = f"session {name!r} is in {seen[name]!r} and in {kernel.workspace_key!r}: choose with --workspace"
                raise click.UsageError(strip_control_chars(text))


@attrs.frozen
class DeleteRun:
    """Shows what was found, and deletes what may be deleted."""

    chosen: DeleteOptions
    lookup: Lookup
    output: str
    console: Console

    @property
    def decisions(self) -> list[Decision]:
        busy, shared = self.chosen["allow_busy"], self.chosen["allow_shared"]
        return [
            (kernel, reason_to_refuse(kernel, allow_busy=busy, allow_shared=shared)) for kernel in self.lookup.kernels
        ]

    @property
    def permitted(self) -> list[NamedKernel]:
        return [kernel for kernel, reason in self.decisions if reason is None]

    def show(self) -> None:
        if self.output == "table":
            with writing_to("standard output"):
                cull_tables.print_decisions(self.decisions, self.lookup.now, tables.terminal())
        else:
            print_text(formats.record_lines(self._records()))
        for kernel, reason in self.decisions:
            if reason is not None:
                for name in sorted(kernel.names):
                    text = f"session {name!r}: its kernel {_WHY_KEPT[reason]}"
                    print_message(self.console, "kept", "bold yellow", text)

    def _records(self) -> Iterable[dict[str, object]]:
        lookup = self.lookup
        return [formats.named_record(*decision, lookup.now, lookup.platform_id) for decision in self.decisions]

    def may_begin(self) -> bool:
        if self.chosen["no_input"] or not self.permitted or not can_ask():
            return True
        others = sum(len(kernel.others) for kernel in self.permitted)
        named = pluralize(sum(len(kernel.names) for kernel in self.permitted), "session")
        more = f", and end {pluralize(others, 'other session')}" if others else ""
        return confirm(f"Delete {named}{more}?")

    def apply(self) -> int:
        """Delete what may be deleted, and show what became of it. Returns the exit status."""
        outcomes: list[NamedOutcome] = []
        try:
            status = running.run(self._apply(outcomes), self.console)
        finally:
            left = len(self.permitted) - len(outcomes)
            if self.output == "table" and (outcomes or left):
                with writing_to("standard output"):
                    cull_tables.print_outcomes(outcomes, left, tables.terminal())
        if status == Status.NOTHING_READ:
            return failure_status(others=bool(outcomes))
        kept = len(self.permitted) < len(self.decisions) or any(each.result not in _DONE for each in outcomes)
        return max(Status.INCOMPLETE if kept else Status.DONE, Status.INTERRUPTED if left else status)

    async def _apply(self, outcomes: list[NamedOutcome]) -> None:
        async with open_client(self.chosen, self.lookup.now) as client:
            audit = Audit.of(client, self.chosen["audit"])
            audit.append(self._records())
            clock = partial(datetime.now, UTC)
            deletions = NamedDeletions(access=client.access, allow_busy=self.chosen["allow_busy"], clock=clock)
            with running.event_of_sigterm() as terminated:
                async with aclosing(deletions.run(self.permitted)) as results:
                    async for outcome in results:
                        outcomes.append(outcome)
                        audit.append([formats.outcome_record(outcome)])
                        self._tell(outcome)
                        if terminated.is_set():
                            break

    def _tell(self, outcome: NamedOutcome) -> None:
        if outcome.error is not None:
            print_failure(outcome.error, self.console)
        if self.output == "jsonl":
            print_text(formats.record_lines([formats.outcome_record(outcome)]))
