"""A cancelled call or stream leaves nothing behind, and memory does not grow with the number of workspaces."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections import defaultdict
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest

from aidp_sessions import FanOutError, SessionsClient, Signer, SigningRequest, Timeout
from aidp_sessions._transport import exchange as _transport
from aidp_sessions.testing import LocalService
from aidp_sessions.testing._service import identity as _identity

from ..helpers.raw_server import (
    PLATFORM,
    RawServer,
    Step,
    Times,
    answer,
    close,
    drip,
    eventually,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    import aiohttp

Act = "Callable[[SessionsClient], Awaitable[object]]"

UNAUTHORIZED: Final = answer(b'{"code": "NotAuthenticated", "message": "no"}', 401)
BUSY: Final = answer(b"{}", 503)
GONE: Final = answer(b"{}", 404)
DESCRIPTORS: Final = Path("/proc/self/fd")


def sessions(*ids: str, **headers: str) -> bytes:
    return answer(b'{"items": [%b]}' % b", ".join(b'{"id": "%b"}' % name.encode() for name in ids), 200, **headers)


def workspaces(*keys: str, **headers: str) -> bytes:
    form = b'{"key": "%b", "displayName": "", "type": "USER", "lifecycleState": "ACTIVE"%b}'
    created = b', "timeCreated": "2026-01-01T00:00:00Z"'
    return answer(b'{"items": [%b]}' % b", ".join(form % (key.encode(), created) for key in keys), 200, **headers)


@attrs.define
class Script:
    """The answers of each workspace in order; the last one is repeated. The key ``""`` is the listing of workspaces."""

    server: RawServer
    answers: Mapping[str, list[Step | bytes]]
    _asked: defaultdict[str, int] = attrs.field(factory=lambda: defaultdict(int))

    def __call__(self, transport: asyncio.Transport) -> None:
        _, _, rest = self.server.received[-1].target.partition("/workspaces")
        key = rest.split("/")[1] if rest.startswith("/") else ""
        steps = self.answers[key]
        step = steps[min(self._asked[key], len(steps) - 1)]
        self._asked[key] += 1
        (drip(step, size=len(step) // 2 + 1) if isinstance(step, bytes) else step)(transport)


class Slow(Signer):
    """Takes one iteration of the loop to sign, and one to refresh."""

    def __init__(self) -> None:
        self._signer = _identity.signer()

    async def sign(self, request: SigningRequest) -> dict[str, str]:
        await asyncio.sleep(0)
        return await self._signer.sign(request)

    async def refresh(self, rejected: Mapping[str, str]) -> bool:
        await asyncio.sleep(0)
        return True


def tasks_of_the_client() -> list[str]:
    """All tasks but those with which asyncio accepts connections; the server makes no others."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    names = [getattr(task.get_coro(), "__qualname__", "") for task in others]
    return [name for name in names if not name.endswith("._accept_connection2")]


def connections_in_use(client: SessionsClient) -> int:
    session: aiohttp.ClientSession | None = client._transport.pool._session
    return 0 if session is None or session.connector is None else len(session.connector._acquired)


async def ask(client: SessionsClient) -> object:
    return [session.id for session in await client.list_sessions("a")]


async def iterate(client: SessionsClient) -> object:
    found = []
    try:
        async with aclosing(aiter(client.sessions(["a", "b", "c"]))) as stream:
            async for session in stream:
                found.append(session.id)
                await asyncio.sleep(0)
    except FanOutError as error:
        found += [member.workspace_key for member in error.exceptions]
    return sorted(map(str, found))


async def discover(client: SessionsClient) -> object:
    return sorted([session.id or "" for session in await client.sessions().collect()])


async def outcomes(client: SessionsClient) -> object:
    async with aclosing(client.sessions(key for key in "abc").by_workspace()) as stream:
        return sorted([outcome.workspace_key async for outcome in stream])


PAGES: Final[list[Step | bytes]] = [
    *(BUSY, UNAUTHORIZED, close(answer()[:40]), sessions("a1", opc_next_page="t"), BUSY, sessions("a2")),
]
THREE: Final[dict[str, list[Step | bytes]]] = {
    "a": [BUSY, sessions("a1")],
    "b": [sessions("b1", opc_next_page="t"), close(), sessions("b2")],
    "c": [GONE],
}
LISTING: Final[list[Step | bytes]] = [
    *(workspaces("a", opc_next_page="t"), BUSY, workspaces("b"), workspaces("c")),
]
PLANS: Final[dict[str, tuple[Any, Mapping[str, list[Step | bytes]], object]]] = {
    "a call": (ask, {"a": PAGES}, ["a1", "a2"]),
    "a stream": (iterate, THREE, ["a1", "b1", "b2", "c"]),
    "outcomes": (outcomes, THREE, ["a", "b", "c"]),
    "a discovery": (discover, {**THREE, "": LISTING, "c": [sessions("c1")]}, ["a1", "b1", "b2", "c1"]),
}


async def check_nothing_left(client: SessionsClient, healthy: RawServer) -> None:
    """No task, slot or connection is left, and the shared parts still serve the next call."""
    await eventually(lambda: tasks_of_the_client() == [])
    assert client._transport.limiter.in_use == 0
    assert not client._transport.limiter._waiters
    assert connections_in_use(client) == 0
    await client.with_options(endpoint=healthy.url, timeout=Timeout(total=5.0)).list_sessions("k")


async def run(name: str, turns: int, healthy: RawServer, *, twice: bool) -> tuple[bool, asyncio.Task[object]]:
    act, answers, _ = PLANS[name]
    async with RawServer() as server:
        server._steps = [Script(server, answers)]
        client = SessionsClient(PLATFORM, signer=Slow(), endpoint=server.url, max_concurrency=2, clock=Times().clock)
        async with client:
            task: asyncio.Task[object] = asyncio.create_task(act(client))
            for _ in range(turns):
                await asyncio.sleep(0)
            cancelled = task.cancel()
            if twice and cancelled:
                await asyncio.sleep(0)
                task.cancel()
            await asyncio.wait([task])
            if not twice:
                assert tasks_of_the_client() == []
            await check_nothing_left(client, healthy)
    return cancelled, task


@pytest.fixture
async def healthy() -> AsyncIterator[RawServer]:
    async with RawServer(answer()) as server:
        yield server


@pytest.mark.parametrize(
    ("twice", "small"), [(False, False), (True, False), (False, True)], ids=["whole", "twice", "as it comes"]
)
@pytest.mark.parametrize("name", PLANS)
async def test_a_cancellation_in_any_iteration_of_the_loop_leaves_no_task_slot_or_connection(
    monkeypatch: pytest.MonkeyPatch, healthy: RawServer, name: str, twice: bool, small: bool
) -> None:
    """With retries, pages, a refreshed signature, several workspaces, and answers large and small."""
    if small:
        monkeypatch.setattr(_transport, "THRESHOLD", 5)
    turns = 0
    while True:
        cancelled, task = await run(name, turns, healthy, twice=twice)
        if not cancelled:
            break
        assert task.cancelled()
        turns += 1

    assert turns > 20
    assert task.result() == PLANS[name][2]


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="counts descriptors where Linux lists them")
async def test_twenty_cancelled_streams_leave_no_descriptor_open(healthy: RawServer) -> None:
    await run("a stream", 30, healthy, twice=False)
    before = len(list(DESCRIPTORS.iterdir()))
    for turns in range(0, 40, 2):
        await run("a stream", turns, healthy, twice=False)

    assert len(list(DESCRIPTORS.iterdir())) <= before


def keys(number: int) -> Iterator[str]:
    return (f"w{each % 20}" for each in range(number))


async def peak(client: SessionsClient, workspaces: int) -> int:
    """The largest growth of memory, in bytes, while a stream over so many workspaces is consumed."""
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
                few, many = await peak(client, 60), await peak(client, 600)
            finally:
                tracemalloc.stop()

    assert many < 1.25 * few + 100_000
