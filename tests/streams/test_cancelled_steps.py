"""A step of an iteration may be cancelled: nothing is left running, and the next step goes on, or raises."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import pytest

from aidp_sessions import (
    Clock,
    ConnectionFailedError,
    CullPolicy,
    FanOutError,
    NotFoundError,
    SessionChange,
    SessionsClient,
    SessionSummary,
    WorkspaceOutcome,
    WorkspaceSummary,
)
from aidp_sessions._operations import buffering
from aidp_sessions._operations.messages import THRESHOLD
from aidp_sessions._transport import exchange
from aidp_sessions.testing import Fault, LocalService, make_session

from ..helpers.raw_server import RawServer, answer, eventually, send
from ..helpers.stream_tasks import stream_tasks

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

KEYS: Final = ("a", "b", "c")
MANY: Final = [{"id": f"{number:08d}", "path": "x" * 400} for number in range(THRESHOLD * 5 // 4 // 400)]


@pytest.fixture
async def service() -> AsyncIterator[LocalService]:
    async with LocalService(workspace_page_size=1, session_page_size=1) as service:
        for key in KEYS:
            service.add_workspace(key, [SessionSummary(id=f"{key}-{number}") for number in range(2)])
        yield service


ITERATIONS: Final[dict[str, Callable[[SessionsClient], Any]]] = {
    "sessions": lambda client: aiter(client.sessions(KEYS)),
    "keys of a generator expression": lambda client: aiter(client.sessions(key for key in KEYS)),
    "every workspace": lambda client: aiter(client.sessions()),
    "workspaces as keys": lambda client: aiter(client.sessions(client.workspaces())),
    "by_workspace": lambda client: client.sessions().by_workspace(),
    "watch": lambda client: client.sessions().watch(timedelta(hours=1)),
    "workspaces": lambda client: client.workspaces(),
}
ALL_SESSIONS: Final = [f"{key}-{number}" for key in KEYS for number in range(2)]
EXPECTED: Final = {"by_workspace": list(KEYS), "workspaces": list(KEYS)}


def name_of(item: object) -> str | None:
    match item:
        case SessionChange(kind="appeared", session=session):
            return session.id
        case WorkspaceOutcome(workspace_key=key, error=None):
            return key
        case WorkspaceSummary(key=key):
            return key
        case SessionSummary(id=identity):
            return identity
    raise AssertionError(item)


async def drain(steps: Any, turns: int, length: int, names: list[str | None]) -> int:
    """Read until there are *length* names; of six steps, cancel five after *turns* iterations of the loop.

    Returns how many were cancelled.
    """
    cancelled = 0
    for number in count(1):
        if len(names) == length:
            break
        step = asyncio.ensure_future(anext(steps))
        if number % 6:
            for _ in range(turns):
                await asyncio.sleep(0)
            step.cancel()
        try:
            names.append(name_of(await step))
        except asyncio.CancelledError:
            cancelled += 1
            assert (
                turns == 0 or stream_tasks() == set()
            )  # 0: the step never ran, and the next one goes on with its tasks
    return cancelled


@pytest.mark.parametrize("iteration", ITERATIONS)
async def test_an_iteration_whose_steps_are_cancelled_gives_everything_once(
    service: LocalService, iteration: str
) -> None:
    expected = EXPECTED.get(iteration, ALL_SESSIONS)
    cancelled = 0
    async with service.client(clock=Clock(random=lambda: 0.0)) as client:
        for turns in range(0, 60, 3):
            steps = ITERATIONS[iteration](client)
            names: list[str | None] = []
            cancelled += await drain(steps, turns, len(expected), names)
            assert sorted(map(str, names)) == expected
            if iteration != "watch":
                with pytest.raises(StopAsyncIteration):
                    await anext(steps)
            await steps.aclose()
            await eventually(lambda: service.in_flight == 0)

    assert cancelled >= 5


@pytest.mark.parametrize("step", [anext, lambda steps: steps.asend(None)], ids=["anext", "asend"])
@pytest.mark.parametrize("iteration", [name for name in ITERATIONS if name != "workspaces"])
async def test_a_timeout_of_a_step_is_no_end(service: LocalService, iteration: str, step: Callable[[Any], Any]) -> None:
    expected = EXPECTED.get(iteration, ALL_SESSIONS)
    service.fail("b", Fault(delay=60.0))
    names: list[str | None] = []
    timeouts = 0
    async with service.client(clock=Clock(random=lambda: 0.0)) as client:
        steps = ITERATIONS[iteration](client)
        while len(names) < len(expected):
            try:
                names.append(name_of(await asyncio.wait_for(step(steps), 0.2)))
            except TimeoutError:
                timeouts += 1
                assert stream_tasks() == set()
        await steps.aclose()
        with pytest.raises(StopAsyncIteration):
            await step(steps)

    assert sorted(map(str, names)) == expected
    assert timeouts >= 1


async def test_a_workspace_that_was_yielded_in_part_fails_and_is_not_asked_for_again() -> None:
    whole = answer(json.dumps({"items": MANY}).encode())
    names: list[str | None] = []
    async with RawServer(send(whole[: len(whole) * 9 // 10]), whole) as server, server.client() as client:
        steps = aiter(client.sessions("k"))
        with pytest.raises(TimeoutError):
            while True:
                names.append((await asyncio.wait_for(anext(steps), 0.2)).id)
        with pytest.raises(FanOutError) as caught:
            await anext(steps)
        outcomes = [outcome async for outcome in client.sessions("k").by_workspace()]

    (error,) = caught.value.exceptions
    assert isinstance(error, ConnectionFailedError)
    assert (error.workspace_key, error.operation, error.delivered) == ("k", "list_sessions", len(names))
    assert names == [each["id"] for each in MANY[: len(names)]]
    assert 0 < len(names) < len(MANY)
    assert len(server.received) == 2
    assert [len(outcome.sessions) for outcome in outcomes] == [len(MANY)]


async def test_in_whatever_turn_a_large_answer_is_cancelled_nothing_comes_twice_and_nothing_is_lost_silently(
    service: LocalService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "THRESHOLD", 5)
    monkeypatch.setattr(buffering, "THRESHOLD", 5)
    cut_off = 0
    async with service.client(max_concurrency=2) as client:
        for turns in range(1, 60, 2):
            steps = aiter(client.sessions())
            names: list[str | None] = []
            failed: dict[str | None, int] = {}
            try:
                while True:
                    await drain(steps, turns, len(names) + 1, names)
            except StopAsyncIteration:
                pass
            except FanOutError as error:
                failed = {each.workspace_key: each.delivered for each in error.exceptions}
            cut_off += len(failed)
            assert len(set(names)) == len(names)
            for key in KEYS:
                assert sum(str(name).startswith(key) for name in names) == failed.get(key, 2)

    assert cut_off > 5


async def test_many_answers_that_are_yielded_in_parts_come_whole_without_a_cancellation(
    service: LocalService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "THRESHOLD", 5)
    monkeypatch.setattr(buffering, "THRESHOLD", 5)
    async with service.client(max_concurrency=2) as client:
        sessions = await client.sessions(key for _ in range(30) for key in KEYS).collect()

    assert sorted(str(session.id) for session in sessions) == sorted(30 * ALL_SESSIONS)


async def test_a_generator_of_keys_is_closed_by_a_cancellation_and_the_next_step_raises(service: LocalService) -> None:
    closed = []

    async def keys() -> AsyncGenerator[str]:
        try:
            yield "a"
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    async with service.client() as client:
        steps = aiter(client.sessions(keys()))
        assert {(await anext(steps)).id for _ in range(2)} == {"a-0", "a-1"}
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(steps), 0.05)
        assert closed == [True]
        for _ in range(2):
            with pytest.raises(RuntimeError, match="cancelled"):
                await anext(steps)
        await steps.aclose()


async def test_a_second_step_while_one_is_under_way_is_refused_and_changes_nothing(service: LocalService) -> None:
    async with service.client() as client:
        workspaces = client.workspaces()
        first = asyncio.ensure_future(anext(workspaces))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match=r"^another step of this iteration is still under way$"):
            await anext(workspaces)
        keys = [(await first).key, *[each.key async for each in workspaces]]

    assert sorted(keys) == list(KEYS)


async def test_after_an_error_each_further_step_raises(service: LocalService) -> None:
    async with service.client() as client:
        steps = aiter(client.sessions(["no-such"], on_error="raise"))
        with pytest.raises(NotFoundError):
            await anext(steps)
        for _ in range(2):
            with pytest.raises(RuntimeError, match=r"^this iteration ended with an error or was cancelled; start a"):
                await anext(steps)


async def test_a_cull_whose_step_was_cancelled_does_not_go_on(service: LocalService) -> None:
    service.add_workspace("w", [make_session(idle_for=timedelta(hours=9))])
    async with service.client() as client:
        plan = await client.plan_cull(CullPolicy(since=timedelta(hours=2), max_share=None), "w")
        service.fail("w", Fault(delay=60.0))
        async with aclosing(client.cull(plan)) as outcomes:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(outcomes), 0.2)
            with pytest.raises(RuntimeError, match="cancelled"):
                await anext(outcomes)


async def test_a_watch_keeps_its_schedule_when_a_pause_is_cancelled(service: LocalService) -> None:
    pauses: list[float] = []
    over = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) > 1:
            await over.wait()

    async with service.client(clock=Clock(sleep=sleep, random=lambda: 0.5)) as client:
        changes = client.sessions("a").watch(timedelta(hours=1))
        assert {(await anext(changes)).session.id for _ in range(2)} == {"a-0", "a-1"}
        requests = service.request_count
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(changes), 0.05)
        assert service.request_count == requests
        service.set_sessions("a", [SessionSummary(id="a-1")])
        over.set()
        vanished = await anext(changes)
        await changes.aclose()

    assert (vanished.kind, vanished.session.id) == ("vanished", "a-0")
    assert pauses[0] == 0.5
    assert 1800.0 >= pauses[1] > pauses[2] > pauses[3] > 1800.0 - 60.0
