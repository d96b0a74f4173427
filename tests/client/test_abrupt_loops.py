"""A loop that is closed while calls are in flight, without a cancellation: the next loop has every slot again."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest

from aidp_sessions import SessionsClient
from aidp_sessions.testing._service import identity as _identity

from ..helpers.raw_server import PLATFORM, RawServer, answer, eventually, send

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SLOTS: Final = 2

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of what the closed loop has left open
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


async def list_one(client: SessionsClient) -> object:
    return await client.list_sessions("w")


async def collect(client: SessionsClient) -> object:
    return await client.sessions(["w", "v", "u"]).collect()


def leave_in_flight(act: Callable[[SessionsClient], Awaitable[object]], client: SessionsClient) -> list[object]:
    """Start more calls than there are slots on a loop that is then closed; returns their coroutines."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # "Task was destroyed but it is pending"
    server = RawServer(send(b""))

    async def start() -> list[object]:
        await server.__aenter__()
        busy = at(client, server.url)
        calls = [asyncio.ensure_future(act(busy)) for _ in range(2 * SLOTS)]
        await eventually(lambda: len(server.received) == SLOTS)
        assert busy._transport.limiter.in_use == SLOTS
        return [call.get_coro() for call in calls]

    left = loop.run_until_complete(start())
    loop.close()
    return left


def at(client: SessionsClient, endpoint: str) -> SessionsClient:
    """*client* with another server and the same limiter."""
    copy = client.with_options(endpoint=endpoint)
    copy._transport = attrs.evolve(copy._transport, limiter=client._transport.limiter)
    return copy


async def answers(client: SessionsClient) -> list[int]:
    """More calls at once than there are slots."""
    async with RawServer(answer()) as server, asyncio.timeout(10.0):
        busy = at(client, server.url)
        found = await asyncio.gather(*(busy.list_sessions("w") for _ in range(SLOTS + 1)))
        return [len(each) for each in found]


def build(*, copied: bool) -> SessionsClient:
    """A client, or a copy with a limit of its own; it asks at other endpoints than its own."""
    options: dict[str, Any] = {"signer": _identity.signer(), "endpoint": "https://aidp.invalid"}
    if copied:
        return SessionsClient(PLATFORM, **options).with_options(max_concurrency=SLOTS)
    return SessionsClient(PLATFORM, **options, max_concurrency=SLOTS)


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("act", [list_one, collect])
def test_its_slots_are_free_on_the_next_loop(act: Callable[[SessionsClient], Awaitable[object]], copied: bool) -> None:
    client = build(copied=copied)
    left = leave_in_flight(act, client)

    assert asyncio.run(answers(client)) == [0] * (SLOTS + 1)
    assert client._transport.limiter.in_use == 0
    left.clear()
    gc.collect()


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("act", [list_one, collect])
def test_a_late_clean_up_of_its_coroutines_gives_no_slot_of_the_next_loop_away(
    act: Callable[[SessionsClient], Awaitable[object]], copied: bool
) -> None:
    client = build(copied=copied)
    left = leave_in_flight(act, client)
    limiter = client._transport.limiter

    async def clean_up_between() -> tuple[list[int], int]:
        await answers(client)
        assert limiter.try_acquire()
        left.clear()
        gc.collect()
        in_use = limiter.in_use
        limiter.release()
        return await answers(client), in_use

    assert asyncio.run(clean_up_between()) == ([0] * (SLOTS + 1), 1)
    assert limiter.in_use == 0
