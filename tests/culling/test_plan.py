"""A plan names exactly the kernels that a policy allows to delete, and says why the others are kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_sessions import (
    AidpError,
    ConnectionFailedError,
    KernelSummary,
    NotFoundError,
    SessionSummary,
    WorkspaceOutcome,
)
from aidp_sessions.culling.plan import (
    CullCandidate,
    CullPlan,
    KeptKernel,
    apply_clusters,
    check_applicable,
    make_plan,
)
from aidp_sessions.culling.policy import CullPolicy, KeepReason, reason_on_cluster, reason_to_keep
from aidp_sessions.models import AttachedSession

from ..helpers.strategies import brief, json_values

if TYPE_CHECKING:
    import random

TAKEN: Final = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
T: Final = TAKEN - 2 * HOUR
TICK: Final = timedelta(microseconds=1)
IDLE: Final = KernelSummary(name="notebook", id="k", execution_state="idle", last_activity=T, connections=0)
SESSION: Final = SessionSummary(
    id="s", name="x.ipynb", path="/data/x.ipynb", type="notebook", cluster_id="c", kernel=IDLE, workspace_key="w"
)
NO_CAPS: Final = CullPolicy(since=2 * HOUR, max_kernels=None, max_share=None)


def with_kernel(session: SessionSummary = SESSION, **changes: Any) -> SessionSummary:
    return attrs.evolve(session, kernel=attrs.evolve(session.kernel or IDLE, **changes))


def plan_of(
    *outcomes: WorkspaceOutcome, policy: CullPolicy = NO_CAPS, failures: tuple[AidpError, ...] = ()
) -> CullPlan:
    return make_plan(outcomes, policy, platform_id="platform", taken=TAKEN, failures=failures)


def listed(*sessions: SessionSummary, key: str = "w") -> WorkspaceOutcome:
    return WorkspaceOutcome(workspace_key=key, sessions=sessions)


def reasons(plan: CullPlan) -> dict[tuple[str, str | None], str]:
    return {(kernel.workspace_key, kernel.kernel_id): kernel.reason for kernel in plan.kept}


def candidates(plan: CullPlan) -> list[tuple[str, str]]:
    return [(kernel.workspace_key, kernel.kernel_id) for kernel in plan.candidates]


kernels: Final = st.builds(
    KernelSummary,
    name=st.just("notebook"),
    id=st.sampled_from(("k", "k", "l", "l", "m", None, "")),
    execution_state=st.sampled_from(("idle",) * 6 + ("busy", "starting", "dead", "Idle", None)),
    last_activity=st.sampled_from((T, T, T - HOUR, T - HOUR, T + TICK, TAKEN, None)),
    connections=st.sampled_from((0, 0, 0, 0, 1, -1, None)),
)
sessions: Final = st.builds(
    SessionSummary,
    id=st.sampled_from(("a", "b", "c", "d", "e", "f", "", None)),
    name=st.sampled_from(("x.ipynb", "y.ipynb")),
    path=st.sampled_from(("/data/x.ipynb", "/data/x.ipynb", "/prod/x.ipynb", None)),
    type=st.sampled_from(("notebook",) * 4 + ("file", None)),
    cluster_id=st.sampled_from(("c", "d", None)),
    kernel=st.none() | kernels | kernels | kernels,
    workspace_name=st.sampled_from(("", "", "v", "Demand")),
    extra=st.just({}) | st.dictionaries(st.text(max_size=3), json_values, max_size=2),
)
outcomes: Final = st.lists(
    st.builds(
        WorkspaceOutcome,
        workspace_key=st.sampled_from(("w", "v", "u")),
        sessions=st.lists(sessions, max_size=4).map(tuple),
        error=st.sampled_from((None, None, None, NotFoundError("gone"))),
    ),
    max_size=4,
)
policies: Final = st.builds(
    CullPolicy,
    since=st.sampled_from((2 * HOUR, T, T.astimezone(timezone(HOUR)))),
    connected=st.sampled_from((False, False, True, None)),
    types=st.sampled_from(({"notebook"}, {"notebook", "file"})),
    protect=st.sampled_from(((), (), ("/prod/*",), ("v",), ("Dem*",), ("y.ipynb", "d"))),
    max_kernels=st.none() | st.integers(0, 200),
    max_share=st.none() | st.floats(0, 1),
    clusters=st.sampled_from(("veto", "ignore")),
)


def passes(session: SessionSummary, workspace_key: str, policy: CullPolicy) -> bool:
    """The rules again, as one expression."""
    kernel = session.kernel
    return (
        kernel is not None
        and bool(session.id and kernel.id)
        and kernel.execution_state == "idle"
        and kernel.last_activity is not None
        and kernel.last_activity <= T
        and (policy.connected is None or (kernel.connections in (range(1, 9) if policy.connected else (0,))))
        and session.type in policy.types
        and not (policy.protect and session.path is None)
        and not any(
            fnmatchcase(text or "", pattern)
            for text in (session.path, session.name, workspace_key, session.workspace_name, session.cluster_id)
            for pattern in policy.protect
        )
    )


@brief
@given(outcomes, policies)
def test_a_kernel_is_a_candidate_exactly_if_all_its_sessions_pass_all_rules(
    found: list[WorkspaceOutcome], policy: CullPolicy
) -> None:
    """In a listed workspace, and if no other workspace has it."""
    failed = {outcome.workspace_key for outcome in found if outcome.error is not None}
    shown: dict[tuple[str, str], list[bool]] = {}
    for outcome in found:
        for session in outcome.sessions:
            if session.kernel is not None and session.kernel.id:
                good = passes(session, outcome.workspace_key, policy) and outcome.workspace_key not in failed
                shown.setdefault((outcome.workspace_key, session.kernel.id), []).append(good)
    ids = [kernel_id for _, kernel_id in shown]

    plan = plan_of(*found, policy=policy)

    assert candidates(plan) == sorted(
        kernel for kernel, good in shown.items() if all(good) and ids.count(kernel[1]) == 1
    )
    assert {kernel for kernel in reasons(plan) if kernel[1]} == shown.keys() - set(candidates(plan))


@brief
@given(outcomes, policies)
def test_every_session_stands_in_the_plan_once(found: list[WorkspaceOutcome], policy: CullPolicy) -> None:
    """With its workspace; equal sessions of one workspace are one."""
    plan = plan_of(*found, policy=policy)

    groups = [kernel.sessions for kernel in plan.candidates] + [kernel.sessions for kernel in plan.kept]
    planned = [session for group in groups for session in group]
    expected = {
        attrs.evolve(session, workspace_key=outcome.workspace_key) for outcome in found for session in outcome.sessions
    }
    assert len(planned) == len(set(planned))
    assert set(planned) == expected


@brief
@given(outcomes, policies, st.randoms(use_true_random=False))
def test_the_order_of_workspaces_and_sessions_does_not_matter(
    found: list[WorkspaceOutcome], policy: CullPolicy, chance: random.Random
) -> None:
    """The order of the plan is the same too."""
    shuffled = [
        attrs.evolve(outcome, sessions=tuple(chance.sample(outcome.sessions, len(outcome.sessions))))
        for outcome in chance.sample(found, len(found))
    ]

    assert plan_of(*shuffled, policy=policy).to_json() == plan_of(*found, policy=policy).to_json()


BROKEN: Final[list[tuple[SessionSummary, KeepReason]]] = [
    (with_kernel(execution_state="busy"), KeepReason.BUSY),
    (with_kernel(execution_state="starting"), KeepReason.STARTING),
    (with_kernel(execution_state="autorestarting"), KeepReason.STARTING),
    (with_kernel(execution_state="dead"), KeepReason.UNKNOWN),
    (with_kernel(execution_state=None), KeepReason.UNKNOWN),
    (with_kernel(execution_state="hibernating"), KeepReason.UNKNOWN),
    (attrs.evolve(SESSION, id=None), KeepReason.UNKNOWN),
    (with_kernel(connections=None), KeepReason.UNKNOWN),
    (with_kernel(connections=-1), KeepReason.UNKNOWN),
    (with_kernel(last_activity=None), KeepReason.NO_TIMESTAMP),
    (with_kernel(last_activity=T + TICK), KeepReason.RECENT),
    (with_kernel(connections=2), KeepReason.CONNECTED),
    (attrs.evolve(SESSION, type="agentflow"), KeepReason.TYPE),
    (attrs.evolve(SESSION, type=None), KeepReason.TYPE),
    (attrs.evolve(SESSION, path="/prod/x.ipynb"), KeepReason.PROTECTED),
    (attrs.evolve(SESSION, path=None), KeepReason.PROTECTED),
]
PROTECTING: Final = attrs.evolve(NO_CAPS, protect=("/prod/*",))


def test_an_idle_kernel_is_a_candidate_with_all_its_sessions() -> None:
    """In the order of their ids, with the latest activity, and with nothing else in the plan."""
    second = with_kernel(attrs.evolve(SESSION, id="r"), last_activity=T - HOUR)

    assert plan_of(listed(SESSION, second), policy=PROTECTING) == CullPlan(
        taken=TAKEN,
        platform_id="platform",
        policy=PROTECTING,
        candidates=(CullCandidate(workspace_key="w", kernel_id="k", sessions=(second, SESSION), last_activity=T),),
    )


@pytest.mark.parametrize(("session", "reason"), BROKEN)
def test_a_kernel_that_breaks_a_rule_is_kept_with_that_reason(session: SessionSummary, reason: KeepReason) -> None:
    """Also if one other session of the kernel breaks it."""
    partner = attrs.evolve(SESSION, id="t")
    kernel = session.kernel
    assert kernel is not None

    plan = plan_of(listed(session, partner), policy=PROTECTING)

    assert plan.candidates == ()
    assert reasons(plan_of(listed(session), policy=PROTECTING)) == reasons(plan) == {("w", "k"): reason}
    assert set(plan.kept[0].sessions) == {session, partner}


@pytest.mark.parametrize("kernel", [None, attrs.evolve(IDLE, id=None), attrs.evolve(IDLE, id="")])
def test_each_session_without_a_kernel_id_is_kept_on_its_own(kernel: KernelSummary | None) -> None:
    """It is unknown whether two of them share a kernel."""
    first, second = (attrs.evolve(SESSION, id=id_, kernel=kernel) for id_ in ("a", "b"))
    last = None if kernel is None else T

    assert plan_of(listed(second, first)).kept == tuple(
        KeptKernel(workspace_key="w", kernel_id=None, sessions=(session,), last_activity=last, reason="unknown")
        for session in (first, second)
    )


def test_of_several_reasons_the_first_in_the_order_of_the_enum_is_given() -> None:
    """For any of its sessions."""
    busy = with_kernel(attrs.evolve(SESSION, id="z"), execution_state="busy")
    other = with_kernel(attrs.evolve(SESSION, type="file"), last_activity=TAKEN)

    assert reason_to_keep([other, busy], NO_CAPS, T) is KeepReason.BUSY
    assert reason_to_keep([busy, other], NO_CAPS, T) is KeepReason.BUSY
    assert reason_to_keep([other], NO_CAPS, T) is KeepReason.RECENT


def test_a_kernel_that_two_workspaces_list_is_kept_in_both() -> None:
    """Deleting it in one would end it in the other."""
    plan = plan_of(listed(SESSION), listed(SESSION, with_kernel(attrs.evolve(SESSION, id="t"), id="l"), key="v"))

    assert reasons(plan) == {("w", "k"): KeepReason.SHARED, ("v", "k"): KeepReason.SHARED}
    assert candidates(plan) == [("v", "l")]


def test_a_workspace_that_failed_has_no_candidates_and_affects_no_other() -> None:
    """Even if it was listed as well: one of the two answers may be old."""
    error = NotFoundError("no such workspace")
    error.workspace_key = "v"
    discovery = ConnectionFailedError("the listing of workspaces broke off")

    plan = plan_of(
        listed(with_kernel(id="l"), key="v"),
        WorkspaceOutcome(workspace_key="v", error=error),
        listed(SESSION),
        failures=(discovery,),
    )

    assert candidates(plan) == [("w", "k")]
    assert reasons(plan) == {("v", "l"): KeepReason.UNKNOWN}
    assert plan.failures == (discovery, error)


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        ("/data/*", True),
        ("*.ipynb", True),
        ("w", True),
        ("c", True),
        ("[cd]", True),
        ("Demand*", True),
        ("demand*", False),
        ("/DATA/*", False),
        ("/data", False),
        ("data/*", False),
        ("", False),
    ],
)
def test_a_pattern_protects_by_path_name_workspace_or_cluster(pattern: str, kept: bool) -> None:
    """It must match the whole text, case included."""
    session = attrs.evolve(SESSION, workspace_key="", workspace_name="Demand forecast")
    plan = plan_of(listed(session), policy=attrs.evolve(NO_CAPS, protect=[pattern]))

    assert reasons(plan) == ({("w", "k"): KeepReason.PROTECTED} if kept else {})


def test_the_veto_is_asked_about_kernels_that_pass_the_other_rules() -> None:
    """If it keeps one session, the kernel is kept."""
    asked: list[SessionSummary] = []

    def veto(session: SessionSummary) -> bool:
        asked.append(session)
        return session.id == "t"

    policy = attrs.evolve(NO_CAPS, veto=veto)
    partner, busy = attrs.evolve(SESSION, id="t"), with_kernel(id="l", execution_state="busy")
    plan = plan_of(listed(SESSION, partner, busy), policy=policy)

    assert reasons(plan) == {("w", "k"): KeepReason.VETOED, ("w", "l"): KeepReason.BUSY}
    assert asked == [SESSION, partner]
    assert plan.policy == NO_CAPS


@pytest.mark.parametrize("error", [ZeroDivisionError("ours"), NotFoundError("theirs")])
def test_an_exception_of_the_veto_ends_the_planning(error: Exception) -> None:
    """The exception is raised unchanged, and there is no plan."""

    def veto(_: SessionSummary) -> bool:
        raise error

    with pytest.raises(type(error)) as caught:
        plan_of(listed(SESSION), policy=attrs.evolve(NO_CAPS, veto=veto))

    assert caught.value is error


@pytest.mark.parametrize(
    ("attached", "reason"),
    [
        (None, KeepReason.CLUSTER_UNREADABLE),
        ([], None),
        ([("/data/x.ipynb", "IDLE")], None),
        ([("/data/x.ipynb", "ACTIVE")], KeepReason.ACTIVE_ON_CLUSTER),
        ([("data/x.ipynb", "ACTIVE")], KeepReason.ACTIVE_ON_CLUSTER),
        ([("/data/x.ipynb", "IDLE"), ("/data/x.ipynb", "ACTIVE")], KeepReason.ACTIVE_ON_CLUSTER),
        ([("/data/x.ipynb", "active")], KeepReason.CLUSTER_UNREADABLE),
        ([("/data/x.ipynb", "IDLE"), ("/data/x.ipynb", None)], KeepReason.CLUSTER_UNREADABLE),
        ([("/data/y.ipynb", "ACTIVE")], None),
        ([(None, "ACTIVE")], KeepReason.ACTIVE_ON_CLUSTER),
    ],
)
def test_a_kernel_that_its_cluster_calls_active_is_kept(
    attached: list[tuple[str | None, str | None]] | None, reason: KeepReason | None
) -> None:
    """Also if the cluster cannot be read or its state is not documented."""
    found = None if attached is None else [AttachedSession(path=path, state=state) for path, state in attached]
    plan = plan_of(listed(SESSION))

    complete = apply_clusters(plan, {} if found is None else {"w": found})

    assert reason_on_cluster([SESSION], found) is reason
    assert reasons(complete) == ({} if reason is None else {("w", "k"): reason})
    assert complete == plan or complete.candidates == ()


def test_a_session_without_a_path_is_kept_if_any_attached_session_is_active() -> None:
    """It may be any of them."""
    session = attrs.evolve(SESSION, path=None)

    assert reason_on_cluster([session], [AttachedSession(path="/y", state="ACTIVE")]) is KeepReason.ACTIVE_ON_CLUSTER
    assert reason_on_cluster([session], [AttachedSession(path="/y", state="IDLE")]) is None


def test_a_workspace_whose_clusters_were_not_listed_is_unreadable() -> None:
    """The kept kernels stay in the order of workspaces and ids."""
    busy = [with_kernel(id=id_, execution_state="busy") for id_ in ("a", "z")]
    plan = plan_of(listed(SESSION, *busy))

    assert [kernel.kernel_id for kernel in apply_clusters(plan, {}).kept] == ["a", "k", "z"]
    assert reasons(apply_clusters(plan, {}))["w", "k"] == KeepReason.CLUSTER_UNREADABLE


def test_clusters_can_be_ignored() -> None:
    """Then they keep no kernel."""
    plan = plan_of(listed(SESSION), policy=attrs.evolve(NO_CAPS, clusters="ignore"))

    assert apply_clusters(plan, {}) is plan


def idle_and_busy(idle: int, busy: int = 0) -> WorkspaceOutcome:
    return listed(
        *(with_kernel(attrs.evolve(SESSION, id=f"i{n}"), id=f"i{n}") for n in range(idle)),
        *(with_kernel(attrs.evolve(SESSION, id=f"b{n}"), id=f"b{n}", execution_state="busy") for n in range(busy)),
        attrs.evolve(SESSION, id="none", kernel=None),
    )


@pytest.mark.parametrize(
    ("max_kernels", "max_share", "refusal"),
    [
        (None, None, None),
        (3, 0.6, None),
        (2, None, "candidates: 3, more than max_kernels=2"),
        (0, 1, "candidates: 3, more than max_kernels=0"),
        (None, 0.59, "candidates: 3 of 5 kernels, more than max_share=0.59"),
        (None, 0, "candidates: 3 of 5 kernels, more than max_share=0"),
    ],
)
def test_a_cap_refuses_the_plan_as_a_whole(
    max_kernels: int | None, max_share: float | None, refusal: str | None
) -> None:
    """A session without a kernel counts as none."""
    policy = attrs.evolve(NO_CAPS, max_kernels=max_kernels, max_share=max_share)

    assert plan_of(idle_and_busy(3, 2), policy=policy).refusal == refusal
    assert plan_of(idle_and_busy(0, 2), policy=policy).refusal is None


def test_the_caps_are_a_hundred_kernels_and_half_of_them() -> None:
    """Unless the policy says otherwise."""
    policy = CullPolicy(since=T)

    assert plan_of(idle_and_busy(100, 100), policy=policy).refusal is None
    assert plan_of(idle_and_busy(101, 101), policy=policy).refusal == "candidates: 101, more than max_kernels=100"
    assert plan_of(idle_and_busy(1), policy=policy).refusal == "candidates: 1 of 1 kernels, more than max_share=0.5"


def test_a_plan_whose_candidates_were_reduced_is_accepted() -> None:
    """In memory or in its file."""
    plan = plan_of(idle_and_busy(3, 2), policy=attrs.evolve(NO_CAPS, max_kernels=2))
    document = json.loads(plan.to_json())
    document["candidates"] = document["candidates"][:2]

    cut = attrs.evolve(plan, candidates=[*plan.candidates[:2]])

    assert document["refusal"] == plan.refusal
    assert cut.refusal is None
    assert CullPlan.from_json(json.dumps(document)) == cut


@pytest.mark.parametrize(
    ("platform_id", "now", "refusal"),
    [
        ("platform", TAKEN, None),
        ("platform", TAKEN + HOUR, None),
        ("platform", TAKEN + HOUR + TICK, "more than max_age=1:00:00 apart"),
        ("platform", TAKEN - HOUR - TICK, "more than max_age=1:00:00 apart"),
        ("other", TAKEN, "the plan belongs to the platform 'platform', not to 'other'"),
    ],
)
def test_an_old_plan_and_one_of_another_platform_are_refused(
    platform_id: str, now: datetime, refusal: str | None
) -> None:
    """Also a plan from the future."""
    plan = plan_of(listed(SESSION))

    if refusal is None:
        check_applicable(plan, platform_id=platform_id, now=now, max_age=HOUR)
    else:
        with pytest.raises(ValueError, match=refusal):
            check_applicable(plan, platform_id=platform_id, now=now, max_age=HOUR)


def test_a_plan_beyond_its_caps_cannot_be_applied() -> None:
    plan = plan_of(listed(SESSION), policy=CullPolicy(since=T))

    with pytest.raises(ValueError, match=r"the plan is refused: candidates: 1 of 1 kernels, more than max_share=0\.5"):
        check_applicable(plan, platform_id="platform", now=TAKEN, max_age=HOUR)


def test_a_timedelta_counts_back_from_the_time_of_the_plan() -> None:
    """A datetime stays as it is."""
    assert plan_of(policy=CullPolicy(since=2 * HOUR)).since == T
    assert plan_of(policy=CullPolicy(since=T - HOUR)).since == T - HOUR


def test_a_veto_that_returns_a_coroutine_ends_the_planning() -> None:
    """It would count as true and never run. A warning about it would fail the test."""

    def veto(session: SessionSummary) -> Any:
        return coroutine_veto(session)

    with pytest.raises(TypeError) as caught:
        plan_of(listed(SESSION), policy=attrs.evolve(NO_CAPS, veto=veto))

    assert str(caught.value) == "veto must be a plain function of a session, not one that returns a coroutine"


async def coroutine_veto(_: SessionSummary) -> bool:
    return True


class CoroutineVeto:
    async def __call__(self, session: SessionSummary) -> bool:
        return session.id is not None


def bad_policy(error: type[Exception], message: str, **options: Any) -> tuple[type[Exception], str, dict[str, Any]]:
    return error, message, options


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        bad_policy(ValueError, "has no time zone", since=datetime(2026, 1, 1)),  # noqa: DTZ001  # on purpose
        bad_policy(ValueError, "lies in the future", since=-HOUR),
        bad_policy(ValueError, "outside the calendar", since=datetime(1, 1, 1, tzinfo=timezone(HOUR))),
        bad_policy(TypeError, "^since must be a datetime or timedelta", since="2h"),
        bad_policy(TypeError, "^connected must be True, False or None, not 0", connected=0),
        bad_policy(TypeError, "^types must be several strings", types="notebook"),
        bad_policy(TypeError, "^protect must be several strings", protect="/prod/*"),
        bad_policy(TypeError, "^protect must be several strings", protect=[None]),
        bad_policy(TypeError, "^veto must be a plain function", veto=True),
        bad_policy(TypeError, "^veto must be a plain function", veto=coroutine_veto),
        bad_policy(TypeError, "^veto must be a plain function", veto=CoroutineVeto()),
        bad_policy(TypeError, "^max_kernels must be a whole number or None", max_kernels=1.5),
        bad_policy(TypeError, "^max_kernels must be a whole number or None", max_kernels=True),
        bad_policy(ValueError, "^max_kernels=-1 must not be negative", max_kernels=-1),
        bad_policy(TypeError, "^max_share must be a number or None", max_share="half"),
        bad_policy(ValueError, "^max_share=1.5 must be between 0 and 1", max_share=1.5),
        bad_policy(ValueError, "^max_share=nan must be between 0 and 1", max_share=float("nan")),
        bad_policy(ValueError, "^clusters='no' must be 'veto' or 'ignore'", clusters="no"),
    ],
)
def test_an_invalid_policy_is_refused(error: type[Exception], message: str, options: dict[str, Any]) -> None:
    """When it is created."""
    with pytest.raises(error, match=message):
        CullPolicy(**{"since": HOUR, **options})
