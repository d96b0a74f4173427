"""A plan and its outcomes as tables."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from .._display.text import names_in, pluralize, session_title, strip_control_chars, workspace_labels
from .tables import (
    TOTAL_ROW,
    LeftTruncated,
    cell,
    fit_columns,
    fit_sessions,
    longest_idle_first,
    most_first,
    number_table,
    session_cells,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ..culling.named import NamedKernel, NamedOutcome
    from ..culling.plan import CullCandidate, CullOutcome, CullPlan, KeptKernel
    from ..models import SessionSummary
    from .tables import Cells

_RESULT_STYLES = {"deleted": "green", "gone": "green", "changed": "yellow"}


def print_plan(plan: CullPlan, console: Console) -> None:
    """Print the sessions of the candidates, the longest idle time first; then totals, and why the others are kept."""
    if plan.candidates:
        sessions = [session for candidate in plan.candidates for session in candidate.sessions]
        console.print(fit_sessions(longest_idle_first(sessions, plan.taken), plan.taken, console))
        console.print()
    console.print(_plan_totals(plan, console))
    console.print()
    console.print(_summary(plan), style="bold", soft_wrap=True)


def _summary(plan: CullPlan) -> str:
    """One line, e.g. ``3 of 40 kernels would be shut down; kept: 20 recent, 17 busy; 1 failure``."""
    reasons = _reasons(plan)
    text = f"{len(plan.candidates)} of {pluralize(len(plan.candidates) + reasons.total(), 'kernel')} would be shut down"
    if reasons:
        text += "; kept: " + ", ".join(f"{reasons[name]} {name}" for name in most_first(reasons)).replace("_", " ")
    if plan.failures:
        text += f"; {pluralize(len(plan.failures), 'failure')}"
    return text


def _reasons(plan: CullPlan) -> Counter[str]:
    return Counter(reason for _, reason in _kept(plan))


def _kept(plan: CullPlan) -> list[tuple[tuple[str, str], str]]:
    """The place of each kernel that is kept, and the reason, which in a saved plan can be any text."""
    kernels = [kernel for kernel in plan.kept if kernel.kernel_id is not None]
    return [(_place(kernel), strip_control_chars(kernel.reason)) for kernel in kernels]


def print_decisions(decisions: Sequence[tuple[NamedKernel, str | None]], now: datetime, console: Console) -> None:
    """Print the sessions of kernels that were named, what would become of each, and how many would be deleted."""
    judged = [
        (session, _decision(session, kernel, reason)) for kernel, reason in decisions for session in kernel.sessions
    ]
    cells = session_cells([session for session, _ in judged], now, console)
    rows: list[Cells] = [{**each, "Decision": decision} for each, (_, decision) in zip(cells, judged, strict=True)]
    console.print(fit_columns(rows, console.width, ("Bar", "Kernel", "Conn.", "Id"), {"Session": 12, "Workspace": 6}))
    console.print()
    permitted = [kernel for kernel, reason in decisions if reason is None]
    others = sum(len(kernel.others) for kernel in permitted)
    text = f"{pluralize(sum(len(kernel.names) for kernel in permitted), 'session')} would be deleted"
    if others:
        text += f", and {pluralize(others, 'other session')} would end with the same kernels"
    console.print(text, style="bold", soft_wrap=True)


def _decision(session: SessionSummary, kernel: NamedKernel, reason: str | None) -> Text:
    if reason is not None:
        return cell(f"kept: {reason}", "yellow")
    return cell("delete" if session.id in kernel.names else "ends too", "red")


def print_outcomes(outcomes: Sequence[CullOutcome | NamedOutcome], left: int, console: Console) -> None:
    """Print one row per outcome, how many had which result, and how many candidates are *left* after an early end."""
    labels = _labels([outcome.candidate for outcome in outcomes])
    rows: list[Cells] = [
        {
            "Workspace": cell(labels[outcome.candidate.workspace_key]),
            "Session": LeftTruncated(strip_control_chars(session_title(outcome.candidate.sessions[0]))),
            "Result": cell(outcome.result, _RESULT_STYLES.get(outcome.result, "red")),
            "Reason": cell(outcome.reason),
            "Kernel": cell(outcome.candidate.kernel_id, "dim"),
        }
        for outcome in outcomes
    ]
    if rows:
        console.print()
        console.print(fit_columns(rows, console.width, ("Kernel",), {"Session": 12, "Reason": 10, "Workspace": 6}))
        console.print()
    results = Counter(str(outcome.result) for outcome in outcomes)
    numbers = [*results.most_common(), *([("not tried", left)] if left else [])]
    summary = ", ".join(f"{number} {result}" for result, number in numbers)
    console.print(summary or "nothing to shut down", style="bold", soft_wrap=True)


def _plan_totals(plan: CullPlan, console: Console) -> Table:
    """Kernels by decision, for each workspace and cluster that has candidates, and for all together."""
    candidates = Counter(map(_place, plan.candidates))
    reasons = _reasons(plan)
    kept = Counter(_kept(plan))
    places = most_first(candidates)
    columns = {
        "Shut down": [*(candidates[place] for place in places), candidates.total()],
        "Kept": [*(sum(kept[place, reason] for reason in reasons) for place in places), reasons.total()],
        **{reason: [*(kept[place, reason] for place in places), reasons[reason]] for reason in most_first(reasons)},
    }
    labels = _labels([*plan.candidates, *plan.kept])
    names = [*((labels[workspace], cluster) for workspace, cluster in places), (TOTAL_ROW, "")]
    titles = {"Workspace": [workspace for workspace, _ in names], "Cluster": [cluster for _, cluster in names]}
    table = number_table(titles, columns, console.width)
    table.rows[-1].style = "bold"
    return table


def _labels(kernels: Sequence[CullCandidate | KeptKernel | NamedKernel]) -> Mapping[str, str]:
    """What the workspaces of *kernels* are called, by key."""
    keys = ((kernel.workspace_key, None) for kernel in kernels)
    return workspace_labels([*keys, *names_in(session for kernel in kernels for session in kernel.sessions)])


def _place(kernel: CullCandidate | KeptKernel) -> tuple[str, str]:
    """The workspace and the cluster of *kernel*; more than one cluster if its sessions disagree."""
    return kernel.workspace_key, ", ".join(sorted({session.cluster_id or "" for session in kernel.sessions}))
