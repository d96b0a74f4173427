"""`SessionStream` over real sockets and on two loops: what is yielded and when, and what is left behind."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from aidp_sessions import (
    AidpError,
    Clock,
    FanOutError,
    InternalServerError,
    KernelSummary,
    NotFoundError,
    RetryPolicy,
    SessionStream,
    SessionSummary,
    TooManyRequestsError,
    UnauthorizedError,
    WorkspaceOutcome,
)
from aidp_sessions.testing import Fault, LocalService

from ..helpers.stream_tasks import stream_tasks

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from aidp_sessions.streams.fan_out import OnError

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
IMPATIENT = RetryPolicy(base=0.001, cap=0.002)


def session(key: str, number: int, state: str = "idle", hours: float = 0) -> SessionSummary:
    kernel = KernelSummary(name="python3", execution_state=state, last_activity=NOW - timedelta(hours=hours))
    return SessionSummary(id=f"{key}-{number}", kernel=kernel)


def add(service: LocalService, keys: Iterable[str], *, sessions: int = 2) -> list[str]:
    keys = list(keys)
    for key in keys:
        service.add_workspace(key, [session(key, number) for number in range(sessions)])
    return keys


def ids(sessions: Iterable[SessionSummary]) -> list[str]:
    return sorted(str(each.id) for each in sessions)


async def until_quiet(service: LocalService) -> None:
    """Let the loop run until the server has no request in flight; fails the test after some time."""
    for _ in range(500):
        await asyncio.sleep(0.001)
        if service.in_flight == 0:
            return
    pytest.fail(f"{service.in_flight} requests are still in flight")


async def outcomes_of(stream: SessionStream) -> list[WorkspaceOutcome]:
    return [outcome async for outcome in stream.by_workspace()]


async def test_a_stream_sends_nothing_until_it_is_iterated_and_asks_again_in_each_iteration(
    service: LocalService,
) -> None:
    add(service, ["a", "b"])

    async with service.client() as client:
        stream = client.sessions(["a", "b"])
        narrower = stream.where(lambda each: each.id == "a-0")
        assert service.request_count == 0

        assert ids(await stream.collect()) == ["a-0", "a-1", "b-0", "b-1"]
        assert ids(await stream.collect()) == ["a-0", "a-1", "b-0", "b-1"]
        assert service.request_count == 4
        assert ids(await narrower.collect()) == ["a-0"]
        assert ids(await stream.collect()) == ["a-0", "a-1", "b-0", "b-1"]


async def test_every_session_has_the_key_of_its_workspace(service: LocalService) -> None:
    add(service, ["a", "b"], sessions=1)

    async with service.client() as client:
        found = await client.sessions().collect()

    assert {each.id: each.workspace_key for each in found} == {"a-0": "a", "b-0": "b"}
    assert session("a", 0).workspace_key == ""


async def test_several_filters_apply_together(service: LocalService) -> None:
    service.add_workspace(
        "w", [session("w", 0, "busy"), session("w", 1, hours=1), session("w", 2, hours=3), session("w", 3, hours=9)]
    )

    async with service.client() as client:
        stream = client.sessions("w")
        idle = stream.idle_since(NOW - timedelta(hours=2))
        assert ids(await idle.collect()) == ["w-2", "w-3"]
        assert ids(await idle.where(lambda each: each.id != "w-2").collect()) == ["w-3"]
        assert ids(await stream.busy().collect()) == ["w-0"]
        assert ids(await stream.busy().idle_since(NOW).collect()) == []


@pytest.mark.parametrize("since", [datetime(2026, 1, 1), timedelta(hours=-1)])  # noqa: DTZ001  # naive on purpose
async def test_an_invalid_time_is_refused_at_once(service: LocalService, since: datetime | timedelta) -> None:
    async with service.client() as client:
        with pytest.raises(ValueError, match="since="):
            client.sessions("w").idle_since(since)


class AsyncPredicate:
    async def __call__(self, session: SessionSummary) -> bool:
        return session.id is None


@pytest.mark.parametrize(
    "predicate", [AsyncPredicate(), AsyncPredicate().__call__, partial(AsyncPredicate.__call__), 5]
)
async def test_only_a_plain_function_narrows_a_stream_down(service: LocalService, predicate: Any) -> None:
    """The coroutine that an async function returns would count as true, and keep every session."""
    async with service.client() as client:
        with pytest.raises(TypeError) as caught:
            client.sessions().where(predicate)

    assert str(caught.value) == f"where() takes a plain function of a session, not {predicate!r}"


class Later:
    def __await__(self) -> Any:
        yield


@pytest.mark.parametrize("length", [0, 6_000], ids=["small", "large"])
@pytest.mark.parametrize("act", [SessionStream.collect, outcomes_of], ids=["collect", "by_workspace"])
@pytest.mark.parametrize(("make", "kind"), [(AsyncPredicate(), "coroutine"), (lambda _: Later(), "Later")])
async def test_a_predicate_that_returns_something_to_await_is_refused_at_its_first_result(
    service: LocalService, make: Any, kind: str, act: Any, length: int
) -> None:
    """What it returns would count as true, and keep every session. A warning about it would fail the test."""
    service.add_workspace("w", [SessionSummary(id=f"{number}-{'x' * 200}") for number in range(length or 2)])
    asked = count(1)
    async with service.client() as client:
        with pytest.raises(TypeError) as caught:
            await act(client.sessions("w", on_error="skip").where(lambda each: bool(next(asked)) and make(each)))

    assert str(caught.value) == f"where() takes a plain function of a session, not one that returns a {kind}"
    assert next(asked) == 2


@pytest.mark.parametrize("result", ["yes", 1, [0], "", 0, None, []])
async def test_a_predicate_may_return_anything_that_is_true_or_false(service: LocalService, result: Any) -> None:
    add(service, ["w"])
    async with service.client() as client:
        assert len(await client.sessions().where(lambda _: result).collect()) == (2 if result else 0)


async def test_a_stream_sorts_each_workspace_and_takes_pages_of_the_size_asked_for(service: LocalService) -> None:
    add(service, ["a", "b"], sessions=5)
    async with service.client(max_concurrency=1) as client:
        newest_first = client.sessions(["a", "b"], sort_by="timeCreated", sort_order="DESC", limit=2)
        found = [str(each.id) async for each in newest_first]

    assert found == [f"{key}-{number}" for key in "ab" for number in (4, 3, 2, 1, 0)]
    assert service.request_count == 6


async def test_a_timedelta_counts_back_from_the_start_of_each_iteration(service: LocalService) -> None:
    """A kernel that is too fresh in the first iteration is old enough in the second."""
    stamped = datetime.now(UTC)
    kernel = KernelSummary(name="python3", execution_state="idle", last_activity=stamped)
    service.add_workspace("w", [SessionSummary(id="1", kernel=kernel)])

    async with service.client() as client:
        stream = client.sessions("w").idle_since(timedelta(seconds=0))
        assert ids(await stream.collect()) == ["1"]
        assert await client.sessions("w").idle_since(timedelta(hours=1)).collect() == []


async def test_discovery_finds_private_workspaces_and_omits_those_that_cannot_have_sessions(
    service: LocalService,
) -> None:
    add(service, ["open", "updating"], sessions=1)
    service.add_workspace("private", [session("private", 0)], is_private_network_enabled=True)
    for state in ("CREATING", "DELETING", "DELETED", "FAILED"):
        service.add_workspace(state.lower(), [session(state, 0)], lifecycle_state=state)
    service.add_workspace("resting", [session("resting", 0)], lifecycle_state="RESTING")

    async with service.client() as client:
        found = await client.sessions().collect()

    assert ids(found) == ["open-0", "private-0", "resting-0", "updating-0"]


async def test_the_first_sessions_come_before_the_last_page_of_workspaces_is_fetched() -> None:
    async with LocalService(workspace_page_size=5) as service:
        add(service, (f"w{number}" for number in range(50)))
        service.fail(None, *[Fault()] * 4, Fault(delay=float("inf"), times=None))
        async with service.client() as client, aclosing(aiter(client.sessions())) as sessions:
            early = [await anext(sessions) for _ in range(30)]

    assert len(set(ids(early))) == 30


async def test_each_key_of_a_list_is_asked_once_and_an_iterator_can_be_used_once(service: LocalService) -> None:
    add(service, ["a", "b"], sessions=1)

    async with service.client() as client:
        assert ids(await client.sessions(["a", "b", "a"]).collect()) == ["a-0", "b-0"]
        stream = client.sessions(iter(["a", "b"]))
        assert ids(await stream.collect()) == ["a-0", "b-0"]
        with pytest.raises(RuntimeError, match="used up"):
            await stream.where(lambda _: True).collect()


async def test_workspaces_stand_for_their_keys(service: LocalService) -> None:
    """Alone, in a list with keys, in an iterator, and as they are listed."""
    for name in ("prod-a", "prod-b", "test"):
        service.add_workspace(f"key-of-{name}", [SessionSummary(id=name)], display_name=name)

    async with service.client() as client:
        workspaces = {each.display_name: each async for each in client.workspaces()}
        a, b = workspaces["prod-a"], workspaces["prod-b"]
        prod = client.sessions(client.workspaces(display_name_contains="prod"))

        assert ids(await prod.collect()) == ["prod-a", "prod-b"]
        assert ids(await client.sessions(a).collect()) == ["prod-a"]
        assert ids(await client.sessions([a, "key-of-test", "key-of-prod-a", b, b]).collect()) == [
            "prod-a",
            "prod-b",
            "test",
        ]
        assert ids(await client.sessions(each for each in (a, "key-of-test")).collect()) == ["prod-a", "test"]
        with pytest.raises(RuntimeError, match="used up; pass a list instead"):
            await prod.collect()


async def test_a_bad_key_is_refused_at_once_in_a_list_and_when_it_is_read_in_an_iterator(service: LocalService) -> None:
    add(service, ["a"], sessions=1)

    async with service.client() as client:
        for wrong in (["a", ".."], [""], ["a\n"]):
            with pytest.raises(ValueError, match="workspace_key="):
                client.sessions(wrong)
        with pytest.raises(TypeError, match="workspace_key must be a string"):
            client.sessions([1])  # type: ignore[list-item]
        with pytest.raises(TypeError, match="a key, a WorkspaceSummary or an iterable of these, not int"):
            client.sessions(5)  # type: ignore[arg-type]
        assert service.request_count == 0

        seen = []
        with pytest.raises(ValueError, match=r"workspace_key='\.\.'"):
            async for each in client.sessions(iter(["a", ".."])):
                seen.append(each.id)  # noqa: PERF401  # what came before the failure is the point
        assert seen == ["a-0"]


async def test_defer_yields_all_healthy_workspaces_and_then_raises_one_error_with_every_failure(
    service: LocalService,
) -> None:
    add(service, ["a", "b", "limited"], sessions=1)
    service.fail("limited", Fault(status=429, retry_after=3600, times=None))

    async with service.client() as client:
        seen: list[SessionSummary] = []
        with pytest.raises(FanOutError) as caught:
            async for each in client.sessions(["gone", "a", "limited", "b"]):
                seen.append(each)  # noqa: PERF401  # what came before the failure is the point
        with pytest.raises(FanOutError) as collected:
            await client.sessions(["a", "gone"]).collect()

    assert ids(seen) == ["a-0", "b-0"]
    failures = {error.workspace_key: type(error) for error in caught.value.exceptions}
    assert failures == {"gone": NotFoundError, "limited": TooManyRequestsError}
    assert str(caught.value) in ("2 workspaces failed: 'gone', 'limited'", "2 workspaces failed: 'limited', 'gone'")
    throttled = caught.value.subgroup(TooManyRequestsError)
    assert throttled is not None
    assert [error.retry_after for error in throttled.exceptions if isinstance(error, AidpError)] == [3600.0]
    assert ids(collected.value.sessions) == ["a-0"]


async def test_except_star_splits_the_failures_by_class(service: LocalService) -> None:
    add(service, ["broken"])
    service.fail("broken", Fault(status=500, times=None))
    split: dict[type, list[str | None]] = {}

    async with service.client(retry=RetryPolicy.none()) as client:
        try:
            await client.sessions(["gone", "broken"]).collect()
        except* NotFoundError as group:
            split[NotFoundError] = [error.workspace_key for error in group.exceptions if isinstance(error, AidpError)]
        except* InternalServerError as group:
            split[InternalServerError] = [e.workspace_key for e in group.exceptions if isinstance(e, AidpError)]

    assert split == {NotFoundError: ["gone"], InternalServerError: ["broken"]}


async def test_raise_ends_with_the_first_failure_and_cancels_the_rest(service: LocalService) -> None:
    add(service, ["slow"])
    service.fail("slow", Fault(delay=float("inf"), times=None))

    async with service.client() as client:
        with pytest.raises(NotFoundError) as caught:
            await client.sessions(["slow", "gone"], on_error="raise").collect()
        await until_quiet(service)

    assert caught.value.workspace_key == "gone"


async def test_skip_logs_a_warning_and_only_outcomes_show_the_failure(
    service: LocalService, caplog: pytest.LogCaptureFixture
) -> None:
    add(service, ["a"], sessions=1)

    async with service.client() as client:
        stream = client.sessions(["a", "gone"], on_error="skip")
        with caplog.at_level(logging.WARNING, logger="aidp_sessions"):
            assert ids(await stream.collect()) == ["a-0"]
        outcomes = {outcome.workspace_key: outcome async for outcome in stream.by_workspace()}

    (record,) = caplog.records[:1]
    assert (record.name, record.levelname) == ("aidp_sessions", "WARNING")
    assert "'gone'" in record.getMessage()
    assert ids(outcomes["a"].sessions) == ["a-0"]
    assert outcomes["a"].error is None
    assert (outcomes["gone"].sessions, type(outcomes["gone"].error)) == ((), NotFoundError)


async def test_outcomes_hold_the_filtered_sessions_of_every_workspace(service: LocalService) -> None:
    add(service, ["a", "b"])

    async with service.client() as client:
        stream = client.sessions(["a", "b", "gone"]).where(lambda each: each.id == "b-1")
        outcomes = sorted([each async for each in stream.by_workspace()], key=lambda each: each.workspace_key)

    assert outcomes[:1] == [WorkspaceOutcome(workspace_key="a")]
    assert ids(outcomes[1].sessions) == ["b-1"]
    assert isinstance(outcomes[2].error, NotFoundError)


async def test_a_failing_discovery_is_never_an_empty_platform(service: LocalService) -> None:
    add(service, ["a"])
    service.fail(None, Fault(status=404, times=None))

    async with service.client() as client:
        with pytest.raises(FanOutError, match="listing of workspaces"):
            await client.sessions().collect()
        for mode in ("raise", "skip"):
            with pytest.raises(NotFoundError):
                await client.sessions(on_error=mode).collect()
        with pytest.raises(NotFoundError):
            [outcome async for outcome in client.sessions().by_workspace()]


async def test_leaving_the_loop_early_leaves_nothing_behind(service: LocalService) -> None:
    """Keys without end, `break` after the tenth session: no task, no connection in use, no request in flight."""
    keys = add(service, (f"w{number}" for number in range(20)))
    closed = []

    async def endless() -> AsyncGenerator[str]:
        try:
            for number in count():
                yield keys[number % len(keys)]
        finally:
            closed.append(True)

    async with service.client(max_concurrency=4) as client:
        seen = 0
        async for _ in client.sessions(endless()):
            seen += 1
            if seen == 10:
                break
        while not closed:
            await asyncio.sleep(0)
        await until_quiet(service)
        assert stream_tasks() == set()
        assert service.peak_in_flight <= 4
        assert ids((await client.list_sessions("w0")).items) == ["w0-0", "w0-1"]


async def test_an_exception_in_the_loop_body_or_in_a_predicate_leaves_nothing_behind(service: LocalService) -> None:
    keys = add(service, (f"w{number}" for number in range(50)))

    def fussy(each: SessionSummary) -> bool:
        raise LookupError(each.id)

    async with service.client(max_concurrency=4) as client:
        with pytest.raises(ZeroDivisionError):
            async for _ in client.sessions(keys):
                raise ZeroDivisionError
        with pytest.raises(LookupError):
            await client.sessions(keys).where(fussy).collect()
        await until_quiet(service)
        assert stream_tasks() == set()


@pytest.mark.parametrize("on_error", ["defer", "raise", "skip"])
@pytest.mark.parametrize("sessions", [2, 10_000], ids=["whole", "in pieces"])
async def test_an_aidp_error_of_a_predicate_ends_the_iteration(
    service: LocalService, sessions: int, on_error: OnError
) -> None:
    """It is the failure of no workspace and of no listing, in every kind of iteration."""
    add(service, ["a"], sessions=sessions)
    raised, cause = NotFoundError("who owns it?"), KeyError("a")

    def fussy(_: SessionSummary) -> bool:
        raise raised from cause

    async with service.client(clock=Clock(sleep=lambda _: asyncio.sleep(0))) as client:
        stream = client.sessions(on_error=on_error).where(fussy)
        for found in (aiter(stream), stream.by_workspace(), stream.watch()):
            async with aclosing(found):
                with pytest.raises(NotFoundError) as caught:
                    await anext(found)
            assert (caught.value, caught.value.__cause__) == (raised, cause)
    assert (raised.operation, raised.workspace_key) == (None, None)


async def test_an_aidp_error_of_a_predicate_ends_a_watch(service: LocalService) -> None:
    add(service, ["a"])
    asked = 0

    def fussy(each: SessionSummary) -> bool:
        nonlocal asked
        asked += 1
        if asked > 2:
            raise NotFoundError(f"who owns {each.id}?")
        return True

    async with service.client(clock=Clock(sleep=lambda _: asyncio.sleep(0))) as client:
        async with aclosing(client.sessions("a").where(fussy).watch()) as changes:
            with pytest.raises(NotFoundError, match="who owns a-0"):
                [change async for change in changes]
    assert asked == 3


async def test_cancelling_the_consumer_leaves_nothing_behind(service: LocalService) -> None:
    keys = add(service, (f"w{number}" for number in range(50)))
    service.fail("w3", Fault(delay=float("inf"), times=None))

    async with service.client(max_concurrency=4) as client:
        task = asyncio.create_task(client.sessions(keys).collect())
        while service.request_count < 20:
            await asyncio.sleep(0)
        assert stream_tasks() != set()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until_quiet(service)
        assert stream_tasks() == set()


async def test_a_consumer_that_pauses_stops_the_requests(service: LocalService) -> None:
    """At most one result is consumed, ``max_concurrency`` are buffered, and as many wait for the buffer."""
    keys = add(service, (f"w{number}" for number in range(500)), sessions=1)

    async with service.client(max_concurrency=8) as client, aclosing(aiter(client.sessions(keys))) as sessions:
        await anext(sessions)
        before = -1
        while service.request_count != before:
            before = service.request_count
            await asyncio.sleep(0.05)
        assert service.request_count <= 1 + 8 + 8
        assert len(set(ids([each async for each in sessions]))) == 499


async def test_two_streams_of_one_client_share_its_limit_and_both_progress(service: LocalService) -> None:
    keys = add(service, (f"w{number}" for number in range(60)), sessions=1)

    async with service.client(max_concurrency=5) as client:
        order: list[str] = []

        async def follow(name: str) -> None:
            async for _ in client.sessions(keys):
                order.append(name)  # noqa: PERF401  # two streams alternate here

        await asyncio.gather(follow("first"), follow("second"))

    assert service.peak_in_flight <= 5
    half = Counter(order[:60])
    assert min(half["first"], half["second"]) >= 20


async def test_throttled_workspaces_do_not_delay_healthy_ones(service: LocalService) -> None:
    """200 of 400 workspaces ask for a pause of two seconds; the others are all yielded before the first retry."""
    throttled = add(service, (f"t{number}" for number in range(200)), sessions=1)
    healthy = add(service, (f"h{number}" for number in range(200)), sessions=1)
    for key in throttled:
        service.fail(key, Fault(status=429, retry_after=2))
    waits: list[float] = []
    resume = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await resume.wait()

    mixed = [key for pair in zip(throttled, healthy, strict=True) for key in pair]
    async with service.client(clock=Clock(sleep=sleep), max_concurrency=32) as client:
        order = []
        async for each in client.sessions(mixed):
            order.append(each.workspace_key[0])
            if len(order) == 200:
                assert service.request_count == 400
                resume.set()

    assert order == ["h"] * 200 + ["t"] * 200
    assert len(waits) == 200
    assert min(waits) >= 2


async def test_two_thousand_workspaces_with_faults_lose_nothing() -> None:
    """3 % throttled, 2 % failing, 1 % cut off: each session comes once, at most 50 are in flight, tasks are bounded."""
    async with LocalService(record_limit=0) as service:
        keys = add(service, (f"w{number}" for number in range(2000)), sessions=1)
        for number, key in enumerate(keys):
            kind = number % 100
            if kind < 3:
                service.fail(key, Fault(status=429, retry_after=0))
            elif kind < 5:
                service.fail(key, Fault(status=500))
            elif kind < 6:
                service.fail(key, Fault(cut="in_body"))
        most_tasks = 0
        async with service.client(max_concurrency=50, retry=IMPATIENT) as client:
            seen: Counter[str] = Counter()
            async for each in client.sessions(keys):
                seen[str(each.id)] += 1
                most_tasks = max(most_tasks, len(stream_tasks()))

    assert seen == Counter(f"{key}-0" for key in keys)
    assert service.peak_in_flight <= 50
    assert 0 < most_tasks <= 50 + 8 * 50 + 1


@pytest.mark.parametrize("pages", [1, 2, 3])
async def test_a_page_that_fails_makes_the_whole_workspace_fail(pages: int) -> None:
    async with LocalService(session_page_size=2) as service:
        add(service, ["w"], sessions=8)
        service.fail("w", *[Fault()] * pages, Fault(status=404))
        async with service.client() as client:
            with pytest.raises(FanOutError) as caught:
                await client.sessions("w").collect()
            assert caught.value.sessions == ()
            assert ids(await client.sessions("w").collect()) == [f"w-{number}" for number in range(8)]


async def test_a_page_that_fails_once_is_retried() -> None:
    async with LocalService(session_page_size=3) as service:
        add(service, ["w"], sessions=7)
        service.fail("w", Fault(), Fault(status=500), Fault(), Fault(cut="before_headers"))
        async with service.client(retry=IMPATIENT) as client:
            collection = await client.list_sessions("w", opc_request_id="mine")

    assert [each.id for each in collection] == [f"w-{number}" for number in range(7)]
    assert [request.headers["opc-request-id"] for request in service.requests] == [
        "mine",
        "mine-2",
        "mine-3",
        "mine-4",
        "mine-5",
    ]


async def test_a_refused_signature_fails_each_workspace_with_its_own_error(service: LocalService) -> None:
    add(service, ["a", "b"])
    async with service.client() as client:
        copy = client.with_options(clock=Clock(time=lambda: 0.0), correct_clock_skew=False)
        with pytest.raises(FanOutError) as caught:
            await copy.sessions(["a", "b"]).collect()

    assert [type(error) for error in caught.value.exceptions] == [UnauthorizedError] * 2
    assert all("clock" in error.message for error in caught.value.exceptions)


async def test_several_platforms_share_one_pool() -> None:
    """Each has a client made with `with_options`; the streams run at the same time."""
    other = "ocid1.aidataplatform.oc1.phx.another"
    async with LocalService() as here, LocalService(platform_id=other) as there:
        add(here, ["a"], sessions=1)
        add(there, ["b"], sessions=1)
        async with here.client() as client:
            elsewhere = client.with_options(platform_id=other, endpoint=there.url)
            found = await asyncio.gather(client.sessions().collect(), elsewhere.sessions().collect())

    assert [ids(each) for each in found] == [["a-0"], ["b-0"]]
