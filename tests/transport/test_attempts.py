"""What an error and the log say about each attempt: the time limit that ended it, its duration, its request id."""

from __future__ import annotations

import asyncio
import logging
import pickle
import re
from typing import TYPE_CHECKING, Final

import pytest

from aidp_sessions import (
    AidpError,
    ConnectionFailedError,
    RequestTimeoutError,
    RetryPolicy,
    SessionsClient,
    Timeout,
)

from ..helpers.raw_server import (
    PREFIX,
    RawServer,
    Times,
    answer,
    close,
    drip,
    eventually,
    send,
)

if TYPE_CHECKING:
    from ..helpers.raw_server import Step

TWICE: Final = RetryPolicy(attempts=2)
THROTTLED: Final = answer(b'{"code": "TooManyRequests", "message": "slow down"}', 429)


async def failure_of(client: SessionsClient) -> AidpError:
    with pytest.raises(AidpError) as caught:
        await client.list_sessions("k", opc_request_id="id")
    return caught.value


@pytest.mark.parametrize("step", [close(), THROTTLED, close(b"nonsense\r\n\r\n")], ids=["cut", "429", "nonsense"])
async def test_an_error_holds_one_duration_per_attempt(step: Step | bytes) -> None:
    times = Times()
    async with RawServer(step) as server, server.client(clock=times.clock, retry=RetryPolicy(attempts=4)) as client:
        error = await failure_of(client)

    assert len(error.attempt_seconds) == len(error.request_ids) == 4
    assert all(0.0 <= seconds < 60.0 for seconds in error.attempt_seconds)
    assert pickle.loads(pickle.dumps(error)).attempt_seconds == error.attempt_seconds  # noqa: S301  # our own


@pytest.mark.parametrize(
    ("limits", "limit", "attempts"),
    [(Timeout(connect=5.0, read=0.05, total=5.0), "read", 2), (Timeout(connect=5.0, read=5.0, total=0.05), "total", 1)],
)
async def test_a_timeout_names_its_limit_and_how_long_each_attempt_took(
    limits: Timeout, limit: str, attempts: int
) -> None:
    async with RawServer(send(b"")) as server:
        async with server.client(timeout=limits, retry=TWICE, clock=Times().clock) as client:
            error = await failure_of(client)

    assert isinstance(error, RequestTimeoutError)
    assert (error.limit, len(error.attempt_seconds)) == (limit, attempts)
    assert all(seconds >= 0.0 for seconds in error.attempt_seconds)
    took = ", ".join(f"{seconds:.2f} s" for seconds in error.attempt_seconds)
    assert str(error).endswith(f" [attempts took {took}]")


async def test_a_handshake_that_hangs_exceeds_the_connect_limit() -> None:
    timeout = Timeout(connect=0.05, read=5.0, total=5.0)
    async with RawServer() as server:
        endpoint = f"https://127.0.0.1:{server.port}"
        async with server.client(endpoint=endpoint, timeout=timeout, retry=RetryPolicy.none()) as client:
            error = await failure_of(client)

    assert isinstance(error, RequestTimeoutError)
    assert (error.limit, len(error.attempt_seconds)) == ("connect", 1)


async def test_the_attempts_of_all_pages_are_counted() -> None:
    steps: list[Step | bytes] = [close(), answer(opc_next_page="t"), answer(b"[", opc_request_id="theirs")]
    async with RawServer(*steps) as server, server.client(clock=Times().clock) as client:
        error = await failure_of(client)

    assert (error.request_ids, len(error.attempt_seconds)) == (("id", "id-2", "id-3"), 3)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The log lines about attempts, without durations."""
    said = [record.getMessage() for record in caplog.records if record.name == "aidp_sessions"]
    return [re.sub(r"in \d+ ms", "in N ms", line) for line in said if line.startswith("GET ")]


async def test_each_attempt_is_one_line_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    steps: list[Step | bytes] = [close(), THROTTLED, answer(b"", 204), answer()]
    with caplog.at_level(logging.DEBUG):
        async with RawServer(*steps) as server, server.client(clock=Times().clock) as client:
            with pytest.raises(AidpError):
                await client.list_sessions("a b", path="/x\r\ny: z", opc_request_id="id")

    target = f"{PREFIX}/a%20b/notebook/api/sessions?path=%2Fx%0D%0Ay%3A%20z"
    assert lines(caplog) == [
        f"GET {target}: ConnectionFailedError in N ms, attempt 1, opc-request-id id",
        f"GET {target}: 429 TooManyRequestsError in N ms, attempt 2, opc-request-id id-2",
        f"GET {target}: 204 ResponseDecodeError in N ms, attempt 3, opc-request-id id-3",
    ]


async def test_an_attempt_that_succeeds_or_is_cancelled_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with RawServer(answer(), drip(answer(), every=60.0)) as server, server.client() as client:
            await client.list_sessions("k", opc_request_id="one")
            call = asyncio.create_task(client.list_sessions("k", opc_request_id="two"))
            await eventually(lambda: len(server.received) == 2)
            call.cancel()
            await asyncio.wait([call])

    target = f"{PREFIX}/k/notebook/api/sessions"
    assert lines(caplog) == [
        f"GET {target}: 200 in N ms, attempt 1, opc-request-id one",
        f"GET {target}: broken off in N ms, attempt 1, opc-request-id two",
    ]


async def test_above_debug_attempts_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        async with RawServer(close()) as server, server.client(clock=Times().clock, retry=TWICE) as client:
            error = await failure_of(client)

    assert type(error) is ConnectionFailedError
    assert caplog.records == []
