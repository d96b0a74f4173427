"""Invalid arguments are refused by name before anything is sent."""

from __future__ import annotations

import asyncio
import inspect
import re
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import create_autospec

import pytest

from aidp_sessions import ApiKeySigner, SessionsClient
from aidp_sessions.testing import LocalService

from ..helpers.cli_runner import forget_settings
from ..helpers.frozen_service import Frozen, frozen_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WIRE_NAMES: Final = {"agent_flow_key": "agentFlowKey"}
BAD_LISTINGS: Final[list[tuple[dict[str, Any], type[Exception], str]]] = [
    ({"limit": 0}, ValueError, "limit=0 must be at least 1"),
    ({"limit": 1001}, ValueError, "limit=1001 must be at most 1000"),
    ({"limit": "10"}, TypeError, "limit must be a whole number, not '10'"),
    ({"limit": True}, TypeError, "limit must be a whole number, not True"),
    ({"sort_by": "displayName"}, ValueError, "sort_by='displayName' must be 'timeCreated'"),
    ({"sort_by": 5}, ValueError, "sort_by=5 must be 'timeCreated'"),
    ({"sort_order": "asc"}, ValueError, "sort_order='asc' must be 'ASC' or 'DESC'"),
    ({"sort_order": ["ASC"]}, ValueError, "sort_order=['ASC'] must be 'ASC' or 'DESC'"),
]


@pytest.fixture
async def frozen() -> AsyncIterator[Frozen]:
    async with frozen_service() as frozen:
        yield frozen


@pytest.mark.parametrize("key", ["", " ", "\t", ".", "..", "a\nb", "\x00", "a\x7f", "\x85", "\ud800"])
async def test_a_bad_workspace_key_is_refused_before_any_request(frozen: Frozen, key: str) -> None:
    """Blank, dots, control characters or a lone surrogate: a ValueError that shows the key."""
    with pytest.raises(ValueError, match=re.escape(f"workspace_key={key!r}")):
        await frozen.client.list_sessions(key)
    with pytest.raises(ValueError, match=re.escape(f"workspace_key={key!r}")):
        frozen.client.sessions([key, "analytics"])
    assert frozen.service.request_count == 0


@pytest.mark.parametrize("identifier", ["", " ", "a b", "a.b", "é", "a\r\nx: y", "a/b"])
async def test_an_invalid_request_id_is_refused_before_any_request(frozen: Frozen, identifier: str) -> None:
    """Only the documented characters are accepted, so no header can be injected."""
    with pytest.raises(ValueError, match=re.escape(f"opc_request_id={identifier!r} may hold only letters")):
        await frozen.client.list_sessions("analytics", opc_request_id=identifier)
    assert frozen.service.request_count == 0


@pytest.mark.parametrize("name", ["workspace_key", "agent_flow_key", "cluster_id", "path", "opc_request_id"])
@pytest.mark.parametrize("value", [5, b"x", True, ["x"]])
async def test_an_argument_that_is_not_a_string_is_refused_before_any_request(
    frozen: Frozen, name: str, value: object
) -> None:
    """A TypeError with the name of the argument."""
    arguments: dict[str, Any] = {"workspace_key": "analytics", name: value}
    with pytest.raises(TypeError, match=f"^{WIRE_NAMES.get(name, name)} must be a string, not"):
        await frozen.client.list_sessions(**arguments)
    assert frozen.service.request_count == 0


@pytest.mark.parametrize(("options", "kind", "message"), BAD_LISTINGS)
async def test_an_order_or_page_size_that_the_service_does_not_know_is_refused_before_any_request(
    frozen: Frozen, options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        await frozen.client.list_sessions("analytics", **options)

    assert (str(caught.value), frozen.service.request_count) == (message, 0)


async def test_no_workspace_key_is_refused_before_any_request(frozen: Frozen) -> None:
    """None means every workspace for `sessions`, and is no key for `list_sessions`."""
    with pytest.raises(TypeError, match=r"^workspace_key must be a string, not NoneType$"):
        await frozen.client.list_sessions(None)  # type: ignore[arg-type]  # on purpose
    assert frozen.service.request_count == 0


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"max_concurrency": 0}, ValueError, "max_concurrency=0 must be at least 1"),
        ({"max_concurrency": -1}, ValueError, "max_concurrency=-1 must be at least 1"),
        ({"max_concurrency": 2.0}, TypeError, "max_concurrency must be a whole number, not 2.0"),
        ({"max_concurrency": "2"}, TypeError, "max_concurrency must be a whole number, not '2'"),
        ({"max_concurrency": True}, TypeError, "max_concurrency must be a whole number, not True"),
        ({"on_error": "ignore"}, ValueError, "on_error='ignore' must be 'defer', 'raise' or 'skip'"),
        ({"on_error": None}, ValueError, "on_error=None must be 'defer', 'raise' or 'skip'"),
        ({"path": 5}, TypeError, "path must be a string, not int"),
        *BAD_LISTINGS,
    ],
)
async def test_a_bad_option_of_a_stream_is_refused_before_any_request(
    frozen: Frozen, options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    """The call raises, not the iteration."""
    with pytest.raises(kind) as caught:
        frozen.client.sessions(["analytics"], **options)

    assert (str(caught.value), frozen.service.request_count) == (message, 0)


async def test_a_naive_moment_is_refused_before_any_request(frozen: Frozen) -> None:
    """`idle_since` raises, not the iteration."""
    with pytest.raises(ValueError, match="has no time zone; add one"):
        frozen.client.sessions(["analytics"]).idle_since(datetime(2026, 11, 23))  # noqa: DTZ001  # on purpose
    assert frozen.service.request_count == 0


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"platform_id": ""}, ValueError, "platform_id '' is not an OCID"),
        ({"platform_id": "my platform"}, ValueError, "platform_id 'my platform' is not an OCID"),
        ({"platform_id": "ocid1.aidataplatform"}, ValueError, "platform_id 'ocid1.aidataplatform' is not an OCID"),
        ({"platform_id": "ocid1.x.oc1.iad.a/../b"}, ValueError, "platform_id 'ocid1.x.oc1.iad.a/../b' is not an OCID"),
        ({"platform_id": None}, TypeError, "platform_id must be a string, not NoneType"),
        ({"endpoint": "http://aidp.example.com"}, ValueError, "endpoint 'http://aidp.example.com' must use https"),
        ({"endpoint": "http://10.0.0.1"}, ValueError, "endpoint 'http://10.0.0.1' must use https"),
        ({"endpoint": "aidp.example.com"}, ValueError, "did you mean 'https://aidp.example.com'?"),
        ({"endpoint": 5}, TypeError, "endpoint must be a string, not int"),
        ({"api_version": "v1"}, ValueError, "api_version='v1' must be eight digits"),
        ({"max_concurrency": 0}, ValueError, "max_concurrency=0 must be at least 1"),
        ({"max_response_bytes": 0}, ValueError, "max_response_bytes=0 must be at least 1"),
        ({"timeout": 30}, TypeError, "timeout"),
        ({"timeout": None}, TypeError, "timeout"),
        ({"retry": 3}, TypeError, "retry"),
        ({"retry": None}, TypeError, "retry"),
        ({"signer": None}, TypeError, "signer must be a Signer, such as ApiKeySigner(...) or from_oci_signer(...)"),
        ({"signer": object()}, TypeError, "or from_oci_signer(...), not object"),
        ({"signer": ApiKeySigner}, TypeError, "or from_oci_signer(...), not the class ApiKeySigner"),
    ],
)
def test_a_client_with_wrong_options_is_refused(options: dict[str, Any], kind: type[Exception], says: str) -> None:
    """Each message names the value; no loop is needed."""
    fine: dict[str, Any] = {
        "platform_id": "ocid1.aidataplatform.oc1.iad.amaaaa",
        "signer": LocalService().signer,
        "endpoint": "https://aidp.example.com",
    }
    with pytest.raises(kind) as caught:
        SessionsClient(**{**fine, **options})

    assert says in str(caught.value)


def test_a_misspelt_option_is_named_before_a_setting_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a platform, `from_config` would speak of that."""
    forget_settings(monkeypatch, tmp_path)
    misspelt: Any = {"profil": "PROD"}
    with pytest.raises(TypeError, match=r"^got an unexpected keyword argument 'profil'$"):
        SessionsClient.from_config(**misspelt)


async def test_with_says_async_with(frozen: Frozen) -> None:
    with pytest.raises(TypeError, match=r"^use 'async with' instead of 'with': closing a client must be awaited$"):
        with frozen.client:  # type: ignore[attr-defined]  # on purpose
            pytest.fail("the block was entered")


READS_A_STREAM = r"^read a stream with 'async for session in stream' or 'await stream\.collect\(\)'$"


async def test_reading_a_stream_synchronously_says_how_it_is_read(frozen: Frozen) -> None:
    """By a loop, as a list, by its length or truth, or awaited itself."""
    stream: Any = frozen.client.sessions().busy()
    for read in (list, len, bool, sorted):
        with pytest.raises(TypeError, match=READS_A_STREAM):
            read(stream)
    with pytest.raises(TypeError, match=READS_A_STREAM):
        for _ in stream:
            pytest.fail("a session was yielded")
    with pytest.raises(TypeError, match=READS_A_STREAM):
        await stream
    assert frozen.service.request_count == 0


async def test_a_loop_over_anything_asynchronous_says_async_for(frozen: Frozen) -> None:
    client = frozen.client
    for iteration in (client.workspaces(), client.sessions().by_workspace(), client.sessions().watch()):
        with pytest.raises(TypeError, match=r"^use 'async for item in …' or '\[item async for item in …\]'$"):
            list(iteration)  # type: ignore[call-overload]  # on purpose
    assert frozen.service.request_count == 0


async def test_a_loop_over_a_coroutine_says_await(frozen: Frozen) -> None:
    """Whoever iterates it, and without a second message that the coroutine was never awaited."""
    client: Any = frozen.client
    for name, call in (("list_sessions", partial(client.list_sessions, "a")), ("collect", client.sessions().collect)):
        for read in (list, sorted, iter):
            with pytest.raises(TypeError) as caught:
                read(call())
            assert str(caught.value) == f"{name}() returns a coroutine; write 'for … in await ….{name}(…)'"
    assert frozen.service.request_count == 0


async def test_a_listing_that_nothing_awaits_is_reported_by_its_name(frozen: Frozen) -> None:
    with pytest.warns(RuntimeWarning, match=r"^coroutine 'SessionsClient\.list_sessions' was never awaited$"):
        frozen.client.list_sessions("analytics")  # type: ignore[unused-coroutine]  # on purpose


async def test_such_a_coroutine_is_one_for_asyncio_for_debuggers_and_for_mocks(frozen: Frozen) -> None:
    listing = frozen.client.list_sessions("analytics")
    assert asyncio.iscoroutine(listing)
    assert inspect.getcoroutinestate(listing) == inspect.CORO_CREATED
    task = asyncio.create_task(listing)
    await asyncio.sleep(0)
    assert [frame.f_code.co_name for frame in task.get_stack()] == ["list_sessions"]
    assert " coro=<SessionsClient.list_sessions() running at " in repr(task)
    found = await task
    assert (await asyncio.gather(frozen.client.list_sessions("analytics")))[0].items == found.items

    assert asyncio.iscoroutinefunction(frozen.client.list_sessions)
    mocked = create_autospec(SessionsClient, instance=True)
    mocked.list_sessions.return_value = found
    assert await mocked.list_sessions("analytics") is found


@pytest.mark.parametrize("every", [5, 300.0, None, "5m"])
async def test_a_period_that_is_no_timedelta_is_refused(frozen: Frozen, every: Any) -> None:
    with pytest.raises(TypeError) as caught:
        frozen.client.sessions().watch(every)

    assert str(caught.value) == f"every must be a timedelta, such as timedelta(minutes=5), not {every!r}"


async def test_a_key_that_is_given_in_place_of_a_signer_is_not_in_the_error() -> None:
    key: Any = "-----BEGIN PRIVATE KEY-----"
    with pytest.raises(TypeError) as caught:
        SessionsClient("ocid1.aidataplatform.oc1.iad.amaaaa", signer=key)

    assert str(caught.value) == "signer must be a Signer, such as ApiKeySigner(...) or from_oci_signer(...), not str"
