"""A million mutated answers through the decoder and 100,000 through a client over TCP have only documented outcomes.

    python -m tests.convert.fuzz [--quick] [--seed N]

Compares decoding with the standard library's JSON decoder, and decoding in one piece with decoding in many.
Every core takes a share, with a seed of its own. Prints a table of outcomes and one line of JSON; an outcome that is
not documented is printed with the bytes that led to it, and fails the run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from random import Random
from typing import TYPE_CHECKING, Final

from aidp_sessions import AidpError, RetryPolicy, Timeout

from ..helpers.fuzzing import BODIES, check_decoding, check_result, edited, some_edits, some_message
from ..helpers.raw_server import RawServer, close

if TYPE_CHECKING:
    from collections.abc import Callable

    from aidp_sessions import SessionsClient

PATIENCE_S: Final = 10.0
MOST_SHOWN: Final = 5
Findings = tuple[Counter[str], list[str]]


def through_decoding(seed: int, count: int) -> Findings:
    random, seen, wrong = Random(seed), Counter[str](), list[str]()  # noqa: S311  # chance, not secrecy
    for _ in range(count):
        body = edited(random.choice(BODIES), some_edits(random))
        pieces = [int(random.random() * 500) for _ in range(3)]
        try:
            seen[check_decoding(body, pieces)] += 1
        except Exception as error:  # noqa: BLE001  # any other is a finding
            seen[f"WRONG: {type(error).__name__}"] += 1
            wrong.append(f"{error!r} for {body!r} in pieces {pieces}")
    return seen, wrong[:MOST_SHOWN]


def through_a_client(seed: int, count: int) -> Findings:
    return asyncio.run(_through_a_client(Random(seed), count))  # noqa: S311  # chance, not secrecy


async def _through_a_client(random: Random, count: int) -> Findings:
    seen, wrong = Counter[str](), list[str]()
    timeout = Timeout(connect=PATIENCE_S, read=PATIENCE_S, total=PATIENCE_S)
    async with RawServer(b"") as server, server.client(retry=RetryPolicy.none(), timeout=timeout) as client:
        for _ in range(count):
            message = some_message(random)
            server._steps = [close(message)]  # the next answer
            server.received.clear()
            try:
                seen[await ask(client, message)] += 1
            except Exception as error:  # noqa: BLE001  # any other is a finding
                seen[f"WRONG: {type(error).__name__}"] += 1
                wrong.append(f"{error!r} for {message!r}")
        assert client._transport.limiter.in_use == 0
    return seen, wrong[:MOST_SHOWN]


async def ask(client: SessionsClient, message: bytes) -> str:
    async with asyncio.timeout(2 * PATIENCE_S):
        try:
            found = await client.list_sessions("k")
        except AidpError as error:
            return check_result(error, message)
    return check_result(found.items, message)


def shared_out(work: Callable[[int, int], Findings], seed: int, count: int) -> tuple[Counter[str], list[str], float]:
    """Do *work* on every core, *count* times in all."""
    cores = os.cpu_count() or 1
    began = time.perf_counter()
    with ProcessPoolExecutor(cores) as pool:
        jobs = [pool.submit(work, seed * 1000 + core, len(range(core, count, cores))) for core in range(cores)]
        found = [job.result() for job in jobs]
    seen = sum((seen for seen, _ in found), Counter[str]())
    return seen, [line for _, lines in found for line in lines], time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decode", type=int, default=1_000_000, help="mutated bodies through decoding")
    parser.add_argument("--client", type=int, default=100_000, help="mutated messages through a client")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--quick", action="store_true", help="20,000 and 2,000")
    options = parser.parse_args()
    if options.quick:
        options.decode, options.client = 20_000, 2000

    figures: dict[str, object] = {"seed": options.seed}
    wrong: list[str] = []
    for name, work, count in (
        ("decode", through_decoding, options.decode),
        ("client", through_a_client, options.client),
    ):
        seen, lines, seconds = shared_out(work, options.seed, count)
        figures[name] = {"count": seen.total(), "seconds": round(seconds, 1), "outcomes": dict(seen.most_common())}
        wrong += lines
        print(f"{name}: {seen.total():,} mutations in {seconds:.0f} s, seed {options.seed}")
        for outcome, times in seen.most_common():
            print(f"  {outcome:28}{times:>12,}{times / seen.total():>9.2%}")
    for line in wrong:
        print(f"WRONG: {line}")
    print(json.dumps({"fuzz": {**figures, "wrong": len(wrong)}}))
    return min(len(wrong), 1)


if __name__ == "__main__":
    sys.exit(main())
