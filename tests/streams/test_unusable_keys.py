"""Workspaces that the service lists with a key that no URL can contain: each is one failed workspace."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from aidp_sessions import AidpError, Clock, FanOutError, ResponseDecodeError, SessionSummary
from aidp_sessions.testing import LocalService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aidp_sessions import SessionStream
    from aidp_sessions.streams.fan_out import OnError

KEYS: Final = ["", " ", ".", "..", "a\x00b", "a\nb", "\x7f", "\x9f"]
IDS: Final = [repr(key) for key in KEYS]
GOOD: Final = ["good1", "good2"]


@pytest.fixture(params=KEYS, ids=IDS)
def key(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def service(key: str) -> AsyncIterator[LocalService]:
    async with LocalService() as service:
        for each in (GOOD[0], key, GOOD[1]):
            service.add_workspace(each, [SessionSummary(id=each)])
        yield service


def check(error: AidpError | None, key: str) -> None:
    assert type(error) is ResponseDecodeError
    assert (error.operation, error.workspace_key) == ("list_workspaces", key)
    assert repr(key) in error.message


async def test_a_deferring_stream_gives_the_others_and_then_names_it(service: LocalService, key: str) -> None:
    async with service.client() as client:
        with pytest.raises(FanOutError) as caught:
            await client.sessions().collect()

    assert sorted(each.id or "" for each in caught.value.sessions) == GOOD
    (error,) = caught.value.exceptions
    check(error, key)


async def test_a_skipping_stream_gives_the_others_and_logs_it(
    service: LocalService, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with service.client() as client:
        found = await client.sessions(on_error="skip").collect()

    assert sorted(each.id or "" for each in found) == GOOD
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert repr(key) in record.getMessage()


@pytest.mark.parametrize("on_error", ["defer", "skip"])
async def test_its_outcome_is_an_error(service: LocalService, key: str, on_error: OnError) -> None:
    async with service.client() as client:
        outcomes = {each.workspace_key: each.error async for each in client.sessions(on_error=on_error).by_workspace()}

    check(outcomes.pop(key), key)
    assert outcomes == dict.fromkeys(GOOD)


@pytest.mark.parametrize("on_error", ["defer", "skip"])
async def test_a_watch_goes_on_with_the_others(service: LocalService, key: str, on_error: OnError) -> None:
    rounds: list[float] = []

    async def sleep(seconds: float) -> None:
        rounds.append(seconds)
        if len(rounds) == 3:
            service.set_sessions(GOOD[0], [])

    async with service.client(clock=Clock(sleep=sleep)) as client:
        seen: list[tuple[str, str | None]] = []
        async for change in client.sessions(on_error=on_error).watch(timedelta(minutes=1)):
            seen.append((change.kind, change.session.id))
            if change.kind == "vanished":
                break

    assert sorted(seen[:2]) == [("appeared", each) for each in GOOD]
    assert seen[2:] == [("vanished", GOOD[0])]


WAYS: Final[dict[str, Callable[[SessionStream], Any]]] = {
    "stream": aiter,
    "outcomes": lambda stream: stream.by_workspace(),
    "watch": lambda stream: stream.watch(timedelta(milliseconds=1)),
}


@pytest.mark.parametrize("start", WAYS.values(), ids=WAYS.keys())
async def test_a_stream_that_raises_names_it_at_once(
    service: LocalService, key: str, start: Callable[[SessionStream], Any]
) -> None:
    async with service.client() as client:
        with pytest.raises(AidpError) as caught:
            _ = [each async for each in start(client.sessions(on_error="raise"))]

    check(caught.value, key)
