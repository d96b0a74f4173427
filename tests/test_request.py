"""A request for any operation: signed and sent to the byte, retried only where that is safe, refused if ill-formed."""

from __future__ import annotations

import asyncio
import hashlib
import pickle
import socket
import time
from base64 import b64encode
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import attrs
import oci
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oci._vendor import requests

from aidp_sessions import (
    AidpError,
    CallStarted,
    Clock,
    ConnectionFailedError,
    Event,
    InternalServerError,
    NotFoundError,
    RequestTimeoutError,
    Response,
    ResponseDecodeError,
    RetryPolicy,
    ServiceError,
    SessionsClient,
    SigningRequest,
    Timeout,
    from_oci_signer,
)
from aidp_sessions.auth.signing import signed_headers
from aidp_sessions.testing import Fault, LocalService, _identity
from aidp_sessions.testing._verify import SIGNED_WITH_BODY, why_refused

from .test_events import FAST, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

SESSIONS: Final = "workspaces/{workspaceKey}/notebook/api/sessions"
KEY: Final = {"workspaceKey": "a"}
WITH_BODY: Final = ("POST", "PUT", "PATCH")
METHODS: Final = ("DELETE", "GET", "HEAD", *WITH_BODY)
KNOWN_TOKEN: Final = {"opc-retry-token": "t"}


@pytest.fixture
def platform(service: LocalService) -> LocalService:
    """One workspace, ``a``, at whose sessions every method is answered."""
    service.add_workspace("a", [{"id": "1"}])
    for method in METHODS:
        service.answer(method, SESSIONS.format(workspaceKey="a"), status=201, json={"id": "new"})
    return service


def path_of(service: LocalService, rest: str) -> str:
    return f"/20260430/aiDataPlatforms/{service.platform_id}/{rest}"


async def test_what_is_sent_and_what_comes_back(platform: LocalService) -> None:
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
async def test_a_path_counts_from_the_platform_or_from_the_host(platform: LocalService, path: str) -> None:
    segments = {**KEY, "platform": platform.platform_id} if path.startswith("/") else KEY
    async with platform.client() as client:
        await client.request("GET", path, segments)

    assert platform.requests[0].target == path_of(platform, "workspaces/a/notebook/api/sessions")


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_every_success_is_an_answer(service: LocalService, status: int) -> None:
    service.answer("DELETE", "x", status=status)
    async with service.client() as client:
        assert (await client.request("DELETE", "x")).status == status


async def test_an_unchanged_resource_is_an_answer_to_a_condition_only(platform: LocalService) -> None:
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


async def test_a_binary_answer_comes_whole(service: LocalService) -> None:
    body = bytes(range(256)) * 5000
    service.answer("GET", "x", body=body, headers={"content-type": "application/octet-stream"})
    async with service.client() as client:
        assert (await client.request("GET", "x", headers={"accept": "*/*"})).body == body
        with pytest.raises(ResponseDecodeError, match="max_response_bytes"):
            await client.with_options(max_response_bytes=1000).request("GET", "x")


async def test_the_deadline_and_the_limit_on_requests_hold_here_too(platform: LocalService) -> None:
    platform.fail("a", Fault(delay=60.0))
    async with platform.client(max_concurrency=1, timeout=Timeout(total=0.1)) as client:
        calls = (client.request("POST", SESSIONS, KEY), client.request("GET", SESSIONS, KEY))
        outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert [(type(error), getattr(error, "limit", "")) for error in outcomes] == [(RequestTimeoutError, "total")] * 2
    assert platform.peak_in_flight <= 1


# What is sent again


async def attempts_of(client: SessionsClient, method: str, headers: dict[str, str]) -> tuple[int, type | None]:
    try:
        await client.request(method, SESSIONS, KEY, headers=headers)
    except AidpError as error:
        return len(error.request_ids), type(error)
    return 0, None


MAYBE_DONE: Final = [Fault(cut="in_body"), Fault(cut="before_headers"), Fault(status=500), Fault(status=503)]
NOT_DONE: Final = [Fault(status=429), Fault(status=409, code="IncorrectState"), Fault(status=409, code="LockConflict")]


@pytest.mark.parametrize("method", [method for method in METHODS if method != "HEAD"])  # its answers hold no code
@pytest.mark.parametrize("headers", [{}, KNOWN_TOKEN], ids=["plain", "retry token"])
@pytest.mark.parametrize("fault", [*MAYBE_DONE, *NOT_DONE], ids=lambda fault: fault.cut or fault.code or fault.status)
async def test_what_may_have_been_done_is_not_done_again(
    platform: LocalService, method: str, headers: dict[str, str], fault: Fault
) -> None:
    platform.fail("a", attrs.evolve(fault, times=2))
    async with platform.client(clock=FAST) as client:
        count, error = await attempts_of(client, method, headers)

    again = method not in ("POST", "PATCH") or headers or fault in NOT_DONE
    assert (count, error is None, platform.request_count) == ((0, True, 3) if again else (1, False, 1))
    assert {request.headers.get("opc-retry-token") for request in platform.requests} == {headers.get("opc-retry-token")}


async def test_a_read_timeout_leaves_a_post_undecided(platform: LocalService) -> None:
    platform.fail("a", Fault(delay=60.0))
    async with platform.client(clock=FAST, timeout=Timeout(read=0.05)) as client:
        assert await attempts_of(client, "POST", {}) == (1, RequestTimeoutError)


async def test_without_a_connection_nothing_was_sent_so_all_is_tried_again() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        client = SessionsClient(
            "ocid1.aidataplatform.oc1.iad.a", signer=_identity.signer(), endpoint=endpoint, clock=FAST
        )
        async with client:
            assert await attempts_of(client, "POST", {}) == (RetryPolicy().attempts, ConnectionFailedError)


async def test_a_refused_signature_did_nothing_so_the_clock_is_corrected(platform: LocalService) -> None:
    async with platform.client(clock=Clock(time=lambda: time.time() + 3600.0)) as client:
        assert await attempts_of(client, "POST", {}) == (0, None)

    assert [request.status for request in platform.requests] == [401, 201]


# What is refused


BAD: Final[dict[str, tuple[type[Exception], str, dict[str, Any]]]] = {
    "an unknown method": (ValueError, "method='OPTIONS'", {"method": "OPTIONS"}),
    "a method in small letters": (ValueError, "in capitals", {"method": "get"}),
    "an injected method": (ValueError, "method", {"method": "GET / HTTP/1.1\r\nx: y"}),
    "no path": (ValueError, "empty segment", {"path": ""}),
    "the root": (ValueError, "empty segment", {"path": "/"}),
    "another host": (ValueError, "empty segment", {"path": "//evil.example/x"}),
    "a URL": (ValueError, "empty segment", {"path": "https://evil.example/x"}),
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


# Signatures


@attrs.define
class Place:
    """A service on a loop of its own, and a user of the official SDK whom it knows."""

    runner: asyncio.Runner
    service: LocalService
    sdk: oci.signer.Signer

    def ask(self, client: SessionsClient, *arguments: Any, **options: Any) -> Response:
        async def once() -> Response:
            async with client:
                return await client.request(*arguments, **options)

        return self.runner.run(once())


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with asyncio.Runner() as runner:
        service = LocalService()
        runner.run(service.start())
        config = service.oci_config()
        names = ("tenancy", "user", "fingerprint")
        sdk = oci.signer.Signer(
            *(config[name] for name in names), private_key_file_location=None, private_key_content=config["key_content"]
        )
        yield Place(runner, service, sdk)
        runner.run(service.aclose())


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(
    lambda text: text.strip() and text not in (".", "..")
)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(METHODS), texts, st.dictionaries(texts, texts, max_size=2), st.binary(max_size=100))
@pytest.mark.parametrize("ours", [True, False], ids=["our signer", "the SDK's signer"])
def test_whatever_is_sent_is_what_was_signed(  # noqa: PLR0917  # generated
    ours: bool, place: Place, method: str, segment: str, query: dict[str, str], body: bytes
) -> None:
    """The service verifies what it received, and admits it only if line, headers and body are those signed."""
    service = place.service
    service.answer(method, f"x/{quote(segment, safe='')}")
    signer = service.signer if ours else from_oci_signer(place.sdk)
    client = SessionsClient(service.platform_id, signer=signer, endpoint=service.url)
    options: dict[str, Any] = {"body": body} if method in WITH_BODY else {}

    assert place.ask(client, method, "x/{segment}", {"segment": segment}, query=query, **options).status == 200
    assert service.requests[-1].body == (body if method in WITH_BODY else b"")


@pytest.mark.parametrize("method", METHODS)
def test_the_service_admits_what_the_official_sdk_signs(place: Place, method: str) -> None:
    place.service.answer(method, "/x")
    options: dict[str, Any] = {"data": b'{"a": 1}', "headers": {"content-type": "application/json"}}

    async def ask() -> Any:
        url = f"{place.service.url}/x?y=z"
        extra = options if method in WITH_BODY else {}
        return await asyncio.to_thread(requests.request, method, url, auth=place.sdk, **extra)

    assert place.runner.run(ask()).status_code == 200


NOW: Final = 1_790_000_000.0
SIGNED: Final = SigningRequest("POST", "h", "/x", formatdate(NOW, usegmt=True), b"{}")


def why(body: bytes, *, method: str = "POST") -> str | None:
    headers = signed_headers(attrs.evolve(SIGNED, method=method), _identity.private_key(), "me")
    keys = {"me": _identity.private_key()}
    signed = SIGNED_WITH_BODY if method == "POST" else SIGNED_WITH_BODY[:2]
    return why_refused(method, "/x", headers, keys, NOW, signed=signed, body=body)


def test_the_service_refuses_a_body_that_was_not_signed() -> None:
    assert why(b"{}") is None
    assert why(b"{ }") == "The body is not the one whose hash was signed."
    assert why(b"{}", method="GET") == "The body is not the one whose hash was signed."


def test_the_service_wants_a_body_signed() -> None:
    headers = signed_headers(attrs.evolve(SIGNED, method="GET"), _identity.private_key(), "me")
    digest = b64encode(hashlib.sha256(b"{}").digest()).decode()
    keys = {"me": _identity.private_key()}

    problem = why_refused(
        "POST", "/x", {**headers, "x-content-sha256": digest}, keys, NOW, signed=SIGNED_WITH_BODY, body=b"{}"
    )

    assert problem == "The signature does not cover content-length."


# Answers as they came


async def test_a_listing_keeps_its_answers_if_told_to() -> None:
    async with LocalService(session_page_size=1) as service:
        service.add_workspace("a", [{"id": "1"}, {"id": "2"}])
        service.fail("a", Fault(status=503))
        async with service.client(clock=FAST) as client:
            kept = await client.list_sessions("a", keep_responses=True, opc_request_id="id")
            plain_ = await client.list_sessions("a", opc_request_id="id")

    assert [(response.status, response.json()) for response in kept.responses] == [
        (200, {"items": [{"id": "1"}]}),
        (200, {"items": [{"id": "2"}]}),
    ]
    assert [response.headers.get("opc-next-page") is None for response in kept.responses] == [False, True]
    assert plain_.responses == ()
    assert plain_.items == kept.items
    assert attrs.evolve(kept, opc_request_id=None) == attrs.evolve(plain_, opc_request_id=None)
    assert "Response" not in repr(kept)


async def test_a_large_answer_is_kept_whole(service: LocalService) -> None:
    sessions = [{"id": str(number), "name": "n" * 1000} for number in range(1500)]
    service.add_workspace("a", sessions)
    async with service.client() as client:
        kept = await client.list_sessions("a", keep_responses=True)

    assert kept.responses[0].json() == {"items": sessions}
    assert [session.id for session in kept] == [session["id"] for session in sessions]


@pytest.mark.parametrize(
    ("body", "excerpt"),
    [
        (b"<html>" + b"x" * 5000, "<html>" + "x" * 1018),
        (b'Signature keyId="a",signature="c2Vj" \xff', "[redacted] \ufffd"),
    ],
)
async def test_an_error_holds_the_beginning_of_the_body(service: LocalService, body: bytes, excerpt: str) -> None:
    service.add_workspace("a")
    service.fail("a", Fault(status=500, body=body))
    async with service.client(retry=RetryPolicy.none()) as client:
        with pytest.raises(InternalServerError) as caught:
            await client.list_sessions("a")

    assert caught.value.body_excerpt == excerpt
    assert pickle.loads(pickle.dumps(caught.value)).body_excerpt == excerpt  # noqa: S301  # our own


async def test_an_undecodable_answer_is_in_its_error(service: LocalService) -> None:
    service.add_workspace("a")
    service.fail("a", Fault(body=b"[1]"))
    async with service.client() as client:
        with pytest.raises(ResponseDecodeError) as caught:
            await client.list_sessions("a")

    assert caught.value.body_excerpt == "[1]"


class TestResponse:
    RESPONSE: Final = Response(status=200, headers={"ETag": "canary"}, body=b'"canary"')

    def test_headers_are_looked_up_regardless_of_case(self) -> None:
        headers = self.RESPONSE.headers

        assert (headers["etag"], headers["ETAG"], "eTag" in headers, "x" in headers) == (
            "canary",
            "canary",
            True,
            False,
        )
        assert (list(headers), len(headers), headers.get("x", "-")) == (["etag"], 1, "-")

    def test_nothing_of_it_can_be_changed(self) -> None:
        with pytest.raises(TypeError):
            self.RESPONSE.headers["etag"] = "x"  # type: ignore[index]  # on purpose
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            self.RESPONSE.status = 1  # type: ignore[misc]  # on purpose

    def test_it_shows_neither_values_nor_body(self) -> None:
        assert repr(self.RESPONSE) == "Response(status=200, headers=<headers etag>)"

    def test_it_pickles_and_compares(self) -> None:
        copy = pickle.loads(pickle.dumps(self.RESPONSE))  # noqa: S301  # our own

        assert copy == self.RESPONSE
        assert hash(copy) == hash(self.RESPONSE)

    @pytest.mark.parametrize("body", [b"", b"{", b"NaN", b"\xff", b"[" * 100_000])
    def test_what_is_not_json_is_an_error_that_does_not_quote_it(self, body: bytes) -> None:
        with pytest.raises(ResponseDecodeError, match=rf"the body, {len(body)} bytes, is not JSON") as caught:
            attrs.evolve(self.RESPONSE, body=body).json()

        assert (caught.value.status, caught.value.headers) == (200, {"etag": "canary"})

    async def test_credentials_in_an_answer_are_left_out(self, service: LocalService) -> None:
        headers = {"Set-Cookie": "canary", "X-Echo": 'Signature keyId="k",signature="canary"', "X-Plain": "1"}
        service.answer("GET", "x", headers=headers)
        async with service.client() as client:
            response = await client.request("GET", "x")

        assert [response.headers.get(name) for name in headers] == [None, "[redacted]", "1"]


async def test_an_answer_replaces_what_the_service_knows(platform: LocalService) -> None:
    platform.answer("GET", SESSIONS.format(workspaceKey="a"), json=[])
    events: list[Event] = []
    async with platform.client(on_event=events.append) as client:
        assert len(await client.list_sessions("a")) == 0
        with pytest.raises(ServiceError, match="405"):
            await client.request("POST", "unknown")

    assert sum(isinstance(event, CallStarted) for event in events) == 2
