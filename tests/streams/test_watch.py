"""`SessionStream.watch`, under a clock that the test controls, against a real server."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_sessions import (
    AidpError,
    Clock,
    KernelSummary,
    NotFoundError,
    RetryPolicy,
    SessionChange,
    SessionCollection,
    SessionsClient,
    SessionSummary,
)
from aidp_sessions.streams.changes import Watch
from aidp_sessions.testing import Fault, LocalService

if TYPE_CHECKING:
    from collections.abc import Callable

    from aidp_sessions import SessionStream

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class StopWatchingError(Exception):
    """Raised by the clock after the last round."""


class Director:
    """Controls the clock of a watch: runs a function between two rounds, and ends the watch after the last."""

    def __init__(self, *acts: Callable[[], object]) -> None:
        self.acts = list(acts)
        self.sleeps: list[float] = []
        self.rounds: list[list[SessionChange]] = []

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        if self.rounds:
            if not self.acts:
                raise StopWatchingError
            self.acts.pop(0)()
        self.rounds.append([])

    def client(self, service: LocalService) -> SessionsClient:
        return service.client(clock=Clock(sleep=self.sleep, random=lambda: 0.5), retry=RetryPolicy.none())

    async def watch(self, stream: SessionStream, every: timedelta = timedelta(minutes=5)) -> list[list[SessionChange]]:
        with pytest.raises(StopWatchingError):
            async for change in stream.watch(every):
                self.rounds[-1].append(change)
        return self.rounds


def session(identity: str | None, state: str = "idle", *, path: str | None = None) -> SessionSummary:
    kernel = KernelSummary(name="python3", execution_state=state, last_activity=NOW)
    return SessionSummary(id=identity, path=path, kernel=kernel, workspace_key="w")


def appeared(one: SessionSummary) -> SessionChange:
    return SessionChange(kind="appeared", session=one)


def changed(one: SessionSummary, previous: SessionSummary) -> SessionChange:
    return SessionChange(kind="changed", session=one, previous=previous)


def vanished(one: SessionSummary) -> SessionChange:
    return SessionChange(kind="vanished", session=one, previous=one)


def nothing() -> None:
    pass


async def test_a_round_reports_what_appeared_changed_and_vanished(service: LocalService) -> None:
    a, b, busy, c = session("a"), session("b"), session("a", "busy"), session("c")
    service.add_workspace("w", [a, b])
    director = Director(nothing, lambda: service.set_sessions("w", [busy, c]), lambda: service.set_sessions("w", []))

    async with director.client(service) as client:
        rounds = await director.watch(client.sessions("w"))

    assert rounds == [
        [appeared(a), appeared(b)],
        [],
        [changed(busy, a), appeared(c), vanished(b)],
        [vanished(busy), vanished(c)],
    ]


async def test_a_session_that_the_filter_no_longer_selects_vanishes(service: LocalService) -> None:
    """Idle, then busy, then idle again: it vanishes, and appears again."""
    idle, busy = session("a"), session("a", "busy")
    service.add_workspace("w", [idle])
    director = Director(lambda: service.set_sessions("w", [busy]), lambda: service.set_sessions("w", [idle]))

    async with director.client(service) as client:
        rounds = await director.watch(client.sessions("w").idle_since(NOW))

    assert rounds == [[appeared(idle)], [vanished(idle)], [appeared(idle)]]


async def test_a_filter_is_applied_again_to_an_unchanged_answer(service: LocalService) -> None:
    """The service answers that nothing has changed, and the session still appears."""
    fresh = attrs.evolve(
        session("a"),
        kernel=KernelSummary(name="python3", execution_state="idle", last_activity=datetime.now(UTC)),
    )
    service.add_workspace("w", [fresh])
    old_enough = False
    director = Director(lambda: None)

    async with director.client(service) as client:
        stream = client.sessions("w").where(lambda _: old_enough)

        def grow_old() -> None:
            nonlocal old_enough
            old_enough = True

        director.acts = [grow_old]
        rounds = await director.watch(stream)

    assert rounds == [[], [appeared(fresh)]]
    assert [request.status for request in service.requests] == [200, 304]


async def test_unchanged_answers_are_asked_for_conditionally(service: LocalService) -> None:
    service.add_workspace("w", [session("a")])
    director = Director(nothing, nothing)

    async with director.client(service) as client:
        await director.watch(client.sessions("w"))

    first, *others = service.requests
    etags = [request.headers.get("if-none-match") for request in others]
    assert "if-none-match" not in first.headers
    assert [request.status for request in service.requests] == [200, 304, 304]
    assert etags[0] == etags[1] is not None


async def test_an_answer_of_several_pages_is_never_taken_for_unchanged() -> None:
    """The etag of the first page does not cover the others."""
    a, b, later = session("a"), session("b"), session("b", "busy")
    async with LocalService(session_page_size=1) as service:
        service.add_workspace("w", [a, b])
        director = Director(lambda: service.set_sessions("w", [a, later]))
        async with director.client(service) as client:
            rounds = await director.watch(client.sessions("w"))

    assert rounds == [[appeared(a), appeared(b)], [changed(later, b)]]


async def test_an_outage_makes_nothing_vanish_and_is_reported_once(
    service: LocalService, caplog: pytest.LogCaptureFixture
) -> None:
    a = session("a")
    service.add_workspace("w", [a])
    director = Director(
        lambda: service.fail("w", Fault(status=500, times=2)), nothing, nothing, lambda: service.set_sessions("w", [])
    )

    with caplog.at_level(logging.INFO, logger="aidp_sessions"):
        async with director.client(service) as client:
            rounds = await director.watch(client.sessions("w"))

    assert rounds == [[appeared(a)], [], [], [], [vanished(a)]]
    told = [(record.levelname, "'w'" in record.getMessage()) for record in caplog.records if record.levelno > 10]
    assert told == [("WARNING", True), ("INFO", True)]


async def test_a_failed_discovery_keeps_all_sessions_and_those_of_a_deleted_workspace_vanish(
    service: LocalService, caplog: pytest.LogCaptureFixture
) -> None:
    a = session("a")
    service.add_workspace("w", [a])

    def hide() -> None:
        service.fail(None, Fault(body=b'{"items": []}', times=None))

    director = Director(lambda: service.fail(None, Fault(status=500)), hide)

    with caplog.at_level(logging.WARNING, logger="aidp_sessions"):
        async with director.client(service) as client:
            rounds = await director.watch(client.sessions())

    assert rounds == [[appeared(a)], [], [vanished(a)]]
    assert len(caplog.records) == 1


async def test_a_first_round_that_cannot_list_the_workspaces_is_an_error(service: LocalService) -> None:
    service.fail(None, Fault(status=404))
    director = Director()

    async with director.client(service) as client:
        with pytest.raises(NotFoundError):
            await anext(client.sessions().watch())


async def test_on_error_raise_ends_the_watch_with_the_first_failure(service: LocalService) -> None:
    service.add_workspace("w", [session("a")])
    director = Director(lambda: service.fail("w", Fault(status=404)))

    async with director.client(service) as client:
        with pytest.raises(NotFoundError):
            async for change in client.sessions("w", on_error="raise").watch():
                director.rounds[-1].append(change)

    assert director.rounds == [[appeared(session("a"))], []]


async def test_watches_that_start_together_spread_over_time_and_then_keep_the_period(service: LocalService) -> None:
    """The first round begins within a second, the second after a random part of the period; here both are a half."""
    service.add_workspace("w")
    for every, head_start in ((timedelta(minutes=5), 0.5), (timedelta(seconds=0.4), 0.2)):
        director = Director(nothing, nothing)
        async with director.client(service) as client:
            await director.watch(client.sessions("w"), every)
        period = every.total_seconds()
        assert director.sleeps[0] == head_start
        assert 0 <= director.sleeps[1] <= period / 2
        assert all(0 <= pause <= period for pause in director.sleeps[2:])


async def test_wrong_arguments_of_a_watch_are_refused_at_once(service: LocalService) -> None:
    async with service.client() as client:
        for period in (timedelta(0), timedelta(seconds=-1)):
            with pytest.raises(ValueError, match="positive timedelta"):
                client.sessions("w").watch(period)
        with pytest.raises(ValueError, match="pass a list"):
            client.sessions(iter(["w"])).watch()

    assert service.request_count == 0


async def test_sessions_without_an_id_are_identified_by_their_path(service: LocalService) -> None:
    before, after = session(None, path="a.ipynb"), session(None, "busy", path="a.ipynb")
    service.add_workspace("w", [before])
    director = Director(lambda: service.set_sessions("w", [after]))

    async with director.client(service) as client:
        rounds = await director.watch(client.sessions("w"))

    assert rounds == [[appeared(before)], [changed(after, before)]]


worlds = st.dictionaries(
    st.sampled_from("uvw"), st.dictionaries(st.sampled_from("abc"), st.sampled_from(["idle", "busy"])), max_size=3
)


@given(worlds=st.lists(worlds, max_size=6))
def test_applying_the_changes_to_an_empty_set_gives_the_sessions_of_each_round(
    worlds: list[dict[str, dict[str, str]]],
) -> None:
    """All changes so far, applied in order, give exactly the sessions of the last round."""
    watch = Watch()
    held: dict[tuple[str | None, str | None], SessionSummary] = {}
    for world in worlds:
        expected = {
            (key, name): attrs.evolve(session(name, state), workspace_key=key)
            for key, sessions in world.items()
            for name, state in sessions.items()
        }
        watch.start_round(lambda _: True)
        changes: list[SessionChange] = []
        for key, sessions in world.items():
            items = tuple(expected[key, name] for name in sessions)
            changes += watch.update(key, SessionCollection(items=items))
        changes += watch.end_round(None)
        for change in changes:
            place = change.session.workspace_key, change.session.id
            assert held.get(place) == change.previous
            if change.kind == "vanished":
                del held[place]
            else:
                held[place] = change.session
        assert held == expected


def test_a_watch_over_changing_workspaces_keeps_nothing_of_those_that_are_gone() -> None:
    """Whether they had selected sessions, others, or none, or could not be reached, or both in turn."""
    watch = Watch()

    def idle(each: SessionSummary) -> bool:
        return each.kernel is not None and each.kernel.execution_state == "idle"

    for number in range(100):
        watch.start_round(idle)
        results: dict[str, SessionCollection | AidpError] = {
            f"selected{number}": SessionCollection(items=(session("a"),)),
            f"others{number}": SessionCollection(items=(session("a", "busy"),)),
            f"empty{number}": SessionCollection(items=()),
            f"failing{number}": NotFoundError("gone"),
            "stays": NotFoundError("gone") if number % 2 else SessionCollection(items=(session("a"),)),
        }
        for key, result in results.items():
            assert [change.kind for change in watch.update(key, result)] == (
                ["appeared"] if key.startswith("selected") or (key, number) == ("stays", 0) else []
            )
        gone = [change.kind for change in watch.end_round(None)]
        assert gone == ([] if number == 0 else ["vanished"])

    kept = {*watch.collections, *watch._selected, *(key for key in watch._failing if key is not None), *watch._seen}
    assert kept == {"stays", *(f"{kind}99" for kind in ("selected", "others", "empty", "failing"))}


def test_a_watch_keeps_what_it_knows_while_the_workspaces_cannot_be_listed() -> None:
    watch = Watch()
    watch.start_round(None)
    assert [change.kind for change in watch.update("w", SessionCollection(items=(session("a"),)))] == ["appeared"]
    assert list(watch.end_round(None)) == []
    watch.start_round(None)
    assert list(watch.end_round(NotFoundError("no list"))) == []
    watch.start_round(None)

    assert [change.kind for change in watch.end_round(None)] == ["vanished"]
    assert (watch.collections, watch._selected, watch._failing) == ({}, {}, set())
