"""The charts of the report page: bars beside numbers, as tables."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from ..activity import idle_for
from .html import table, text
from .text import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from ..models import SessionSummary
    from .clusters import ClusterRow
    from .rollup import Usage

GROUPS = ("idle", "busy", "other")
_BINS = (
    ("under 10 min", timedelta(0)),
    ("10 &ndash; 30 min", timedelta(minutes=10)),
    ("30 &ndash; 60 min", timedelta(minutes=30)),
    ("1 &ndash; 2 h", timedelta(hours=1)),
    ("2 &ndash; 4 h", timedelta(hours=2)),
    ("4 &ndash; 8 h", timedelta(hours=4)),
    ("8 &ndash; 24 h", timedelta(hours=8)),
    ("1 &ndash; 3 d", timedelta(days=1)),
    ("3 &ndash; 7 d", timedelta(days=3)),
    ("over 7 d", timedelta(days=7)),
)


def histogram(sessions: Iterable[SessionSummary], now: datetime) -> str:
    """Draw a histogram of idle times, if there are any. Each bin includes its lower bound.

    Empty bins before the first are left out: they are below the threshold.
    """
    starts = [start for _, start in _BINS]
    ages = [idle for session in sessions if (idle := idle_for(session, now)) is not None]
    if not ages:
        return ""
    counts = Counter(bisect_right(starts, idle) - 1 for idle in ages)
    largest = max(counts.values())
    rows = [
        f'<tr><th scope="row">{label}</th><td>{_bar({"idle": counts[bin_]}, largest)}</td>'
        f"<td>{counts[bin_]:,}</td></tr>"
        for bin_, (label, _) in enumerate(_BINS)
    ]
    return table("Idle sessions by idle time", ("Idle time", "", "Sessions"), rows[min(counts) :], "bars numbers")


def by_workspace(
    usage: Mapping[str, Usage], labels: Mapping[str, str], owners: Mapping[str, str], kept: Mapping[str, int] | None
) -> str:
    """Draw the number of sessions of each workspace, the largest first, and how many of them are *kept*."""
    largest = max((each.sessions for each in usage.values()), default=0) or 1
    rows = (
        f'<tr><th scope="row">{text(labels[key])}{_owner(owners.get(key))}</th><td>{_bar(_parts(each), largest)}</td>'
        + ("" if kept is None else f"<td>{kept.get(key, 0):,}</td>")
        + f"<td>{each.sessions:,}</td><td>{each.idle:,}</td><td>{each.busy:,}</td></tr>"
        for key, each in sorted(usage.items(), key=lambda item: (-item[1].sessions, labels[item[0]]))
    )
    columns = ("Workspace", "", *(() if kept is None else ("Shown",)), "Sessions", "Idle", "Busy")
    chart = table(f"By workspace ({len(usage):,})", columns, rows, "bars numbers workspaces")
    return _scrolled(chart, "Sessions by workspace")


def _owner(name: str | None) -> str:
    return f"<small>created by {text(name)}</small>" if name else ""


def by_cluster(rows: Sequence[ClusterRow], labels: Mapping[str, str]) -> str:
    """A table of *rows* in their order; what the service says of the clusters is shown if it says anything."""
    known, stopped = any(row.summary for row in rows), any(row.stopped_by for row in rows)
    cells = (
        f'<tr><th scope="row">{text(row.name)}</th><td>{text(labels[row.workspace_key])}</td>'
        f"<td>{row.usage.sessions:,}</td><td>{row.usage.idle:,}</td><td>{row.usage.busy:,}</td>"
        f"<td>{row.usage.other:,}</td>{_duration(row.usage.longest_idle)}<td>{text(row.unused_for)}</td>"
        + (f"<td>{text(row.state)}</td>" if known else "")
        + (f"<td>{text(row.stopped_by)}</td></tr>" if stopped else "</tr>")
        for row in rows
    )
    columns = ["Cluster", "Workspace", "Sessions", "Idle", "Busy", "Other", "Longest idle", "Unused for"]
    columns += [*(["State"] if known else []), *(["Stopped by"] if stopped else [])]
    return _scrolled(table(f"By cluster ({len(rows):,})", columns, cells, "clusters"), "Sessions by cluster")


def _duration(duration: timedelta | None) -> str:
    return "<td></td>" if duration is None else f"<td>{format_duration(duration)}</td>"


def _scrolled(content: str, label: str) -> str:
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">{content}</div>'


def _parts(usage: Usage) -> Mapping[str, int]:
    return {"idle": usage.idle, "busy": usage.busy, "other": usage.other}


def _bar(parts: Mapping[str, int], largest: int) -> str:
    """Draw one stacked bar; its length is relative to the *largest* row."""
    start, drawn = 0.0, list[str]()
    for group in GROUPS:
        share = 100 * parts.get(group, 0) / largest
        if share:
            drawn.append(f'<rect class="{group}" x="{start:.2f}%" width="{share:.2f}%" height="12"/>')
        start += share
    return f'<svg aria-hidden="true">{"".join(drawn)}</svg>'
