"""A plan is applied to kernels that are still as they were, one at a time, and every outcome is true."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest

from aidp_sessions import (
    AidpError,
    ConnectionFailedError,
    CullOutcome,
    CullPlan,
    CullPolicy,
    CullResult,
    KeepReason,
    KernelSummary,
    NotFoundError,
    ResponseDecodeError,
    RetryPolicy,
    ServiceError,
    SessionsClient,
    SessionSummary,
)
from aidp_sessions.testing import Fault, LocalService, ManualClock, RecordedRequest, make_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

DAY: Final = timedelta(days=1)
POLICY: Final = CullPolicy(since=timedelta(hours=2), max_share=None)
LOST: Final = Fault(cut="before_headers", takes_effect=True)
UNREACHED: Final = Fault(status=503)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def service(clock: ManualClock) -> AsyncIterator[LocalService]:
    async with LocalService(clock=clock.time) as service:
        yield service


@pytest.fixture
async def client(service: LocalService, clock: ManualClock) -> AsyncIterator[SessionsClient]:
    async with service.client(clock=clock) as client:
        yield client


def idle(clock: ManualClock, name: str = "n", *, kernel: str | None = None, **changes: Any) -> SessionSummary:
    """A session with the id *name*, whose kernel has been idle for a day."""
    session = make_session(name, idle_for=DAY, cluster_id="c", now=clock.now)
    assert session.kernel is not None
    return attrs.evolve(session, id=name, kernel=attrs.evolve(session.kernel, id=kernel or f"k-{name}"), **changes)


def busy(session: SessionSummary, clock: ManualClock) -> KernelSummary:
    assert session.kernel is not None
    return attrs.evolve(session.kernel, execution_state="busy", last_activity=clock.now)


async def applied(client: SessionsClient, plan: CullPlan) -> list[CullOutcome]:
    return [outcome async for outcome in client.cull(plan)]


async def single(client: SessionsClient, plan: CullPlan) -> CullOutcome:
    (outcome,) = await applied(client, plan)
    return outcome


def before(service: LocalService, operation: str, action: Callable[[], None], *, nth: int = 1) -> None:
    """Call *action* when the *nth* request of *operation* arrives, before the service acts on it."""
    seen = 0

    def on_request(request: RecordedRequest) -> None:
        nonlocal seen
        seen += request.operation == operation
        if request.operation == operation and seen == nth:
            action()

    service.on_request = on_request


def operations(service: LocalService) -> list[str | None]:
    return [request.operation for request in service.requests]


async def test_a_plan_is_made_by_reading_only(
    service: LocalService, client: SessionsClient, clock: ManualClock
) -> None:
    active = make_session("b", now=clock.now)
    service.add_workspace("a", [idle(clock), active])

    plan = await client.plan_cull(POLICY)

    assert [candidate.kernel_id for candidate in plan.candidates] == ["k-n"]
    assert [kept.reason for kept in plan.kept] == [KeepReason.BUSY]
    assert (plan.platform_id, plan.failures) == (service.platform_id, ())
    assert plan.taken == clock.now.replace(microsecond=0)
    assert {request.method for request in service.requests} == {"GET"}


async def test_idle_times_are_counted_by_the_clock_of_the_service(service: LocalService, clock: ManualClock) -> None:
    """Ours is four minutes ahead, so that the kernel seems idle for an hour."""
    ours = ManualClock(clock.now + timedelta(minutes=4))
    service.add_workspace("a", [make_session("n", idle_for=timedelta(minutes=58), now=clock.now)])
    async with service.client(clock=ours) as client:
        plan = await client.plan_cull(attrs.evolve(POLICY, since=timedelta(hours=1)))

    assert plan.candidates == ()
    assert plan.taken == clock.now.replace(microsecond=0)


async def test_a_client_that_may_not_list_workspaces_plans_for_the_keys_it_has(
    service: LocalService, client: SessionsClient, clock: ManualClock
) -> None:
    service.add_workspace("a", [idle(clock)])
    service.fail(None, Fault(status=404, times=None))

    plan = await client.plan_cull(POLICY, "a")

    assert [candidate.kernel_id for candidate in plan.candidates] == ["k-n"]
    assert plan.failures == ()
    assert (await single(client, plan)).result == CullResult.DELETED


async def test_without_the_time_of_the_service_there_is_no_plan(service: LocalService, client: SessionsClient) -> None:
    service.fail(None, Fault(headers={"date": "today"}))

    with pytest.raises(ResponseDecodeError, match="does not tell its time"):
        await client.plan_cull(POLICY)


async def test_a_workspace_that_fails_is_named_and_spoils_no_other(
    service: LocalService, client: SessionsClient, clock: ManualClock
) -> None:
    service.add_workspace("a", [idle(clock)])
    service.add_workspace("b", [idle(clock, "m")])
    service.add_workspace("c", [idle(clock, "o")])
    service.fail("a", Fault(status=403, times=None))
    service.fail("c", Fault(status=403, times=None), operation="list_clusters")

    plan = await client.plan_cull(POLICY)

    assert [candidate.kernel_id for candidate in plan.candidates] == ["k-m"]
    assert [(kept.kernel_id, kept.reason) for kept in plan.kept] == [("k-o", KeepReason.CLUSTER_UNREADABLE)]
    assert [(error.operation, error.workspace_key) for error in plan.failures] == [
        ("list_sessions", "a"),
        ("list_clusters", "c"),
    ]


async def test_a_listing_of_workspaces_that_breaks_is_named_and_spoils_no_other(
    service: LocalService, client: SessionsClient, clock: ManualClock
) -> None:
    """That of workspaces in private networks comes second."""
    service.add_workspace("a", [idle(clock)])
    service.fail(None, Fault(), Fault(), Fault(status=403, times=None))

    plan = await client.plan_cull(POLICY)

    assert [candidate.kernel_id for candidate in plan.candidates] == ["k-n"]
    assert [error.operation for error in plan.failures] == ["list_workspaces"]


async def test_a_kernel_is_kept_if_a_cluster_calls_its_session_active(
    service: LocalService, client: SessionsClient, clock: ManualClock
) -> None:
    session = idle(clock)
    service.add_workspace("a", [session])
    attached = [{"type": "NOTEBOOK", "path": session.path, "state": "ACTIVE"}]
    service.set_clusters("a", [{"key": "c", "state": "ACTIVE", "attachedSessions": attached}])

    plan = await client.plan_cull(POLICY)
    ignoring = await client.plan_cull(attrs.evolve(POLICY, clusters="ignore"))

    assert [kept.reason for kept in plan.kept] == [KeepReason.ACTIVE_ON_CLUSTER]
    assert len(ignoring.candidates) == 1
    assert operations(service).count("list_clusters") == 1


async def test_the_exception_of_a_veto_ends_the_planning(
    service: LocalService, client: SessionsClient, clock: ManualClock
) -> None:
    service.add_workspace("a", [idle(clock)])

    def veto(session: SessionSummary) -> bool:
        raise AidpError(str(session.id))

    with pytest.raises(AidpError, match="n"):
        await client.plan_cull(attrs.evolve(POLICY, veto=veto))


async def test_a_kernel_is_listed_and_read_again_and_deleted_once(
    service: LocalService, client: SessionsClient, clock: ManualClock
) -> None:
    """By one of its sessions, with the etag that was read."""
    service.add_workspace("a", [idle(clock, "x", kernel="k"), idle(clock, "y", kernel="k", path="p")])
    plan = await client.plan_cull(POLICY)
    service.reset_counts()

    outcome = await single(client, plan)

    assert operations(service) == ["list_workspaces", "list_clusters", "list_sessions", "get_session", "delete_session"]
    read, deleted = service.requests[-2:]
    assert (read.session_id, deleted.session_id) == ("x", "x")
    assert '"' in deleted.headers["if-match"]
    ids = (read.headers["opc-request-id"], deleted.headers["opc-request-id"])
    (candidate,) = plan.candidates
    assert outcome == CullOutcome(
        candidate=candidate, result=CullResult.DELETED, request_ids=ids, at=clock.now.replace(microsecond=0)
    )
    assert service.sessions("a") == ()


async def test_a_plan_from_a_file_is_applied_as_it_was_cut_down(
    service: LocalService, client: SessionsClient, clock: ManualClock
) -> None:
    service.add_workspace("a", [idle(clock, "x"), idle(clock, "y")])
    plan = await client.plan_cull(POLICY)
    less = attrs.evolve(plan, candidates=plan.candidates[1:])

    outcomes = await applied(client, CullPlan.from_json(less.to_json()))

    assert [(outcome.candidate.kernel_id, outcome.result) for outcome in outcomes] == [("k-y", CullResult.DELETED)]
    assert [session.id for session in service.sessions("a")] == ["x"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"policy": attrs.evolve(POLICY, max_kernels=0)}, "refused"),
        ({"platform_id": "ocid1.aidataplatform.oc1.iad.other"}, "belongs to the platform"),
        ({"taken": None}, "more than max_age"),
    ],
)
async def test_a_plan_that_must_not_be_applied_deletes_nothing(
    service: LocalService, client: SessionsClient, clock: ManualClock, change: dict[str, Any], message: str
) -> None:
    service.add_workspace("a", [idle(clock)])
    plan = await client.plan_cull(POLICY)
    if "taken" in change:
        change = {"taken": plan.taken - timedelta(minutes=61)}

    with pytest.raises(ValueError, match=message):
        await applied(client, attrs.evolve(plan, **change))

    assert len(service.sessions("a")) == 1


@pytest.mark.parametrize("operation", ["list_sessions", "get_session", "delete_session"])
async def test_a_kernel_that_wakes_up_is_kept(
    service: LocalService, client: SessionsClient, clock: ManualClock, operation: str
) -> None:
    session = idle(clock)
    service.add_workspace("a", [session])
    plan = await client.plan_cull(POLICY)
    before(service, operation, lambda: service.set_kernel("a", busy(session, clock)))

    outcome = await single(client, plan)

    assert (outcome.result, bool(outcome.reason), outcome.error) == (CullResult.CHANGED, True, None)
    assert (service.deleted, len(service.sessions("a"))) == ((), 1)


@pytest.mark.parametrize("operation", ["list_sessions", "get_session", "delete_session"])
async def test_a_kernel_that_was_active_and_is_idle_again_is_kept(
    service: LocalService, client: SessionsClient, clock: ManualClock, operation: str
) -> None:
    """Even if the policy still permits it: what was planned has changed."""
    session = idle(clock)
    assert session.kernel is not None
    kernel = attrs.evolve(session.kernel, last_activity=clock.now - timedelta(hours=3))
    service.add_workspace("a", [session])
    plan = await client.plan_cull(POLICY)
    before(service, operation, lambda: service.set_kernel("a", kernel))

    assert (await single(client, plan)).result == CullResult.CHANGED
    assert service.deleted == ()


@pytest.mark.parametrize("operation", ["list_sessions", "get_session", "delete_session"])
async def test_a_kernel_that_got_a_connection_is_kept(
    service: LocalService, client: SessionsClient, clock: ManualClock, operation: str
) -> None:
    session = idle(clock)
    assert session.kernel is not None
    kernel = attrs.evolve(session.kernel, connections=1)
    service.add_workspace("a", [session])
    plan = await client.plan_cull(POLICY)
    before(service, operation, lambda: service.set_kernel("a", kernel))

    assert (await single(client, plan)).result == CullResult.CHANGED
    assert service.deleted == ()


async def test_a_kernel_that_got_another_session_is_kept(
    service: LocalService, client: SessionsClient, clock: ManualClock
) -> None:
    service.add_workspace("a", [idle(clock, "x", kernel="k")])
    plan = await client.plan_cull(POLICY)
    service.set_session("a", idle(clock, "y", kernel="k"))

    assert (await single(client, plan)).result == CullResult.CHANGED
    assert service.deleted == ()


async def test_a_kernel_that_lost_a_session_is_kept(
    service: LocalService, client: SessionsClient, clock: ManualClock
) -> None:
    service.add_workspace("a", [idle(clock, "x", kernel="k"), idle(clock, "y", kernel="k")])
    plan = await client.plan_cull(POLICY)
    service.set_sessions("a", service.sessions("a")[:1])

    assert (await single(client, plan)).result == CullResult.CHANGED


async def test_a_session_with_another_kernel_is_kept(
    service: LocalService, client: SessionsClient, clock: ManualClock
) -> None:
    service.add_workspace("a", [idle(clock, "x")])
    plan = await client.plan_cull(POLICY)
    service.set_session("a", idle(clock, "x", kernel="new"))

    assert (await single(client, plan)).result == CullResult.CHANGED


async def test_a_kernel_that_a_cluster_now_calls_active_is_kept(
    service: LocalService, client: SessionsClient, clock: ManualClock
) -> None:
    session = idle(clock)
    service.add_workspace("a", [session])
    plan = await client.plan_cull(POLICY)
    service.set_clusters("a", [{"key": "c", "attachedSessions": [{"path": session.path, "state": "ACTIVE"}]}])

    outcome = await single(client, plan)

    assert (outcome.result, outcome.reason) == (CullResult.CHANGED, KeepReason.ACTIVE_ON_CLUSTER)


@pytest.mark.parametrize("operation", ["list_sessions", "get_session", "delete_session"])
async def test_a_kernel_that_others_deleted_is_gone(
    service: LocalService, client: SessionsClient, clock: ManualClock, operation: str
) -> None:
    service.add_workspace("a", [idle(clock)])
    plan = await client.plan_cull(POLICY)
    before(service, operation, lambda: service.set_sessions("a", []))

    outcome = await single(client, plan)

    assert (outcome.result, outcome.error) == (CullResult.GONE, None)


@pytest.mark.parametrize("operation", ["get_session", "delete_session"])
async def test_a_404_for_a_session_that_is_listed_is_a_lack_of_permission(
    service: LocalService, client: SessionsClient, clock: ManualClock, operation: Any
) -> None:
    service.add_workspace("a", [idle(clock)])
    plan = await client.plan_cull(POLICY)
    service.fail("a", Fault(status=404), operation=operation)

    outcome = await single(client, plan)

    assert outcome.result == CullResult.DENIED
    assert isinstance(outcome.error, NotFoundError)
    assert len(outcome.request_ids) == (2 if operation == "get_session" else 3)


@pytest.mark.parametrize("fault", [LOST, Fault(status=500, takes_effect=True)])
async def test_a_lost_deletion_that_worked_is_a_deletion(
    service: LocalService, client: SessionsClient, clock: ManualClock, fault: Fault
) -> None:
    """The session is read again, and not deleted blindly."""
    service.add_workspace("a", [idle(clock)])
    plan = await client.plan_cull(POLICY)
    service.fail("a", fault, operation="delete_session")
    service.reset_counts()

    outcome = await single(client, plan)

    assert outcome.result == CullResult.DELETED
    assert operations(service)[3:] == ["get_session", "delete_session", "get_session"]


@pytest.mark.parametrize(
    "fault", [UNREACHED, Fault(status=429, retry_after=7), Fault(status=409, code="IncorrectState")]
)
async def test_a_deletion_that_did_not_work_is_sent_once_more_after_a_read(
    service: LocalService, client: SessionsClient, clock: ManualClock, fault: Fault
) -> None:
    service.add_workspace("a", [idle(clock)])
    plan = await client.plan_cull(POLICY)
    service.fail("a", fault, operation="delete_session")
    service.reset_counts()

    outcome = await single(client, plan)

    assert outcome.result == CullResult.DELETED
    assert operations(service)[3:] == ["get_session", "delete_session"] * 2
    assert clock.pauses == ((7.25,) if fault.retry_after else (0.25,))


async def test_a_kernel_that_woke_up_after_a_lost_deletion_is_kept(
    service: LocalService, client: SessionsClient, clock: ManualClock
) -> None:
    session = idle(clock)
    service.add_workspace("a", [session])
    plan = await client.plan_cull(POLICY)
    service.fail("a", UNREACHED, operation="delete_session")
    before(service, "get_session", lambda: service.set_kernel("a", busy(session, clock)), nth=2)

    assert (await single(client, plan)).result == CullResult.CHANGED
    assert operations(service).count("delete_session") == 1


async def test_two_lost_deletions_without_an_effect_are_a_failure(
    service: LocalService, client: SessionsClient, clock: ManualClock
) -> None:
    service.add_workspace("a", [idle(clock)])
    plan = await client.plan_cull(POLICY)
    service.fail("a", Fault(status=503, times=None), operation="delete_session")

    outcome = await single(client, plan)

    assert outcome.result == CullResult.FAILED
    assert (outcome.error and outcome.error.status, operations(service)[-1]) == (503, "get_session")
    assert operations(service).count("delete_session") == 2


async def test_a_throttled_deletion_is_sent_as_often_as_the_policy_says(
    service: LocalService, client: SessionsClient, clock: ManualClock
) -> None:
    service.add_workspace("a", [idle(clock)])
    plan = await client.plan_cull(POLICY)
    service.fail("a", Fault(status=429, times=None), operation="delete_session")

    assert (await single(client, plan)).result == CullResult.FAILED
    assert operations(service).count("delete_session") == RetryPolicy().attempts


async def test_without_retries_a_lost_deletion_is_read_but_not_repeated(
    service: LocalService, clock: ManualClock
) -> None:
    service.add_workspace("a", [idle(clock)])
    service.fail("a", UNREACHED, operation="delete_session")
    async with service.client(clock=clock, retry=RetryPolicy.none()) as client:
        outcome = await single(client, await client.plan_cull(POLICY))

    assert outcome.result == CullResult.FAILED
    assert operations(service)[-2:] == ["delete_session", "get_session"]


async def test_a_lost_deletion_that_cannot_be_checked_is_unknown(
    service: LocalService, client: SessionsClient, clock: ManualClock
) -> None:
    service.add_workspace("a", [idle(clock)])
    plan = await client.plan_cull(POLICY)
    service.fail("a", LOST, operation="delete_session")
    service.fail("a", Fault(), Fault(status=403, times=None), operation="get_session")

    outcome = await single(client, plan)

    assert outcome.result == CullResult.UNKNOWN
    assert isinstance(outcome.error, ServiceError)


async def test_a_deletion_that_is_refused_is_a_failure(
    service: LocalService, client: SessionsClient, clock: ManualClock
) -> None:
    service.add_workspace("a", [idle(clock), idle(clock, "o")])
    plan = await client.plan_cull(POLICY)
    service.fail("a", Fault(status=403), operation="delete_session")

    outcomes = await applied(client, plan)

    assert [outcome.result for outcome in outcomes] == [CullResult.FAILED, CullResult.DELETED]
    assert outcomes[0].error is not None
    assert outcomes[0].request_ids[-1:] == outcomes[0].error.request_ids


@pytest.mark.parametrize("operation", ["list_sessions", "list_clusters"])
async def test_a_workspace_that_cannot_be_listed_again_spoils_no_other(
    service: LocalService, client: SessionsClient, clock: ManualClock, operation: Any
) -> None:
    service.add_workspace("a", [idle(clock, "x"), idle(clock, "y")])
    service.add_workspace("b", [idle(clock, "z")])
    plan = await client.plan_cull(POLICY)
    service.fail("a", Fault(cut="before_headers", times=None), operation=operation)

    outcomes = await applied(client, plan)

    assert [outcome.result for outcome in outcomes] == [CullResult.FAILED, CullResult.FAILED, CullResult.DELETED]
    assert isinstance(outcomes[0].error, ConnectionFailedError)
    assert [session.id for session in service.sessions("a")] == ["x", "y"]


async def test_a_session_id_that_cannot_be_sent_spoils_no_other(
    service: LocalService, client: SessionsClient, clock: ManualClock
) -> None:
    service.add_workspace("a", [idle(clock, "..", kernel="k1"), idle(clock, "x", kernel="k2")])

    outcomes = await applied(client, await client.plan_cull(POLICY))

    assert [outcome.result for outcome in outcomes] == [CullResult.FAILED, CullResult.DELETED]
    assert isinstance(outcomes[0].error, ResponseDecodeError)


async def test_leaving_the_loop_deletes_nothing_more(
    service: LocalService, client: SessionsClient, clock: ManualClock
) -> None:
    service.add_workspace("a", [idle(clock, f"n{number}") for number in range(5)])
    plan = await client.plan_cull(POLICY)

    async with aclosing(client.cull(plan)) as outcomes:
        done = [await anext(outcomes), await anext(outcomes)]

    assert [outcome.candidate.sessions[0].id for outcome in done] == [session.id for session in service.deleted]
    assert len(service.sessions("a")) == 3


@pytest.mark.parametrize("last", range(1, 14))
async def test_a_cancellation_at_any_request_deletes_nothing_more(
    service: LocalService, client: SessionsClient, clock: ManualClock, last: int
) -> None:
    """At most the deletion under way has no outcome."""
    for key in "abc":
        service.add_workspace(key, [idle(clock, f"n{key}")])
    plan = await client.plan_cull(POLICY)
    service.reset_counts()
    done: list[CullOutcome] = []

    async def work() -> None:
        async for outcome in client.cull(plan):
            done.append(outcome)  # noqa: PERF401  # what was done before the cancellation counts

    def on_request(_: RecordedRequest) -> None:
        if service.request_count == last:
            task.cancel()

    service.on_request = on_request
    task = asyncio.create_task(work())
    with pytest.raises(asyncio.CancelledError):
        await task

    assert service.request_count == last
    assert {outcome.result for outcome in done} <= {CullResult.DELETED}
    assert len(service.deleted) - len(done) in (0, 1)
    assert all(
        outcome.candidate.sessions[0].id == gone.id for outcome, gone in zip(done, service.deleted, strict=False)
    )


@pytest.mark.parametrize("value", [None, "plan", 5])
async def test_misuse_is_refused_before_anything_is_sent(
    service: LocalService, client: SessionsClient, value: Any
) -> None:
    with pytest.raises(TypeError, match="must be a CullPlan"):
        client.cull(value)
    with pytest.raises(TypeError, match="must be a CullPolicy"):
        await client.plan_cull(value)

    assert service.request_count == 0
