"""Measures this process: CPU time, peak memory, and how long its event loop was blocked."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Figures = dict[str, float]

_MEGABYTE: Final = 1e6
_TICK: Final = 0.001
_STATUS: Final = Path("/proc/self/status")


def cpu_seconds() -> float:
    """User and system time of this process, all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def begin_peak() -> float:
    """Reset the peak memory if the system can; return the current resident memory in MB."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak()


def peak() -> float:
    """The most resident memory since `begin_peak`, in MB."""
    if _STATUS.exists():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / _MEGABYTE
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _MEGABYTE


@contextlib.asynccontextmanager
async def stalls() -> AsyncIterator[Figures]:
    """Tick every millisecond; at the end the figures have the delays of the ticks in ms."""
    figures: Figures = {}
    late: list[float] = []

    async def tick() -> None:
        while True:
            due = time.perf_counter() + _TICK
            await asyncio.sleep(_TICK)
            late.append((time.perf_counter() - due) * 1000)

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(2 * _TICK)
    try:
        yield figures
    finally:
        await asyncio.sleep(2 * _TICK)  # the tick that is overdue by now counts too
        ticker.cancel()
        hundredths = statistics.quantiles(late, n=100, method="inclusive")
        figures.update(stall_p50_ms=hundredths[49], stall_p99_ms=hundredths[98], stall_max_ms=max(late))
