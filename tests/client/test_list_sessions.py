"""The operation "Get available sessions", row by row of its documentation, over real sockets."""

from __future__ import annotations

import json
import re
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest

from aidp_sessions import RetryPolicy
from aidp_sessions.errors import ResponseDecodeError
from aidp_sessions.models import SessionSummary
from aidp_sessions.results import SessionCollection
from aidp_sessions.testing import Fault, LocalService

from ..helpers.frozen_service import (
    KERNEL,
    KERNEL_MODEL,
    SESSION,
    SESSION_MODEL,
    Frozen,
    failed,
    frozen_service,
    target,
)
from ..helpers.strategies import KERNEL_FIELDS, SESSION_FIELDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GENERATED_ID: Final = re.compile(r"[A-Z0-9]{28}")
PYTHON_NAMES: Final = {"agentFlowKey": "agent_flow_key", "lifecycleState": "lifecycle_state"}

PATH: Final = "Workspace/a b+c,é&日=?.ipynb"
CLUSTER: Final = "c/1"
FLOW: Final = "flow #1%2F"
FILTERS: Final = {"cluster_id": CLUSTER, "path": PATH, "agent_flow_key": FLOW}
ENCODED: Final = {
    "cluster_id": "cluster_id=c%2F1",
    "path": "path=Workspace%2Fa%20b%2Bc%2C%C3%A9%26%E6%97%A5%3D%3F.ipynb",
    "agent_flow_key": "agentFlowKey=flow%20%231%252F",
}


@pytest.fixture
async def frozen() -> AsyncIterator[Frozen]:
    async with frozen_service() as frozen:
        yield frozen


@pytest.mark.parametrize("given", list(product([False, True], repeat=3)))
async def test_each_combination_of_filters_is_sent_and_obeyed(frozen: Frozen, given: tuple[bool, bool, bool]) -> None:
    """The request line is as expected, byte for byte, and exactly the matching sessions are returned."""
    every: list[dict[str, Any]] = [
        dict(zip(FILTERS, values, strict=True)) for values in product((CLUSTER, "c"), (PATH, "p"), (FLOW, "f"))
    ]
    items = [SessionSummary(id=str(number), **values) for number, values in enumerate(every)]
    frozen.service.set_sessions("analytics", items)
    chosen: dict[str, Any] = {name: FILTERS[name] for name, wanted in zip(FILTERS, given, strict=True) if wanted}
    found = await frozen.client.list_sessions("analytics", **chosen)

    query = "&".join(ENCODED[name] for name in chosen)
    assert [(request.method, request.target) for request in frozen.service.requests] == [
        ("GET", target(frozen.service, query=query))
    ]
    assert [session.id for session in found] == [
        str(number) for number, values in enumerate(every) if chosen.items() <= values.items()
    ]
    assert len(found) == 2 ** (3 - len(chosen))


@pytest.mark.parametrize(
    ("options", "query", "found"),
    [
        ({"limit": 2}, "limit=2", "0123"),
        ({"limit": 1000}, "limit=1000", "0123"),
        ({"sort_by": "timeCreated"}, "sortBy=timeCreated", "3210"),
        ({"sort_order": "ASC"}, "sortOrder=ASC", "0123"),
        ({"sort_order": "DESC", "path": "p"}, "path=p&sortOrder=DESC", "3210"),
        ({"limit": 3, "sort_by": "timeCreated", "sort_order": "DESC"},) * 2 + ("3210",),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_sessions_are_sorted_and_divided_into_pages_as_asked(
    frozen: Frozen, options: dict[str, Any], query: object, found: str
) -> None:
    """The order is that of the documented parameters, and every page is read."""
    if query is options:
        query = "limit=3&sortOrder=DESC&sortBy=timeCreated"
    frozen.service.set_sessions("analytics", [{"id": str(number), "path": "p"} for number in range(4)])
    listed = await frozen.client.list_sessions("analytics", **options)

    assert "".join(str(session.id) for session in listed) == found
    assert frozen.service.requests[0].target == target(frozen.service, query=str(query))
    assert frozen.service.request_count == -(-4 // options.get("limit", 4))


async def test_the_ids_of_all_requests_tell_how_many_were_needed(frozen: Frozen) -> None:
    """Retries and further pages included; they are no part of what two collections are compared by."""
    frozen.service.set_sessions("analytics", [{"id": str(number)} for number in range(3)])
    frozen.service.fail("analytics", Fault(status=503), Fault(), Fault(status=429))
    client = frozen.client.with_options(retry=RetryPolicy(base=0))
    found = await client.list_sessions("analytics", limit=2, opc_request_id="R")
    again = await client.list_sessions("analytics", limit=2, opc_request_id="R-4")

    assert found.request_ids == ("R", "R-2", "R-3", "R-4")
    assert [request.headers["opc-request-id"] for request in frozen.service.requests[:4]] == [*found.request_ids]
    assert again.request_ids == ("R-4", "R-4-2")
    assert attrs.evolve(again, opc_request_id=found.opc_request_id) == found


@pytest.mark.parametrize(
    "key", ["analytics", "a b", "a/b", "a%2Fb", "é日😀", "a?b#c", "+", "~a.b_c-d", "...", ":@!$&'()*,;="]
)
async def test_any_workspace_key_arrives_as_one_segment(frozen: Frozen, key: str) -> None:
    """The signature is valid, and the service reads the key that was given."""
    if key != "analytics":
        frozen.service.add_workspace(key, [{"id": key}])
    found = await frozen.client.list_sessions(key)

    (request,) = frozen.service.requests
    assert (request.workspace_key, request.target) == (key, target(frozen.service, key))
    assert [session.workspace_key for session in found] == [key]


async def test_an_empty_filter_is_a_filter(frozen: Frozen) -> None:
    """It is sent, and not treated as absent."""
    assert (await frozen.client.list_sessions("analytics", path="")).items == ()
    assert frozen.service.requests[-1].target == target(frozen.service, query="path=")


async def test_a_given_request_id_is_sent_and_returned(frozen: Frozen) -> None:
    found = await frozen.client.list_sessions("analytics", opc_request_id="My_Id-1")

    assert frozen.service.requests[-1].headers["opc-request-id"] == "My_Id-1"
    assert found.opc_request_id == "My_Id-1"


async def test_each_call_without_a_request_id_gets_its_own(frozen: Frozen) -> None:
    """So a timeout can be traced too."""
    first = await frozen.client.list_sessions("analytics")
    second = await frozen.client.list_sessions("analytics")
    sent = [request.headers["opc-request-id"] for request in frozen.service.requests]

    assert all(GENERATED_ID.fullmatch(identifier) for identifier in sent)
    assert [first.opc_request_id, second.opc_request_id] == sent
    assert sent[0] != sent[1]


async def test_the_request_id_of_the_service_replaces_ours(frozen: Frozen) -> None:
    """Oracle's support needs that one, after success and after failure."""
    frozen.service.fail("analytics", Fault(headers={"OPC-Request-ID": "ORACLE-1"}))
    found = await frozen.client.list_sessions("analytics", opc_request_id="mine")
    frozen.service.fail("analytics", Fault(status=404, headers={"OPC-Request-ID": "ORACLE-2"}))
    error = await failed(frozen.client, opc_request_id="mine")

    assert found.opc_request_id == "ORACLE-1"
    assert (error.opc_request_id, error.request_ids) == ("ORACLE-2", ("mine",))


async def test_an_answer_is_decoded_whole(frozen: Frozen) -> None:
    """All thirteen fields and both headers, and nothing else."""
    found = await frozen.client.list_sessions("analytics", opc_request_id="R")

    assert found == SessionCollection(items=(SESSION_MODEL,), etag=found.etag, opc_request_id="R")
    assert found.etag is not None
    assert re.fullmatch(r'"[0-9a-f]{32}"', found.etag)
    assert (list(found), len(found)) == ([SESSION_MODEL], 1)


async def test_the_etag_is_that_of_the_service(frozen: Frozen) -> None:
    """Unchanged, with quotes and weakness mark."""
    frozen.service.fail("analytics", Fault(headers={"ETag": 'W/"x"'}))

    assert (await frozen.client.list_sessions("analytics")).etag == 'W/"x"'


async def test_a_workspace_without_sessions_is_an_empty_collection(frozen: Frozen) -> None:
    frozen.service.set_sessions("analytics", [])
    found = await frozen.client.list_sessions("analytics")

    assert (found.items, len(found), list(found)) == ((), 0, [])


@pytest.mark.parametrize("field", SESSION_FIELDS)
@pytest.mark.parametrize("null", [True, False], ids=["null", "absent"])
async def test_a_session_field_may_be_null_or_absent(frozen: Frozen, field: str, null: bool) -> None:
    """None of the eight is required; a missing one is None, and the others stay."""
    item = {**SESSION, field: None} if null else {name: SESSION[name] for name in SESSION if name != field}
    frozen.service.set_sessions("analytics", [item])
    missing: dict[str, Any] = {PYTHON_NAMES.get(field, field): None}
    expected = attrs.evolve(SESSION_MODEL, **missing)

    assert (await frozen.client.list_sessions("analytics")).items == (expected,)


@pytest.mark.parametrize("field", [field for field in KERNEL_FIELDS if field != "name"])
@pytest.mark.parametrize("null", [True, False], ids=["null", "absent"])
async def test_a_kernel_field_may_be_null_or_absent(frozen: Frozen, field: str, null: bool) -> None:
    """Four of the five may be missing."""
    kernel = {**KERNEL, field: None} if null else {name: KERNEL[name] for name in KERNEL if name != field}
    frozen.service.set_sessions("analytics", [{**SESSION, "kernel": kernel}])
    missing: dict[str, Any] = {field: None}
    expected = attrs.evolve(SESSION_MODEL, kernel=attrs.evolve(KERNEL_MODEL, **missing))

    assert (await frozen.client.list_sessions("analytics")).items == (expected,)


@pytest.mark.parametrize(
    ("kernel", "message"), [({"name": None}, "expected a string, not null"), ({}, "required field missing")]
)
async def test_the_name_of_a_kernel_is_required(frozen: Frozen, kernel: dict[str, object], message: str) -> None:
    """Without it the answer is a decode error with its path and its call."""
    frozen.service.set_sessions("analytics", [SESSION, {**SESSION, "kernel": kernel}])
    error = await failed(frozen.client, opc_request_id="R")

    assert isinstance(error, ResponseDecodeError)
    assert (error.path, error.message) == ("$.items[1].kernel.name", message)
    assert (error.operation, error.workspace_key) == ("list_sessions", "analytics")
    assert (error.opc_request_id, error.request_ids) == ("R", ("R",))
    assert frozen.service.request_count == 1


async def test_unknown_fields_and_states_are_kept(frozen: Frozen) -> None:
    kernel = {**KERNEL, "execution_state": "hibernating", "reason": {"since": None}}
    body = json.dumps({"items": [{**SESSION, "kernel": kernel, "tags": [1]}], "total": 1}).encode()
    frozen.service.fail("analytics", Fault(body=body))
    found = await frozen.client.list_sessions("analytics")

    expected = attrs.evolve(KERNEL_MODEL, execution_state="hibernating", extra={"reason": {"since": None}})
    assert found.items == (attrs.evolve(SESSION_MODEL, kernel=expected, extra={"tags": [1]}),)
    assert found.extra == {"total": 1}


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        (b"null", "$", 'expected an object with "items", not null'),
        (b"{}", "$.items", "required field missing"),
        (b'{"items": null}', "$.items", "expected an array, not null"),
        (b'{"items": {}}', "$.items", "expected an array, not an object"),
        (b'{"data": {"items": []}}', "$.items", "required field missing"),
        (b'{"items": [null]}', "$.items[0]", "expected an object, not null"),
        (b'"no sessions"', "$", 'expected an object with "items", not a string'),
    ],
    ids=lambda value: value.decode() if isinstance(value, bytes) else "",
)
async def test_an_undocumented_body_is_never_no_sessions(frozen: Frozen, body: bytes, path: str, message: str) -> None:
    """It is a decode error with its path, and is not retried."""
    frozen.service.fail("analytics", Fault(body=body, times=None))
    error = await failed(frozen.client)

    assert (type(error), error.message, error.workspace_key) == (ResponseDecodeError, message, "analytics")
    assert isinstance(error, ResponseDecodeError)
    assert error.path == path
    assert (frozen.service.request_count, frozen.pauses) == (1, [])


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"", "application/json"), (b"<html>Sign in</html>", "text/html"), (b'{"items": [', "application/json")],
    ids=["empty", "HTML", "cut off"],
)
async def test_a_body_that_is_not_json_is_a_decode_error(frozen: Frozen, body: bytes, content_type: str) -> None:
    """The message shows its beginning."""
    frozen.service.fail("analytics", Fault(body=body, content_type=content_type))
    error = await failed(frozen.client)

    assert isinstance(error, ResponseDecodeError)
    assert error.path == "$"
    assert error.message.startswith("the body is not JSON: ")
    assert error.message.endswith(f"; it begins {body.decode()!r}")


async def test_a_bare_array_is_accepted(frozen: Frozen) -> None:
    """The older version of the service sends it."""
    frozen.service.fail("analytics", Fault(body=json.dumps([SESSION]).encode()))

    assert (await frozen.client.list_sessions("analytics")).items == (SESSION_MODEL,)


async def test_the_older_version_is_asked_by_its_own_path(frozen: Frozen) -> None:
    """20240831 calls the platform a data lake and answers with a bare array."""
    older = frozen.client.with_options(api_version="20240831")

    assert (await older.list_sessions("analytics")).items == (SESSION_MODEL,)
    expected = f"/20240831/dataLakes/{frozen.service.platform_id}/workspaces/analytics/notebook/api/sessions"
    assert frozen.service.requests[-1].target == expected


async def test_pages_are_followed_with_equal_parameters() -> None:
    """All pages are one result, and a token that needs escaping is sent back unchanged."""
    async with LocalService(session_page_size=2) as service, service.client() as client:
        service.add_workspace("analytics", [{"id": str(number), "path": "a b"} for number in range(5)])
        found = await client.list_sessions("analytics", path="a b", opc_request_id="R")
        first, *others = (request.target for request in service.requests)

    assert [session.id for session in found] == ["0", "1", "2", "3", "4"]
    assert first == target(service, query="path=a%20b")
    assert [page.partition("&page=%2B%2F%2F%2B")[0] for page in others] == [first, first]
    assert found.opc_request_id == "R-3"
