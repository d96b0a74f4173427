"""The client names the workspaces that it knows by more than their keys, without a request for that."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import attrs
import pytest

from aidp_sessions import (
    AidpError,
    CullPlan,
    CullPolicy,
    CullResult,
    FanOutError,
    KeepReason,
    NotFoundError,
    SessionsClient,
    SessionSummary,
)
from aidp_sessions._operations.messages import THRESHOLD
from aidp_sessions.testing import Fault, LocalService, ManualClock, make_session, make_workspace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from aidp_sessions.streams.keys import WorkspaceLike

KEY: Final = "51abe3fa-37fd-46f9-a76f-7961117f9835"
NAME: Final = "Fraud detection"
SUMMARY: Final = make_workspace(KEY, display_name=NAME)
WHERE: Final = (KEY, NAME)
NOW: Final = datetime(2026, 11, 25, 12, tzinfo=UTC)
SESSION: Final = attrs.evolve(make_session("n.ipynb", idle_for=timedelta(days=3), now=NOW), id="s")


@pytest.fixture
async def client(service: LocalService) -> AsyncIterator[SessionsClient]:
    service.add_workspace(KEY, [SESSION], display_name=NAME)
    async with service.client() as client:
        yield client


def place(session: SessionSummary | AidpError) -> tuple[str | None, str | None]:
    return session.workspace_key, session.workspace_name


async def asynchronously(workspaces: Iterable[WorkspaceLike]) -> AsyncIterator[WorkspaceLike]:
    for workspace in workspaces:
        yield workspace


GIVEN: Final[dict[str, Callable[[], object]]] = {
    "summary": lambda: SUMMARY,
    "list": lambda: [SUMMARY],
    "list with the key before": lambda: [KEY, SUMMARY],
    "list with the key behind": lambda: [SUMMARY, KEY],
    "iterator": lambda: iter([SUMMARY]),
    "async iterator": lambda: asynchronously([SUMMARY]),
    "discovery": lambda: None,
}


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
async def test_a_stream_names_the_workspaces_that_it_was_given_or_has_found(
    client: SessionsClient, given: Callable[[], object]
) -> None:
    (session,) = await client.sessions(given()).collect()  # type: ignore[arg-type]  # each is one of its types
    (outcome,) = [each async for each in client.sessions(given()).by_workspace()]  # type: ignore[arg-type]

    assert place(session) == place(outcome.sessions[0]) == WHERE
    assert (outcome.workspace_key, outcome.workspace_name) == WHERE


async def test_a_key_given_as_text_has_no_name(service: LocalService, client: SessionsClient) -> None:
    """No request is made to learn it."""
    (session,) = await client.sessions(KEY).collect()
    (outcome,) = [outcome async for outcome in client.sessions([KEY]).by_workspace()]
    (listed,) = await client.list_sessions(KEY)

    assert place(session) == place(listed) == (KEY, "")
    assert (outcome.workspace_key, outcome.workspace_name) == (KEY, "")
    assert [request.operation for request in service.requests] == ["list_sessions"] * 3


async def test_the_operations_on_one_workspace_name_it(client: SessionsClient) -> None:
    (listed,) = await client.list_sessions(SUMMARY)
    found = await client.get_session(SUMMARY, "s")
    patched = await client.patch_session(SUMMARY, "s", name="m.ipynb")
    created = await client.create_session(SUMMARY, "Workspace/other.ipynb")
    async with client.open_session(SUMMARY, "Workspace/third.ipynb") as opened:
        pass

    assert {place(session) for session in (listed, found, patched, created, opened)} == {WHERE}


@pytest.mark.parametrize("unusual", [False, True])
async def test_sessions_with_unknown_or_unusual_fields_have_the_name_too(
    service: LocalService,
    client: SessionsClient,
    unusual: bool,
) -> None:
    """They are decoded in other ways."""
    wire = {"id": "s", "unknown": 1, **({"kernel": {"name": "k", "connections": None}} if unusual else {})}
    service.set_sessions(KEY, [wire])

    assert [place(session) for session in await client.list_sessions(SUMMARY)] == [WHERE]


async def test_sessions_that_are_yielded_as_they_arrive_have_the_name(
    service: LocalService, client: SessionsClient
) -> None:
    large = [attrs.evolve(SESSION, id=str(number), name="x" * 1000) for number in range(THRESHOLD // 1000 + 1)]
    service.set_sessions(KEY, large)

    assert {place(session) for session in await client.sessions(SUMMARY).collect()} == {WHERE}


async def test_the_error_of_a_workspace_names_it(service: LocalService, client: SessionsClient) -> None:
    """Whatever was called, and also for a response that is decoded late."""
    service.fail(KEY, *[Fault(status=404)] * 4)
    calls = [
        client.list_sessions(SUMMARY),
        client.get_session(SUMMARY, "s"),
        client.delete_session(SUMMARY, "s"),
        anext(client.clusters(SUMMARY)),
    ]

    for call in calls:
        with pytest.raises(NotFoundError, match=rf"of workspace '{NAME}' \({KEY}\): 404") as missing:
            await call
        assert place(missing.value) == WHERE
    service.set_sessions(KEY, [{"id": 5}])
    with pytest.raises(FanOutError, match=f"^1 workspace failed: '{NAME}'$") as failed:
        await client.sessions().collect()
    assert [place(error) for error in failed.value.exceptions] == [WHERE]


async def test_the_warning_about_a_skipped_workspace_names_it(
    service: LocalService, client: SessionsClient, caplog: pytest.LogCaptureFixture
) -> None:
    service.fail(KEY, Fault(status=404))

    with caplog.at_level(logging.WARNING, "aidp_sessions"):
        assert await client.sessions(SUMMARY, on_error="skip").collect() == []

    (record,) = caplog.records
    assert record.getMessage().startswith(f"workspace skipped: list_sessions of workspace '{NAME}' ({KEY}): 404 ")


async def test_a_listed_workspace_that_cannot_be_asked_is_named(service: LocalService, client: SessionsClient) -> None:
    service.add_workspace("..", display_name="Dots")

    with pytest.raises(FanOutError, match="'Dots'") as failed:
        await client.sessions().collect()

    assert [place(error) for error in failed.value.exceptions] == [("..", "Dots")]


def test_the_name_takes_no_part_in_comparisons() -> None:
    named = attrs.evolve(SESSION, workspace_key=KEY, workspace_name=NAME)

    assert named == attrs.evolve(named, workspace_name="Renamed")
    assert hash(named) == hash(attrs.evolve(named, workspace_name=""))


async def test_a_workspace_that_is_renamed_is_no_change(service: LocalService) -> None:
    """What a watch yields later has the new name."""
    clock = ManualClock()
    names = iter([NAME, "Renamed", "Renamed"])
    service.add_workspace(KEY, [SESSION], display_name=NAME)

    class Listing:
        async def __aiter__(self) -> AsyncIterator[WorkspaceLike]:
            yield make_workspace(KEY, display_name=next(names))

    async with service.client(clock=clock) as client:
        changes = client.sessions(Listing()).watch(timedelta(minutes=1))
        first = await anext(changes)
        service.on_request = lambda _: (
            None if service.request_count < 3 else service.set_session(KEY, attrs.evolve(SESSION, name="m.ipynb"))
        )
        second = await anext(changes)
        await changes.aclose()

    assert service.request_count == 3
    assert [(change.kind, place(change.session)) for change in (first, second)] == [
        ("appeared", WHERE),
        ("changed", (KEY, "Renamed")),
    ]


async def test_a_plan_and_its_outcomes_name_the_workspaces(service: LocalService, client: SessionsClient) -> None:
    """Also a plan that was read from a file; the listing before the deletion is not asked for names."""
    policy = CullPolicy(since=timedelta(hours=2), max_share=None)
    plan = CullPlan.from_json((await client.plan_cull(policy)).to_json())
    (candidate,) = plan.candidates
    service.reset_counts()
    service.fail(KEY, Fault(status=404), operation="list_sessions")

    (outcome,) = [outcome async for outcome in client.cull(plan)]

    assert place(candidate.sessions[0]) == WHERE
    assert outcome.result is CullResult.FAILED
    assert outcome.error is not None
    assert place(outcome.error) == WHERE
    assert {request.workspace_key for request in service.requests if request.operation != "list_workspaces"} == {KEY}


async def test_a_workspace_is_protected_by_its_name(client: SessionsClient) -> None:
    """Also right before the deletion, if the plan was edited to protect it."""
    policy = CullPolicy(since=timedelta(hours=2), max_share=None)
    protecting = attrs.evolve(policy, protect=("Fraud*",))
    plan = await client.plan_cull(policy)
    edited = attrs.evolve(plan, policy=protecting)

    (outcome,) = [outcome async for outcome in client.cull(edited)]

    assert [kernel.reason for kernel in (await client.plan_cull(protecting)).kept] == [KeepReason.PROTECTED]
    assert (outcome.result, outcome.reason) == (CullResult.CHANGED, "protected")
