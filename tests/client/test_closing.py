"""`aclose` while calls are under way: each ends at once, with an error that says so, wherever it waits."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from aidp_sessions import (
    ClientClosedError,
    Clock,
    InstancePrincipalSigner,
    RetryPolicy,
    SessionsClient,
    Signer,
)
from aidp_sessions._operations.messages import THRESHOLD
from aidp_sessions._transport.call import Call
from aidp_sessions.testing._service import identity as _identity

from ..helpers.raw_server import PLATFORM, RawServer, answer, eventually, send

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aidp_sessions import SigningRequest
    from aidp_sessions.streams.fan_out import OnError

LARGE: Final = answer(
    json.dumps({"items": [{"id": f"{n:06d}", "path": "x" * 400} for n in range(2 * THRESHOLD // 400)]}).encode()
)
CHUNKED: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
BODIES: Final[dict[str, bytes]] = {
    "none": b"",
    "head": LARGE[:60],
    "half": answer(b'{"items": []}')[:-5],
    "until the end of the connection": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n" + b'{"items": [',
    "chunk": CHUNKED + b'5\r\n{"ite\r\n',
    "large half": LARGE[: THRESHOLD * 3 // 2],
}


async def list_one(client: SessionsClient) -> object:
    return await client.list_sessions("w")


async def ask_generic(client: SessionsClient) -> object:
    return await client.request("GET", "workspaces")


async def collect(client: SessionsClient, on_error: OnError = "defer") -> object:
    return await client.sessions(["w", "v", "u"], on_error=on_error).collect()


async def skip(client: SessionsClient) -> object:
    return await collect(client, "skip")


async def give_up(client: SessionsClient) -> object:
    return await collect(client, "raise")


async def discover(client: SessionsClient) -> object:
    return await client.sessions().collect()


async def outcomes(client: SessionsClient) -> object:
    return [each async for each in client.sessions("w", on_error="skip").by_workspace()]


async def workspaces(client: SessionsClient) -> object:
    return [each async for each in client.workspaces()]


async def watch(client: SessionsClient) -> object:
    return [each async for each in client.sessions("w").watch(timedelta(milliseconds=1))]


ACTS: Final = [list_one, ask_generic, collect, skip, give_up, discover, outcomes, workspaces, watch]
STREAMS: Final = [collect, skip, give_up, outcomes, watch]


async def closed_error(call: asyncio.Task[object]) -> ClientClosedError:
    """What *call* ends with; no time limit of the tests' clients is as short as the one here."""
    with pytest.raises(ClientClosedError, match="closed") as caught:
        async with asyncio.timeout(10.0):
            await call
    return caught.value


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("act", ACTS)
async def test_a_call_that_waits_for_an_answer_ends_when_its_client_is_closed(
    act: Callable[[SessionsClient], Awaitable[object]], body: bytes
) -> None:
    """It is not retried either, and the connection is gone."""
    async with RawServer(send(body)) as server:
        client = server.client()
        call = asyncio.ensure_future(act(client))
        await eventually(lambda: bool(server.received))
        for _ in range(20):
            await asyncio.sleep(0)
        asked = len(server.received)
        await client.aclose()
        await closed_error(call)
        await eventually(lambda: not server.open)

    assert len(server.received) == asked


@pytest.mark.parametrize("act", ACTS)
async def test_every_call_that_starts_afterwards_is_refused(
    act: Callable[[SessionsClient], Awaitable[object]],
) -> None:
    async with RawServer(answer()) as server:
        client = server.client()
        copy = client.with_options(max_concurrency=1)
        await client.aclose()
        for each in (client, copy):
            await closed_error(asyncio.ensure_future(act(each)))

    assert server.received == []


@pytest.mark.parametrize("act", [list_one, *STREAMS])
async def test_a_call_that_waits_for_a_slot_ends(act: Callable[[SessionsClient], Awaitable[object]]) -> None:
    async with RawServer(send(b"")) as server:
        client = server.client(max_concurrency=1)
        first = asyncio.ensure_future(list_one(client))
        await eventually(lambda: bool(server.received))
        second = asyncio.ensure_future(act(client))
        await eventually(lambda: bool(client._transport.limiter._waiters))
        await client.aclose()
        await closed_error(first)
        await closed_error(second)

    assert client._transport.limiter.in_use == 0


@pytest.mark.parametrize("act", ACTS)
async def test_a_call_that_waits_for_its_next_attempt_ends(
    act: Callable[[SessionsClient], Awaitable[object]],
) -> None:
    pausing: list[float] = []

    async def sleep(seconds: float) -> None:
        if seconds > 1.0:
            pausing.append(seconds)
            await asyncio.Event().wait()

    retry, clock = RetryPolicy(base=60.0, cap=60.0), Clock(sleep=sleep, random=lambda: 0.9)
    async with RawServer(answer(b"{}", 503)) as server:
        client = server.client(retry=retry, clock=clock)
        call = asyncio.ensure_future(act(client))
        await eventually(lambda: bool(pausing))
        await client.aclose()
        await closed_error(call)


class Stuck(Signer):
    """Never comes back from *method*."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._signer = _identity.signer()
        self.waiting = asyncio.Event()

    async def sign(self, request: SigningRequest) -> dict[str, str]:
        return await self._wait_in("sign") or await self._signer.sign(request)

    async def refresh(self, rejected: Mapping[str, str]) -> bool:
        return bool(await self._wait_in("refresh"))

    async def _wait_in(self, method: str) -> dict[str, str]:
        if method == self._method:
            self.waiting.set()
            await asyncio.Event().wait()
        return {}


@pytest.mark.parametrize("method", ["sign", "refresh"])
@pytest.mark.parametrize("act", [list_one, *STREAMS])
async def test_a_call_that_waits_for_its_signer_ends(
    act: Callable[[SessionsClient], Awaitable[object]], method: str
) -> None:
    async with RawServer(answer(b"{}", 401)) as server:
        signer = Stuck(method)
        client = server.client().with_options(signer=signer)
        original = client._transport.pool
        call = asyncio.ensure_future(act(client))
        await signer.waiting.wait()
        await original.aclose()
        await closed_error(call)


async def test_a_call_that_waits_for_the_first_token_ends_without_blaming_the_token() -> None:
    async with RawServer(send(b"")) as metadata, RawServer(answer()) as server:
        signer: Any = InstancePrincipalSigner(metadata_url=f"{metadata.url}/opc/v2")
        client = SessionsClient(PLATFORM, signer=signer, endpoint=server.url)
        call = asyncio.ensure_future(list_one(client))
        await eventually(lambda: bool(metadata.received))
        await client.aclose()
        await closed_error(call)


async def test_a_stream_whose_consumer_pauses_ends_after_what_has_arrived() -> None:
    async with RawServer(LARGE) as server:
        client = server.client(max_concurrency=2)
        sessions = aiter(client.sessions(list("abcd"), on_error="skip"))
        await anext(sessions)
        await eventually(lambda: len(server.received) == 2 and client._transport.limiter.in_use == 0)
        await client.aclose()
        with pytest.raises(ClientClosedError):
            _ = [each async for each in sessions]

    assert len(server.received) == 2


async def test_a_call_that_is_closed_in_the_moment_in_which_its_consumer_goes_on_ends_too() -> None:
    """What waited for the consumer resumes before the call's time limit expires, and must not extend it."""
    client = SessionsClient(PLATFORM, signer=_identity.signer(), endpoint="https://aidp.invalid")
    went_on: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waits = asyncio.Event()

    async def run() -> None:
        async with Call(client._transport, "list_sessions") as call:
            waits.set()
            await call.wait_for_consumer(went_on)
            await asyncio.Event().wait()

    call = asyncio.create_task(run())
    await waits.wait()
    went_on.set_result(None)
    await client.aclose()
    await closed_error(call)


async def test_a_name_that_is_being_resolved_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It used to look as if the stream were complete: what the resolver is cancelled with is no end of the data."""
    resolving = asyncio.Event()

    async def getaddrinfo(*_: object, **__: object) -> list[Any]:
        resolving.set()
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    for act in ACTS:
        client = SessionsClient(PLATFORM, signer=_identity.signer(), endpoint="https://aidp.invalid")
        call = asyncio.ensure_future(act(client))
        await resolving.wait()
        await client.aclose()
        await closed_error(call)
        resolving.clear()
