"""One measurement in its own process, for its own CPU time and memory: reads a job, prints figures, both as JSON.

Started by `jobs.run`; imports only the client that it measures.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import sys
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from . import measure
from .jobs import Decoding, FanningOut, Job, Reading, Throttling, job_of
from .payload import keys, sessions_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from .measure import Figures

_WARM_UP: Final = 300
THROTTLED_EVERY: Final = 10


async def fan_out(job: FanningOut) -> Figures:
    """Requests per second, CPU per request, growth of the peak memory, delays of the ticker if any; after a warm-up."""
    from .peers import PEERS  # noqa: PLC0415

    asked = keys(job.workspaces, sessions=job.sessions, latency_ms=job.latency_ms)
    async with PEERS[job.peer](job.target) as ask:
        await ask(keys(_WARM_UP, sessions=job.sessions), job.concurrency)
        async with measure.stalls() if job.ticker else contextlib.nullcontext(dict[str, float]()) as figures:
            memory, cpu, start = measure.begin_peak(), measure.cpu_seconds(), time.perf_counter()
            count = await ask(asked, job.concurrency)
            seconds, cpu = time.perf_counter() - start, measure.cpu_seconds() - cpu
            growth = measure.peak() - memory
    assert count == job.sessions * job.workspaces, count
    rate = job.workspaces / seconds
    figures.update(per_second=rate, cpu_us=cpu / job.workspaces * 1e6, growth_mb=growth)
    if job.latency_ms:
        figures["of_ideal_percent"] = 100 * rate / (job.concurrency / (job.latency_ms / 1000))
    return figures


async def read(job: Reading) -> Figures:
    """The times of the first and last session, the growth of the peak memory, and how long the loop was blocked."""
    from .large import READERS, warm_up  # noqa: PLC0415

    await warm_up(READERS[job.reader], job.target, keys(1)[0])
    count, first = 0, 0.0
    async with measure.stalls() as figures:
        memory, cpu, start = measure.begin_peak(), measure.cpu_seconds(), time.perf_counter()
        async with aclosing(READERS[job.reader](job.target, keys(1, sessions=job.sessions)[0])) as parts:
            async for found in parts:  # the last part is kept until the end, because freeing it is not part of reading
                first = first or time.perf_counter() - start
                count += len(found)
        seconds, cpu = time.perf_counter() - start, measure.cpu_seconds() - cpu
        growth = measure.peak() - memory
    assert count == job.sessions, count
    figures.update(first_ms=first * 1e3, total_ms=seconds * 1e3, first_percent=100 * first / seconds)
    figures.update(growth_mb=growth, cpu_ms=cpu * 1e3)
    return figures


def decode(job: Decoding) -> Figures:
    """Microseconds per session: the best of several batches, because slower ones were disturbed."""
    from .decoders import DECODERS  # noqa: PLC0415

    body, convert = sessions_body(job.sessions), DECODERS[job.decoder]()
    assert len(convert(body)) == job.sessions
    best = float("inf")
    for _ in range(job.batches):
        start = time.perf_counter()
        for _ in range(20):
            convert(body)
        best = min(best, time.perf_counter() - start)
    return {"session_us": best / 20 / job.sessions * 1e6}


async def throttle(job: Throttling) -> Figures:
    """The times at which all workspaces that are never throttled had answered, and all workspaces."""
    from .peers import our_client  # noqa: PLC0415

    every = THROTTLED_EVERY if job.throttled else 0
    asked = keys(job.workspaces, latency_ms=job.latency_ms, throttled_every=every)
    healthy = {key for number, key in enumerate(asked) if number % THROTTLED_EVERY}
    async with our_client(job.target) as client:
        await client.sessions(keys(_WARM_UP), max_concurrency=job.concurrency).collect()
        start, last = time.perf_counter(), 0.0
        async for outcome in client.sessions(asked, max_concurrency=job.concurrency).by_workspace():
            assert outcome.error is None
            if outcome.workspace_key in healthy:
                last = time.perf_counter() - start
    return {"healthy_s": last, "all_s": time.perf_counter() - start}


def measured(job: Job) -> Figures:
    match job:
        case FanningOut():
            return _run(lambda: fan_out(job), uvloop=job.uvloop)
        case Reading():
            return _run(lambda: read(job), uvloop=False)
        case Throttling():
            return _run(lambda: throttle(job), uvloop=False)
        case Decoding():
            return decode(job)


def _run(main: Callable[[], object], *, uvloop: bool) -> Figures:
    factory = importlib.import_module("uvloop").new_event_loop if uvloop else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())  # type: ignore[arg-type]


if __name__ == "__main__":
    print(json.dumps(measured(job_of(json.loads(sys.stdin.read())))))
