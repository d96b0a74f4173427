"""The report: one self-contained HTML page, whose content security policy allows only its own style and script.

All text from the service is escaped and is used as element content only, never in an attribute.
"""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from datetime import UTC
from functools import cache
from hashlib import sha256
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from ..activity import require_aware
from .charts import GROUPS, by_cluster, by_workspace, histogram
from .clusters import cluster_names, cluster_rows
from .explanations import explain
from .html import minute, table, text
from .rollup import Usage, total, total_by_workspace, usage_by_cluster
from .rows import COLUMNS, group_by_kernel, kernel_row
from .summary import idle_time_sentences
from .text import names_in, pluralize, workspace_labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from ..errors import AidpError
    from ..models import ClusterSummary, SessionSummary
    from .clusters import ClusterRow
    from .rollup import Cluster


def page(
    sessions: Sequence[SessionSummary],
    failures: Sequence[AidpError],
    *,
    title: str,
    taken: datetime,
    workspaces: Mapping[str, str] | None = None,
    owners: Mapping[str, str] | None = None,
    usage: Mapping[Cluster, Usage] | None = None,
    clusters: Mapping[Cluster, ClusterSummary] | None = None,
    facts: Mapping[str, str] | None = None,
) -> str:
    """Build one HTML document that loads nothing from anywhere.

    *taken*, an aware datetime, is when the sessions were listed; idle times are measured at that time. *workspaces*
    are the names of the workspaces that were listed, by key: one without sessions is shown only if it is among them.
    *owners* are the names of those who created them, by key. *usage* adds up everything that was listed, if *sessions*
    are a selection. With *clusters*, which may be empty, the page also shows the usage of each cluster, and what these
    summaries say of it. *facts* say what was asked, where, and by whom. Raises `ValueError` for a naive *taken*.
    """
    moment = require_aware(taken, "taken").astimezone(UTC)
    failed = {error.workspace_key for error in failures if error.operation != "list_clusters"} - {None}
    shown = usage_by_cluster(sessions, taken)
    everything = total((usage or shown).values())
    selected = len(sessions) if everything.sessions > len(sessions) else None
    listed = [key for key in workspaces or {} if key not in failed]
    unnamed = _keys([*(usage or {}), *(clusters or {})])
    labels = workspace_labels([*(workspaces or {}).items(), *unnamed, *names_in(sessions), *names_in(failures)])
    names = cluster_names(clusters or {})
    rows = [kernel_row(kernel, taken, labels, names) for kernel in group_by_kernel(sessions, taken)]
    sentences = idle_time_sentences(shown, labels, names)
    return Template(_asset("report.html")).substitute(
        policy=_content_security_policy(),
        style=_asset("report.css"),
        script=_asset("report.js"),
        title=text(title),
        timestamp=moment.isoformat(timespec="seconds"),
        taken=minute(moment),
        facts=_facts(facts or {}),
        figures=_figures(everything, selected, len(failed)),
        summary="".join(f"<p>{text(sentence)}</p>\n" for sentence in sentences),
        failures=_failure_section(failures, labels),
        idle_times=_section(histogram(sessions, taken)),
        by_cluster="" if clusters is None else _by_cluster(cluster_rows(usage or shown, clusters, taken), labels),
        by_workspace=_by_workspace(
            usage or shown, listed, labels, owners or {}, None if selected is None else sessions
        ),
        sessions=table(f"Sessions ({len(sessions):,})", COLUMNS, rows, "sessions", "Idle for"),
    )


@cache
def _asset(name: str) -> str:
    return files("aidp_sessions._display").joinpath(name).read_text(encoding="utf-8")


def _content_security_policy() -> str:
    """Allow the page's own style and script, by their hashes, and nothing else.

    The download needs no permission: a link that saves a blob of the page loads nothing.
    """
    style, script = (b64encode(sha256(_asset(name).encode()).digest()).decode() for name in ("report.css", "report.js"))
    return (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _facts(facts: Mapping[str, str]) -> str:
    items = "".join(f"<div><dt>{name}</dt><dd>{text(value)}</dd></div>\n" for name, value in facts.items())
    return f'<dl class="facts">\n{items}</dl>' if facts else ""


def _figures(everything: Usage, selected: int | None, failed: int) -> str:
    figures = [] if selected is None else [("", "Shown", selected)]
    figures += [("", "Sessions", everything.sessions), ("", "Kernels", everything.kernels)]
    figures += [(group, group.capitalize(), getattr(everything, group)) for group in GROUPS]
    figures += [("failed" if failed else "", "Workspaces failed", failed)]
    items = (
        f'<div><dt class="{css}">{name}</dt><dd class="{css}">{number:,}</dd></div>' for css, name, number in figures
    )
    return f'<dl class="figures">{"".join(items)}</dl>'


def _by_workspace(
    usage: Mapping[Cluster, Usage],
    listed: Iterable[str],
    labels: Mapping[str, str],
    owners: Mapping[str, str],
    kept: Iterable[SessionSummary] | None,
) -> str:
    workspaces = dict.fromkeys(listed, Usage()) | total_by_workspace(usage)
    shown = None if kept is None else Counter(session.workspace_key for session in kept)
    return by_workspace(workspaces, labels, owners, shown)


def _keys(usage: Iterable[Cluster]) -> Iterator[tuple[str, None]]:
    return ((key, None) for key, _ in usage)


def _by_cluster(rows: Sequence[ClusterRow], labels: Mapping[str, str]) -> str:
    return _section(by_cluster(rows, labels)) if rows else ""


def _failure_section(failures: Sequence[AidpError], labels: Mapping[str, str]) -> str:
    rows = (_failure_row(error, labels) for error in failures)
    caption = pluralize(len(failures), "failure")
    return _section(table(caption, ("Workspace", "What happened"), rows, "failures")) if failures else ""


def _failure_row(error: AidpError, labels: Mapping[str, str]) -> str:
    subject = "Its clusters could not be listed. " if error.operation == "list_clusters" else ""
    return (
        f'<tr><th scope="row">{text(labels.get(error.workspace_key or "", "The list of workspaces"))}</th>'
        f"<td>{subject}{explain(error)}.<small>{type(error).__name__}: {text(str(error))}</small></td></tr>"
    )


def _section(content: str) -> str:
    return f"<section>\n{content}\n</section>" if content else ""
