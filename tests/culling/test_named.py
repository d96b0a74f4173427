"""Named sessions are deleted only as they were shown: nothing runs in their kernels, and no other session ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_sessions import CullResult, KeepReason, KernelSummary, SessionsClient, SessionSummary
from aidp_sessions.culling.access import Access
from aidp_sessions.culling.named import NamedDeletions, NamedKernel, NamedOutcome, named_kernels, reason_to_refuse
from aidp_sessions.testing import Fault, LocalService, ManualClock, RecordedRequest

if TYPE_CHECKING:
    from collections.abc import Callable

THEN: Final = datetime(2026, 11, 25, 12, tzinfo=UTC)
IDLE: Final = KernelSummary(name="notebook", id="k", execution_state="idle", last_activity=THEN, connections=0)
LATER: Final = attrs.evolve(IDLE, last_activity=THEN + timedelta(seconds=1))
BUSY: Final = attrs.evolve(LATER, execution_state="busy")
A: Final = SessionSummary(id="a", path="a.ipynb", type="notebook", kernel=IDLE, workspace_key="w")
B: Final = attrs.evolve(A, id="b", path="b.ipynb")


def kernel_of(*sessions: SessionSummary, names: str = "a") -> NamedKernel:
    (kernel,) = named_kernels(sessions, "w", list(names))
    return kernel


states: Final = st.sampled_from(("idle", "busy", "starting", "restarting", "dead", "unknown", "Idle", None))
sessions: Final = st.lists(
    st.builds(
        SessionSummary,
        id=st.sampled_from("abcd") | st.none(),
        kernel=st.none()
        | st.builds(
            KernelSummary, name=st.just("n"), id=st.sampled_from(("k", "l", "")) | st.none(), execution_state=states
        ),
        workspace_key=st.just("w"),
    ),
    max_size=6,
)


@given(sessions=sessions, names=st.sets(st.sampled_from("abcde")))
def test_every_named_session_is_found_with_all_sessions_of_its_kernel(
    sessions: list[SessionSummary], names: set[str]
) -> None:
    kernels = list(named_kernels(sessions, "w", names))

    assert {name for kernel in kernels for name in kernel.names} == {each.id for each in sessions} & names
    for kernel in kernels:
        shown_by = {each for each in sessions if each.kernel is not None and each.kernel.id == kernel.kernel_id}
        assert set(kernel.sessions) == shown_by if kernel.kernel_id else len(kernel.sessions) == 1
        assert kernel.named + kernel.others == kernel.sessions
        assert {each.id for each in kernel.named} == kernel.names


@given(sessions=sessions, names=st.sets(st.sampled_from("abcd"), min_size=1), busy=st.booleans(), shared=st.booleans())
def test_a_kernel_is_permitted_only_if_nothing_runs_in_it_and_no_other_session_ends_with_it(
    sessions: list[SessionSummary], names: set[str], busy: bool, shared: bool
) -> None:
    for kernel in named_kernels(sessions, "w", names):
        reason = reason_to_refuse(kernel, allow_busy=busy, allow_shared=shared)
        states = {each.kernel.execution_state for each in kernel.sessions if each.kernel is not None}
        if reason is None:
            assert busy or states <= {"idle", "dead"}
            assert shared or not kernel.others
        else:
            assert reason in (KeepReason.BUSY, KeepReason.STARTING, KeepReason.UNKNOWN, KeepReason.SHARED)
            assert not (busy and shared)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        *[("idle", None), ("dead", None), ("terminating", None)],
        *[("busy", KeepReason.BUSY), ("starting", KeepReason.STARTING), ("restarting", KeepReason.STARTING)],
        *[("unknown", KeepReason.UNKNOWN), ("Idle", KeepReason.UNKNOWN), (None, KeepReason.UNKNOWN)],
    ],
)
def test_a_state_that_is_not_known_to_be_harmless_is_refused(state: str | None, reason: KeepReason | None) -> None:
    kernel = kernel_of(attrs.evolve(A, kernel=attrs.evolve(IDLE, execution_state=state)))

    assert reason_to_refuse(kernel, allow_busy=False, allow_shared=False) == reason
    assert reason_to_refuse(kernel, allow_busy=True, allow_shared=False) is None


async def delete(client: SessionsClient, *kernels: NamedKernel, allow_busy: bool = False) -> list[NamedOutcome]:
    clock = partial(datetime.now, UTC)
    deletions = NamedDeletions(access=Access(client._api), allow_busy=allow_busy, clock=clock)
    return [outcome async for outcome in deletions.run(kernels)]


def before(service: LocalService, operation: str, act: Callable[[], None]) -> None:
    """Call *act* before the service acts on the first request of *operation*."""
    left = [act]

    def on_request(request: RecordedRequest) -> None:
        if request.operation == operation and left:
            left.pop()()

    service.on_request = on_request


async def test_a_kernel_is_listed_and_read_again_and_one_named_session_is_deleted_with_its_etag(
    service: LocalService,
) -> None:
    service.add_workspace("w", [A, B])
    async with service.client() as client:
        (outcome,) = await delete(client, kernel_of(A, B, names="b"))

    requests = [(request.operation, request.session_id) for request in service.requests]
    assert requests == [("list_sessions", None), ("get_session", "b"), ("delete_session", "b")]
    assert '"' in service.requests[-1].headers["if-match"]
    assert (outcome.result, outcome.reason, outcome.error) == (CullResult.DELETED, None, None)
    assert outcome.request_ids == tuple(request.headers["opc-request-id"] for request in service.requests[1:])
    assert service.sessions("w") == ()


async def test_a_session_without_a_kernel_is_deleted(service: LocalService) -> None:
    alone, other = attrs.evolve(A, kernel=None), attrs.evolve(B, kernel=None)
    service.add_workspace("w", [alone, other])
    async with service.client() as client:
        (outcome,) = await delete(client, kernel_of(alone, other))

    assert outcome.result == CullResult.DELETED
    assert service.sessions("w") == (other,)


@pytest.mark.parametrize("operation", ["list_sessions", "get_session", "delete_session"])
@pytest.mark.parametrize(
    "change",
    [
        {"kernel": BUSY},
        {"kernel": LATER},
        {"kernel": attrs.evolve(IDLE, id="new")},
        {"kernel": attrs.evolve(IDLE, execution_state="unknown")},
        {"kernel": None},
    ],
)
async def test_a_session_that_changes_before_it_is_deleted_is_kept(
    service: LocalService, operation: str, change: dict[str, Any]
) -> None:
    service.add_workspace("w", [A])
    before(service, operation, lambda: service.set_session("w", attrs.evolve(A, **change)))
    async with service.client() as client:
        (outcome,) = await delete(client, kernel_of(A))

    assert outcome.result == CullResult.CHANGED
    assert outcome.reason
    assert service.deleted == ()


async def test_a_kernel_that_got_another_session_is_kept(service: LocalService) -> None:
    service.add_workspace("w", [A, B])
    async with service.client() as client:
        (outcome,) = await delete(client, kernel_of(A))

    assert (outcome.result, outcome.reason) == (CullResult.CHANGED, "it has other sessions")


@pytest.mark.parametrize("operation", ["list_sessions", "get_session"])
async def test_with_allow_busy_the_kernel_may_be_active_but_must_be_the_same(
    service: LocalService, operation: str
) -> None:
    service.add_workspace("w", [A, attrs.evolve(B, kernel=attrs.evolve(IDLE, id="l"))])
    moved = attrs.evolve(B, kernel=attrs.evolve(BUSY, id="new"))

    def change() -> None:
        service.set_kernel("w", BUSY)
        service.set_session("w", moved)

    before(service, operation, change)
    async with service.client() as client:
        outcomes = await delete(
            client, kernel_of(A), kernel_of(attrs.evolve(B, kernel=attrs.evolve(IDLE, id="l")), names="b"),
            allow_busy=True,
        )  # fmt: skip

    assert [outcome.result for outcome in outcomes] == [CullResult.DELETED, CullResult.CHANGED]
    assert service.sessions("w") == (moved,)


@pytest.mark.parametrize("operation", ["list_sessions", "get_session", "delete_session"])
async def test_a_session_that_others_deleted_is_gone(service: LocalService, operation: str) -> None:
    service.add_workspace("w", [A])
    before(service, operation, lambda: service.set_sessions("w", []))
    async with service.client() as client:
        (outcome,) = await delete(client, kernel_of(A))

    assert (outcome.result, outcome.error) == (CullResult.GONE, None)


async def test_a_workspace_that_cannot_be_listed_again_fails_and_spoils_no_other(service: LocalService) -> None:
    service.add_workspace("v", [attrs.evolve(A, workspace_key="v")])
    service.add_workspace("w", [A])
    service.fail("v", Fault(status=403, times=None))
    (first,) = named_kernels([A], "v", "a")
    async with service.client() as client:
        outcomes = await delete(client, kernel_of(A), first)

    assert [(each.candidate.workspace_key, each.result) for each in outcomes] == [
        ("v", CullResult.FAILED),
        ("w", CullResult.DELETED),
    ]
    assert outcomes[0].error is not None


async def test_a_deletion_whose_answer_was_lost_is_not_repeated_blindly(service: LocalService) -> None:
    service.add_workspace("w", [A])
    service.fail("w", Fault(cut="before_headers", takes_effect=True), operation="delete_session")
    async with service.client(clock=ManualClock()) as client:
        (outcome,) = await delete(client, kernel_of(A))

    assert [request.operation for request in service.requests][1:] == ["get_session", "delete_session", "get_session"]
    assert outcome.result == CullResult.DELETED
