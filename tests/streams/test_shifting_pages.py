"""Pages that shift while they are read, break, or never end: each session once, none lost, and an end to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from aidp_sessions import AidpError, FanOutError, ResponseDecodeError, RetryPolicy, SessionsClient
from aidp_sessions._operations import listings
from aidp_sessions._operations.messages import THRESHOLD

from ..helpers.raw_server import RawServer, Step, answer, reset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

PATIENT: Final = RetryPolicy(base=0.001, cap=0.001)
MANY: Final = THRESHOLD * 3 // 2 // 400


def session(name: object) -> dict[str, object]:
    return {"id": f"{name}", "path": "x" * 400}


def page(*names: object, last: bool = False, token: str = "t") -> bytes:  # noqa: S107  # of a page
    headers: dict[str, Any] = {} if last else {"opc_next_page": token}
    return answer(json.dumps({"items": [session(name) for name in names]}).encode(), **headers)


def paths(*names: str, last: bool = False) -> bytes:
    headers: dict[str, Any] = {} if last else {"opc_next_page": "t"}
    return answer(json.dumps({"items": [{"path": name} for name in names]}).encode(), **headers)


async def list_all(client: SessionsClient) -> list[Any]:
    return list(await client.list_sessions("w"))


async def list_with_responses(client: SessionsClient) -> list[Any]:
    return list(await client.list_sessions("w", keep_responses=True))


async def stream(client: SessionsClient) -> list[Any]:
    return [each async for each in client.sessions("w", on_error="raise")]


async def in_an_outcome(client: SessionsClient) -> list[Any]:
    (outcome,) = [each async for each in client.sessions("w", on_error="raise").by_workspace()]
    return list(outcome.sessions)


EMPTY_PAGES: Final = [answer(b'{"items": []}', opc_next_page=f"t{number}") for number in range(20)]
WAYS: Final = [list_all, list_with_responses, stream, in_an_outcome]
FIRST: Final = [f"{number:06d}" for number in range(MANY)]
SECOND: Final = [f"{number:06d}" for number in range(MANY - 1, 2 * MANY)]


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        ([page("a", "b"), page("b", "c", last=True)], ["a", "b", "c"]),
        ([page("a", "b"), page("b", token="u"), page("a", "c", last=True)], ["a", "b", "c"]),
        ([page("a", "a"), page("b", last=True)], ["a", "b"]),
        ([page("a"), page(*FIRST, "a", last=True)], ["a", *FIRST]),
        ([page(*FIRST), page(*SECOND, last=True)], [*FIRST, *SECOND[1:]]),
        ([page(*FIRST), page(FIRST[0], "z", last=True)], [*FIRST, "z"]),
        ([page(*FIRST), page(*FIRST, last=True)], FIRST),
    ],
    ids=["two small", "three small", "one page", "small and large", "two large", "large and small", "the same"],
)
@pytest.mark.parametrize("ask", WAYS)
async def test_a_session_that_comes_on_two_pages_is_given_once(
    ask: Callable[[SessionsClient], Awaitable[list[Any]]], pages: list[bytes], expected: list[str]
) -> None:
    async with RawServer(*pages) as server, server.client() as client:
        found = await ask(client)

    assert [each.id for each in found] == expected


@pytest.mark.parametrize("ask", WAYS)
async def test_sessions_without_an_id_are_all_kept(ask: Callable[[SessionsClient], Awaitable[list[Any]]]) -> None:
    """Nothing tells them apart."""
    large = ["x" * 400] * MANY
    for pages, expected in (
        ([paths("p", "p"), paths("p", "q", last=True)], ["p", "p", "p", "q"]),
        ([paths("p"), paths(*large, last=True)], ["p", *large]),
    ):
        async with RawServer(*pages) as server, server.client() as client:
            found = await ask(client)
        assert [each.path for each in found] == expected


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([page("a"), reset(page("b", "c", last=True)[:-40]), page("b", "c", last=True)], ["a", "b", "c"]),
        ([page("a"), answer(b"{}", 503), page("a", "b", last=True)], ["a", "b"]),
        ([page("a"), reset(page(*FIRST, last=True)[:-40]), page(*FIRST, last=True)], ["a", *FIRST]),
    ],
    ids=["small", "status", "large"],
)
@pytest.mark.parametrize("ask", [list_all, in_an_outcome])
async def test_a_page_that_is_asked_for_again_loses_none_of_its_sessions(
    ask: Callable[[SessionsClient], Awaitable[list[Any]]], steps: Sequence[Step | bytes], expected: list[str]
) -> None:
    """Those that the broken attempt has shown do not count as seen."""
    async with RawServer(*steps) as server, server.client(retry=PATIENT) as client:
        found = await ask(client)

    assert [each.id for each in found] == expected
    assert len(server.received) == 3


async def filtered(server: RawServer, *kept: str) -> list[str | None]:
    async with server.client(retry=PATIENT) as client:
        return [each.id async for each in client.sessions("w", on_error="raise").where(lambda each: each.id in kept)]


async def test_a_large_answer_of_which_nothing_was_kept_is_asked_for_again_when_it_breaks() -> None:
    whole = page(*FIRST, "z", last=True)
    async with RawServer(reset(whole[:-300]), reset(whole[:-600]), whole) as server:
        assert await filtered(server, "z") == ["z"]

    assert len(server.received) == 3


async def test_once_something_was_kept_a_large_answer_is_not_asked_for_again() -> None:
    """The error says how much of it was yielded."""
    whole = page(*FIRST, "z", last=True)
    async with RawServer(reset(whole[:-300]), whole) as server:
        with pytest.raises(AidpError) as caught:
            await filtered(server, FIRST[0], "z")

    assert caught.value.delivered == 1
    assert len(server.received) == 1


async def test_what_was_kept_of_a_page_before_does_not_keep_a_large_one_from_being_asked_for_again() -> None:
    """Not even if the page before was too small to be passed on before the large one came."""
    whole = page(*FIRST, "z", last=True)
    async with RawServer(page("a"), reset(whole[:-300]), whole) as server:
        assert await filtered(server, "a", "z") == ["a", "z"]

    assert len(server.received) == 3


@pytest.mark.parametrize("ask", WAYS)
async def test_a_pager_that_never_ends_is_an_error(
    monkeypatch: pytest.MonkeyPatch, ask: Callable[[SessionsClient], Awaitable[list[Any]]]
) -> None:
    """Each page names another token, so no token is repeated."""
    monkeypatch.setattr(listings, "MAX_PAGES", 5)
    async with RawServer(*(page(number, token=f"t{number}") for number in range(20))) as server:
        async with server.client() as client:
            with pytest.raises(ResponseDecodeError, match="more than 5 pages"):
                await ask(client)

    assert len(server.received) == 6


def listed(*keys: str, last: bool = True) -> bytes:
    """A page of workspaces, which is one of clusters too."""
    common = {"type": "USER", "lifecycleState": "ACTIVE", "state": "ACTIVE", "timeCreated": "2026-01-01T00:00:00Z"}
    items = [{**common, "key": key, "displayName": key, "isPrivateNetworkEnabled": False} for key in keys]
    headers: dict[str, Any] = {} if last else {"opc_next_page": "t"}
    return answer(json.dumps({"items": items}).encode(), **headers)


@pytest.mark.parametrize(
    "find",
    [lambda client: client.workspaces(is_private_network_enabled=False), lambda client: client.clusters("w")],
    ids=["workspaces", "clusters"],
)
async def test_a_workspace_or_cluster_that_comes_on_two_pages_is_given_once(
    find: Callable[[SessionsClient], AsyncIterator[Any]],
) -> None:
    async with RawServer(listed("a", "b", last=False), listed("b", "c")) as server, server.client() as client:
        assert [each.key async for each in find(client)] == ["a", "b", "c"]


async def test_a_workspace_that_is_listed_as_public_and_as_private_is_given_once() -> None:
    async with RawServer(listed("a", "b"), listed("b", "c")) as server, server.client() as client:
        assert [each.key async for each in client.workspaces()] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "find",
    [lambda client: client.workspaces(), lambda client: client.clusters("w")],
    ids=["workspaces", "clusters"],
)
async def test_a_pager_of_workspaces_or_clusters_that_never_ends_is_an_error(
    monkeypatch: pytest.MonkeyPatch, find: Callable[[SessionsClient], AsyncIterator[object]]
) -> None:
    monkeypatch.setattr(listings, "MAX_PAGES", 5)
    async with RawServer(*EMPTY_PAGES) as server, server.client() as client:
        with pytest.raises(ResponseDecodeError, match="more than 5 pages"):
            _ = [each async for each in find(client)]

    assert len(server.received) == 6


async def test_a_stream_over_workspaces_whose_pages_never_end_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "MAX_PAGES", 5)
    async with RawServer(*EMPTY_PAGES) as server, server.client() as client:
        with pytest.raises(FanOutError) as caught:
            await client.sessions().collect()

    assert ["more than 5 pages" in str(error) for error in caught.value.exceptions] == [True]
    assert len(server.received) == 6


async def test_as_many_pages_as_allowed_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "MAX_PAGES", 5)
    steps = [page(number, token=f"t{number}", last=number == 5) for number in range(6)]
    async with RawServer(*steps) as server, server.client() as client:
        found = await list_all(client)

    assert [each.id for each in found] == ["0", "1", "2", "3", "4", "5"]
