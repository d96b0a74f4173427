"""Whatever changes or fails between any two requests, only idle kernels are deleted and every outcome is true."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import attrs
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

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
    from collections.abc import Callable

    from aidp_sessions.testing._service.routes import Operation

POLICY: Final = CullPolicy(since=timedelta(hours=2), max_share=None)
LAYOUT: Final = {"a": {"s0": "k0", "s1": "k0", "s2": "k1", "s3": "k2"}, "b": {"s4": "k3"}}
KERNELS: Final = {"k0": "a", "k1": "a", "k2": "a", "k3": "b"}
MAX_REQUESTS: Final = 16
OPERATIONS: Final = (*["delete_session"] * 4, "get_session", "list_sessions", "list_clusters")
LOST: Final = (
    Fault(status=503, takes_effect=True),
    Fault(cut="before_headers", takes_effect=True),
    Fault(status=503),
)
REFUSED: Final = (Fault(status=403), Fault(status=429, retry_after=2), Fault(status=409, code="IncorrectState"))

kernels: Final = st.sampled_from(sorted(KERNELS))
moments: Final = st.integers(0, MAX_REQUESTS)
early: Final = st.integers(0, MAX_REQUESTS // 2)


class Culls(RuleBasedStateMachine):
    """Rules say what will happen before the n-th request of the next cull; `cull` runs it and judges it."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.service = LocalService(clock=self.clock.time)
        self.runner.run(self.service.start())
        for key in LAYOUT:
            self.service.add_workspace(key)
        self.forget()

    def forget(self) -> None:
        self.events = defaultdict[int, "list[Callable[[], None]]"](list)
        self.touched = set[str]()
        self.removed = set[str]()
        self.has_lost = self.has_refused = self.has_lied = False

    def teardown(self) -> None:
        self.runner.run(self.service.aclose())
        self.runner.close()

    def sessions_of(self, kernel: str) -> list[SessionSummary]:
        found = self.service.sessions(KERNELS[kernel])
        return [session for session in found if session.kernel is not None and session.kernel.id == kernel]

    def change_kernel(self, kernel: str, **changes: Any) -> None:
        self.touched.add(kernel)
        for session in self.sessions_of(kernel)[:1]:
            assert session.kernel is not None
            self.service.set_kernel(KERNELS[kernel], attrs.evolve(session.kernel, **changes))

    @rule(kernel=kernels, moment=moments)
    def wake(self, kernel: str, moment: int) -> None:
        self.events[moment].append(
            lambda: self.change_kernel(kernel, execution_state="busy", last_activity=self.clock.now)
        )

    @rule(kernel=kernels, moment=moments, hours=st.sampled_from([1, 3]))
    def use(self, kernel: str, moment: int, hours: int) -> None:
        """Use the kernel for a moment, after which it is idle again."""
        self.events[moment].append(
            lambda: self.change_kernel(kernel, last_activity=self.clock.now - timedelta(hours=hours))
        )

    @rule(kernel=kernels, moment=moments)
    def connect(self, kernel: str, moment: int) -> None:
        self.events[moment].append(lambda: self.change_kernel(kernel, connections=1))

    @rule(kernel=kernels, moment=moments)
    def share(self, kernel: str, moment: int) -> None:
        def act() -> None:
            self.touched.add(kernel)
            for session in self.sessions_of(kernel)[:1]:
                self.service.set_session(KERNELS[kernel], attrs.evolve(session, id=f"more-{kernel}", path="more"))

        self.events[moment].append(act)

    @rule(kernel=kernels, moment=moments)
    def remove(self, kernel: str, moment: int) -> None:
        def act() -> None:
            key = KERNELS[kernel]
            if gone := self.sessions_of(kernel):
                self.removed.add(kernel)
                self.service.set_sessions(key, [each for each in self.service.sessions(key) if each not in gone])

        self.events[moment].append(act)

    @rule(kernel=kernels, moment=moments)
    def replace_kernel(self, kernel: str, moment: int) -> None:
        def act() -> None:
            self.touched.add(kernel)
            for session in self.sessions_of(kernel):
                new = attrs.evolve(session.kernel or KernelSummary(name="k"), id=f"new-{kernel}")
                self.service.set_session(KERNELS[kernel], attrs.evolve(session, kernel=new))

        self.events[moment].append(act)

    @rule(kernel=kernels, moment=moments, state=st.sampled_from(["ACTIVE", "PENDING"]))
    def report_on_cluster(self, kernel: str, moment: int, state: str) -> None:
        def act() -> None:
            self.touched.add(kernel)
            attached = [{"path": session.path, "state": state} for session in self.sessions_of(kernel)]
            self.service.set_clusters(KERNELS[kernel], [{"key": "c", "attachedSessions": attached}])

        self.events[moment].append(act)

    @rule(key=st.sampled_from("aab"), moment=early, operation=st.sampled_from(OPERATIONS), fault=st.sampled_from(LOST))
    def lose(self, key: str, moment: int, operation: Operation, fault: Fault) -> None:
        def act() -> None:
            self.has_lost = True
            self.service.fail(key, fault, operation=operation)

        self.events[moment].append(act)

    @rule(
        key=st.sampled_from("aab"), moment=early, operation=st.sampled_from(OPERATIONS), fault=st.sampled_from(REFUSED)
    )
    def refuse(self, key: str, moment: int, operation: Operation, fault: Fault) -> None:
        def act() -> None:
            self.has_refused = True
            self.service.fail(key, fault, operation=operation)

        self.events[moment].append(act)

    @rule(key=st.sampled_from("ab"), moment=moments)
    def deny(self, key: str, moment: int) -> None:
        """Answer 404 for a session that is there."""

        def act() -> None:
            self.has_lied = True
            self.service.fail(key, Fault(status=404), operation="delete_session")

        self.events[moment].append(act)

    @precondition(lambda self: self.events)
    @rule()
    def cull(self) -> None:
        for key, layout in LAYOUT.items():
            self.service.set_sessions(key, [self.idle(name, kernel) for name, kernel in layout.items()])
            self.service.set_clusters(key, None)
            self.service.heal(key)
        self.service.on_request = None
        plan, outcomes = self.runner.run(self.run())
        self.judge(plan, outcomes)
        self.forget()

    def idle(self, name: str, kernel: str) -> SessionSummary:
        then = self.clock.now - timedelta(days=1)
        summary = KernelSummary(name="k", id=kernel, execution_state="idle", last_activity=then, connections=0)
        return SessionSummary(id=name, name=name, path=f"p-{name}", type="notebook", cluster_id="c", kernel=summary)

    async def run(self) -> tuple[CullPlan, list[CullOutcome]]:
        async with self.service.client(clock=self.clock, retry=RetryPolicy(attempts=2)) as client:
            plan = await client.plan_cull(POLICY)
            assert [candidate.kernel_id for candidate in plan.candidates] == sorted(KERNELS)
            self.service.reset_counts()
            self.service.on_request = self.before_request
            return plan, [outcome async for outcome in client.cull(plan)]

    def before_request(self, _: RecordedRequest) -> None:
        for act in self.events.pop(self.service.request_count - 1, ()):
            act()

    def judge(self, plan: CullPlan, outcomes: list[CullOutcome]) -> None:
        assert tuple(outcome.candidate for outcome in outcomes) == plan.candidates
        self.judge_deletions(plan)
        for outcome in outcomes:
            self.judge_outcome(outcome)

    def judge_deletions(self, plan: CullPlan) -> None:
        last_activity = {candidate.kernel_id: candidate.last_activity for candidate in plan.candidates}
        for session in self.service.deleted:  # as the service saw them when it compared the etag
            assert session.kernel is not None
            assert is_idle_since(session, plan.since, connected=False)
            assert session.kernel.last_activity == last_activity[session.kernel.id or ""]
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


TestCulls = Culls.TestCase
TestCulls.settings = settings(
    max_examples=20, stateful_step_count=12, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
