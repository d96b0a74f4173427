"""The command ``get``: single sessions, by their ids."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Unpack

import click

from .._convert.wire_format import format_timestamp
from .._display.text import format_duration, session_state, session_title
from ..activity import idle_for
from . import formats, running
from .lookup import Lookup, NamedOptions
from .options import CONNECTION_OPTIONS, WORKSPACE, add_options, output_format, output_option
from .output import print_text
from .report import error_console
from .tables import facts_as_lines

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ..models import SessionSummary


@click.command()
@click.argument("sessions", metavar="SESSION...", nargs=-1, required=True)
@add_options(WORKSPACE, output_option("table", "jsonl", "json"), *CONNECTION_OPTIONS)
def get(**chosen: Unpack[NamedOptions]) -> None:
    """Show the sessions with these ids, and which other sessions use their kernels.

    Without --workspace, every workspace is searched. A session that is not found makes the status 1.
    """
    lookup, console = Lookup(), error_console()
    status = running.run(lookup.run(chosen, console), console)
    found = [(session, kernel.sessions) for kernel in lookup.kernels for session in kernel.named]
    output = output_format(chosen, "table", "jsonl")
    if output == "table":
        print_text("\n".join(facts_as_lines(_facts(*each, lookup.now)) for each in found))
    else:
        records = [_record(*each, lookup.now) for each in found]
        if output == "jsonl":
            print_text(formats.record_lines(records))
        elif found or not status:
            print_text(json.dumps(records, indent=2) + "\n")
    sys.exit(status)


def _facts(session: SessionSummary, sharing: Iterable[SessionSummary], now: datetime) -> dict[str, str | None]:
    kernel, idle = session.kernel, idle_for(session, now)
    last = None if kernel is None else kernel.last_activity
    connections = None if kernel is None else kernel.connections
    others = [f"{session_title(other)} ({other.id})" for other in sharing if other is not session]
    return {
        "session": session.id,
        "workspace": _workspace_of(session),
        "name": session.name,
        "path": session.path,
        "type": session.type,
        "cluster": session.cluster_id,
        "agent flow": session.agent_flow_key,
        "lifecycle": session.lifecycle_state,
        "kernel": None if kernel is None else " ".join(filter(None, [kernel.id, f"({kernel.name})"])),
        "state": session_state(session),
        "idle for": None if idle is None else format_duration(idle),
        "last activity": None if last is None else format_timestamp(last, "seconds"),
        "connections": None if connections is None else str(connections),
        "same kernel": ", ".join(others) or None,
    }


def _workspace_of(session: SessionSummary) -> str:
    name, key = session.workspace_name, session.workspace_key
    return f"{name} ({key})" if name not in ("", key) else key


def _record(session: SessionSummary, sharing: Iterable[SessionSummary], now: datetime) -> dict[str, object]:
    """The JSON of the service, what it means now, and the other sessions of the kernel."""
    others = [formats.json_object(other) for other in sharing if other is not session]
    return {**formats.json_object(session, now), "sameKernel": others}
