"""A client closes what it opened and nothing else, on one loop at a time, and shares nothing unless it is a copy."""

from __future__ import annotations

import asyncio
import gc
from contextlib import aclosing
from typing import TYPE_CHECKING

import aiohttp
import pytest

from aidp_sessions import RequestTimeoutError, RetryPolicy, ServiceError, SessionsClient, Timeout
from aidp_sessions.testing import LocalService

from ..helpers.raw_server import (
    PATIENCE,
    RawServer,
    Step,
    Times,
    answer,
    close,
    drip,
    eventually,
    send,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    OpenSessions = Callable[[], list[aiohttp.ClientSession]]


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    """Answers every request with no sessions."""
    async with RawServer(answer()) as server:
        yield server


@pytest.fixture
def open_sessions() -> OpenSessions:
    """Returns the sessions that the test has left open; other tests leave some by closing a loop abruptly."""
    earlier = _sessions()
    return lambda: [each for each in _sessions() if not (each.closed or each in earlier)]


def _sessions() -> list[aiohttp.ClientSession]:
    return [thing for thing in gc.get_objects() if type(thing) is aiohttp.ClientSession]


async def test_closing_the_client_closes_what_it_opened(server: RawServer, open_sessions: OpenSessions) -> None:
    async with server.client() as client:
        await client.list_sessions("k")
        assert (len(server.open), len(open_sessions())) == (1, 1)

    assert open_sessions() == []
    await eventually(lambda: not server.open)


async def test_a_given_session_stays_open_and_usable(server: RawServer) -> None:
    async with aiohttp.ClientSession() as http:
        async with server.client(http_session=http) as client:
            await client.list_sessions("k")
        assert not http.closed
        async with http.get(server.url) as response:
            assert response.status == 200

    assert [request.connection for request in server.received] == [0, 0]


@pytest.mark.parametrize("status", [302, 404])
async def test_the_defaults_of_a_given_session_change_nothing(server: RawServer, status: int) -> None:
    body = b'{"code": "Theirs", "message": "no"}'
    async with RawServer(answer(body, status, location=server.url)) as refusing:
        hasty = aiohttp.ClientTimeout(total=1e-6)
        async with aiohttp.ClientSession(raise_for_status=True, timeout=hasty) as http:
            with pytest.raises(ServiceError) as caught:
                await refusing.client(http_session=http).list_sessions("k")

    assert (server.connections, caught.value.status, caught.value.code) == (0, status, "Theirs")


@pytest.mark.parametrize("handed_in", [False, True])
async def test_a_closed_client_raises_an_error_that_says_so(server: RawServer, handed_in: bool) -> None:
    async with aiohttp.ClientSession() as http:
        client = server.client(http_session=http if handed_in else None)
        await client.list_sessions("k")
        await client.aclose()
        await client.aclose()
        with pytest.raises(RuntimeError, match="this SessionsClient is closed"):
            await client.list_sessions("k")
        with pytest.raises(RuntimeError, match="this SessionsClient is closed"):
            await client.sessions(["k"]).collect()

    assert len(server.received) == 1


async def test_a_client_that_was_never_used_can_be_closed_and_is_closed_then(
    server: RawServer, open_sessions: OpenSessions
) -> None:
    client = server.client()
    await client.aclose()
    with pytest.raises(RuntimeError, match="this SessionsClient is closed"):
        await client.list_sessions("k")

    assert (server.connections, open_sessions()) == (0, [])


async def test_a_hundred_first_calls_at_once_open_one_session(
    open_sessions: OpenSessions,
) -> None:
    async with RawServer(send(b"")) as server, server.client(max_concurrency=100) as client:
        calls = [asyncio.create_task(client.list_sessions("k")) for _ in range(100)]
        await eventually(lambda: len(server.received) == 100)
        assert len(open_sessions()) == 1
        for transport in tuple(server.open):
            transport.write(answer())
        await asyncio.gather(*calls)


async def test_as_many_requests_are_in_flight_as_max_concurrency_allows() -> None:
    async with RawServer(send(b"")) as server, server.client(max_concurrency=105) as client:
        calls = [asyncio.create_task(client.list_sessions("k")) for _ in range(110)]
        await eventually(lambda: len(server.received) == 105)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(server.received) == 105
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)


async def test_requests_do_not_time_out_in_the_queue_of_a_small_given_pool() -> None:
    """The connect timeout does not include the wait for a connection of the pool."""
    timeout = Timeout(connect=0.15, read=5.0, total=5.0)
    async with RawServer(send(b""), answer()) as server:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as http:
            client = server.client(http_session=http, timeout=timeout, retry=RetryPolicy.none())
            calls = [asyncio.create_task(client.list_sessions("k")) for _ in range(2)]
            await eventually(lambda: len(server.received) == 1)
            await asyncio.sleep(0.2)
            next(iter(server.open)).write(answer())
            await asyncio.gather(*calls)

    assert [request.connection for request in server.received] == [0, 0]


async def test_with_options_shares_the_connections_and_closes_none(server: RawServer) -> None:
    async with server.client() as client:
        async with client.with_options(timeout=PATIENCE, retry=RetryPolicy.none()) as copy:
            await copy.list_sessions("k")
        await client.list_sessions("k")
        await client.with_options(max_concurrency=1).list_sessions("k")

    assert [request.connection for request in server.received] == [0, 0, 0]
    assert [request.header("opc-client-retries") for request in server.received] == ["false", "true", "true"]
    with pytest.raises(RuntimeError, match="this SessionsClient is closed"):
        await copy.list_sessions("k")


async def test_with_options_shares_the_limit_on_requests_in_flight() -> None:
    async with RawServer(send(b"")) as server, server.client(max_concurrency=3) as client:
        copy = client.with_options(retry=RetryPolicy.none())
        calls = [asyncio.create_task(either.list_sessions("k")) for either in (client, copy) * 5]
        await eventually(lambda: len(server.received) == 3)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(server.received) == 3
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)


async def test_with_options_refuses_what_belongs_to_the_pool(server: RawServer) -> None:
    async with server.client() as client, aiohttp.ClientSession() as http:
        with pytest.raises(TypeError, match="http_session"):
            client.with_options(http_session=http)


async def test_two_clients_share_nothing(open_sessions: OpenSessions) -> None:
    async with RawServer(send(b""), answer()) as server:
        one, other = server.client(max_concurrency=1), server.client(max_concurrency=1)
        stuck = asyncio.create_task(one.list_sessions("k"))
        await eventually(lambda: len(server.received) == 1)
        await other.list_sessions("k")
        assert len(open_sessions()) == 2
        stuck.cancel()
        await asyncio.wait([stuck])
        await one.aclose()
        await other.list_sessions("k")
        await other.aclose()

    assert [request.connection for request in server.received] == [0, 1, 1]


def tasks_of_the_client() -> list[str]:
    """All tasks but those with which asyncio accepts connections; the server makes no others."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    names = [getattr(task.get_coro(), "__qualname__", "") for task in others]
    return [name for name in names if not name.endswith("._accept_connection2")]


@pytest.mark.parametrize(
    "steps",
    [
        [drip(answer(), size=8)],
        [drip(answer(b"{}", 503), size=8), answer()],
        [drip(answer(opc_next_page="t"), size=8), answer()],
        [close(answer()[:50]), answer()],
    ],
    ids=["one answer", "a retry", "two pages", "a cut"],
)
async def test_a_call_cancelled_in_any_iteration_frees_slot_and_connection_and_leaves_no_task(
    steps: list[Step],
) -> None:
    """There is one slot and one connection, so one that is not released would block the next call."""
    turns = 0
    while True:
        async with RawServer(*steps, answer()) as server, RawServer(answer()) as healthy:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as http:
                client = server.client(http_session=http, max_concurrency=1, clock=Times().clock)
                call = asyncio.create_task(client.list_sessions("k"))
                for _ in range(turns):
                    await asyncio.sleep(0)
                cancelled = call.cancel()
                await asyncio.wait([call])
                assert call.cancelled() is cancelled
                assert tasks_of_the_client() == []
                await client.with_options(endpoint=healthy.url, timeout=Timeout(total=2.0)).list_sessions("k")
        if not cancelled:
            break
        turns += 1

    assert turns > 10
    assert len(call.result()) == 0


async def test_leaving_a_stream_early_frees_slots_and_connections_and_leaves_no_task() -> None:
    async with LocalService() as service:
        for number in range(20):
            service.add_workspace(f"w{number}", [{"id": f"s{number}"}])
        connector = aiohttp.TCPConnector(limit=4)
        async with aiohttp.ClientSession(connector=connector) as http:
            client = service.client(http_session=http, max_concurrency=4, timeout=Timeout(total=5.0))
            for _ in range(5):
                async with aclosing(client.sessions(f"w{n}" for n in range(20)).by_workspace()) as outcomes:
                    assert len((await anext(outcomes)).sessions) == 1
                await eventually(lambda: service.in_flight == 0)
            answers = await asyncio.gather(*(client.list_sessions("w0") for _ in range(8)))

    assert [len(answer) for answer in answers] == [1] * 8


def test_a_client_built_outside_a_loop_works_on_one_loop_after_another(
    open_sessions: OpenSessions,
) -> None:
    async def twice(client: SessionsClient) -> list[str | None]:
        return [(await client.list_sessions("a")).items[0].id for _ in range(2)]

    service = LocalService()
    service.add_workspace("a", [{"id": "s1"}])
    clients: list[SessionsClient] = []

    async def with_service() -> list[str | None]:
        async with service:
            if not clients:
                clients.append(await asyncio.to_thread(service.client))
            return await twice(clients[0].with_options(endpoint=service.url))

    assert [asyncio.run(with_service()), asyncio.run(with_service())] == [["s1", "s1"], ["s1", "s1"]]
    assert open_sessions() == []
    asyncio.run(clients[0].aclose())


@pytest.mark.parametrize("handed_in", [False, True])
async def test_a_second_loop_at_the_same_time_is_refused(server: RawServer, handed_in: bool) -> None:
    async with aiohttp.ClientSession() as http:
        async with server.client(http_session=http if handed_in else None) as client:
            await client.list_sessions("k")
            with pytest.raises(RuntimeError, match="another event loop"):
                await asyncio.to_thread(lambda: asyncio.run(client.list_sessions("k")))
            await client.list_sessions("k")

    assert len(server.received) == 2


async def test_a_second_loop_is_refused_even_while_every_slot_is_taken() -> None:
    async with RawServer(send(b"")) as server, server.client(max_concurrency=1) as client:
        first = asyncio.create_task(client.list_sessions("k"))
        await eventually(lambda: len(server.received) == 1)
        hasty = client.with_options(timeout=Timeout(total=0.2))
        with pytest.raises((RuntimeError, RequestTimeoutError)) as caught:
            await asyncio.to_thread(lambda: asyncio.run(hasty.list_sessions("k")))
        next(iter(server.open)).write(answer())
        await first

    assert type(caught.value) is RuntimeError
    assert "another event loop" in str(caught.value)
