"""A request for any operation is sent as given, and is repeated only where that is safe."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest

from aidp_sessions import (
    AidpError,
    CallStarted,
    Clock,
    ConnectionFailedError,
    Event,
    NotFoundError,
    RequestTimeoutError,
    ResponseDecodeError,
    RetryPolicy,
    ServiceError,
    SessionsClient,
    Timeout,
)
from aidp_sessions.testing import Fault, LocalService
from aidp_sessions.testing._service import identity as _identity

from ..transport.test_events import FAST, plain

if TYPE_CHECKING:
    from aidp_sessions.testing import LocalService

SESSIONS: Final = "workspaces/{workspaceKey}/notebook/api/sessions"
KEY: Final = {"workspaceKey": "a"}
WITH_BODY: Final = ("POST", "PUT", "PATCH")
METHODS: Final = ("DELETE", "GET", "HEAD", *WITH_BODY)
KNOWN_TOKEN: Final = {"opc-retry-token": "t"}


@pytest.fixture
def platform(service: LocalService) -> LocalService:
    """One workspace, ``a``; its collection of sessions answers every method."""
    service.add_workspace("a", [{"id": "1"}])
    for method in METHODS:
        service.answer(method, SESSIONS.format(workspaceKey="a"), status=201, json={"id": "new"})
    return service


def path_of(service: LocalService, rest: str) -> str:
    return f"/20260430/aiDataPlatforms/{service.platform_id}/{rest}"


async def test_method_path_query_headers_and_body_are_sent_and_the_answer_is_returned(platform: LocalService) -> None:
    async with platform.client() as client:
        response = await client.request(
            "POST",
            SESSIONS,
            KEY,
            query={"b c": "/é", "list": ["1", "2"], "none": None},
            json={"name": "é.ipynb"},
            headers={"If-Match": '"e"'},
            opc_request_id="id",
        )

    (request,) = platform.requests
    target = path_of(platform, "workspaces/a/notebook/api/sessions?b%20c=%2F%C3%A9&list=1&list=2")
    assert (request.method, request.target, request.body) == ("POST", target, '{"name":"é.ipynb"}'.encode())
    sent = {name: request.headers[name] for name in ("content-length", "content-type", "if-match", "opc-request-id")}
    assert list(sent.values()) == ["19", "application/json", '"e"', "id"]
    assert (response.status, response.body, response.json()) == (201, b'{"id":"new"}', {"id": "new"})
    assert response.headers["Opc-Request-Id"] == "id"


@pytest.mark.parametrize("path", [SESSIONS, "/20260430/aiDataPlatforms/{platform}/" + SESSIONS])
async def test_a_path_is_relative_to_the_platform_or_to_the_host(platform: LocalService, path: str) -> None:
    segments = {**KEY, "platform": platform.platform_id} if path.startswith("/") else KEY
    async with platform.client() as client:
        await client.request("GET", path, segments)

    assert platform.requests[0].target == path_of(platform, "workspaces/a/notebook/api/sessions")


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_every_success_status_is_returned(service: LocalService, status: int) -> None:
    service.answer("DELETE", "x", status=status)
    async with service.client() as client:
        assert (await client.request("DELETE", "x")).status == status


async def test_a_304_is_returned_only_for_a_conditional_request(platform: LocalService) -> None:
    platform.answer("GET", "x", status=304)
    async with platform.client() as client:
        assert (await client.request("GET", "x", headers={"if-none-match": '"e"'})).status == 304
        with pytest.raises(ServiceError, match="304"):
            await client.request("GET", "x")


async def test_errors_are_those_of_the_other_operations(platform: LocalService) -> None:
    async with platform.client() as client:
        with pytest.raises(NotFoundError) as caught:
            await client.request("GET", "workspaces/{workspaceKey}/gone", {"workspaceKey": "a"}, opc_request_id="id")

    error = caught.value
    assert (error.operation, error.workspace_key, error.code) == ("request", "a", "NotAuthorizedOrNotFound")
    assert error.request_ids == ("id",)
    assert error.body_excerpt.startswith('{"code":"NotAuthorizedOrNotFound"')


async def test_the_events_name_the_route_and_not_the_values(platform: LocalService) -> None:
    events: list[Event] = []
    async with platform.client(on_event=events.append) as client:
        await client.request("PUT", SESSIONS, KEY, body=b"x", opc_request_id="id")

    assert [plain(event) for event in events] == [
        ("CallStarted",),
        ("AttemptStarted", 1, "id"),
        ("AttemptEnded", 1, "id", 201, None),
        ("CallEnded", 1, None),
    ]
    call = events[0].call
    assert (call.operation, call.workspace_key, call.method) == ("request", "a", "PUT")
    assert call.route == f"/20260430/aiDataPlatforms/{{aiDataPlatformId}}/{SESSIONS}"


@pytest.mark.parametrize("size", [0, 1, 3 * 1024 * 1024])
async def test_a_body_of_any_size_is_sent_as_it_is(service: LocalService, size: int) -> None:
    service.answer("PUT", "x")
    async with service.client() as client:
        await client.request("PUT", "x", body=b"\xff" * size, headers={"content-type": "text/plain"})

    (request,) = service.requests
    assert (request.body == b"\xff" * size, request.headers["content-type"]) == (True, "text/plain")


async def test_a_binary_answer_is_returned_unchanged(service: LocalService) -> None:
    body = bytes(range(256)) * 5000
    service.answer("GET", "x", body=body, headers={"content-type": "application/octet-stream"})
    async with service.client() as client:
        assert (await client.request("GET", "x", headers={"accept": "*/*"})).body == body
        with pytest.raises(ResponseDecodeError, match="max_response_bytes"):
            await client.with_options(max_response_bytes=1000).request("GET", "x")


async def test_the_deadline_and_the_limit_on_requests_apply_to_requests(platform: LocalService) -> None:
    platform.fail("a", Fault(delay=60.0, times=None))
    async with platform.client(max_concurrency=1, timeout=Timeout(total=0.1)) as client:
        calls = (client.request("POST", SESSIONS, KEY), client.request("GET", SESSIONS, KEY))
        outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert [(type(error), getattr(error, "limit", "")) for error in outcomes] == [(RequestTimeoutError, "total")] * 2
    assert platform.peak_in_flight <= 1


async def test_a_stubbed_answer_replaces_the_service_s_own(platform: LocalService) -> None:
    platform.answer("GET", SESSIONS.format(workspaceKey="a"), json=[])
    events: list[Event] = []
    async with platform.client(on_event=events.append) as client:
        assert len(await client.list_sessions("a")) == 0
        with pytest.raises(ServiceError, match="404"):
            await client.request("POST", "unknown")

    assert sum(isinstance(event, CallStarted) for event in events) == 2


async def attempts_of(client: SessionsClient, method: str, headers: dict[str, str]) -> tuple[int, type | None]:
    try:
        await client.request(method, SESSIONS, KEY, headers=headers)
    except AidpError as error:
        return len(error.request_ids), type(error)
    return 0, None


MAYBE_DONE: Final = [Fault(cut="in_body"), Fault(cut="before_headers"), Fault(status=500), Fault(status=503)]
NOT_DONE: Final = [Fault(status=429), Fault(status=409, code="IncorrectState"), Fault(status=409, code="LockConflict")]


@pytest.mark.parametrize("method", [method for method in METHODS if method != "HEAD"])  # its answers have no code
@pytest.mark.parametrize("headers", [{}, KNOWN_TOKEN], ids=["plain", "retry token"])
@pytest.mark.parametrize("fault", [*MAYBE_DONE, *NOT_DONE], ids=lambda fault: fault.cut or fault.code or fault.status)
async def test_a_request_that_may_have_taken_effect_is_not_repeated(
    platform: LocalService, method: str, headers: dict[str, str], fault: Fault
) -> None:
    platform.fail("a", attrs.evolve(fault, times=2))
    async with platform.client(clock=FAST) as client:
        count, error = await attempts_of(client, method, headers)

    again = method not in ("POST", "PATCH") or headers or fault in NOT_DONE
    assert (count, error is None, platform.request_count) == ((0, True, 3) if again else (1, False, 1))
    assert {request.headers.get("opc-retry-token") for request in platform.requests} == {headers.get("opc-retry-token")}


async def test_a_post_is_not_repeated_after_a_read_timeout(platform: LocalService) -> None:
    platform.fail("a", Fault(delay=60.0))
    async with platform.client(clock=FAST, timeout=Timeout(read=0.05)) as client:
        assert await attempts_of(client, "POST", {}) == (1, RequestTimeoutError)


async def test_a_post_is_retried_if_no_connection_was_made() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        client = SessionsClient(
            "ocid1.aidataplatform.oc1.iad.a", signer=_identity.signer(), endpoint=endpoint, clock=FAST
        )
        async with client:
            assert await attempts_of(client, "POST", {}) == (RetryPolicy().attempts, ConnectionFailedError)


async def test_a_post_is_repeated_after_a_401_with_the_corrected_clock(platform: LocalService) -> None:
    async with platform.client(clock=Clock(time=lambda: time.time() + 3600.0)) as client:
        assert await attempts_of(client, "POST", {}) == (0, None)

    assert [request.status for request in platform.requests] == [401, 201]


BAD: Final[dict[str, tuple[type[Exception], str, dict[str, Any]]]] = {
    "an unknown method": (ValueError, "method='OPTIONS'", {"method": "OPTIONS"}),
    "a method in small letters": (ValueError, "in capitals", {"method": "get"}),
    "an injected method": (ValueError, "method", {"method": "GET / HTTP/1.1\r\nx: y"}),
    "no path": (ValueError, "empty segment", {"path": ""}),
    "the root": (ValueError, "empty segment", {"path": "/"}),
    "another host": (ValueError, "empty segment", {"path": "//evil.example/x"}),
    "a URL": (ValueError, "must be a path, not a URL", {"path": "https://evil.example/x"}),
    "a way up": (ValueError, "a segment of path", {"path": "x/../y"}),
    "a hidden way up": (ValueError, "a segment of path", {"path": "x/%2e%2E/y"}),
    "a dot": (ValueError, "a segment of path", {"path": "./y"}),
    "a query in the path": (ValueError, "parameters go into query", {"path": "x?y=z"}),
    "a fragment": (ValueError, "cannot be sent", {"path": "x#y"}),
    "a space": (ValueError, "other characters into segments", {"path": "x y"}),
    "a line break": (ValueError, "cannot be sent", {"path": "x\r\ny: z"}),
    "a hidden line break": (ValueError, "control characters", {"path": "x%0D%0A"}),
    "half an escape": (ValueError, "cannot be sent", {"path": "100%"}),
    "letters of other scripts": (ValueError, "cannot be sent", {"path": "é"}),
    "bytes for a path": (TypeError, "path must be a string", {"path": b"x"}),
    "a missing segment": (ValueError, "segments has no 'b'", {"path": "{b}"}),
    "half a name": (ValueError, "cannot be sent", {"path": "x{b}", "segments": {"b": "1"}}),
    "a segment too many": (ValueError, "has no {b}", {"segments": {"b": "1"}}),
    "a segment that leads up": (ValueError, "b='..'", {"path": "{b}", "segments": {"b": ".."}}),
    "a blank segment": (ValueError, "b=' '", {"path": "{b}", "segments": {"b": " "}}),
    "a number for a segment": (TypeError, "b must be a string", {"path": "{b}", "segments": {"b": 1}}),
    "a query as text": (TypeError, "query must be a mapping", {"query": "a=b"}),
    "a number in the query": (TypeError, "query parameter 'a'", {"query": {"a": 1}}),
    "numbers in the query": (TypeError, "a must be a string", {"query": {"a": [1]}}),
    "a number as a name": (TypeError, "the name of a query parameter", {"query": {1: "a"}}),
    "half a character": (ValueError, "lone surrogate", {"query": {"a": "\ud800"}}),
    "two bodies": (TypeError, "either json or body", {"method": "POST", "json": {}, "body": b""}),
    "text for a body": (TypeError, "body must be bytes, not str", {"method": "POST", "body": "x"}),
    "a body with GET": (ValueError, "GET has no body", {"body": b""}),
    "JSON with DELETE": (ValueError, "DELETE has no body", {"method": "DELETE", "json": {}}),
    "what JSON lacks": (ValueError, "JSON", {"method": "POST", "json": float("nan")}),
    "what is not JSON": (TypeError, "JSON", {"method": "POST", "json": object()}),
    "half a character in JSON": (ValueError, "surrogates", {"method": "POST", "json": "\ud800"}),
    "an injected header": (ValueError, "'x' must be a token", {"headers": {"x": "y\r\nz: canary"}}),
    "an injected name": (ValueError, "must be a token", {"headers": {"x: y\r\nz": "canary"}}),
    "a blank header": (ValueError, "'x' must be a token", {"headers": {"x": " "}}),
    "a header in other scripts": (ValueError, "'x' must be a token", {"headers": {"x": "canary é"}}),
    "a number for a header": (TypeError, "'x' must be a string", {"headers": {"x": 1}}),
    "a header twice": (ValueError, "given twice", {"headers": {"x": "1", "X": "2"}}),
    **{
        f"the header {name}": (ValueError, f"header '{name}' cannot be given", {"headers": {name: "canary"}})
        for name in (
            *("Authorization", "date", "x-date", "Host", "Content-Length", "x-content-sha256", "opc-obo-token"),
            *("Cookie", "Proxy-Authorization", "Transfer-Encoding", "Connection", "opc-request-id"),
        )
    },
    "a bad request id": (ValueError, "opc_request_id", {"opc_request_id": "a/b"}),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_input_is_refused_before_anything_is_sent(service: LocalService, case: str) -> None:
    kind, message, arguments = BAD[case]
    async with service.client() as client:
        with pytest.raises(kind) as caught:
            await client.request(**{"method": "GET", "path": "x", **arguments})

    assert message in str(caught.value)
    assert "canary" not in str(caught.value)
    assert service.request_count == 0


async def message_of(client: SessionsClient, method: str = "DELETE") -> str:
    with pytest.raises(NotFoundError) as caught:
        await client.request(method, SESSIONS, KEY)
    return caught.value.message


GONE: Final = Fault(status=404, times=None)
MAYBE_DELETED: Final = "; an earlier attempt, whose response was lost, may have deleted it"


@pytest.mark.parametrize("first", [*MAYBE_DONE, Fault(delay=60.0)], ids=lambda fault: fault.cut or fault.status)
async def test_a_404_after_a_deletion_whose_response_was_lost_says_that_it_may_have_worked(
    platform: LocalService, first: Fault
) -> None:
    platform.fail("a", first, GONE)
    async with platform.client(clock=FAST, timeout=Timeout(read=0.1)) as client:
        message = await message_of(client)

    assert message.endswith(MAYBE_DELETED)
    assert len(platform.requests) == 2


@pytest.mark.parametrize("faults", [[], *([fault] for fault in NOT_DONE)], ids=["first", "429", "state", "lock"])
async def test_any_other_404_of_a_deletion_does_not_say_so(platform: LocalService, faults: list[Fault]) -> None:
    """At the first attempt, or after attempts that cannot have deleted anything."""
    platform.fail("a", *faults, GONE)
    async with platform.client(clock=FAST) as client:
        assert MAYBE_DELETED not in await message_of(client)


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_404_of_another_method_does_not_say_so(platform: LocalService, method: str) -> None:
    platform.fail("a", Fault(status=503), GONE)
    async with platform.client(clock=FAST) as client:
        assert MAYBE_DELETED not in await message_of(client, method)
