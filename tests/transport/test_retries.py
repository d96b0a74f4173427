"""Which requests are sent again, after which pause, and how each attempt differs from the one before."""

from __future__ import annotations

import asyncio
import re
import sys
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest

from aidp_sessions import (
    AidpError,
    ConflictError,
    CredentialsError,
    InternalServerError,
    NotFoundError,
    PreconditionFailedError,
    RetryPolicy,
    ServiceError,
    SessionsClient,
    Signer,
    SigningRequest,
    Timeout,
    TooManyRequestsError,
    UnauthorizedError,
)
from aidp_sessions.policies import load_backoff
from aidp_sessions.testing._service import identity as _identity

from ..helpers.raw_server import (
    PLATFORM,
    RawServer,
    Step,
    Times,
    answer,
    close,
    eventually,
    send,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

UNAUTHORIZED: Final = answer(b'{"code": "NotAuthenticated", "message": "no"}', 401)


def refusal(status: int, code: str = "Whatever", **headers: str) -> bytes:
    return answer(b'{"code": "%b", "message": "no"}' % code.encode(), status, **headers)


async def failure_of(client: SessionsClient, **options: Any) -> AidpError:
    with pytest.raises(AidpError) as caught:
        await client.list_sessions("k", **options)
    return caught.value


@pytest.mark.parametrize("status", [401, 402, 404, 405, 409, 418])
async def test_retry_after_makes_no_other_status_retryable(status: int) -> None:
    times = Times()
    async with RawServer(refusal(status, "Conflict", retry_after="1")) as server:
        async with server.client(clock=times.clock) as client:
            error = await failure_of(client)

    kinds = {401: UnauthorizedError, 404: NotFoundError, 409: ConflictError, 412: PreconditionFailedError}
    kind = kinds.get(status, ServiceError)
    assert (type(error), error.status, error.retry_after) == (kind, status, 1.0)
    assert (len(server.received), times.sleeps) == (1, [])


async def test_pauses_double_up_to_the_cap_and_end_with_the_attempts() -> None:
    times, retry = Times(), RetryPolicy(attempts=6, base=1.0, cap=6.0)
    async with RawServer(refusal(500)) as server, server.client(clock=times.clock, retry=retry) as client:
        error = await failure_of(client)

    assert times.sleeps == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert (type(error), error.status, error.code, error.message) == (InternalServerError, 500, "Whatever", "no")
    assert len(server.received) == 6


@pytest.mark.filterwarnings("error::DeprecationWarning")
async def test_a_retried_call_uses_nothing_that_python_3_14_deprecates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unlike the decorators of `backoff`, the part of it that we use never calls `asyncio.iscoroutinefunction`."""

    def deprecated(_: object) -> bool:
        raise DeprecationWarning("asyncio.iscoroutinefunction")

    for module in [name for name in sys.modules if name.partition(".")[0] == "backoff"]:
        monkeypatch.delitem(sys.modules, module)
    load_backoff.cache_clear()
    monkeypatch.setattr(asyncio, "iscoroutinefunction", deprecated)
    times = Times()
    async with RawServer(refusal(503), answer()) as server, server.client(clock=times.clock) as client:
        assert (await client.list_sessions("k")).items == ()

    assert times.sleeps == [0.25]
    assert "backoff" in sys.modules


async def test_each_attempt_has_its_own_date_signature_and_request_id() -> None:
    times = Times()
    steps: list[Step | bytes] = [refusal(503, retry_after="50"), refusal(429, retry_after="59"), close(), answer()]
    async with RawServer(*steps) as server, server.client(clock=times.clock) as client:
        start = times.now
        result = await client.list_sessions("k", opc_request_id="root_1-A")
    requests = server.received

    assert times.sleeps == [50.25, 59.5, 1.0]
    moments = [start, start + 50.25, start + 109.75, start + 110.75]
    assert [request.header("date") for request in requests] == [formatdate(moment, usegmt=True) for moment in moments]
    assert len({request.header("authorization") for request in requests}) == 4
    assert all(request.is_signed for request in requests)
    ids = [request.header("opc-request-id") for request in requests]
    assert ids == ["root_1-A", "root_1-A-2", "root_1-A-3", "root_1-A-4"]
    assert result.opc_request_id is None


async def test_generated_request_ids_are_unique_and_valid() -> None:
    times = Times()
    async with RawServer(refusal(500)) as server, server.client(clock=times.clock) as client:
        errors = [await failure_of(client) for _ in range(3)]
    ids = [request.header("opc-request-id") for request in server.received]

    assert [list(error.request_ids) for error in errors] == [ids[:6], ids[6:12], ids[12:]]
    assert len(set(ids)) == 18
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,32}", request_id) for request_id in ids)


@pytest.mark.parametrize(
    ("retry_after", "pause"),
    [
        ("0", 0.25),
        ("7", 7.25),
        ("2.5", 2.75),
        ("60", 60.25),
        ("Wed, 21 Oct 2026 07:28:09 GMT", 9.25),
        ("Wed, 21 Oct 2026 07:27:00 GMT", 0.25),
        ("soon", 0.25),
        ("-5", 0.25),
    ],
)
async def test_the_pause_is_retry_after_plus_jitter(retry_after: str, pause: float) -> None:
    times = Times()
    first = refusal(429, retry_after=retry_after, date="Wed, 21 Oct 2026 07:28:00 GMT")
    async with RawServer(first, answer()) as server, server.client(clock=times.clock) as client:
        await client.list_sessions("k")

    assert times.sleeps == [pause]


@pytest.mark.parametrize(
    ("retry_after", "options"),
    [
        ("60.5", {}),
        ("3", {"retry": RetryPolicy(retry_after_cap=2.0)}),
        ("10", {"timeout": Timeout(total=10.0)}),
        ("Wed, 21 Oct 2026 07:30:00 GMT", {}),
    ],
)
async def test_a_pause_beyond_the_cap_or_the_deadline_fails_at_once(retry_after: str, options: dict[str, Any]) -> None:
    times = Times()
    throttled = refusal(429, "TooManyRequests", retry_after=retry_after, date="Wed, 21 Oct 2026 07:28:00 GMT")
    async with RawServer(throttled) as server, server.client(clock=times.clock, **options) as client:
        error = await failure_of(client)

    assert (type(error), error.code) == (TooManyRequestsError, "TooManyRequests")
    assert error.retry_after == (120.0 if " " in retry_after else float(retry_after))
    assert (len(server.received), times.sleeps) == (1, [])


@pytest.mark.parametrize(("retry", "said"), [(RetryPolicy.none(), "false"), (RetryPolicy(attempts=2), "true")])
async def test_the_service_is_told_whether_we_retry(retry: RetryPolicy, said: str) -> None:
    times = Times()
    async with RawServer(refusal(503)) as server, server.client(clock=times.clock, retry=retry) as client:
        await failure_of(client)

    assert [request.header("opc-client-retries") for request in server.received] == [said] * retry.attempts


async def test_a_call_that_waits_to_be_retried_holds_no_slot() -> None:
    pausing, go_on = asyncio.Event(), asyncio.Event()

    async def sleep(_: float) -> None:
        pausing.set()
        await go_on.wait()

    clock = attrs.evolve(Times().clock, sleep=sleep)
    async with RawServer(refusal(503), answer()) as server:
        async with server.client(max_concurrency=1, clock=clock) as client:
            parked = asyncio.create_task(client.list_sessions("parked"))
            await pausing.wait()
            await client.list_sessions("healthy")
            assert not parked.done()
            go_on.set()
            await parked

    assert len(server.received) == 3


async def test_throttling_halves_the_number_of_requests_in_flight() -> None:
    times = Times()
    # The 429 leaves two of four slots, and the success after it gives one back.
    async with RawServer(refusal(429), answer(), send(b"")) as server:
        async with server.client(max_concurrency=4, clock=times.clock) as client:
            await client.list_sessions("k")
            calls = [asyncio.create_task(client.list_sessions("k")) for _ in range(4)]
            await eventually(lambda: len(server.received) == 2 + 3)
            for _ in range(100):
                await asyncio.sleep(0)
            assert len(server.received) == 2 + 3
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)


class Refreshing(Signer):
    """Signs as the usual user does; a refresh has the given outcome."""

    def __init__(self, outcome: bool | AidpError) -> None:  # it stands for an outcome
        self.rejected: list[dict[str, str]] = []
        self._outcome = outcome
        self._signer = _identity.signer()

    async def sign(self, request: SigningRequest) -> dict[str, str]:
        return await self._signer.sign(request)

    async def refresh(self, rejected: Mapping[str, str]) -> bool:
        self.rejected.append(dict(rejected))
        await asyncio.sleep(0)
        if isinstance(self._outcome, AidpError):
            raise self._outcome
        return self._outcome


def client_of(server: RawServer, signer: Signer, times: Times) -> SessionsClient:
    return SessionsClient(PLATFORM, signer=signer, endpoint=server.url, clock=times.clock)


async def test_after_a_401_the_credentials_are_refreshed_once_and_the_call_is_repeated_at_once() -> None:
    times, signer = Times(), Refreshing(outcome=True)
    async with RawServer(UNAUTHORIZED, answer()) as server, client_of(server, signer, times) as client:
        await client.list_sessions("k", opc_request_id="id")
    first, second = server.received

    (rejected,) = signer.rejected
    assert rejected == {name: first.header(name) for name in ("authorization", "date", "host")}
    assert (first.header("opc-request-id"), second.header("opc-request-id")) == ("id", "id-2")
    assert second.is_signed
    assert times.sleeps == []


async def test_a_second_401_is_final() -> None:
    times, signer = Times(), Refreshing(outcome=True)
    async with RawServer(UNAUTHORIZED) as server, client_of(server, signer, times) as client:
        error = await failure_of(client)

    assert (type(error), error.code) == (UnauthorizedError, "NotAuthenticated")
    assert (len(server.received), len(error.request_ids), len(signer.rejected)) == (2, 2, 1)


async def test_credentials_are_refreshed_once_per_call_even_if_another_failure_lies_between() -> None:
    times, signer = Times(), Refreshing(outcome=True)
    steps = [UNAUTHORIZED, refusal(503), UNAUTHORIZED, answer()]
    async with RawServer(*steps) as server, client_of(server, signer, times) as client:
        error = await failure_of(client)

    assert type(error) is UnauthorizedError
    assert (len(server.received), len(signer.rejected), times.sleeps) == (3, 1, [0.25])


async def test_a_401_is_final_if_nothing_can_be_refreshed() -> None:
    times, signer = Times(), Refreshing(outcome=False)
    async with RawServer(UNAUTHORIZED) as server, client_of(server, signer, times) as client:
        error = await failure_of(client)

    assert type(error) is UnauthorizedError
    assert (len(server.received), len(signer.rejected)) == (1, 1)


async def test_a_refresh_that_fails_is_the_error_of_the_call() -> None:
    times, signer = Times(), Refreshing(outcome=CredentialsError("the token file is gone"))
    async with RawServer(UNAUTHORIZED) as server, client_of(server, signer, times) as client:
        error = await failure_of(client)

    assert (type(error), error.message) == (CredentialsError, "the token file is gone")
    assert (error.operation, error.workspace_key) == ("list_sessions", "k")
    assert error.request_ids == (server.received[0].header("opc-request-id"),)
