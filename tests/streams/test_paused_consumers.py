"""A consumer that pauses in the middle of large answers does not block other calls."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import pytest

from aidp_sessions import RequestTimeoutError, Timeout
from aidp_sessions._operations.messages import THRESHOLD
from aidp_sessions.testing import LocalService

from ..helpers.raw_server import RawServer, answer, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from aidp_sessions import SessionsClient

SLOTS: Final = 2
LIMITS: Final = Timeout(total=5.0)
LARGE: Final = [{"id": f"{number:08d}", "path": "x" * 400} for number in range(THRESHOLD * 5 // 4 // 400)]
KEYS: Final = [f"large{number}" for number in range(2 * SLOTS)]


@pytest.fixture
async def service() -> AsyncIterator[LocalService]:
    """Has twice as many large workspaces as there are slots, and two small ones."""
    async with LocalService() as service:
        for key in KEYS:
            service.add_workspace(key, LARGE)
        for key in ("small1", "small2"):
            service.add_workspace(key, [{"id": key}])
        yield service


async def list_one(client: SessionsClient) -> list[str]:
    return [*(each.id or "" for each in await client.list_sessions("small1")), "small2"]


async def list_in_a_task(client: SessionsClient) -> list[str]:
    return await asyncio.create_task(list_one(client))


async def stream_two(client: SessionsClient) -> list[str]:
    return sorted([each.id or "" async for each in client.sessions(["small1", "small2"])])


async def outcomes_of_two(client: SessionsClient) -> list[str]:
    return sorted([each.workspace_key async for each in client.sessions(["small1", "small2"]).by_workspace()])


ASKS: Final = [list_one, list_in_a_task, stream_two, outcomes_of_two]


@pytest.mark.parametrize("slots", [1, SLOTS])
@pytest.mark.parametrize("ask", ASKS)
async def test_calls_inside_a_loop_over_large_answers_complete(
    service: LocalService, ask: Callable[[SessionsClient], Awaitable[list[str]]], slots: int
) -> None:
    """A call per 1,000 sessions, until all large answers are read; no slot is lost."""
    count = 0
    answers: list[list[str]] = []
    async with service.client(max_concurrency=slots, timeout=LIMITS) as client:
        async for _ in client.sessions(KEYS):
            count += 1
            if count % 1000 == 0:
                answers.append(await ask(client))
        in_use = client._transport.limiter.in_use

    assert count == len(KEYS) * len(LARGE)
    assert answers == [["small1", "small2"]] * (count // 1000)
    assert in_use == 0
    assert service.peak_in_flight <= 2 * slots


async def test_a_nested_call_completes_on_a_client_that_was_throttled_to_one_slot(service: LocalService) -> None:
    async with service.client(max_concurrency=SLOTS, timeout=LIMITS) as client:
        client._transport.limiter.decrease(client._transport.limiter.generation)
        assert client._transport.limiter.limit == 1
        async with aclosing(aiter(client.sessions(KEYS[:1]))) as sessions:
            await anext(sessions)
            assert await list_one(client) == ["small1", "small2"]


async def test_while_the_consumer_pauses_a_bounded_number_of_answers_waits_without_a_slot(
    service: LocalService,
) -> None:
    """At most one connection per slot and two buffered parts per slot; no new workspace is asked."""
    async with service.client(max_concurrency=SLOTS, timeout=LIMITS) as client:
        async with aclosing(aiter(client.sessions(KEYS))) as sessions:
            await anext(sessions)
            await eventually(lambda: client._transport.limiter.in_use == 0)
            for _ in range(200):
                await asyncio.sleep(0)
            assert service.request_count == SLOTS
            assert service.in_flight <= SLOTS
            assert client._transport.limiter.in_use == 0
        assert client._transport.limiter.in_use == 0
        assert await list_one(client) == ["small1", "small2"]


async def test_the_total_counts_again_once_the_consumer_goes_on() -> None:
    """The service stops before the end of the answer: the call's own limit ends it, after any pause of the consumer."""
    body = answer(json.dumps({"items": LARGE}).encode())
    limits = Timeout(total=1.0)
    async with RawServer(body[:-1]) as server, server.client(max_concurrency=1, timeout=limits) as client:
        async with aclosing(aiter(client.sessions("w", on_error="raise"))) as sessions:
            await anext(sessions)
            await asyncio.sleep(1.2)
            with pytest.raises(RequestTimeoutError) as caught:
                _ = [each async for each in sessions]

    assert caught.value.limit == "total"
    assert len(LARGE) - 200 < caught.value.delivered <= len(LARGE)
