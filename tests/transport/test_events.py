"""A listener gets the events of every call and attempt, once and in order, whatever goes wrong, and changes nothing."""

from __future__ import annotations

import asyncio
import math
import pickle
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aidp_sessions import (
    AttemptEnded,
    AttemptStarted,
    CallEnded,
    CallInfo,
    CallStarted,
    Clock,
    Event,
    NotFoundError,
    RequestTimeoutError,
    ResponseDecodeError,
    RetryPolicy,
    ServiceError,
    SessionsClient,
    Timeout,
    TooManyRequestsError,
    UnauthorizedError,
)
from aidp_sessions.testing import Fault, LocalService
from aidp_sessions.testing._service import identity as _identity

from ..helpers.raw_server import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

ROUTE: Final = "/20260430/aiDataPlatforms/{aiDataPlatformId}/workspaces"
SESSIONS: Final = f"{ROUTE}/{{workspaceKey}}/notebook/api/sessions"
THROTTLED: Final = Fault(status=429, retry_after=2)
BUSY: Final = Fault(status=503)


async def no_sleep(_: float) -> None:
    await asyncio.sleep(0)


FAST: Final = Clock(sleep=no_sleep, random=lambda: 0.5)


@pytest.fixture
async def service() -> AsyncIterator[LocalService]:
    async with LocalService(session_page_size=1) as service:
        for key in ("a", "b", "c"):
            service.add_workspace(key, [{"id": f"{key}1"}])
        yield service


def plain(event: Event) -> tuple[object, ...]:
    """An event without its call and durations, with classes in place of errors."""
    values = attrs.asdict(event, recurse=False, filter=lambda field, _: field.name not in ("call", "seconds"))
    return (type(event).__name__, *(type(v) if isinstance(v, BaseException) else v for v in values.values()))


def told(events: list[Event]) -> list[tuple[object, ...]]:
    """All events as plain values; checks that they belong to one call and that their durations are plausible."""
    assert {event.call for event in events} == {events[0].call}
    assert all(0.0 <= event.seconds < 60.0 for event in events if isinstance(event, AttemptEnded | CallEnded))
    return [plain(event) for event in events]


async def test_the_events_of_a_call_that_succeeds(service: LocalService) -> None:
    events: list[Event] = []
    async with service.client(on_event=events.append) as client:
        await client.list_sessions("a", opc_request_id="id")

    assert told(events) == [
        ("CallStarted",),
        ("AttemptStarted", 1, "id"),
        ("AttemptEnded", 1, "id", 200, None),
        ("CallEnded", 1, None),
    ]
    assert attrs.asdict(events[0].call) == {
        "operation": "list_sessions",
        "workspace_key": "a",
        "method": "GET",
        "route": SESSIONS,
        "server": service.url,
        "platform_id": service.platform_id,
        "opc_request_id": "id",
    }


@pytest.mark.parametrize(
    ("options", "route"),
    [
        ({"api_version": "20240831"}, "/20240831/dataLakes/{aiDataPlatformId}/workspaces"),
        ({"endpoint": "/base"}, f"/base{ROUTE}"),
    ],
)
async def test_a_route_is_the_path_without_its_values(
    service: LocalService, options: dict[str, str], route: str
) -> None:
    calls: list[CallInfo] = []
    options = {name: service.url + value if name == "endpoint" else value for name, value in options.items()}
    client = SessionsClient(
        service.platform_id,
        signer=service.signer,
        on_event=lambda event: calls.append(event.call),
        **{"endpoint": service.url, **options},  # type: ignore[arg-type]  # texts, all of them
    )
    async with client:
        with suppress(NotFoundError):  # the service has nothing below another base path
            assert sorted([workspace.key async for workspace in client.workspaces()]) == ["a", "b", "c"]

    assert {(call.operation, call.workspace_key, call.route) for call in calls} == {("list_workspaces", None, route)}


async def test_the_events_of_a_call_that_is_retried(service: LocalService) -> None:
    service.fail("a", THROTTLED, Fault(cut="in_body"), Fault(status=503))
    events: list[Event] = []
    async with service.client(on_event=events.append, clock=FAST) as client:
        await client.list_sessions("a", opc_request_id="id")

    errors = [event.error for event in events if isinstance(event, AttemptEnded) and event.error]
    throttled, cut, busy = map(type, errors)
    assert told(events) == [
        ("CallStarted",),
        ("AttemptStarted", 1, "id"),
        ("AttemptEnded", 1, "id", 429, TooManyRequestsError),
        ("RetryScheduled", 1, 2.25, throttled),
        ("AttemptStarted", 2, "id-2"),
        ("AttemptEnded", 2, "id-2", None, cut),
        ("RetryScheduled", 2, 0.5, cut),
        ("AttemptStarted", 3, "id-3"),
        ("AttemptEnded", 3, "id-3", 503, ServiceError),
        ("RetryScheduled", 3, 1.0, busy),
        ("AttemptStarted", 4, "id-4"),
        ("AttemptEnded", 4, "id-4", 200, None),
        ("CallEnded", 4, None),
    ]


async def test_a_call_that_gives_up_ends_with_the_error_that_is_raised(service: LocalService) -> None:
    service.fail("a", attrs.evolve(BUSY, times=None))
    events: list[Event] = []
    async with service.client(on_event=events.append, clock=FAST, retry=RetryPolicy(attempts=2)) as client:
        with pytest.raises(ServiceError) as caught:
            await client.list_sessions("a", opc_request_id="id")

    assert told(events) == [
        ("CallStarted",),
        ("AttemptStarted", 1, "id"),
        ("AttemptEnded", 1, "id", 503, ServiceError),
        ("RetryScheduled", 1, 0.25, ServiceError),
        ("AttemptStarted", 2, "id-2"),
        ("AttemptEnded", 2, "id-2", 503, ServiceError),
        ("CallEnded", 2, ServiceError),
    ]
    assert isinstance(events[-1], CallEnded)
    assert events[-1].error is caught.value


async def test_an_answer_of_the_wrong_shape_ends_the_call_but_not_the_attempt(service: LocalService) -> None:
    service.fail("a", Fault(body=b"[1]"))
    events: list[Event] = []
    async with service.client(on_event=events.append) as client:
        with pytest.raises(ResponseDecodeError):
            await client.list_sessions("a", opc_request_id="id")

    assert told(events)[2:] == [("AttemptEnded", 1, "id", 200, None), ("CallEnded", 1, ResponseDecodeError)]


async def test_a_call_that_is_cancelled_during_its_answer_has_all_end_events(service: LocalService) -> None:
    service.fail("a", Fault(delay=math.inf))
    events: list[Event] = []
    async with service.client(on_event=events.append) as client:
        call = asyncio.create_task(client.list_sessions("a", opc_request_id="id"))
        await eventually(lambda: service.in_flight == 1)
        call.cancel()
        await asyncio.wait([call])

    assert told(events) == [
        ("CallStarted",),
        ("AttemptStarted", 1, "id"),
        ("AttemptEnded", 1, "id", None, None),
        ("CallEnded", 1, asyncio.CancelledError),
    ]


async def test_a_call_that_is_cancelled_while_it_waits_for_a_slot_has_no_attempt(service: LocalService) -> None:
    service.fail("a", Fault(delay=math.inf))
    events: list[Event] = []
    async with service.client(max_concurrency=1) as client:
        first = asyncio.create_task(client.list_sessions("a"))
        await eventually(lambda: service.in_flight == 1)
        second = asyncio.create_task(client.with_options(on_event=events.append).list_sessions("a"))
        await eventually(lambda: bool(events))
        for call in (second, first):
            call.cancel()
            await asyncio.wait([call])

    assert told(events) == [("CallStarted",), ("CallEnded", 0, asyncio.CancelledError)]


async def test_a_deadline_ends_the_attempt_and_the_call(service: LocalService) -> None:
    service.fail("a", Fault(delay=math.inf))
    events: list[Event] = []
    async with service.client(on_event=events.append, timeout=Timeout(total=0.05)) as client:
        with pytest.raises(RequestTimeoutError):
            await client.list_sessions("a", opc_request_id="id")

    assert told(events) == [
        ("CallStarted",),
        ("AttemptStarted", 1, "id"),
        ("AttemptEnded", 1, "id", None, None),
        ("CallEnded", 1, RequestTimeoutError),
    ]


async def test_a_repeat_with_the_corrected_clock_is_an_attempt_but_no_retry(service: LocalService) -> None:
    events: list[Event] = []
    clock = Clock(time=lambda: time.time() + 3600.0)
    async with service.client(on_event=events.append, clock=clock) as client:
        await client.list_sessions("a", opc_request_id="id")

    assert told(events) == [
        ("CallStarted",),
        ("AttemptStarted", 1, "id"),
        ("AttemptEnded", 1, "id", 401, UnauthorizedError),
        ("AttemptStarted", 2, "id-2"),
        ("AttemptEnded", 2, "id-2", 200, None),
        ("CallEnded", 2, None),
    ]


async def test_each_page_is_an_attempt_of_one_call(service: LocalService) -> None:
    service.set_sessions("a", [{"id": "1"}, {"id": "2"}, {"id": "3"}])
    service.fail("a", Fault(), BUSY)
    events: list[Event] = []
    async with service.client(on_event=events.append, clock=FAST) as client:
        await client.list_sessions("a", opc_request_id="id")

    assert told(events) == [
        ("CallStarted",),
        ("AttemptStarted", 1, "id"),
        ("AttemptEnded", 1, "id", 200, None),
        ("AttemptStarted", 2, "id-2"),
        ("AttemptEnded", 2, "id-2", 503, ServiceError),
        ("RetryScheduled", 2, 0.25, ServiceError),
        ("AttemptStarted", 3, "id-3"),
        ("AttemptEnded", 3, "id-3", 200, None),
        ("AttemptStarted", 4, "id-4"),
        ("AttemptEnded", 4, "id-4", 200, None),
        ("CallEnded", 4, None),
    ]


async def test_a_fan_out_is_one_call_per_workspace_and_two_for_their_listing(service: LocalService) -> None:
    service.fail("b", Fault(status=404))
    events: list[Event] = []
    async with service.client(on_event=events.append) as client:
        await client.sessions(on_error="skip").collect()

    calls = Counter((event.call.operation, event.call.workspace_key) for event in events)
    assert calls == {
        ("list_workspaces", None): 8,
        ("list_sessions", "a"): 4,
        ("list_sessions", "b"): 4,
        ("list_sessions", "c"): 4,
    }
    assert len({event.call for event in events}) == 5


async def test_a_fan_out_that_is_left_early_ends_every_call(service: LocalService) -> None:
    service.fail("b", Fault(delay=math.inf))
    events: list[Event] = []
    async with service.client(on_event=events.append) as client:
        stream = aiter(client.sessions(["a", "b"]))
        await anext(stream)
        await stream.aclose()

    ends = [(event.call.workspace_key, type(event.error)) for event in events if isinstance(event, CallEnded)]
    assert ends == [("a", type(None)), ("b", asyncio.CancelledError)]


class RaisingListener:
    """Raises at every event."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.called = 0

    def __call__(self, event: Event) -> None:
        self.called += 1
        raise self.error


@pytest.mark.parametrize("error", [ValueError("no"), asyncio.CancelledError()], ids=["error", "cancelled"])
@pytest.mark.parametrize(
    "wrap",
    [lambda listener: listener, lambda listener: listener.__call__, partial],
    ids=["object", "method", "partial"],
)
async def test_a_listener_that_raises_is_reported_and_changes_nothing(
    service: LocalService, error: BaseException, wrap: Callable[[object], Any]
) -> None:
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
    service.fail("a", BUSY)
    listener = RaisingListener(error)
    async with service.client(on_event=wrap(listener), clock=FAST) as client:
        sessions = await client.list_sessions("a")

    assert [session.id for session in sessions] == ["a1"]
    assert service.request_count == 2
    assert [report["exception"] for report in reports] == [error] * 7 == [error] * listener.called
    assert {report["message"].split(" failed at ")[1] for report in reports} == {
        *("CallStarted", "AttemptStarted", "AttemptEnded", "RetryScheduled", "CallEnded")
    }
    names = {
        "tests.transport.test_events.RaisingListener",
        "tests.transport.test_events.RaisingListener.__call__",
        "functools.partial",
    }
    assert {report["message"].split()[2] for report in reports} <= names


@pytest.mark.parametrize("moment", [CallStarted, AttemptStarted, AttemptEnded, CallEnded])
async def test_a_keyboard_interrupt_in_a_listener_is_raised(
    service: LocalService, moment: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No timer of the call is left that could cancel the task after the interrupt was caught."""

    def interrupt(event: Event) -> None:
        if isinstance(event, moment):
            raise KeyboardInterrupt

    async with service.client(on_event=interrupt, timeout=Timeout(total=60.0)) as client:
        with pytest.raises(KeyboardInterrupt):
            await client.list_sessions("a")
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: time.monotonic() + 60.0)
        for _ in range(10):
            await asyncio.sleep(0)


async def test_a_call_with_wrong_arguments_has_no_events(service: LocalService) -> None:
    events: list[Event] = []
    async with service.client(on_event=events.append) as client:
        with pytest.raises(ValueError, match="opc_request_id"):
            await client.list_sessions("a", opc_request_id="?")
    with pytest.raises(RuntimeError, match="closed"):
        await client.list_sessions("a")

    assert events == []


async def unsuitable(event: Event) -> None:
    raise AssertionError


class Unsuitable:
    async def __call__(self, event: Event) -> None:
        raise AssertionError


class Empty(list[Event]):
    """A listener whose truth value is false."""

    def __call__(self, event: Event) -> None:
        self.append(event)


async def test_a_listener_whose_truth_value_is_false_gets_events(service: LocalService) -> None:
    events = Empty()
    async with service.client(on_event=events) as client:
        await client.list_sessions("a")

    assert len(events) == 4


@pytest.mark.parametrize(
    "listener", ["print", 1, unsuitable, Unsuitable()], ids=["str", "int", "async", "async object"]
)
def test_a_listener_that_is_not_callable_is_refused(listener: object) -> None:
    with pytest.raises(TypeError, match="on_event must be a plain function of one event"):
        SessionsClient(
            "ocid1.aidataplatform.oc1.iad.a",
            signer=_identity.signer(),
            on_event=listener,  # type: ignore[arg-type]  # on purpose
        )


async def test_no_event_holds_a_secret(service: LocalService) -> None:
    service.fail("a", Fault(status=500, message='Signature keyId="k",signature="c2VjcmV0"'), Fault(status=404))
    events: list[Event] = []
    signatures: list[str] = []

    class Spying:
        async def sign(self, request: Any) -> dict[str, str]:
            signed = await service.signer.sign(request)
            signatures.append(signed["authorization"])
            return signed

        async def refresh(self, rejected: object) -> bool:
            return False

    async with SessionsClient(
        service.platform_id, signer=Spying(), endpoint=service.url, on_event=events.append, clock=FAST
    ) as client:
        with pytest.raises(ServiceError):
            await client.list_sessions("a")

    shown = repr(events) + repr(pickle.dumps(events))
    assert len(signatures) == 2
    assert len(events) == 7
    assert not [text for text in (*signatures, "c2VjcmV0", "rsa-sha256") if text in shown]


FAULTS: Final = st.builds(
    Fault,
    status=st.sampled_from([None, 200, 204, 401, 404, 429, 500, 503]),
    cut=st.sampled_from([None, None, "before_headers", "in_headers", "in_body"]),
    delay=st.sampled_from([0.0, 0.0, 0.0, math.inf]),
    body=st.sampled_from([None, None, b"", b"[1]", b"[]"]),
    retry_after=st.sampled_from([None, 1, 100]),
)


def balance(events: list[Event]) -> None:
    """Every call and every attempt begins once and then ends once, and no event follows the end."""
    by_call: dict[CallInfo, list[Event]] = {}
    for event in events:
        by_call.setdefault(event.call, []).append(event)
    for of_call in by_call.values():
        kinds = [type(event).__name__ for event in of_call]
        attempts = (len(kinds) - kinds.count("RetryScheduled") - 2) // 2
        text = " ".join(kinds).replace("AttemptStarted AttemptEnded", "Attempt").replace("Attempt RetryScheduled", "R")
        assert set(text.split()[1:-1]) <= {"Attempt", "R"}
        assert (kinds[0], kinds[-1]) == ("CallStarted", "CallEnded")
        assert not text.endswith("R CallEnded") or getattr(of_call[-1], "error", None) is not None
        ended = [event for event in of_call if isinstance(event, AttemptEnded)]
        assert [event.attempt for event in ended] == list(range(1, attempts + 1))
        assert isinstance(of_call[-1], CallEnded)
        assert of_call[-1].attempts == attempts


@settings(max_examples=25)
@given(st.lists(FAULTS, max_size=4), st.lists(FAULTS, max_size=4), st.none() | st.integers(0, 60))
def test_every_start_event_has_one_end_event_whatever_happens(
    first: list[Fault], second: list[Fault], cancel_after: int | None
) -> None:
    events: list[Event] = []

    async def run() -> int:
        async with LocalService() as service:
            for key, faults in {"a": first, "b": second}.items():
                service.add_workspace(key)
                service.fail(key, *faults)
            options: dict[str, Any] = {"clock": FAST, "max_concurrency": 1, "on_event": events.append}
            async with service.client(timeout=Timeout(total=0.1), **options) as client:
                await broken_off(client.sessions(["a", "b"], on_error="skip").collect(), cancel_after)
            return service.request_count

    count = asyncio.run(run())

    balance(events)
    assert count <= sum(isinstance(event, AttemptEnded) for event in events)
    assert cancel_after is not None or sum(isinstance(event, CallStarted) for event in events) == 2


async def broken_off(work: Awaitable[object], after: int | None) -> None:
    """Do *work*; cancel it after so many iterations of the loop."""
    task = asyncio.ensure_future(work)
    for _ in range(after or 0):
        await asyncio.sleep(0)
    if after is not None:
        task.cancel()
    await asyncio.wait([task])
