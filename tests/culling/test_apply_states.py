"""Whatever changes or fails between any two requests, only idle kernels are deleted and every outcome is true."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from datetime import timedelta
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from aidp_sessions import (
    CullOutcome,
    CullPlan,
    CullPolicy,
    CullResult,
    KernelSummary,
    RetryPolicy,
    SessionSummary,
    is_idle_since,
)
from aidp_sessions.testing import Fault, LocalService, ManualClock, RecordedRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aidp_sessions.testing._service.routes import Operation

    Event = tuple[str, str, int, tuple[Any, ...]]

POLICY: Final = CullPolicy(since=timedelta(hours=2), max_share=None)
LAYOUT: Final = {"a": {"s0": "k0", "s1": "k0", "s2": "k1", "s3": "k2"}, "b": {"s4": "k3"}}
KERNELS: Final = {"k0": "a", "k1": "a", "k2": "a", "k3": "b"}
READS: Final = ("list_clusters", "list_sessions")
OPERATIONS: Final = (*["delete_session"] * 4, "get_session", *READS)
LOST: Final = (
    Fault(status=503, takes_effect=True),
    Fault(cut="before_headers", takes_effect=True),
    Fault(status=503),
)
REFUSED: Final = (Fault(status=403), Fault(status=429, retry_after=2), Fault(status=409, code="IncorrectState"))

MOMENTS: Final = (*READS, "get_session", "delete_session")
CHANGES: Final[Sequence[tuple[Any, ...]]] = (
    *(("wake",), ("use", 1), ("use", 3), ("connect",), ("share",), ("remove",), ("replace_kernel",)),
    *(("report_on_cluster", "ACTIVE"), ("report_on_cluster", "PENDING")),
)
FAILURES: Final[Sequence[tuple[Any, ...]]] = (
    ("deny",),
    *product(("lose",), OPERATIONS, LOST),
    *product(("refuse",), OPERATIONS, REFUSED),
)

moments: Final = list(product(sorted(KERNELS), MOMENTS, (1, 1, 1, 2)))
changes: Final = st.sampled_from([(*moment, change) for moment in moments for change in CHANGES])
failures: Final = st.sampled_from([(*moment, failure) for moment in moments for failure in FAILURES])


class Cull:
    """Four kernels in two workspaces, idle at first, and what happens to them while they are culled.

    An event happens to a kernel before the n-th request of an operation on it. A listing is an operation on each kernel
    of its workspace.
    """

    def __init__(self, service: LocalService, clock: ManualClock, events: Sequence[Event]) -> None:
        self.service = service
        self.clock = clock
        self.events = defaultdict[tuple[str, str, int], "list[tuple[Any, ...]]"](list)
        for kernel, operation, number, action in events:
            self.events[kernel, operation, number].append(action)
        self.requests = Counter[tuple[str, str]]()
        self.seen = dict[str, frozenset[str | None]]()
        self.reported = dict[str, str]()
        self.vetoed = set[str]()
        self.touched = set[str]()
        self.removed = set[str]()
        self.has_lost = self.has_refused = self.has_lied = False

    def sessions_of(self, kernel: str) -> list[SessionSummary]:
        found = self.service.sessions(KERNELS[kernel])
        return [session for session in found if session.kernel is not None and session.kernel.id == kernel]

    def change_kernel(self, kernel: str, **changes: Any) -> None:
        self.touched.add(kernel)
        for session in self.sessions_of(kernel)[:1]:
            assert session.kernel is not None
            self.service.set_kernel(KERNELS[kernel], attrs.evolve(session.kernel, **changes))

    def wake(self, kernel: str) -> None:
        self.change_kernel(kernel, execution_state="busy", last_activity=self.clock.now)

    def use(self, kernel: str, hours: int) -> None:
        """Use the kernel for a moment, after which it is idle again."""
        self.change_kernel(kernel, last_activity=self.clock.now - timedelta(hours=hours))

    def connect(self, kernel: str) -> None:
        self.change_kernel(kernel, connections=1)

    def share(self, kernel: str) -> None:
        self.touched.add(kernel)
        for session in self.sessions_of(kernel)[:1]:
            self.service.set_session(KERNELS[kernel], attrs.evolve(session, id=f"more-{kernel}", path="more"))

    def remove(self, kernel: str) -> None:
        key = KERNELS[kernel]
        if gone := self.sessions_of(kernel):
            self.removed.add(kernel)
            self.service.set_sessions(key, [each for each in self.service.sessions(key) if each not in gone])

    def replace_kernel(self, kernel: str) -> None:
        self.touched.add(kernel)
        for session in self.sessions_of(kernel):
            new = attrs.evolve(session.kernel or KernelSummary(name="k"), id=f"new-{kernel}")
            self.service.set_session(KERNELS[kernel], attrs.evolve(session, kernel=new))

    def report_on_cluster(self, kernel: str, state: str) -> None:
        """Report the state of one of the kernel's sessions, and no other."""
        self.touched.add(kernel)
        self.reported[KERNELS[kernel]] = kernel
        attached = [{"path": session.path, "state": state} for session in self.sessions_of(kernel)[-1:]]
        self.service.set_clusters(KERNELS[kernel], [{"key": "c", "attachedSessions": attached}])

    def lose(self, kernel: str, operation: Operation, fault: Fault) -> None:
        self.has_lost = True
        self.service.fail(KERNELS[kernel], fault, operation=operation)

    def refuse(self, kernel: str, operation: Operation, fault: Fault) -> None:
        self.has_refused = True
        self.service.fail(KERNELS[kernel], fault, operation=operation)

    def deny(self, kernel: str) -> None:
        """Answer 404 for a session that is there."""
        self.has_lied = True
        self.service.fail(KERNELS[kernel], Fault(status=404), operation="delete_session")

    async def run(self) -> None:
        self.service.on_request = None
        for key, layout in LAYOUT.items():
            self.service.set_sessions(key, [self.idle(name, kernel) for name, kernel in layout.items()])
            self.service.set_clusters(key, None)
            self.service.heal(key)
        async with self.service.client(clock=self.clock, retry=RetryPolicy(attempts=2)) as client:
            plan = await client.plan_cull(POLICY)
            assert [candidate.kernel_id for candidate in plan.candidates] == sorted(KERNELS)
            self.service.reset_counts()
            self.service.on_request = self.before_request
            outcomes = [outcome async for outcome in client.cull(plan)]
        self.judge(plan, outcomes)

    def idle(self, name: str, kernel: str) -> SessionSummary:
        then = self.clock.now - timedelta(days=1)
        summary = KernelSummary(name="k", id=kernel, execution_state="idle", last_activity=then, connections=0)
        return SessionSummary(id=name, name=name, path=f"p-{name}", type="notebook", cluster_id="c", kernel=summary)

    def before_request(self, request: RecordedRequest) -> None:
        """Let happen what is to happen before *request*, and note what `cull` is about to see."""
        operation = request.operation or ""
        layout = LAYOUT.get(request.workspace_key or "", {})
        concerned = sorted({kernel for name, kernel in layout.items() if request.session_id in (None, name)})
        for kernel in concerned:
            self.requests[kernel, operation] += 1
            for name, *arguments in self.events.pop((kernel, operation, self.requests[kernel, operation]), ()):
                getattr(self, name)(kernel, *arguments)
        for kernel in concerned:
            if operation == "list_sessions" and not self.requests[kernel, "get_session"]:
                self.seen[kernel] = frozenset(session.id for session in self.sessions_of(kernel))
            if operation == "list_clusters":
                (self.vetoed.add if self.reported.get(KERNELS[kernel]) == kernel else self.vetoed.discard)(kernel)

    def judge(self, plan: CullPlan, outcomes: list[CullOutcome]) -> None:
        assert tuple(outcome.candidate for outcome in outcomes) == plan.candidates
        self.judge_deletions(plan)
        for outcome in outcomes:
            self.judge_outcome(outcome)

    def judge_deletions(self, plan: CullPlan) -> None:
        last_activity = {candidate.kernel_id: candidate.last_activity for candidate in plan.candidates}
        sessions = {each.kernel_id: frozenset(session.id for session in each.sessions) for each in plan.candidates}
        for session in self.service.deleted:  # as the service saw them when it compared the etag
            assert session.kernel is not None
            assert is_idle_since(session, plan.since, connected=False)
            kernel = session.kernel.id or ""
            assert session.kernel.last_activity == last_activity[kernel]
            assert self.seen[kernel] == sessions[kernel]
            assert kernel not in self.vetoed
        requests = [(request.session_id, request.operation) for request in self.service.requests]
        for name in {name for name, operation in requests if operation == "delete_session"}:
            sequence = [operation for session_id, operation in requests if session_id == name]
            assert ("delete_session", "delete_session") not in pairwise(sequence)
            assert sequence[0] == "get_session"
        assert all(
            "if-match" in request.headers for request in self.service.requests if request.operation == "delete_session"
        )

    def judge_outcome(self, outcome: CullOutcome) -> None:
        kernel = outcome.candidate.kernel_id
        is_deleted = kernel in {session.kernel and session.kernel.id for session in self.service.deleted}
        match outcome.result:
            case CullResult.DELETED:
                assert is_deleted or (self.has_lost and (kernel in self.removed or self.has_lied))
            case CullResult.GONE:
                assert not is_deleted
                assert kernel in self.removed
            case CullResult.CHANGED:
                assert not is_deleted
                assert kernel in self.touched
            case CullResult.DENIED:
                assert not is_deleted
                assert self.has_lied
            case CullResult.FAILED:
                assert not is_deleted
                assert self.has_lost or self.has_refused
                assert outcome.error is not None
            case CullResult.UNKNOWN:
                assert self.has_lost
                assert outcome.error is not None


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def service(loop: asyncio.Runner, clock: ManualClock) -> Iterator[LocalService]:
    service = LocalService(clock=clock.time)
    loop.run(service.start())
    for key in LAYOUT:
        service.add_workspace(key)
    yield service
    loop.run(service.aclose())


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("change", CHANGES)
def test_after_any_one_change_only_idle_kernels_are_deleted_and_every_outcome_is_true(
    loop: asyncio.Runner, service: LocalService, clock: ManualClock, moment: str, change: tuple[Any, ...]
) -> None:
    for kernel in KERNELS:
        loop.run(Cull(service, clock, [(kernel, moment, 1, change)]).run())


class CullMachine(RuleBasedStateMachine):
    """Plans any changes and failures, then culls."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []

    @rule(event=changes)
    def change(self, event: Event) -> None:
        self.events.append(event)

    @rule(event=failures)
    def fail(self, event: Event) -> None:
        self.events.append(event)

    def teardown(self) -> None:
        asyncio.run(self.cull())

    async def cull(self) -> None:
        clock = ManualClock()
        async with LocalService(clock=clock.time) as service:
            for key in LAYOUT:
                service.add_workspace(key)
            await Cull(service, clock, self.events).run()


TestAfterAnyChangesAndFailuresOnlyIdleKernelsAreDeletedAndEveryOutcomeIsTrue = CullMachine.TestCase
CullMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=7, deadline=None)
