"""Connections that cannot be made, break or stay silent: each has its own error and leaks nothing."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from typing import Final

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from aidp_sessions import (
    AidpError,
    Clock,
    ConnectionFailedError,
    RequestTimeoutError,
    RetryPolicy,
    SessionsClient,
    Timeout,
)

from ..helpers.raw_server import (
    RawServer,
    Received,
    Step,
    Times,
    answer,
    close,
    drip,
    eventually,
    reset,
    send,
)

ONCE: Final = RetryPolicy.none()
IMPATIENT: Final = Timeout(connect=5.0, read=0.2, total=30.0)
WHOLE: Final = answer(b'{"items": []}')


async def failure_of(client: SessionsClient) -> AidpError:
    with pytest.raises(AidpError) as caught:
        await client.list_sessions("k")
    return caught.value


def ids_of(requests: list[Received]) -> tuple[str, ...]:
    return tuple(request.header("opc-request-id") for request in requests)


async def test_an_idle_connection_that_the_service_closed_is_replaced_without_a_retry() -> None:
    times = Times()
    async with RawServer(WHOLE) as server, server.client(clock=times.clock) as client:
        await client.list_sessions("k")
        for transport in server.open:
            transport.close()
        await eventually(lambda: not server.open)
        await asyncio.sleep(0.02)  # time for the client to notice
        await client.list_sessions("k")

    assert [request.connection for request in server.received] == [0, 1]
    assert times.sleeps == []


CLOSED: Final = "the connection failed: it was closed before an answer came"


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (close(), CLOSED),
        (close(WHOLE[:50]), CLOSED),
        (reset(), f"the connection failed: [Errno {errno.ECONNRESET}] {os.strerror(errno.ECONNRESET)}"),
    ],
    ids=["close", "in the headers", "reset"],
)
async def test_an_error_says_how_the_connection_broke(end: Step, message: str) -> None:
    async with RawServer(end) as server, server.client(retry=ONCE) as client:
        error = await failure_of(client)

    assert error.message == message
    assert ids_of(server.received) == error.request_ids
    assert len(server.received) == 1


async def test_the_error_of_a_refused_connection_names_the_port() -> None:
    async with RawServer() as server:
        client = server.client(retry=ONCE)
    async with client:
        error = await failure_of(client)

    assert str(server.port) in error.message
    assert isinstance(error.__cause__, ConnectionRefusedError)


class Resolver(AbstractResolver):
    """Resolves no host."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def close(self) -> None:
        pass


async def test_a_host_without_an_address_is_a_failed_connection_that_names_it() -> None:
    times, resolver = Times(), Resolver()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False)) as http:
        client = RawServer().client(endpoint="https://aidp.invalid", http_session=http, clock=times.clock)
        error = await failure_of(client)

    assert type(error) is ConnectionFailedError
    assert "aidp.invalid" in error.message
    assert resolver.asked == ["aidp.invalid"] * 6
    assert times.sleeps == [0.25, 0.5, 1.0, 2.0, 4.0]


async def test_a_name_that_is_never_resolved_exceeds_the_connect_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    async def getaddrinfo(host: object, port: object, **_: object) -> None:
        asked.append((host, port))
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    timeout = Timeout(connect=0.05, read=5.0, total=5.0)
    async with RawServer().client(endpoint="https://aidp.invalid", timeout=timeout, retry=ONCE) as client:
        error = await failure_of(client)

    assert asked == [("aidp.invalid", 443)]
    assert (type(error), error.message) == (RequestTimeoutError, "the connect timeout of 0.05 s ran out")


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{",
        b'HTTP/1.1 200 OK\r\n\r\n{"items": []}',
    ],
    ids=["in a chunk", "where only the end of the connection ends the body"],
)
async def test_an_answer_that_stops_exceeds_the_read_timeout_and_is_retried(sent: bytes) -> None:
    times = Times()
    timeout = Timeout(connect=5.0, read=0.05, total=5.0)
    async with RawServer(send(sent)) as server:
        async with server.client(timeout=timeout, retry=RetryPolicy(attempts=2), clock=times.clock) as client:
            error = await failure_of(client)
        await eventually(lambda: not server.open)

    assert type(error) is RequestTimeoutError
    assert error.message == "the read timeout of 0.05 s ran out: the service fell silent"
    assert error.request_ids == ids_of(server.received)
    assert len(error.request_ids) == 2
    assert times.sleeps == [0.25]


async def test_an_answer_that_arrives_while_the_loop_is_blocked_is_in_time() -> None:
    def block_the_loop(transport: asyncio.Transport) -> None:
        transport.write(WHOLE)
        time.sleep(0.4)

    async with RawServer(block_the_loop) as server, server.client(timeout=IMPATIENT, retry=ONCE) as client:
        assert (await client.list_sessions("k")).items == ()


async def test_the_read_timeout_does_not_run_while_a_long_body_is_sent() -> None:
    body = bytes(16_000_000)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.5)
        await reader.readexactly(len(body))
        writer.write(WHOLE)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with RawServer().client(endpoint=endpoint, timeout=IMPATIENT, retry=ONCE) as client:
            assert (await client.request("PUT", "files/x", body=body)).status == 200


async def test_an_answer_that_never_ends_exceeds_the_total_of_the_call() -> None:
    timeout = Timeout(connect=5.0, read=5.0, total=0.2)
    async with RawServer(drip(answer(b"x" * 10_000), every=0.01)) as server:
        async with server.client(timeout=timeout) as client:
            error = await failure_of(client)
            await eventually(lambda: not server.open)

    assert type(error) is RequestTimeoutError
    assert error.message == "the total of 0.2 s for the call ran out, in attempt 1"
    assert error.request_ids == ids_of(server.received)


async def test_the_total_counts_the_wait_for_a_slot() -> None:
    async with RawServer(send(b"")) as server, server.client(max_concurrency=1) as patient:
        first = asyncio.create_task(patient.list_sessions("k"))
        await eventually(lambda: len(server.received) == 1)
        error = await failure_of(patient.with_options(timeout=Timeout(total=0.05)))
        first.cancel()
        await asyncio.wait([first])

    assert isinstance(error, RequestTimeoutError)
    assert error.message.startswith("the total of 0.05 s for the call ran out")
    assert (error.request_ids, error.opc_request_id, len(server.received)) == ((), None, 1)
    assert (error.limit, error.attempt_seconds) == ("total", ())
    assert "attempts took" not in str(error)


async def test_the_total_counts_the_pauses_between_attempts() -> None:
    async def sleep(_: float) -> None:
        await asyncio.Event().wait()

    timeout, retry, clock = Timeout(total=0.2), RetryPolicy(base=0.01), Clock(sleep=sleep)
    async with RawServer(close()) as server, server.client(timeout=timeout, retry=retry, clock=clock) as client:
        error = await failure_of(client)

    assert type(error) is RequestTimeoutError
    assert error.message.startswith("the total of 0.2 s for the call ran out")
    assert error.request_ids == ids_of(server.received)
    assert len(error.request_ids) == 1
