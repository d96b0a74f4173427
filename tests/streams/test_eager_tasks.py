"""Streams where tasks start eagerly: with hundreds in flight, they neither nest too deeply nor hang."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

from aidp_sessions import RetryPolicy, SessionSummary
from aidp_sessions.testing import Fault, LocalService

from ..helpers.eager_tasks import new_eager_loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from aidp_sessions import SessionsClient

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.12 brought eager tasks")

COUNT = 300
KEYS = [f"w{number:03d}" for number in range(COUNT)]


def on_an_eager_loop(act: Callable[[LocalService, SessionsClient], Awaitable[object]], **options: Any) -> object:
    async def run() -> object:
        async with LocalService() as service:
            for key in KEYS:
                service.add_workspace(key, [SessionSummary(id=key)])
            async with service.client(**options) as client, asyncio.timeout(30.0):
                return await act(service, client)

    with asyncio.Runner(loop_factory=new_eager_loop) as runner:
        return runner.run(run())


async def collect(_: LocalService, client: SessionsClient) -> object:
    return sorted([each.id or "" for each in await client.sessions(KEYS).collect()])


async def discover(_: LocalService, client: SessionsClient) -> object:
    return sorted([each.id or "" for each in await client.sessions().collect()])


async def outcomes(_: LocalService, client: SessionsClient) -> object:
    return sorted([each.workspace_key async for each in client.sessions(KEYS).by_workspace()])


async def from_an_async_generator(_: LocalService, client: SessionsClient) -> object:
    async def keys() -> AsyncIterator[str]:
        for key in KEYS:
            yield key

    return sorted([each.id or "" for each in await client.sessions(keys()).collect()])


async def many_calls(_: LocalService, client: SessionsClient) -> object:
    found = await asyncio.gather(*(client.list_sessions(key) for key in KEYS))
    return [each.id for collection in found for each in collection]


async def after_failures(service: LocalService, client: SessionsClient) -> object:
    for key in KEYS:
        service.fail(key, Fault(status=503))
    return await collect(service, client)


ACTS = [collect, discover, outcomes, from_an_async_generator, many_calls, after_failures]


@pytest.mark.parametrize("limit", [32, COUNT])
@pytest.mark.parametrize("act", ACTS)
def test_every_session_comes(act: Callable[[LocalService, SessionsClient], Awaitable[object]], limit: int) -> None:
    retry = RetryPolicy(base=0.001, cap=0.001)
    assert on_an_eager_loop(act, max_concurrency=limit, retry=retry) == KEYS


async def cancel(service: LocalService, client: SessionsClient) -> object:
    service.fail(None, Fault(delay=60.0, times=None))
    for key in KEYS:
        service.fail(key, Fault(delay=60.0))
    call = asyncio.ensure_future(client.sessions(KEYS).collect())
    while service.in_flight < 200:
        await asyncio.sleep(0.01)
    call.cancel()
    await asyncio.wait([call])
    while service.in_flight:
        await asyncio.sleep(0.01)
    return call.cancelled(), client._transport.limiter.in_use


def test_a_stream_with_hundreds_in_flight_can_be_cancelled() -> None:
    assert on_an_eager_loop(cancel, max_concurrency=200) == (True, 0)
