"""What the figures mean, in sentences."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from .rollup import total, total_by_workspace
from .text import pluralize

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .rollup import Cluster, Usage

_MAX_NAMED = 3
_MIN_NAMED = timedelta(minutes=6)
_HOUR = timedelta(hours=1)


def idle_time_sentences(
    usage: Mapping[Cluster, Usage], workspace_names: Mapping[str, str], cluster_names: Mapping[Cluster, str]
) -> list[str]:
    """How long the kernels of *usage* have been idle, added up, and where most. Nothing if no kernel is idle."""
    everything = total(usage.values())
    if not everything.idle_kernels:
        return []
    kernels = pluralize(everything.idle_kernels, "kernel")
    sentences = [f"{kernels} idle for {_hours(everything)} in all."]
    workspaces = [(workspace_names.get(key, key), each) for key, each in total_by_workspace(usage).items()]
    if len(workspaces) > 1 and (most := _most(workspaces)):
        sentences.append(f"Most of it in {most}.")
    clusters = [(cluster_names.get(key, key[1]), each) for key, each in usage.items() if key[1] is not None]
    if len(clusters) > 1 and (most := _most(clusters)):
        sentences.append(f"Most of it on the clusters {most}.")
    return sentences


def _most(named: Iterable[tuple[str, Usage]]) -> str:
    """The groups with most idle time, and how much."""
    idle = [(name, each) for name, each in named if each.idle_time >= _MIN_NAMED]
    idle.sort(key=lambda item: (-item[1].idle_time, item[0]))
    return ", ".join(f"{name} ({_hours(each)})" for name, each in idle[:_MAX_NAMED])


def _hours(usage: Usage) -> str:
    hours = usage.idle_time / _HOUR
    return f"{hours:,.1f} hours" if hours < 10 else f"{hours:,.0f} hours"
