"""The local service behaves as the documentation of the real one says, over real connections."""

from __future__ import annotations

import asyncio
import gc
import json
import math
import re
import socket
from base64 import b64encode
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from email.utils import formatdate, parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import aiohttp
import attrs
import pytest
import yarl
from hypothesis import example, given
from hypothesis import strategies as st

from aidp_sessions import SessionsClient
from aidp_sessions.auth.keys import PrivateKey
from aidp_sessions.auth.signing import SigningRequest, signed_headers
from aidp_sessions.models import ExecutionState, KernelSummary, SessionSummary
from aidp_sessions.testing import Fault, LocalService, make_workspace, populate_demo
from aidp_sessions.testing._service.listing import filtered_and_sorted, one_page
from aidp_sessions.testing._service.responses import HttpError
from aidp_sessions.testing._service.routes import Route, parse
from aidp_sessions.testing._service.verify import why_refused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ..helpers.jupyter import JupyterProcess

NOW = 1_790_000_000.0
KEY = PrivateKey.generate()
SESSIONS: list[Mapping[str, object]] = [
    {"id": "s1", "path": "a.ipynb", "cluster_id": "c1", "agentFlowKey": "f1", "unknown": {"kept": [1, None]}},
    {"id": "s2", "path": "a.ipynb", "cluster_id": "c2"},
    {"id": "s3", "path": "b c/ü+.ipynb", "cluster_id": "c1", "kernel": None},
]


@attrs.frozen
class Reply:
    """A response as received; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:  # JSON may be anything
        return json.loads(self.body)

    def ids(self) -> list[str]:
        return [item["id"] for item in self.json()["items"]]


async def ask(
    service: LocalService,
    target: str,
    *,
    method: str = "GET",
    date: float | None = None,
    signed: bool = True,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Send one signed request on a connection of its own, exactly as given."""
    url = yarl.URL(service.url + target, encoded=True)
    request = SigningRequest(method, f"{url.host}:{url.port}", target, formatdate(date, usegmt=True))
    given = {**(await service.signer.sign(request) if signed else {}), **(headers or {})}
    async with aiohttp.ClientSession() as http, http.request(method, url, headers=given) as response:
        body = await response.read()
        return Reply(response.status, {name.lower(): value for name, value in response.headers.items()}, body)


def workspaces_of(service: LocalService, **query: str) -> str:
    return f"/20260430/aiDataPlatforms/{service.platform_id}/workspaces{_query(query)}"


def sessions_of(service: LocalService, key: str, **query: str) -> str:
    return f"{workspaces_of(service)}/{quote(key, safe='')}/notebook/api/sessions{_query(query)}"


def _query(query: Mapping[str, str]) -> str:
    return f"?{urlencode(query)}" if query else ""


async def pages_of(service: LocalService, target: str) -> list[list[dict[str, Any]]]:
    """Follow ``opc-next-page`` from *target* to the end."""
    pages: list[list[dict[str, Any]]] = []
    token: str | None = ""
    while token is not None:
        separator = "&" if "?" in target else "?"
        reply = await ask(service, target + (f"{separator}page={quote(token, safe='')}" if token else ""))
        pages.append(reply.json()["items"])
        token = reply.headers.get("opc-next-page")
    return pages


@given(st.text(min_size=1), st.text(), st.text(), st.dictionaries(st.text(min_size=1), st.text()))
def test_a_target_is_parsed_whatever_its_keys_contain(
    platform_id: str, key: str, session_id: str, query: dict[str, str]
) -> None:
    """Escaped slashes, dots and other characters are part of their segment."""
    workspace = f"/20260430/aiDataPlatforms/{quote(platform_id, safe='')}/workspaces/{quote(key, safe='')}"
    path = f"{workspace}/notebook/api/sessions/{quote(session_id, safe='')}"

    route = parse("GET", path + _query(query))

    assert route == Route(
        path=path,
        platform_id=platform_id,
        workspace_key=key,
        session_id=session_id,
        operation="get_session",
        query=query,
    )


@given(target=st.text())
def test_no_target_breaks_the_parser(target: str) -> None:
    """No arbitrary text is the path of an operation."""
    assert parse("GET", target) == Route(path=target.partition("?")[0])


def _signed(**changes: str) -> dict[str, str]:
    request = SigningRequest("GET", "localhost", "/x?y=%2F", formatdate(NOW, usegmt=True))
    return {**signed_headers(request, KEY, "me"), **changes}


def _with_parameter(name: str, value: str) -> dict[str, str]:
    """The signed headers with one parameter of ``authorization`` replaced."""
    signed = _signed()
    head, _, rest = signed["authorization"].partition(f'{name}="')
    return {**signed, "authorization": f'{head}{name}="{value}"{rest.partition(chr(34))[2]}'}


def _signed_by_hand(names: str, lines: str, **headers: str) -> dict[str, str]:
    signature = b64encode(KEY.sign(lines.encode())).decode()
    parameters = f'version="1",headers="{names}",keyId="me",algorithm="rsa-sha256",signature="{signature}"'
    return {"host": "localhost", "authorization": f"Signature {parameters}", **headers}


def _why(headers: Mapping[str, str], *, target: str = "/x?y=%2F", now: float = NOW) -> str | None:
    return why_refused("GET", target, headers, {"me": KEY}, now)


@given(st.dictionaries(st.sampled_from(["limit", "page", "sortBy", "sortOrder", "path"]), st.text()))
def test_no_query_breaks_a_listing(query: dict[str, str]) -> None:
    with suppress(HttpError):
        filtered_and_sorted(SESSIONS, query, "state")
    with suppress(HttpError):
        assert one_page(SESSIONS, query, 1)[0] in (SESSIONS[:1], SESSIONS[:1000], [])


@given(name=st.sampled_from(["authorization", "date", "x-date", "host"]), value=st.text())
@example(name="date", value="Thu, 01 Jan 99999999999999999999 00:00:00 GMT")
@example(name="x-date", value="")
def test_no_header_breaks_the_verification_of_a_signature(name: str, value: str) -> None:
    assert _why(_signed(**{name: value})) is not None


@pytest.mark.parametrize("skew", [-300, 0, 300])
def test_a_signed_request_within_five_minutes_is_accepted(skew: int) -> None:
    """Exactly five minutes are accepted."""
    assert _why(_signed(), now=NOW + skew) is None


def test_headers_are_signed_in_any_order_and_x_date_replaces_date() -> None:
    """Both are documented in "Request Signatures"; a stale ``date`` is ignored if there is an ``x-date``."""
    date = formatdate(NOW, usegmt=True)
    lines = f"host: localhost\nx-date: {date}\n(request-target): get /x?y=%2F"
    headers = _signed_by_hand("host x-date (request-target)", lines, **{"x-date": date, "date": formatdate(0)})

    assert _why(headers) is None


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "The Authorization header is missing, or its scheme is not Signature."),
        (_signed(authorization="Bearer x"), "The Authorization header is missing, or its scheme is not Signature."),
        (_with_parameter("algorithm", "hmac"), "The signature must have algorithm rsa-sha256 and version 1."),
        (_with_parameter("version", "2"), "The signature must have algorithm rsa-sha256 and version 1."),
        (_with_parameter("headers", "(request-target) host"), "The signature does not cover date."),
        (_with_parameter("headers", "date host"), "The signature does not cover (request-target)."),
        (_with_parameter("headers", "date (request-target)"), "The signature does not cover host."),
        (_signed(**{"x-date": formatdate(NOW)}), "The signature does not cover x-date."),
        (
            _with_parameter("headers", "date (request-target) host opc-obo-token"),
            "The signature covers opc-obo-token, which was not sent.",
        ),
        (_with_parameter("keyId", "you"), "The service does not know the keyId."),
        (_signed(date="yesterday"), "The date 'yesterday' is not in the form of RFC 1123."),
    ],
)
def test_a_401_names_what_is_missing_from_the_signature(headers: Mapping[str, str], reason: str) -> None:
    """The message says which rule was broken."""
    assert _why(headers) == reason


@pytest.mark.parametrize(("skew", "shown"), [(301, "-301"), (-301, "+301")])
def test_a_date_more_than_five_minutes_off_is_refused(skew: int, shown: str) -> None:
    """The sign says whether the client's clock is ahead (+) or behind (-)."""
    assert _why(_signed(), now=NOW + skew) == f"The date is {shown} s off the service's clock; 300 s are allowed."


@pytest.mark.parametrize(
    ("headers", "target"),
    [
        (_signed(), "/x?y=/"),
        (_signed(host="localhost:80"), "/x?y=%2F"),
        (_signed(date=formatdate(NOW + 1, usegmt=True)), "/x?y=%2F"),
        (_with_parameter("signature", "bm90IGEgc2lnbmF0dXJl"), "/x?y=%2F"),
        (_with_parameter("signature", "*"), "/x?y=%2F"),
    ],
)
def test_a_signature_is_valid_only_for_the_bytes_that_were_signed(headers: Mapping[str, str], target: str) -> None:
    """Another escape, host or date than the one signed is a mismatch."""
    mismatch = "The signature does not match the request line and headers as they were received."

    assert _why(headers, target=target) == mismatch


async def test_an_unsigned_request_is_answered_401_in_the_shape_of_the_service(service: LocalService) -> None:
    """With code, message, a request id and the service's time."""
    reply = await ask(service, workspaces_of(service), signed=False)

    message = "The Authorization header is missing, or its scheme is not Signature."
    assert (reply.status, reply.json()) == (401, {"code": "NotAuthenticated", "message": message})
    assert re.fullmatch("[0-9A-F]{32}", reply.headers["opc-request-id"])
    assert reply.headers["content-type"] == "application/json"


async def test_the_service_uses_its_given_clock() -> None:
    """For its ``Date`` header and for the age of signatures."""
    async with LocalService(clock=lambda: NOW) as service:
        in_time = await ask(service, workspaces_of(service), date=NOW - 300)
        too_late = await ask(service, workspaces_of(service), date=NOW - 301)

    assert (in_time.status, too_late.status) == (200, 401)
    assert parsedate_to_datetime(in_time.headers["date"]) == datetime.fromtimestamp(NOW, UTC)


async def test_keys_can_be_trusted_and_distrusted_while_the_service_runs(service: LocalService) -> None:
    """So a session token can be issued and expire."""
    target = workspaces_of(service)
    host = service.url.removeprefix("http://")
    headers = signed_headers(SigningRequest("GET", host, target, formatdate(usegmt=True)), KEY, "ST$token")
    statuses = [(await ask(service, target, signed=False, headers=headers)).status]
    service.trust("ST$token", KEY)
    statuses.append((await ask(service, target, signed=False, headers=headers)).status)
    service.distrust("ST$token")
    statuses.append((await ask(service, target, signed=False, headers=headers)).status)

    assert statuses == [401, 200, 401]


async def test_a_given_request_id_is_returned(service: LocalService) -> None:
    """With errors too."""
    reply = await ask(service, sessions_of(service, "nowhere"), headers={"opc-request-id": "my_ID-1"})

    assert (reply.status, reply.headers["opc-request-id"]) == (404, "my_ID-1")


@pytest.mark.parametrize("request_id", ["a b", "a/b", "ü", ""])
async def test_a_request_id_of_other_characters_is_refused(service: LocalService, request_id: str) -> None:
    """The documentation allows letters, digits, underscore and dash."""
    reply = await ask(service, workspaces_of(service), headers={"opc-request-id": request_id})

    assert (reply.status, reply.json()["code"]) == (400, "InvalidParameter")
    assert reply.headers["opc-request-id"] != request_id


async def test_an_unknown_resource_is_404_and_an_unsupported_method_405(service: LocalService) -> None:
    """Unknown workspace, platform, version and path have the same answer."""
    service.add_workspace("w")
    known = sessions_of(service, "w")
    unknown = [
        sessions_of(service, "v"),
        known.replace(".iad.", ".phx."),
        known.replace("20260430", "20990101"),
        known.replace("20260430", "20240831"),
        known + "/s1",
        "/",
    ]

    replies = [await ask(service, target) for target in unknown]

    assert {(reply.status, reply.json()["code"]) for reply in replies} == {(404, "NotAuthorizedOrNotFound")}
    assert (await ask(service, known, method="DELETE")).status == 405


async def test_sessions_are_sent_as_they_were_given(service: LocalService) -> None:
    """Wire objects verbatim, models by their wire names; the etag is that of the body."""
    kernel = KernelSummary(name="notebook", last_activity=datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC), extra={"more": 1})
    model = SessionSummary(id="s4", agent_flow_key="f", cluster_id="c", kernel=kernel, workspace_key="not sent")
    service.add_workspace("w", [*SESSIONS, model])

    reply = await ask(service, sessions_of(service, "w"))

    wire = {"id": "s4", "agentFlowKey": "f", "cluster_id": "c"}
    wire_kernel = {"name": "notebook", "last_activity": "2026-05-04T03:02:01Z", "more": 1}
    assert (reply.status, reply.json()) == (200, {"items": [*SESSIONS, {**wire, "kernel": wire_kernel}]})
    assert re.fullmatch('"[0-9a-f]{32}"', reply.headers["etag"])


async def test_the_older_version_answers_with_a_bare_array(service: LocalService) -> None:
    """At ``/20240831/dataLakes/…``; the listing of workspaces is the same."""
    service.add_workspace("w", SESSIONS)
    older = sessions_of(service, "w").replace("20260430/aiDataPlatforms", "20240831/dataLakes")

    assert (await ask(service, older)).json() == SESSIONS
    assert (await ask(service, sessions_of(service, "w"))).json() == {"items": SESSIONS}


@pytest.mark.parametrize("path", [None, "a.ipynb", "b c/ü+.ipynb", ""])
@pytest.mark.parametrize("cluster_id", [None, "c1", "none"])
@pytest.mark.parametrize("agent_flow_key", [None, "f1"])
async def test_filters_combine(
    service: LocalService, path: str | None, cluster_id: str | None, agent_flow_key: str | None
) -> None:
    """A session is listed if it equals every filter that is given; an absent field equals none."""
    service.add_workspace("w", SESSIONS)
    asked = {"path": path, "cluster_id": cluster_id, "agentFlowKey": agent_flow_key}
    query = {name: value for name, value in asked.items() if value is not None}

    reply = await ask(service, sessions_of(service, "w", **query))

    assert reply.json()["items"] == [item for item in SESSIONS if query.items() <= item.items()]


async def test_a_known_etag_is_answered_304_until_the_sessions_change(service: LocalService) -> None:
    """Without a body; filtered answers have etags of their own."""
    service.add_workspace("w", SESSIONS)
    target = sessions_of(service, "w")
    etag = (await ask(service, target)).headers["etag"]
    held = {"if-none-match": f'"other", W/{etag}'}

    same, filtered = await ask(service, target, headers=held), await ask(service, target + "?path=x", headers=held)
    service.set_sessions("w", SESSIONS[:1])
    changed = await ask(service, target, headers=held)

    assert (same.status, same.body, same.headers["etag"]) == (304, b"", etag)
    assert (filtered.status, filtered.json()) == (200, {"items": []})
    assert (changed.status, changed.ids()) == (200, ["s1"])


async def test_sessions_come_in_pages_if_the_service_has_a_page_size() -> None:
    """All, in order, by tokens that must be escaped; the client's limit takes precedence."""
    sessions = [{"id": str(number)} for number in range(5)]
    async with LocalService(session_page_size=2) as service:
        service.add_workspace("w", sessions)
        first = await ask(service, sessions_of(service, "w"))

        assert await pages_of(service, sessions_of(service, "w")) == [sessions[:2], sessions[2:4], sessions[4:]]
        assert await pages_of(service, sessions_of(service, "w", limit="4")) == [sessions[:4], sessions[4:]]
        assert {"+", "/", "="} <= set(first.headers["opc-next-page"])


async def test_a_page_token_is_valid_only_for_its_own_listing() -> None:
    """Other parameters or an invented token are refused."""
    async with LocalService(session_page_size=1) as service:
        service.add_workspace("w", SESSIONS)
        token = (await ask(service, sessions_of(service, "w"))).headers["opc-next-page"]

        assert (await ask(service, sessions_of(service, "w", page=token))).ids() == ["s2"]
        refused = [{"page": token, "path": "a.ipynb"}, {"page": token, "limit": "1"}, {"page": "!"}, {"page": ""}]
        assert [(await ask(service, sessions_of(service, "w", **query))).status for query in refused] == [400] * 4


async def test_workspaces_are_listed_with_every_required_field(service: LocalService) -> None:
    """As schema ``WorkspaceSummary`` names them; times are RFC 3339."""
    created = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    service.add_workspace("k", display_name="Name", type="DEFAULT", lifecycle_state="CREATING", time_created=created)

    assert (await ask(service, workspaces_of(service))).json()["items"] == [
        {
            "key": "k",
            "displayName": "Name",
            "type": "DEFAULT",
            "lifecycleState": "CREATING",
            "timeCreated": "2026-01-02T01:04:05.000Z",
            "isPrivateNetworkEnabled": False,
        }
    ]


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ({}, ["c", "b", "a"]),
        ({"sortBy": "timeCreated", "sortOrder": "ASC"}, ["a", "b", "c"]),
        ({"sortBy": "displayName"}, ["b", "c", "a"]),
        ({"sortBy": "displayName", "sortOrder": "DESC"}, ["a", "c", "b"]),
        ({"lifecycleState": "active"}, ["c", "a"]),
        ({"displayName": "One"}, ["b"]),
        ({"displayNameContains": "T"}, ["c", "a"]),
        ({"type": "DEFAULT"}, ["a"]),
        ({"isPrivateNetworkEnabled": "true"}, ["hidden"]),
        ({"isPrivateNetworkEnabled": "false", "type": "USER"}, ["c", "b"]),
    ],
)
async def test_workspaces_are_filtered_and_sorted(
    service: LocalService, query: dict[str, str], keys: list[str]
) -> None:
    """Newest first unless asked otherwise; private networks only when asked for."""
    day = datetime(2026, 1, 1, tzinfo=UTC)
    service.add_workspace("a", display_name="Two", type="DEFAULT", time_created=day)
    service.add_workspace("b", display_name="One", lifecycle_state="FAILED", time_created=day + timedelta(1))
    service.add_workspace("c", display_name="Three", time_created=day + timedelta(2))
    service.add_workspace("hidden", is_private_network_enabled=True)

    reply = await ask(service, workspaces_of(service, **query))

    assert [item["key"] for item in reply.json()["items"]] == keys


def test_a_workspace_in_place_of_its_key_is_refused(service: LocalService) -> None:
    """Every answer that contains it would be a 500."""
    workspace: Any = make_workspace("w")
    with pytest.raises(TypeError, match=r"^key must be a str, not WorkspaceSummary"):
        service.add_workspace(workspace)


@pytest.mark.parametrize("query", [{"sortBy": "displayName"}, {"sortOrder": "asc"}, {"limit": "1001"}])
async def test_a_listing_of_sessions_outside_the_documented_bounds_is_refused(
    service: LocalService, query: dict[str, str]
) -> None:
    service.add_workspace("w")
    reply = await ask(service, sessions_of(service, "w", **query))

    assert (reply.status, reply.json()["code"]) == (400, "InvalidParameter")


@pytest.mark.parametrize(
    "query",
    [
        *({"limit": limit} for limit in ("0", "1001", "x", "", "-1", "1.5", "٣", "9" * 5000)),
        *({"sortBy": "key"}, {"sortOrder": "asc"}),
    ],
    ids=lambda query: "=".join(*query.items())[:20],
)
async def test_a_listing_outside_the_documented_bounds_is_refused(service: LocalService, query: dict[str, str]) -> None:
    """400 InvalidParameter."""
    reply = await ask(service, workspaces_of(service, **query))

    assert (reply.status, reply.json()["code"]) == (400, "InvalidParameter")


async def test_a_thousand_workspaces_are_discovered_page_by_page() -> None:
    """Each once, with the page size of the service."""
    async with LocalService(workspace_page_size=300) as service:
        for number in range(1000):
            service.add_workspace(f"w{number}")
        pages = await pages_of(service, workspaces_of(service))

    assert [len(page) for page in pages] == [300, 300, 300, 100]
    assert {item["key"] for page in pages for item in page} == {f"w{number}" for number in range(1000)}


def test_a_workspace_is_added_once() -> None:
    """The message names the key and the remedy."""
    service = LocalService()
    service.add_workspace("w")

    with pytest.raises(ValueError, match="'w' was added before; use set_sessions"):
        service.add_workspace("w")


@pytest.mark.parametrize(
    ("fault", "status", "document"),
    [
        (Fault(status=429), 429, {"code": "TooManyRequests", "message": "Too many requests, slow down."}),
        (Fault(status=500, message="boom"), 500, {"code": "InternalServerError", "message": "boom"}),
        (Fault(status=409, code="LockConflict", message="busy"), 409, {"code": "LockConflict", "message": "busy"}),
        (Fault(status=502), 502, {"code": "BadGateway", "message": "Bad Gateway."}),
        (Fault(status=206), 206, {"items": SESSIONS}),
        (Fault(body=b'{"items":null}'), 200, {"items": None}),
        (Fault(body=b"[]", status=503), 503, []),
        (Fault(), 200, {"items": SESSIONS}),
    ],
)
async def test_a_fault_changes_what_it_names_and_nothing_else(
    service: LocalService, fault: Fault, status: int, document: object
) -> None:
    """For one request; then the workspace is healthy again."""
    service.add_workspace("w", SESSIONS)
    service.fail("w", fault)

    faulty, healthy = await ask(service, sessions_of(service, "w")), await ask(service, sessions_of(service, "w"))

    assert (faulty.status, faulty.json()) == (status, document)
    assert (healthy.status, healthy.json()) == (200, {"items": SESSIONS})
    assert "opc-request-id" in faulty.headers


async def test_a_fault_may_carry_headers_of_any_kind(service: LocalService) -> None:
    """``Retry-After`` as number or text, another content type, and whatever else a page needs."""
    service.add_workspace("w", SESSIONS)
    headers = {"Opc-Next-Page": "again"}
    service.fail("w", Fault(status=429, retry_after=7), Fault(status=503, retry_after="Thu, 01 Jan 2026 00:00:00 GMT"))
    service.fail("w", Fault(status=502, body=b"<html>", content_type="text/html"), Fault(headers=headers))

    replies = [await ask(service, sessions_of(service, "w")) for _ in range(4)]

    assert [reply.headers.get("retry-after") for reply in replies] == ["7", "Thu, 01 Jan 2026 00:00:00 GMT", None, None]
    assert (replies[2].headers["content-type"], replies[2].body) == ("text/html", b"<html>")
    assert (replies[3].headers["opc-next-page"], replies[3].ids()) == ("again", ["s1", "s2", "s3"])


async def test_faults_are_applied_in_order_as_often_as_they_say_until_healed(service: LocalService) -> None:
    """``Fault()`` lets one request pass, ``times=None`` lasts until `heal`; other workspaces are not affected."""
    service.add_workspace("w")
    service.add_workspace("v")
    service.fail("w", Fault(), Fault(status=500, times=2), Fault(status=404, times=None))

    statuses = [(await ask(service, sessions_of(service, "w"))).status for _ in range(5)]
    service.heal("w")
    statuses.append((await ask(service, sessions_of(service, "w"))).status)

    assert statuses == [200, 500, 500, 404, 404, 200]
    assert (await ask(service, sessions_of(service, "v"))).status == 200


async def test_the_listing_of_workspaces_can_fail_too(service: LocalService) -> None:
    """Under the key ``None``; sessions are not affected."""
    service.add_workspace("w")
    service.fail(None, Fault(status=500))

    assert (await ask(service, sessions_of(service, "w"))).status == 200
    assert (await ask(service, workspaces_of(service))).status == 500


@pytest.mark.parametrize(
    "wrong", [{"status": 99}, {"status": 600}, {"delay": -1}, {"times": 0}, {"cut": "somewhere"}, {"delay": math.nan}]
)
def test_an_invalid_fault_is_refused(wrong: dict[str, Any]) -> None:
    """A `ValueError` when it is created."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Fault(**wrong)


async def _received(service: LocalService, target: str) -> bytes:
    """Everything the service sends until the connection ends, byte by byte."""
    host = service.url.removeprefix("http://")
    signed = await service.signer.sign(SigningRequest("GET", host, target, formatdate(usegmt=True)))
    reader, writer = await asyncio.open_connection(*host.split(":"))
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in signed.items()), "connection: close"]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    received = await reader.read()
    writer.close()
    await writer.wait_closed()
    return received


async def test_a_cut_connection_ends_where_the_fault_says(service: LocalService) -> None:
    """Nothing at all, half of the headers, or half of the body whose length was announced."""
    service.add_workspace("w", SESSIONS)
    target = sessions_of(service, "w")
    service.fail("w", Fault(cut="before_headers"), Fault(cut="in_headers"), Fault(cut="in_body"))

    nothing, some_headers, half = [await _received(service, target) for _ in range(3)]
    head, _, body = half.partition(b"\r\n\r\n")
    whole = (await _received(service, target)).partition(b"\r\n\r\n")[2]

    assert nothing == b""
    assert some_headers.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\n\r\n" not in some_headers
    assert f"content-length: {len(whole)}".encode() in head
    assert body == whole[: len(whole) // 2]
    assert [request.status for request in service.requests] == [None, None, None, 200]


async def test_bodies_are_compressed_for_clients_that_accept_it() -> None:
    """From 1 KiB on, and never with ``compress=False``."""
    sessions = [{"id": str(number), "name": "x" * 50} for number in range(100)]
    encodings: list[str | None] = []
    for compress in (True, False):
        async with LocalService(compress=compress) as service:
            service.add_workspace("large", sessions)
            service.add_workspace("small", sessions[:2])
            replies = [await ask(service, sessions_of(service, key)) for key in ("large", "small")]
            replies.append(await ask(service, sessions_of(service, "large"), headers={"accept-encoding": "identity"}))
        encodings += [reply.headers.get("content-encoding") for reply in replies]
        assert [len(reply.ids()) for reply in replies] == [100, 2, 100]

    assert encodings == ["gzip", None, None, None, None, None]


async def _until_in_flight(service: LocalService, count: int) -> None:
    async with asyncio.timeout(10):
        while service.in_flight != count:  # what a server sees raises no event here
            await asyncio.sleep(0)


async def test_requests_in_flight_are_counted_until_answered_or_left(service: LocalService) -> None:
    """A client that disconnects is not in flight any more; the peak remains until it is reset."""
    service.add_workspace("w")
    service.fail("w", Fault(delay=math.inf, times=None))
    async with asyncio.TaskGroup() as group:
        callers = [group.create_task(ask(service, sessions_of(service, "w"))) for _ in range(3)]
        await _until_in_flight(service, 3)
        for caller in callers:
            caller.cancel()
        await _until_in_flight(service, 0)

    assert (service.peak_in_flight, service.request_count) == (3, 3)
    assert [request.status for request in service.requests] == [None, None, None]
    service.reset_counts()
    assert (service.peak_in_flight, service.request_count, service.requests) == (0, 0, ())


async def test_requests_are_recorded_without_their_credentials() -> None:
    """Method, target, workspace, time and status; beyond the limit the oldest are dropped."""
    async with LocalService(clock=lambda: NOW, record_limit=2) as service:
        service.add_workspace("a/b")
        token = {"opc-obo-token": "secret", "X-Mine": "shown"}
        for target in (workspaces_of(service), sessions_of(service, "a/b"), sessions_of(service, "c")):
            await ask(service, target, date=NOW, headers=token)
        requests = service.requests

    assert service.request_count == 3
    assert [(request.method, request.workspace_key, request.status) for request in requests] == [
        ("GET", "a/b", 200),
        ("GET", "c", 404),
    ]
    assert requests[0].target.endswith("/workspaces/a%2Fb/notebook/api/sessions")
    assert (requests[0].started_at, requests[0].headers["x-mine"]) == (NOW, "shown")
    assert "secret" not in repr(requests)
    assert "Signature" not in repr(requests)


async def test_closing_ends_what_is_in_flight_and_leaves_nothing() -> None:
    """Clients lose their connection, no task is left, and closing again is harmless."""
    before = asyncio.all_tasks()
    service = LocalService()
    await service.start()
    service.add_workspace("w")
    service.fail("w", Fault(delay=math.inf, times=None))
    callers = [asyncio.create_task(_received(service, sessions_of(service, "w"))) for _ in range(3)]
    await _until_in_flight(service, 3)

    async with asyncio.timeout(10):
        await service.aclose()
        assert await asyncio.gather(*callers) == [b"", b"", b""]
    await service.aclose()

    assert service.in_flight == 0
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("iterations", range(5))
async def test_a_connection_that_arrives_while_the_service_closes_is_closed(iterations: int) -> None:
    """In each iteration of the event loop; a socket left open would be a warning."""
    service = LocalService()
    await service.start()
    with socket.create_connection(("127.0.0.1", yarl.URL(service.url).port)) as caller:
        for _ in range(iterations):
            await asyncio.sleep(0)
        await service.aclose()
        gc.collect()
        caller.settimeout(10.0)
        with suppress(ConnectionResetError):
            assert caller.recv(1) == b""


@pytest.mark.parametrize("iterations", range(1, 5))
async def test_a_service_whose_closing_is_cancelled_listens_no_more(iterations: int) -> None:
    service = LocalService()
    await service.start()
    port = yarl.URL(service.url).port
    closing = asyncio.create_task(service.aclose())
    for _ in range(iterations):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


async def test_a_running_service_cannot_be_started_again() -> None:
    """It has an address only while it runs; started again, it keeps its workspaces."""
    service = LocalService()
    with pytest.raises(RuntimeError, match="not running"):
        _ = service.url
    for _ in range(2):
        async with service:
            with pytest.raises(RuntimeError, match="running already"):
                await service.start()
            assert (await ask(service, workspaces_of(service))).status == 200


def test_a_platform_id_that_is_no_ocid_is_refused() -> None:
    """When the service is created."""
    with pytest.raises(ValueError, match="my-platform"):
        LocalService(platform_id="my-platform")


async def test_our_client_reaches_the_service_with_its_own_signer_and_with_its_config_file(
    service: LocalService, tmp_path: Path
) -> None:
    service.add_workspace("ä/b", SESSIONS)
    config_file = service.write_config(tmp_path, "TEST")
    from_file = SessionsClient.from_config(
        service.platform_id, profile="TEST", config_file=config_file, endpoint=service.url
    )

    async with service.client(max_concurrency=1) as client, from_file:
        for each in (client, from_file):
            assert [session.id for session in await each.list_sessions("ä/b")] == ["s1", "s2", "s3"]


def test_the_written_config_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    """The file and its key, with any umask; the key is not in the file itself."""
    config_file = LocalService().write_config(tmp_path)

    assert config_file == tmp_path / "config"
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "config": 0o600,
        "oci_api_key.pem": 0o600,
    }
    assert "PRIVATE" not in config_file.read_text()


async def test_a_workspace_can_have_the_kernels_of_a_real_jupyter_server(
    service: LocalService, jupyter: JupyterProcess
) -> None:
    """The array of a real server is wrapped and filtered, each session ``ACTIVE``."""
    service.add_jupyter("lab", url=f"{jupyter.url}/", token=jupyter.token)
    empty = await ask(service, sessions_of(service, "lab"))
    used, busy, unused = [await jupyter.start_session(path) for path in ("used.ipynb", "busy.ipynb", "unused.ipynb")]
    await jupyter.execute(used["kernel"]["id"], "1 + 1")
    await jupyter.begin(busy["kernel"]["id"], "import time; time.sleep(3600)")
    for session in (used, busy):
        await jupyter.until(session["id"], connections=0)

    reply = await ask(service, sessions_of(service, "lab"))
    one = await ask(service, sessions_of(service, "lab", path="used.ipynb"))

    assert (empty.status, empty.json()) == (200, {"items": []})
    assert reply.json() == {"items": [{**item, "lifecycleState": "ACTIVE"} for item in await jupyter.sessions()]}
    assert {item["id"]: item["kernel"]["execution_state"] for item in reply.json()["items"]} == {
        used["id"]: "idle",
        busy["id"]: "busy",
        unused["id"]: "starting",
    }
    assert [(item["id"], item["notebook"]["path"]) for item in one.json()["items"]] == [(used["id"], "used.ipynb")]
    assert (
        await ask(service, sessions_of(service, "lab"), headers={"if-none-match": reply.headers["etag"]})
    ).status == 304


async def test_a_jupyter_server_that_refuses_or_does_not_run_is_503(service: LocalService) -> None:
    """Never an empty list; the message names the server and not the token."""
    async with LocalService() as other:
        service.add_jupyter("refused", url=other.url, token="hidden")
        gone = other.url
        refused = await ask(service, sessions_of(service, "refused"))
    service.add_jupyter("gone", url=gone, token="hidden")
    replies = [refused, await ask(service, sessions_of(service, "gone"))]

    assert [(reply.status, reply.json()["code"]) for reply in replies] == [(503, "ServiceUnavailable")] * 2
    assert [gone in reply.json()["message"] for reply in replies] == [True, True]
    assert b"hidden" not in replies[0].body + replies[1].body


async def _demo(now: datetime) -> dict[str, Any]:
    async with LocalService(clock=now.timestamp) as service:
        populate_demo(service, now=now)
        listed = [
            item["key"]
            for private in ("false", "true")
            for item in (
                await ask(service, workspaces_of(service, isPrivateNetworkEnabled=private), date=now.timestamp())
            ).json()["items"]
        ]
        return {key: (await ask(service, sessions_of(service, key), date=now.timestamp())).json() for key in listed}


async def test_the_demo_has_every_kind_of_session_and_is_always_the_same() -> None:
    """A dozen workspaces, hundreds of sessions in every documented state, idle for minutes to weeks."""
    now = datetime(2026, 6, 1, 12, tzinfo=UTC)
    platform = await _demo(now)
    sessions = [session for answer in platform.values() for session in answer["items"]]
    kernels = [session["kernel"] for session in sessions if "kernel" in session]
    ages = [
        now - datetime.fromisoformat(each["last_activity"]) for each in kernels if each["execution_state"] == "idle"
    ]

    assert await _demo(now) == platform
    assert len(platform) == 13
    assert 200 <= len(sessions) <= 300
    assert {kernel["execution_state"] for kernel in kernels} == set(ExecutionState)
    assert {session["type"] for session in sessions} == {"notebook", "file", "agentflow"}
    assert {session["lifecycleState"] for session in sessions} == {"ACTIVE", "CREATING"}
    assert {kernel["connections"] for kernel in kernels} == {0, 1, 2}
    assert timedelta(0) < min(ages) < timedelta(minutes=30)
    assert max(ages) > timedelta(weeks=2)
    assert len({kernel["id"] for kernel in kernels}) < len(kernels) < len(sessions)
    assert all(
        len({session["path"] for session in answer["items"]}) == len(answer["items"]) for answer in platform.values()
    )
