"""Values for tests of other projects: a clock that never waits, and complete sessions."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import attrs
import pytest

from aidp_sessions import Clock, KernelSummary, RetryPolicy, SessionSummary, WorkspaceSummary, idle_for, is_idle_since
from aidp_sessions.testing import Fault, ManualClock, RecordedAuthRequest, make_session, make_workspace
from aidp_sessions.testing._service.responses import HttpError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aidp_sessions.testing import LocalService

NEW_YEAR = datetime(2000, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


async def test_the_clock_changes_only_by_sleeping_and_moving() -> None:
    clock = ManualClock(NEW_YEAR)

    await clock.sleep(90)
    clock.advance(HOUR)
    await clock.sleep(0.5)

    assert clock.pauses == (90, 0.5)
    assert clock.now == NEW_YEAR + timedelta(hours=1, seconds=90.5)
    assert clock.time() == clock.now.timestamp()
    clock.set(NEW_YEAR)
    assert clock.now == NEW_YEAR


async def test_a_pause_lets_other_tasks_run() -> None:
    seen: list[str] = []
    asyncio.get_running_loop().call_soon(seen.append, "other")

    await ManualClock().sleep(3600)

    assert seen == ["other"]


def test_a_clock_starts_at_the_current_time() -> None:
    before = datetime.now(UTC)

    assert before <= ManualClock().now <= datetime.now(UTC)


async def test_random_numbers_of_the_clock_are_a_half() -> None:
    clock = ManualClock()

    assert isinstance(clock, Clock)
    assert clock.random() == 0.5
    assert clock == clock  # noqa: PLR0124  # with_options compares them
    assert clock != ManualClock(clock.now)
    assert repr(ManualClock(NEW_YEAR)) == "<ManualClock 2000-01-01T00:00:00+00:00>"


@pytest.mark.parametrize(
    "call",
    [
        ManualClock,
        ManualClock().set,
        lambda now: make_session(now=now),
        lambda now: make_workspace(time_created=now),
    ],
    ids=["ManualClock", "set", "make_session", "make_workspace"],
)
def test_naive_times_are_refused(call: Callable[[datetime], object]) -> None:
    with pytest.raises(ValueError, match=r"datetime.datetime\(2000, 1, 1, 0, 0\) has no time zone; add one"):
        call(NEW_YEAR.replace(tzinfo=None))


async def test_retries_cost_no_time_and_can_be_asserted(service: LocalService) -> None:
    clock = ManualClock()
    service.add_workspace("analytics")
    service.fail("analytics", *[Fault(status=503)] * 3, Fault(status=429, retry_after=60))

    async with service.client(clock=clock, retry=RetryPolicy(base=10, cap=30)) as client:
        await client.list_sessions("analytics")

    assert clock.pauses == (5, 10, 15, 75)


async def test_idle_since_a_timedelta_counts_back_from_the_clock_of_the_client(service: LocalService) -> None:
    clock = ManualClock()
    made = make_session(idle_for=2 * HOUR, now=clock.now)
    service.add_workspace("analytics", [made])
    async with service.client(clock=clock) as client:
        idle = client.sessions("analytics").idle_since(3 * HOUR)

        assert await idle.collect() == []
        clock.advance(HOUR)
        assert await idle.collect() == [attrs.evolve(made, workspace_key="analytics")]


def test_a_session_has_every_field() -> None:
    made = make_session("churn.ipynb", idle_for=3 * HOUR, connections=None, now=NEW_YEAR)

    assert made.kernel is not None
    assert made == SessionSummary(
        id=made.id,
        name="churn.ipynb",
        path="Workspace/churn.ipynb",
        type="notebook",
        cluster_id=made.cluster_id,
        lifecycle_state="ACTIVE",
        kernel=KernelSummary(
            name="notebook",
            id=made.kernel.id,
            execution_state="idle",
            last_activity=NEW_YEAR - 3 * HOUR,
            connections=None,
        ),
    )


def test_no_two_sessions_share_a_kernel_an_id_a_name_a_path_or_a_cluster() -> None:
    made = [make_session() for _ in range(3)]
    kernels = [session.kernel.id for session in made if session.kernel]
    ids = [name for session in made for name in (session.id, session.cluster_id, session.name, session.path)]

    assert len({*ids, *kernels}) == 15


def test_a_session_is_busy_now_or_idle_for_the_given_time() -> None:
    busy, idle = make_session(), make_session(idle_for=HOUR)

    assert [is_idle_since(session, HOUR) for session in (busy, idle)] == [False, True]
    assert idle_for(idle, datetime.now(UTC)) >= HOUR  # type: ignore[operator]  # it is idle
    assert busy.kernel is not None
    assert busy.kernel.execution_state == "busy"


def test_a_state_may_be_any_text() -> None:
    made = make_session(execution_state="hibernating", idle_for=HOUR)

    assert made.kernel is not None
    assert made.kernel.execution_state == "hibernating"
    assert not is_idle_since(made, HOUR)


async def test_made_sessions_are_listed_equal(service: LocalService) -> None:
    east = datetime(2026, 1, 1, 12, 30, 15, 123456, timezone(timedelta(hours=5, minutes=30)))
    made = [make_session(), make_session(idle_for=HOUR, now=east), make_session(execution_state="dead", connections=2)]
    service.add_workspace("analytics", made)

    async with service.client() as client:
        assert await client.sessions("analytics").collect() == [
            attrs.evolve(session, workspace_key="analytics") for session in made
        ]


def test_a_workspace_has_every_field_and_a_key_and_a_name_of_its_own() -> None:
    made = make_workspace(time_created=NEW_YEAR)

    assert made == WorkspaceSummary(
        key=made.key,
        display_name=made.display_name,
        type="USER",
        lifecycle_state="ACTIVE",
        is_private_network_enabled=False,
        time_created=NEW_YEAR,
    )
    other = make_workspace(created_by_name="Ada")
    assert (other.key == made.key, other.display_name == made.display_name) == (False, False)
    assert (len(made.key), made.display_name.rpartition(" ")[0], other.created_by_name) == (36, "Workspace", "Ada")
    assert make_workspace("analytics", display_name="Analytics").display_name == "Analytics"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"\xff", b"1" * 5_000, b"[" * 100_000], ids=lambda body: repr(body[:4])
)
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    request = RecordedAuthRequest(method="POST", target="/", headers={}, body=body)

    with pytest.raises(HttpError) as caught:
        _ = request.fields

    assert caught.value.response.status == 400
