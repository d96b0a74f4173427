"""Measures the gain of a second process with `benchmarks.shards`, and what limits it.

    python -m benchmarks.sharded [--workspaces N] [--processes N] [--rounds N]

One process and the workers take turns, with equally many requests in flight: enough to keep one process busy.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import attrs
from distributed import Client, LocalCluster

from aidp_sessions import SessionsClient

from .payload import PLATFORM, keys
from .server import running
from .shards import SHARDS_AT_A_TIME, Sessions, idle_since
from .target import Target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from aidp_sessions import WorkspaceOutcome

_SINCE: Final = datetime(2026, 11, 23, tzinfo=UTC) - timedelta(seconds=15)
_IDLE: Final = 2
"""Sessions of each workspace, of 20, that have been idle since then."""
_IN_FLIGHT: Final = {0: 32, 50: 256}
"""By latency in ms."""


@attrs.frozen
class Round:
    """Seconds: of wall clock, and of CPU in this process and in the workers."""

    wall: float
    here: float
    workers: float


async def _timed(outcomes: AsyncIterator[WorkspaceOutcome], expected: int, cluster: Client) -> Round:
    workers, here, start, found = await _cpu_of_workers(cluster), time.process_time(), time.perf_counter(), 0
    async for outcome in outcomes:
        assert outcome.error is None, outcome.error
        found += len(outcome.sessions)
    wall, here = time.perf_counter() - start, time.process_time() - here
    assert found == expected, (found, expected)
    return Round(wall, here, await _cpu_of_workers(cluster) - workers)


async def _cpu_of_workers(cluster: Client) -> float:
    seconds: dict[str, float] = await cluster.run(time.process_time)
    return sum(seconds.values())


async def _compare(options: argparse.Namespace, latency_ms: int, config: dict[str, str]) -> list[tuple[Round, Round]]:
    asked, pairs = keys(options.workspaces, latency_ms=latency_ms), []
    in_flight: int = _IN_FLIGHT[latency_ms]
    async with (
        SessionsClient.from_config(**config, max_concurrency=in_flight) as client,  # type: ignore[arg-type]  # checked
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=options.processes,
            threads_per_worker=SHARDS_AT_A_TIME,
            dashboard_address="127.0.0.1:0",
            asynchronous=True,
        ) as local,
        Client(local, asynchronous=True) as cluster,  # type: ignore[no-untyped-call]
    ):
        await cluster.register_plugin(Sessions(**config, max_concurrency=max(1, in_flight // options.processes)))
        for _ in range(options.rounds + 1):
            here = client.sessions(asked).idle_since(_SINCE).by_workspace()
            alone = await _timed(here, _IDLE * len(asked), cluster)
            pairs.append((alone, await _timed(idle_since(cluster, asked, _SINCE), _IDLE * len(asked), cluster)))
    return pairs[1:]  # the first round was for imports and connections


def _report(count: int, processes: int, pairs: Sequence[tuple[Round, Round]]) -> str:
    alone, together = (median(count / each.wall for each in column) for column in zip(*pairs, strict=True))
    gains = sorted(one.wall / many.wall for one, many in pairs)
    own, workers, here = (
        median(seconds) / count * 1e6
        for seconds in (
            [one.here for one, _ in pairs],
            [many.workers for _, many in pairs],
            [many.here for _, many in pairs],
        )
    )
    bound = min(processes, os.cpu_count() or 1) * own / (workers + here)
    return (
        f"one process {alone:,.0f} workspaces/s, {processes} workers {together:,.0f}: "
        f"x{median(gains):.2f} ({gains[0]:.2f} to {gains[-1]:.2f})\n"
        f"  CPU per workspace: {own:.0f} µs alone; {workers:.0f} in the workers + {here:.0f} here; "
        f"{os.cpu_count()} cores, had the service its own, could gain x{bound:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sharded", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workspaces", type=int, default=4000)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with running() as url, tempfile.TemporaryDirectory() as folder:
        config_file = Target.of(url).write_config(Path(folder))
        config = {"platform_id": PLATFORM, "config_file": config_file, "endpoint": url}
        for latency_ms, in_flight in _IN_FLIGHT.items():
            pairs = asyncio.run(_compare(options, latency_ms, config))
            print(f"{latency_ms} ms, {in_flight} in flight:", _report(options.workspaces, options.processes, pairs))


if __name__ == "__main__":
    main()
