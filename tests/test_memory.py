"""Memory does not grow with the number of workspaces: bytes held, counted by the interpreter."""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
from typing import TYPE_CHECKING

from aidp_sessions.testing import LocalService

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aidp_sessions import SessionsClient


def keys(number: int) -> Iterator[str]:
    return (f"w{each % 20}" for each in range(number))


async def peak(client: SessionsClient, workspaces: int) -> int:
    """The most bytes held beyond the beginning while a stream over so many workspaces is consumed."""
    gc.collect()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    number = 0
    async for _ in client.sessions(keys(workspaces)):
        number += 1
    assert number == 10 * workspaces
    return tracemalloc.get_traced_memory()[1] - before


async def test_ten_times_the_workspaces_take_no_more_memory() -> None:
    async with LocalService(record_limit=0) as service:
        for number in range(20):
            service.add_workspace(f"w{number}", [{"id": f"{number}-{each}"} for each in range(10)])
        async with service.client(max_concurrency=10) as client:
            await client.sessions(keys(100)).collect()
            tracemalloc.start()
            try:
                few, many = await peak(client, 150), await peak(client, 1500)
            finally:
                tracemalloc.stop()

    assert many < 1.25 * few + 100_000


async def test_a_large_listing_is_not_held_up_by_full_collections() -> None:
    """What is kept goes straight to the oldest generation of the collector; what others froze there stays frozen."""
    program = """
import asyncio, gc, json
from aidp_sessions._delivery import Delivery

body = json.dumps({"items": [{"id": str(number), "kernel": {"name": "python3"}} for number in range(60_000)]}).encode()

def full_collections():
    return gc.get_stats()[2]["collections"]

async def collections_while_kept():
    delivery, before = Delivery("w"), full_collections()
    delivery.begin()
    await delivery.take(body)
    assert len(delivery.rest()) > 50_000
    return full_collections() - before

gc.collect()
settled = asyncio.run(collections_while_kept())
gc.freeze()
frozen = gc.get_freeze_count()
asyncio.run(collections_while_kept())
print(settled, gc.get_freeze_count() == frozen)
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()

    assert output.decode().split() == ["0", "True"]
