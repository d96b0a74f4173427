"""A report as tables and sentences: sessions, totals by workspace and by cluster, and what was asked."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

import attrs

from .._display.cluster_use import Use
from .._display.clusters import cluster_names, cluster_rows
from .._display.rollup import usage_by_cluster
from .._display.summary import idle_time_sentences
from .._display.text import format_duration, strip_control_chars
from .tables import OTHER_STYLE, cell, fit_columns, fit_sessions, longest_idle_first, totals

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import tzinfo

    from rich.console import Console
    from rich.table import Table

    from .._display.clusters import ClusterRow
    from .report import Report
    from .tables import Cells

_STATE_STYLES = {"ACTIVE": "green", "FAILED": "red"}
_DROP_ORDER = ("Stopped by", "Other", "Longest idle", "Busy", "Idle")
_MIN_WIDTHS = {"Cluster": 8, "Workspace": 6}
_MAX_CLUSTERS = 10
"""Clusters that are shown without being asked for; they come after the sessions, and the longest unused are first."""


@attrs.frozen
class Shown:
    """What is shown of the kept sessions.

    Attributes:
        table: of the sessions; ``None``: no row is shown.
        omitted: how many rows were left out.
        zone: the time zone of the times; ``None`` is the local one.
    """

    table: Table | None
    omitted: int = 0
    zone: tzinfo | None = UTC


def print_report(report: Report, console: Console, shown: Shown | None = None) -> None:
    """Print the sessions, by default all that are kept; then totals, what they mean, and what was asked."""
    if shown is None:
        kept = longest_idle_first(report.kept, report.now)
        shown = Shown(fit_sessions(kept, report.now, console) if kept else None)
    if report.kept:
        _print_sessions(shown, console)
        console.print(totals(report, console))
        console.print()
    if report.adjective == "idle" or report.clusters:
        _print_clusters(report, console)
    usage = usage_by_cluster(report.kept, report.now)
    if sentences := idle_time_sentences(usage, report.labels, cluster_names(report.clusters)):
        console.print("\n".join(map(strip_control_chars, sentences)))
        console.print()
    if report.source:
        console.print(strip_control_chars(_facts_line(report, shown.zone)), style="dim", soft_wrap=True)
    console.print(report.summary(), style="bold", soft_wrap=True)


def _print_sessions(shown: Shown, console: Console) -> None:
    if shown.table is None:
        return
    console.print(shown.table)
    if shown.omitted:
        console.print(f"… and {shown.omitted} more", style="dim")
    console.print()


def _facts_line(report: Report, zone: tzinfo | None) -> str:
    """When, what, where and by whom it was asked; how many workspaces is in the summary."""
    facts = report.facts()
    del facts["Asked"]
    return "; ".join((f"{report.now.astimezone(zone):%Y-%m-%d %H:%M %Z}", *facts.values()))


def _print_clusters(report: Report, console: Console) -> None:
    """Print the clusters of the kept sessions, and those that run with nothing attached; only some, unless asked."""
    if report.is_filtered:
        return
    kept = {(session.workspace_key, session.cluster_id or None) for session in report.kept}
    rows = [
        row
        for row in cluster_rows(report.usage, report.clusters, report.now)
        if (row.workspace_key, row.cluster_id) in kept or row.use is Use.UNATTACHED
    ]
    if not rows:
        return
    labels, shown = report.labels, rows if report.clusters else rows[:_MAX_CLUSTERS]
    console.print(fit_columns([_cells(row, labels) for row in shown], console.width, _DROP_ORDER, _MIN_WIDTHS))
    if len(shown) < len(rows):
        console.print(f"… and {len(rows) - len(shown)} more; --clusters shows all", style="dim")
    console.print()


def _cells(row: ClusterRow, labels: Mapping[str, str]) -> Cells:
    usage = row.usage
    return {
        "Workspace": cell(labels.get(row.workspace_key, row.workspace_key)),
        "Cluster": cell(row.name, "" if row.cluster_id else OTHER_STYLE),
        "Sessions": cell(_number(usage.sessions)),
        "Idle": cell(_number(usage.idle)),
        "Busy": cell(_number(usage.busy)),
        "Other": cell(_number(usage.other)),
        "Longest idle": cell(None if usage.longest_idle is None else format_duration(usage.longest_idle)),
        "Unused for": cell(row.unused_for),
        "State": cell(row.state, _STATE_STYLES.get(row.state, OTHER_STYLE)),
        "Stopped by": cell(row.stopped_by),
    }


def _number(value: int) -> str:
    return str(value or "-")
