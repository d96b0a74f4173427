"""Decodes bodies of 16 KiB to 16 MiB in one piece and in many, and one of 41 MB with several thresholds.

    python -m benchmarks.threshold [--rounds N]

The client itself, over loopback, with its threshold moved out of the way. Every measurement is a process of its own;
the best of the rounds counts, for whatever else runs on the machine only ever adds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import statistics
import subprocess
import sys
import time
from itertools import product
from typing import TYPE_CHECKING, Final

import attrs

from . import measure
from .payload import keys, sessions_body
from .server import prepare, running
from .target import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .measure import Figures

KIB: Final = 1024
SIZES: Final = tuple(KIB << power for power in range(4, 15))
WHOLE: Final = math.inf
PIECES: Final = 0.0
THRESHOLDS: Final = tuple(KIB << power for power in range(6, 13))
"""For the second table, as the first session of a large answer waits for that much of it."""
_LARGE: Final = 100_000
_MIN_SESSIONS: Final = 10_000
_MAX_TIMES: Final = 24
_UNITS: Final = {
    "cpu_us": "CPU µs/session",
    "total_ms": "ms",
    "first_ms": "first, ms",
    "stall_ms": "stall, ms",
    "growth_mb": "growth, MB",
}
_NOTHING: Final = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.threshold", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rows = [*product(map(sessions_in, SIZES), (WHOLE, PIECES)), *product([_LARGE], THRESHOLDS)]
    best: dict[tuple[int, float], Figures] = {}
    with running() as url:
        target = Target.of(url)
        for number, row in product(range(options.rounds), rows):
            print(f"\rround {number + 1}: {row[0]} sessions   ", end="", file=sys.stderr, flush=True)
            prepare(url, row[0])
            figures, known = _in_a_process(target, *row), best.setdefault(row, {})
            known.update({name: min(value, known.get(name, value)) for name, value in figures.items()})
    print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
    print(*_tables(best), sep="\n")


def _tables(best: dict[tuple[int, float], Figures]) -> Iterator[str]:
    yield "whole, in pieces, ratio\n   KiB" + "".join(unit.rjust(26) for unit in _UNITS.values())
    for size in SIZES:
        whole, pieces = (best[sessions_in(size), way] for way in (WHOLE, PIECES))
        yield f"{size // KIB:>6}" + "".join(_cell(whole[name], pieces[name]) for name in _UNITS)
    yield f"\n{_LARGE:,} sessions by threshold\n   KiB" + "".join(unit.rjust(16) for unit in _UNITS.values())
    for size in THRESHOLDS:
        figures = best[_LARGE, size]
        share = f"   first after {100 * figures['first_ms'] / figures['total_ms']:.1f} %"
        yield f"{size // KIB:>6}" + "".join(f"{figures[name]:>16.2f}" for name in _UNITS) + share


def _cell(whole: float, pieces: float) -> str:
    ratio = f"x{pieces / whole:.2f}" if whole > _NOTHING else ""
    return f"{whole:>10.2f}{pieces:>9.2f}{ratio:>7}"


def sessions_in(size: int) -> int:
    """The number of sessions that fit into a body of *size* bytes."""
    return int(size * 100 / len(sessions_body(100)))


def _in_a_process(target: Target, sessions: int, threshold: float) -> Figures:
    job = json.dumps({"target": attrs.asdict(target), "sessions": sessions, "threshold": threshold})
    command = [sys.executable, "-m", "benchmarks.threshold", "--child"]
    finished = subprocess.run(command, input=job, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603  # ours
    figures: Figures = json.loads(finished.stdout)
    return figures


async def _read(target: Target, sessions: int, threshold: float) -> Figures:
    """Medians of enough answers; the growth of memory during the first."""
    from aidp_sessions._operations import buffering as _delivery  # noqa: PLC0415  # in the child alone
    from aidp_sessions._transport import exchange as _transport  # noqa: PLC0415  # in the child alone

    from .peers import our_client  # noqa: PLC0415

    for module in (_delivery, _transport):
        vars(module).update(THRESHOLD=threshold)
    (key,) = keys(1, sessions=sessions)
    readings: list[Figures] = []
    async with our_client(target) as client:
        await client.sessions(keys(3, sessions=40)).collect()
        for _ in range(min(_MAX_TIMES, max(3, _MIN_SESSIONS // sessions))):
            async with measure.stalls() as late:
                found, first, memory = 0, 0.0, measure.begin_peak()
                cpu, start = time.process_time(), time.perf_counter()
                async for _session in client.sessions(key):
                    first = first or time.perf_counter() - start
                    found += 1
                total, cpu = time.perf_counter() - start, time.process_time() - cpu
                growth = measure.peak() - memory
            assert found == sessions, found
            reading = {"cpu_us": cpu / sessions * 1e6, "total_ms": total * 1e3, "first_ms": first * 1e3}
            readings.append({**reading, "stall_ms": late["stall_max_ms"], "growth_mb": growth})
    figures = {name: statistics.median(reading[name] for reading in readings) for name in readings[0]}
    return {**figures, "growth_mb": readings[0]["growth_mb"]}


if __name__ == "__main__":
    if sys.argv[1:] == ["--child"]:
        job = json.load(sys.stdin)
        print(json.dumps(asyncio.run(_read(Target(**job["target"]), job["sessions"], job["threshold"]))))
    else:
        main()
