"""A wrong clock on this machine is noticed by a 401, corrected once, and named in the error if that does not help."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

import pytest

from aidp_sessions import AidpError, Clock, RetryPolicy, SessionsClient, UnauthorizedError
from aidp_sessions.testing import LocalService

from ..helpers.raw_server import RawServer, Times, answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..helpers.raw_server import Received

NOW: Final = 1_790_000_000.0
ONCE: Final = RetryPolicy.none()
SKEWS: Final = [301.0, -301.0, 86_400.0, -3_000_000.0]


def refused(now: float) -> bytes:
    return answer(b'{"code": "NotAuthenticated", "message": "no"}', 401, date=formatdate(now, usegmt=True))


def dates(requests: list[Received]) -> list[str]:
    return [request.header("date") for request in requests]


@pytest.fixture
async def right() -> AsyncIterator[LocalService]:
    """A service whose clock is right, which knows one workspace."""
    async with LocalService(clock=lambda: NOW) as service:
        service.add_workspace("k", [{"id": "s1"}])
        yield service


def wrong(skew: float) -> Clock:
    return Clock(time=lambda: NOW + skew)


async def failure_of(client: SessionsClient) -> AidpError:
    with pytest.raises(AidpError) as caught:
        await client.list_sessions("k")
    return caught.value


@pytest.mark.parametrize("skew", SKEWS)
async def test_a_wrong_clock_costs_one_extra_request_and_fails_no_call(right: LocalService, skew: float) -> None:
    """The first call is repeated; later calls are signed with the service's time."""
    async with right.client(clock=wrong(skew), retry=ONCE) as client:
        found = [len(await client.list_sessions("k")) for _ in range(3)]

    assert found == [1, 1, 1]
    assert [request.status for request in right.requests] == [401, 200, 200, 200]


@pytest.mark.parametrize("skew", [300.0, -300.0, 0.0])
async def test_a_clock_within_five_minutes_is_left_alone(right: LocalService, skew: float) -> None:
    async with right.client(clock=wrong(skew)) as client:
        await client.list_sessions("k")

    assert [request.status for request in right.requests] == [200]


async def test_copies_share_the_correction(right: LocalService) -> None:
    async with right.client(clock=wrong(900.0)) as client:
        await client.with_options(retry=ONCE).list_sessions("k")
        await client.list_sessions("k")
        await client.with_options(max_concurrency=1).list_sessions("k")

    assert [request.status for request in right.requests] == [401, 200, 200, 200]


async def test_a_copy_with_another_clock_has_its_own_correction(right: LocalService) -> None:
    async with right.client(clock=wrong(0.0)) as client:
        await client.with_options(clock=wrong(900.0)).list_sessions("k")
        await client.list_sessions("k")

    assert [request.status for request in right.requests] == [401, 200, 200]


async def test_many_calls_at_once_are_each_repeated_once(right: LocalService, caplog: pytest.LogCaptureFixture) -> None:
    """The log mentions the correction once."""
    with caplog.at_level(logging.WARNING):
        async with right.client(clock=wrong(-900.0), max_concurrency=20, retry=ONCE) as client:
            answers = await asyncio.gather(*(client.list_sessions("k") for _ in range(20)))

    assert [len(answer) for answer in answers] == [1] * 20
    assert sorted(request.status or 0 for request in right.requests) == [200] * 20 + [401] * 20
    assert [record.getMessage() for record in caplog.records] == [
        "this machine's clock is -900 s off the service's; signing with the service's time"
    ]


async def test_a_clock_that_becomes_right_again_is_noticed(right: LocalService) -> None:
    times = Times(now=NOW + 900.0)
    async with right.client(clock=times.clock) as client:
        await client.list_sessions("k")
        times.now = NOW
        await client.list_sessions("k")
        await client.list_sessions("k")

    assert [request.status for request in right.requests] == [401, 200, 401, 200, 200]


@pytest.mark.parametrize(("skew", "said"), [(400.0, "400 s ahead of"), (-400.0, "400 s behind")])
async def test_without_the_option_the_error_states_the_difference(right: LocalService, skew: float, said: str) -> None:
    async with right.client(clock=wrong(skew), correct_clock_skew=False) as client:
        error = await failure_of(client)

    assert isinstance(error, UnauthorizedError)
    assert error.message.endswith(f"; this machine's clock is {said} the service's")
    assert (len(right.requests), len(error.request_ids)) == (1, 1)


async def test_a_copy_without_the_option_signs_with_its_own_clock(right: LocalService) -> None:
    async with right.client(clock=wrong(900.0)) as client:
        await client.list_sessions("k")
        error = await failure_of(client.with_options(correct_clock_skew=False))

    assert isinstance(error, UnauthorizedError)
    assert [request.status for request in right.requests] == [401, 200, 401]


async def test_a_second_401_is_final_and_states_the_difference() -> None:
    times = Times(now=NOW - 900.0)
    async with RawServer(refused(NOW)) as server, server.client(clock=times.clock) as client:
        error = await failure_of(client)

    assert dates(server.received) == [formatdate(NOW - 900.0, usegmt=True), formatdate(NOW, usegmt=True)]
    assert all(request.is_signed for request in server.received)
    assert isinstance(error, UnauthorizedError)
    assert error.message == "no; this machine's clock is 900 s behind the service's"
    assert (len(error.request_ids), times.sleeps) == (2, [])


async def test_a_service_whose_clock_jumps_gets_two_requests_and_not_more() -> None:
    """A call is repeated once for its clock, even if each 401 has another date."""
    times, hours = Times(now=NOW), [refused(NOW + 3_600.0 * hour) for hour in range(1, 9)]
    async with RawServer(*hours) as server, server.client(clock=times.clock) as client:
        error = await failure_of(client)

    assert isinstance(error, UnauthorizedError)
    assert (len(server.received), len(error.request_ids)) == (2, 2)


@pytest.mark.parametrize("date", ["", "soon", "Wed, 99 Foo 2026 25:61:61 GMT"])
async def test_a_401_without_a_usable_date_corrects_nothing(date: str) -> None:
    reply = answer(b"", 401, date=date)
    async with RawServer(reply) as server, server.client(clock=Times().clock) as client:
        await failure_of(client)

    assert len(server.received) == 1


@pytest.mark.parametrize("status", [403, 404, 429, 503])
async def test_only_a_401_corrects_the_clock(status: int) -> None:
    reply = answer(b"", status, date=formatdate(NOW, usegmt=True))
    times = Times(now=NOW - 900.0)
    async with RawServer(reply, answer()) as server, server.client(clock=times.clock, retry=ONCE) as client:
        await failure_of(client)
        await client.list_sessions("k")

    assert dates(server.received) == [formatdate(NOW - 900.0, usegmt=True)] * 2


EXTREMES: Final = ["Fri, 31 Dec 9999 23:59:58 GMT", "Mon, 01 Jan 0001 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"]


@pytest.mark.parametrize("date", [*EXTREMES, "Sat, 31 Dec 2199 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 +2359"])
@pytest.mark.parametrize("status", [401, 429, 503])
async def test_an_extreme_date_in_one_response_does_not_break_later_calls(date: str, status: int) -> None:
    """A clock that was corrected by it is corrected again by the next 401, whose date is right."""
    odd = answer(b"{}", status, date=date, retry_after=date)

    def judge(transport: asyncio.Transport) -> None:
        signed_now = server.received[-1].header("date") == formatdate(NOW, usegmt=True)
        transport.write(answer() if signed_now else refused(NOW))

    async with RawServer(odd, judge) as server, server.client(clock=Times(now=NOW).clock, retry=ONCE) as client:
        with suppress(AidpError):
            await client.list_sessions("k")
        found = [len(await client.list_sessions("k")) for _ in range(3)]

    assert found == [0, 0, 0]
    assert dates(server.received)[-3:] == [formatdate(NOW, usegmt=True)] * 3


@pytest.mark.parametrize("skew", [299.0, -299.0, 300.0, -300.0, 301.0, -301.0])
async def test_a_clock_at_the_edge_of_what_the_service_accepts_is_corrected(skew: float) -> None:
    """Dates are whole seconds, and a request takes some time, so either side of the edge may be meant by a 401."""
    async with (
        RawServer(refused(NOW), answer()) as server,
        server.client(clock=wrong(skew), retry=ONCE) as client,
    ):
        await client.list_sessions("k")

    assert dates(server.received) == [formatdate(NOW + skew, usegmt=True), formatdate(NOW, usegmt=True)]
