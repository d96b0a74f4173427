"""StopIteration, CancelledError and similar exceptions of foreign code are never taken for the end of the data."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import pytest

from aidp_sessions import (
    AidpError,
    Clock,
    ConnectionFailedError,
    CredentialsError,
    RetryPolicy,
    SessionsClient,
    Signer,
)
from aidp_sessions._operations.messages import THRESHOLD
from aidp_sessions.testing import Fault, LocalService
from aidp_sessions.testing._service import identity as _identity

from ..helpers.raw_server import PLATFORM, RawServer, answer, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from aidp_sessions import SessionStream, SigningRequest

CONTROL_EXCEPTIONS: Final = [asyncio.CancelledError, GeneratorExit, StopAsyncIteration, StopIteration]
LARGE: Final = [{"id": f"{number:08d}", "path": "x" * 400} for number in range(THRESHOLD * 5 // 4 // 400)]
QUICK: Final = timedelta(milliseconds=1)


@pytest.fixture
async def service() -> AsyncIterator[LocalService]:
    async with LocalService() as service:
        for key in ("a", "b"):
            service.add_workspace(key, [{"id": key}])
        service.add_workspace("large", LARGE)
        yield service


async def collect(stream: SessionStream) -> object:
    return await stream.collect()


async def outcomes(stream: SessionStream) -> object:
    return [each async for each in stream.by_workspace()]


async def watch(stream: SessionStream) -> object:
    return [each async for each in stream.watch(QUICK)]


ACTS: Final = [collect, outcomes, watch]


async def failure_of(act: Awaitable[object]) -> BaseException:
    """Run *act* in a task and return its exception; a task that ends as cancelled fails the test."""
    task = asyncio.ensure_future(act)
    await asyncio.wait([task], timeout=10.0)
    assert task.done()
    assert not task.cancelled()
    error = task.exception()
    assert error is not None
    return error


def raiser(kind: type[BaseException]) -> Callable[..., Any]:
    def fail(*_: object) -> Any:
        raise kind

    return fail


@pytest.mark.parametrize("kind", CONTROL_EXCEPTIONS)
@pytest.mark.parametrize("keys", [["a", "b"], ["large"], None], ids=["small", "large", "discovered"])
@pytest.mark.parametrize("act", ACTS)
async def test_a_control_exception_of_a_predicate_is_an_error_that_names_it(
    service: LocalService, act: Callable[[SessionStream], Awaitable[object]], keys: Any, kind: type[BaseException]
) -> None:
    async with service.client() as client:
        error = await failure_of(act(client.sessions(keys, on_error="skip").where(raiser(kind))))

    assert type(error) is RuntimeError
    assert str(error) == f"the predicate raised {kind.__name__}"
    assert type(error.__cause__) is kind


class Keys:
    """An iterable of keys, of either kind, that raises *kind* after the first, or when it is asked for an iterator."""

    def __init__(self, kind: type[BaseException], *, at_once: bool) -> None:
        self._kind = kind
        self._at_once = at_once

    def start(self) -> Keys:
        if self._at_once:
            raise self._kind
        self._taken = 0
        return self

    def take(self) -> str:
        self._taken += 1
        if self._taken > 1:
            raise self._kind
        return "a"


class SyncKeys(Keys):
    def __iter__(self) -> SyncKeys:
        self.start()
        return self

    def __next__(self) -> str:
        return self.take()


class AsyncKeys(Keys):
    def __aiter__(self) -> AsyncKeys:
        self.start()
        return self

    async def __anext__(self) -> str:
        return self.take()


class Listed:
    """A sync iterable that is no iterator, so that it can be watched."""

    def __init__(self, keys: Any) -> None:
        self._keys = keys

    def __iter__(self) -> Any:
        return iter(self._keys)


ENDS: Final = {(SyncKeys, StopIteration), (AsyncKeys, StopAsyncIteration)}
"""With which an iterator says by its protocol that it has no more keys."""


@pytest.mark.parametrize("kind", CONTROL_EXCEPTIONS)
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("keys", [SyncKeys, AsyncKeys])
@pytest.mark.parametrize("act", [collect, outcomes])
async def test_a_control_exception_of_the_keys_is_an_error(
    service: LocalService,
    act: Callable[[SessionStream], Awaitable[object]],
    keys: Callable[..., Any],
    at_once: bool,
    kind: type[BaseException],
) -> None:
    if not at_once and (keys, kind) in ENDS:
        return
    async with service.client() as client:
        error = await failure_of(act(client.sessions(keys(kind, at_once=at_once), on_error="skip")))

    assert type(error) is RuntimeError
    assert kind.__name__ in str(error)


@pytest.mark.parametrize("kind", CONTROL_EXCEPTIONS)
async def test_a_control_exception_of_the_keys_ends_a_watch_with_an_error(
    service: LocalService, kind: type[BaseException]
) -> None:
    async with service.client() as client:
        error = await failure_of(watch(client.sessions(Listed(SyncKeys(kind, at_once=True)))))

    assert type(error) is RuntimeError
    assert kind.__name__ in str(error)


async def test_keys_that_await_a_cancelled_task_are_an_error(service: LocalService) -> None:
    shared = asyncio.ensure_future(asyncio.Event().wait())
    shared.cancel()

    async def keys() -> AsyncIterator[str]:
        yield "a"
        await shared

    async with service.client() as client:
        error = await failure_of(client.sessions(keys(), on_error="skip").collect())

    assert type(error) is RuntimeError
    assert isinstance(error.__cause__, asyncio.CancelledError)


class Cancelled(Signer):
    """Awaits in *method* a task that was cancelled."""

    def __init__(self, original: Signer, method: str) -> None:
        self._original = original
        self._method = method
        self._shared = asyncio.ensure_future(asyncio.Event().wait())
        self._shared.cancel()

    async def sign(self, request: SigningRequest) -> dict[str, str]:
        if self._method == "sign":
            await self._shared
        return await self._original.sign(request)

    async def refresh(self, rejected: Mapping[str, str]) -> bool:
        await self._shared
        return False


async def failed_outcomes(client: SessionsClient, *keys: str) -> list[AidpError | None]:
    return [each.error async for each in client.sessions(list(keys)).by_workspace()]


@pytest.mark.parametrize("method", ["sign", "refresh"])
async def test_each_workspace_fails_if_the_signer_s_own_task_was_cancelled(service: LocalService, method: str) -> None:
    service.fail("a", Fault(status=401, times=None))
    service.fail("b", Fault(status=401, times=None))
    service.fail(None, Fault(status=401, times=None))
    async with service.client() as original:
        client = original.with_options(signer=Cancelled(original.signer, method))
        failures = await failed_outcomes(client, "a", "b")
        alone = [
            await failure_of(client.list_sessions("a")),
            await failure_of(client.request("GET", "workspaces")),
            await failure_of(client.clock_skew()),
            await failure_of(client.sessions().collect()),
        ]

    assert [type(error) for error in failures] == [CredentialsError, CredentialsError]
    assert sorted(str(error.workspace_key) for error in failures if error is not None) == ["a", "b"]
    assert [type(error) for error in alone[:3]] == [CredentialsError] * 3
    assert "CredentialsError" in repr(alone[3])


async def _raising_sleep(kind: type[BaseException]) -> None:
    raise kind


CLOCKS: Final[dict[str, Callable[[type[BaseException]], Clock]]] = {
    "sleep": lambda kind: Clock(sleep=lambda _: _raising_sleep(kind)),
    "time": lambda kind: Clock(time=raiser(kind)),
    "random": lambda kind: Clock(random=raiser(kind)),
}


async def list_alone(client: SessionsClient) -> object:
    return await client.list_sessions("a")


async def find(client: SessionsClient) -> object:
    return [each async for each in client.workspaces()]


async def collect_two(client: SessionsClient) -> object:
    return await client.sessions(["a", "b"], on_error="skip").collect()


async def collect_idle(client: SessionsClient) -> object:
    return await client.sessions(["a", "b"], on_error="skip").idle_since(timedelta(hours=1)).collect()


async def watch_two(client: SessionsClient) -> object:
    return [each async for each in client.sessions(["a", "b"], on_error="skip").watch(QUICK)]


@pytest.mark.parametrize("kind", CONTROL_EXCEPTIONS)
@pytest.mark.parametrize("make_clock", CLOCKS.values(), ids=CLOCKS.keys())
@pytest.mark.parametrize("act", [list_alone, find, collect_two, collect_idle, watch_two])
async def test_a_control_exception_of_a_clock_neither_ends_the_data_nor_cancels_the_caller(
    service: LocalService,
    act: Callable[[SessionsClient], Awaitable[object]],
    make_clock: Callable[[type[BaseException]], Clock],
    kind: type[BaseException],
) -> None:
    for key in ("a", "b", None):
        service.fail(key, Fault(status=503, times=None))
    async with service.client() as patient:
        client = patient.with_options(clock=make_clock(kind), retry=RetryPolicy(attempts=3))
        error = await failure_of(act(client))

    assert type(error) in {RuntimeError, GeneratorExit}
    assert kind.__name__ in repr(error)


@pytest.mark.parametrize("kind", CONTROL_EXCEPTIONS)
async def test_a_control_exception_of_a_listener_changes_nothing(
    service: LocalService, kind: type[BaseException]
) -> None:
    told: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    async with service.client(on_event=raiser(kind)) as client:
        found = sorted([each.id or "" for each in await client.sessions(["a", "b"]).collect()])

    assert found == ["a", "b"]
    assert {type(error) for error in told} == {kind}


async def test_a_given_session_that_is_closed_during_name_resolution_is_a_failed_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Aiohttp cancels the tasks that wait for the name."""
    resolving = asyncio.Event()

    async def getaddrinfo(*_: object, **__: object) -> list[Any]:
        resolving.set()
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    http = aiohttp.ClientSession()
    client = SessionsClient(PLATFORM, signer=_identity.signer(), endpoint="https://aidp.invalid", http_session=http)
    calls = [asyncio.ensure_future(act(client)) for act in (list_alone, collect_two, find)]
    await resolving.wait()
    await http.close()
    await asyncio.wait(calls)

    assert [type(call.exception()) for call in calls] == [ConnectionFailedError, NoneType, ConnectionFailedError]


async def test_a_given_session_that_is_closed_while_a_request_is_signed_is_a_failed_connection() -> None:
    async with RawServer(answer()) as server, aiohttp.ClientSession() as http:
        original = server.client()

        class Closing(Signer):
            async def sign(self, request: SigningRequest) -> dict[str, str]:
                await http.close()
                return await original.signer.sign(request)

        client = SessionsClient(PLATFORM, signer=Closing(), endpoint=server.url, http_session=http)
        error = await failure_of(client.list_sessions("a"))

    assert isinstance(error, ConnectionFailedError)
    assert error.message == "the request cannot be sent: Session is closed"


async def test_a_cancelled_caller_gets_a_cancelled_error(service: LocalService) -> None:
    service.fail("a", Fault(delay=60.0, times=None))
    async with service.client() as client:
        for act in (list_alone, collect_two, watch_two):
            call = asyncio.ensure_future(act(client))
            await eventually(lambda: service.in_flight == 1)
            call.cancel()
            await asyncio.wait([call])
            assert call.cancelled()
            await eventually(lambda: service.in_flight == 0)
