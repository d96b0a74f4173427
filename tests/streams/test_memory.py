"""Memory does not grow with the number of workspaces: bytes held, counted by the interpreter."""

from __future__ import annotations

import gc
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
