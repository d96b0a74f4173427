"""Answers beyond the threshold are decoded in pieces and yielded as they arrive; results and errors stay the same."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from aidp_sessions import (
    ConnectionFailedError,
    FanOutError,
    ResponseDecodeError,
    RetryPolicy,
    SessionsClient,
    SessionSummary,
    Timeout,
)
from aidp_sessions._convert.codec import decode_collection
from aidp_sessions._operations import buffering as _delivery
from aidp_sessions._operations.messages import THRESHOLD
from aidp_sessions.testing import Fault, LocalService

from ..helpers.raw_server import RawServer, answer, reset

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aidp_sessions.models import WorkspaceRef

PATIENT = RetryPolicy(base=0.001, cap=0.001)


def many(number: int) -> list[dict[str, object]]:
    """Sessions of half a kilobyte each, as the service sends them."""
    kernel = {"name": "python3", "execution_state": "idle", "last_activity": "2026-11-23T01:12:43.863595Z"}
    return [{"id": f"{each:08d}", "path": "x" * 400, "kernel": kernel} for each in range(number)]


LARGE = many(2 * THRESHOLD // 500)


def names(sessions: list[SessionSummary]) -> list[str | None]:
    return [each.id for each in sessions]


async def test_a_large_workspace_arrives_while_it_is_still_being_sent() -> None:
    """The first sessions are yielded although the last byte never arrives."""
    async with LocalService() as service:
        service.add_workspace("w", LARGE)
        service.fail("w", Fault(cut="in_body", times=None))
        async with service.client() as client, aclosing(aiter(client.sessions("w"))) as sessions:
            first = await anext(sessions)

    assert (first.id, first.workspace_key) == ("00000000", "w")


async def test_every_way_to_ask_gives_the_same_sessions() -> None:
    async with LocalService() as service:
        service.add_workspace("w", LARGE)
        async with service.client() as client:
            collection = await client.list_sessions("w")
            streamed = await client.sessions("w").collect()
            outcome = await in_an_outcome(client)

    assert names(streamed) == [each["id"] for each in LARGE]
    assert list(collection.items) == streamed == outcome
    assert collection.etag is not None


async def test_an_answer_that_breaks_after_its_first_session_is_not_retried_and_states_how_many_were_delivered() -> (
    None
):
    async with LocalService() as service:
        service.add_workspace("w", LARGE)
        service.fail("w", Fault(cut="in_body"))
        seen: list[SessionSummary] = []
        async with service.client(retry=PATIENT) as client:
            with pytest.raises(FanOutError) as caught:
                async for each in client.sessions("w"):
                    seen.append(each)  # noqa: PERF401  # what came before the failure is the point

    (error,) = caught.value.exceptions
    assert isinstance(error, ConnectionFailedError)
    assert error.delivered == len(seen) > 0
    assert names(seen) == [each["id"] for each in LARGE[: len(seen)]]
    assert service.request_count == 1


async def listed(client: SessionsClient) -> list[SessionSummary]:
    return list(await client.list_sessions("w"))


async def in_an_outcome(client: SessionsClient) -> list[SessionSummary]:
    (outcome,) = [each async for each in client.sessions("w").by_workspace()]
    return list(outcome.sessions)


@pytest.mark.parametrize("gathered", [listed, in_an_outcome])
async def test_list_sessions_and_outcomes_retry_a_large_answer_and_repeat_nothing(
    gathered: Callable[[SessionsClient], Awaitable[list[SessionSummary]]],
) -> None:
    async with LocalService() as service:
        service.add_workspace("w", LARGE)
        service.fail("w", Fault(cut="in_body", times=2))
        async with service.client(retry=PATIENT) as client:
            found = await gathered(client)

    assert names(found) == [each["id"] for each in LARGE]
    assert service.request_count == 3


@pytest.mark.parametrize("gathered", [listed, in_an_outcome])
async def test_a_large_page_that_breaks_loses_no_page_before_it(
    gathered: Callable[[SessionsClient], Awaitable[list[SessionSummary]]],
) -> None:
    small, large = ({"items": part} for part in (LARGE[:3], LARGE[3:]))
    first, second = answer(json.dumps(small).encode(), opc_next_page="t"), answer(json.dumps(large).encode())
    async with RawServer(first, reset(second[:-1000]), second) as server, server.client(retry=PATIENT) as client:
        found = names(await gathered(client))

    assert found == [each["id"] for each in LARGE]
    assert len(server.received) == 3


async def test_the_error_of_a_page_shows_that_page_even_if_a_large_one_follows() -> None:
    wrong = b'{"items": [{"id": 5}]}'
    large = answer(json.dumps({"items": LARGE}).encode(), opc_request_id="LARGE")
    async with (
        RawServer(answer(wrong, opc_next_page="t", opc_request_id="WRONG"), large) as server,
        server.client() as client,
    ):
        (outcome,) = [each async for each in client.sessions("w").by_workspace()]

    assert isinstance(outcome.error, ResponseDecodeError)
    assert (outcome.error.opc_request_id, outcome.error.body_excerpt) == ("WRONG", wrong.decode())


async def test_pages_that_are_large_together_are_decoded_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first four are kept until the fifth exceeds the threshold; after that each is decoded as it arrives."""
    asked_when_decoded: list[int] = []

    def decode(body: bytes, ref: WorkspaceRef) -> tuple[tuple[SessionSummary, ...], dict[str, object]]:
        asked_when_decoded.append(service.request_count)
        return decode_collection(body, ref)

    monkeypatch.setattr(_delivery, "decode_collection", decode)
    page = LARGE[: len(LARGE) // 10]
    async with LocalService(session_page_size=len(page)) as service:
        service.add_workspace("w", LARGE[: 8 * len(page)])
        async with service.client() as client:
            assert len(await in_an_outcome(client)) == 8 * len(page)

    assert asked_when_decoded == [5, 5, 5, 5, 5, 6, 7, 8]


async def test_below_the_threshold_a_broken_answer_yields_nothing_and_is_retried() -> None:
    async with LocalService() as service:
        service.add_workspace("w", many(100))
        service.fail("w", Fault(cut="in_body", times=2))
        async with service.client(retry=PATIENT) as client:
            assert names(await client.sessions("w").collect()) == [each["id"] for each in many(100)]

    assert service.request_count == 3


async def test_pages_count_together_and_a_page_without_a_yielded_session_is_retried() -> None:
    """Once the pages exceed the threshold, they are yielded; a later page that fails once loses nothing."""
    async with LocalService(session_page_size=len(LARGE) // 8) as service:
        service.add_workspace("w", LARGE)
        service.fail("w", *[Fault()] * 7, Fault(status=500))
        async with service.client(retry=PATIENT) as client:
            assert names(await client.sessions("w").collect()) == [each["id"] for each in LARGE]


async def test_a_small_page_before_a_large_one_comes_first_and_once() -> None:
    """The small page is kept undecoded while the large one arrives in pieces."""
    small, large = ({"items": part} for part in (LARGE[:3], LARGE[3:]))
    pages = answer(json.dumps(small).encode(), opc_next_page="t"), answer(json.dumps(large).encode())
    async with RawServer(*pages) as server, server.client() as client:
        found = names(await client.sessions("w").collect())

    assert found == [each["id"] for each in LARGE]


@pytest.mark.parametrize("limits", [Timeout(total=1.5), Timeout(read=0.9)], ids=["total", "read"])
async def test_the_time_of_a_slow_consumer_does_not_count(limits: Timeout) -> None:
    """The consumer alone makes the whole body take longer than the total, and one pause longer than *read*."""
    async with LocalService() as service:
        service.add_workspace("w", LARGE)
        async with service.client(timeout=limits, max_concurrency=1, retry=RetryPolicy.none()) as client:
            number = 0
            async for _ in client.sessions("w"):
                number += 1
                if number % 500 == 0:
                    await asyncio.sleep(1.0 if number == 500 else 0.1)

    assert number == len(LARGE)


async def test_a_body_over_the_limit_fails_even_in_pieces() -> None:
    async with LocalService() as service:
        service.add_workspace("w", LARGE)
        async with service.client(max_response_bytes=THRESHOLD + THRESHOLD // 2) as client:
            with pytest.raises(ResponseDecodeError, match="max_response_bytes"):
                await client.list_sessions("w")
            with pytest.raises(FanOutError) as caught:
                await client.sessions("w").collect()

    assert caught.value.exceptions[0].delivered == len(caught.value.sessions)
    assert service.request_count == 2


async def test_an_exception_of_a_predicate_is_not_taken_for_a_network_failure() -> None:
    """An OSError in the middle of a large answer is raised unchanged, and nothing is retried."""
    cause = KeyError("a")

    def fussy(each: SessionSummary) -> bool:
        raise FileNotFoundError(each.id) from cause

    async with LocalService() as service:
        service.add_workspace("w", LARGE)
        async with service.client(retry=PATIENT) as client:
            with pytest.raises(FileNotFoundError, match="00000000") as caught:
                await client.sessions("w").where(fussy).collect()

    assert caught.value.__cause__ is cause
    assert service.request_count == 1


async def test_leaving_in_the_middle_of_a_large_answer_leaves_nothing_behind() -> None:
    async with LocalService() as service:
        service.add_workspace("w", LARGE)
        async with service.client(max_concurrency=1) as client:
            async with aclosing(aiter(client.sessions("w"))) as sessions:
                await anext(sessions)
            assert len((await client.list_sessions("w")).items) == len(LARGE)
