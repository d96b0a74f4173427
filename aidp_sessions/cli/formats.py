"""Results as JSON and CSV, for programs."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from typing import TYPE_CHECKING

from .._convert.codec import to_wire
from .._convert.records import to_record
from .._convert.wire_format import format_timestamp
from .._display.text import one_line
from ..activity import activity_of, idle_for
from ..models import SessionSummary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ..culling.named import NamedKernel, NamedOutcome
    from ..culling.plan import CullCandidate, CullOutcome, CullPlan, KeptKernel
    from ..models import WorkspaceSummary
    from ..results import SessionChange

SESSION_COLUMNS = (*to_record(SessionSummary()), "workspace_created_by")
WORKSPACE_COLUMNS = (
    *("key", "display_name", "lifecycle_state", "type", "is_private_network_enabled"),
    *("time_created", "description", "created_by_name"),
)
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # spreadsheets accept the full-width ones too


def json_object(session: SessionSummary, now: datetime | None = None) -> dict[str, object]:
    """The JSON of the service, after the workspace and, with *now*, what the session is doing then."""
    leading: dict[str, object] = {
        "workspaceKey": session.workspace_key,
        "workspaceName": session.workspace_name or None,
    }
    if now is not None:
        idle = idle_for(session, now)
        seconds = None if idle is None else int(idle.total_seconds())
        leading |= {"activity": activity_of(session).value, "idleSeconds": seconds}
    return {**leading, **to_wire(session)}


def json_lines(sessions: Iterable[SessionSummary], now: datetime) -> str:
    """One JSON object per line; ASCII only, so that it is safe for every terminal and locale."""
    return record_lines(json_object(session, now) for session in sessions)


def session_record(session: SessionSummary, now: datetime, owners: Mapping[str, str]) -> dict[str, object]:
    """The columns of a session; *owners* says who created the workspaces, by key."""
    return {**to_record(session, now), "workspace_created_by": owners.get(session.workspace_key)}


def workspace_record(workspace: WorkspaceSummary) -> dict[str, object]:
    return {name: getattr(workspace, name) for name in WORKSPACE_COLUMNS}


def json_change(change: SessionChange, at: datetime) -> str:
    """One line of JSON: the time, the kind of change, the session, and the previous state of one that changed."""
    fields = {"time": format_timestamp(at), "kind": change.kind, "session": json_object(change.session, at)}
    if change.kind == "changed" and change.previous is not None:
        fields["previous"] = json_object(change.previous)
    return json.dumps(fields) + "\n"


def decision_records(plan: CullPlan) -> Iterator[dict[str, object]]:
    """One record per kernel of *plan*: whether it would be shut down, why it is kept, and on which evidence."""
    common = {
        "time": format_timestamp(plan.taken),
        "platformId": plan.platform_id,
        "since": format_timestamp(plan.since),
    }
    for candidate in plan.candidates:
        yield {**common, "decision": "cull", **_evidence(candidate)}
    for kept in plan.kept:
        yield {**common, "decision": "keep", "reason": kept.reason, **_evidence(kept)}


def named_record(kernel: NamedKernel, reason: str | None, now: datetime, platform_id: str) -> dict[str, object]:
    """Whether the named sessions of *kernel* would be deleted, why they are kept, and on which evidence."""
    return {
        "time": format_timestamp(now),
        "platformId": platform_id,
        "decision": "delete" if reason is None else "keep",
        **({} if reason is None else {"reason": reason}),
        "named": sorted(kernel.names),
        **_evidence(kernel),
    }


def outcome_record(outcome: CullOutcome | NamedOutcome) -> dict[str, object]:
    """What became of a candidate, and the ids of the requests."""
    return {
        "time": format_timestamp(outcome.at),
        "result": outcome.result,
        "reason": outcome.reason,
        "error": None if outcome.error is None else str(outcome.error),
        "requestIds": outcome.request_ids,
        **_evidence(outcome.candidate),
    }


def record_lines(records: Iterable[Mapping[str, object]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def _evidence(kernel: CullCandidate | KeptKernel | NamedKernel) -> dict[str, object]:
    return {
        "workspaceKey": kernel.workspace_key,
        "workspaceName": next((each.workspace_name for each in kernel.sessions if each.workspace_name), None),
        "kernelId": kernel.kernel_id,
        "lastActivity": None if kernel.last_activity is None else format_timestamp(kernel.last_activity),
        "sessions": [json_object(session) for session in kernel.sessions],
    }


def csv_text(header: Sequence[str] | None, rows: Iterable[Iterable[object]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    if header is not None:
        writer.writerow(header)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return file.getvalue()


def _cell(value: object) -> object:
    """Put text on one line, and an apostrophe before text that a spreadsheet would evaluate as a formula."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return format_timestamp(value)
    if not isinstance(value, str):
        return value
    text = one_line(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
