"""`SessionsClient(headers=…)`: sent with each request, and unable to replace what the client signs or sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from aidp_sessions import ApiKeySigner, RetryPolicy, SessionsClient
from aidp_sessions.testing import Fault, LocalService

from ..helpers.cli_runner import forget_settings, point_to

if TYPE_CHECKING:
    from pathlib import Path

GATEWAY: Final = {"X-Gateway-Key": "k1", "accept-language": "de"}
SECRET: Final = "hunter2-of-the-gateway"
PLATFORM: Final = "ocid1.aidataplatform.oc1.iad.amaaaa"


def sent(service: LocalService, *names: str) -> list[tuple[str | None, ...]]:
    return [tuple(request.headers.get(name) for name in names) for request in service.requests]


async def test_each_request_carries_the_headers_of_the_client(service: LocalService) -> None:
    """Every operation, page and attempt; the service accepts the signature, which does not cover them."""
    service.add_workspace("w", [{"id": str(number)} for number in range(3)])
    service.fail("w", Fault(status=503))
    async with service.client(headers=GATEWAY, retry=RetryPolicy(base=0)) as client:
        await client.list_sessions("w", limit=2)
        await client.sessions().collect()
        await client.get_session("w", "1")
        await client.patch_session("w", "1", name="n")
        await client.delete_session("w", "1")
        await client.request("GET", "workspaces")
        await client.clock_skew()

    assert len(service.requests) > 10
    assert set(sent(service, "x-gateway-key", "accept-language")) == {("k1", "de")}
    assert {request.status for request in service.requests} == {200, 204, 503}


async def test_a_header_of_one_request_replaces_that_of_the_client(service: LocalService) -> None:
    async with service.client(headers={"x-gateway-key": "k1"}) as client:
        await client.request("GET", "workspaces", headers={"X-Gateway-Key": "k2"})
        await client.request("GET", "workspaces")

    assert sent(service, "x-gateway-key") == [("k2",), ("k1",)]


async def test_a_copy_has_the_headers_of_its_original_unless_it_gets_its_own(service: LocalService) -> None:
    given = {"x-a": "1"}
    async with service.client(headers=given) as client:
        given["x-a"] = "changed later"
        await client.request("GET", "workspaces")
        await client.with_options(max_concurrency=1).request("GET", "workspaces")
        await client.with_options(headers={"x-b": "2"}).request("GET", "workspaces")
        await client.with_options(headers=None).request("GET", "workspaces")

    assert sent(service, "x-a", "x-b") == [("1", None), ("1", None), (None, "2"), (None, None)]


async def test_a_client_from_the_configuration_takes_headers(
    service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    forget_settings(monkeypatch, tmp_path)
    point_to(service, monkeypatch, tmp_path)
    async with SessionsClient.from_config(headers=GATEWAY) as client:
        await client.request("GET", "workspaces")

    assert sent(service, "x-gateway-key") == [("k1",)]


def build(headers: Any) -> SessionsClient:
    signer: ApiKeySigner = LocalService().signer
    return SessionsClient(PLATFORM, signer=signer, endpoint="https://aidp.example.com", headers=headers)


@pytest.mark.parametrize(
    "name",
    [
        *("Authorization", "date", "x-date", "host", "x-content-sha256", "content-length", "Content-Type"),
        *("content-encoding", "accept", "accept-encoding", "user-agent", "range", "opc-request-id", "opc-retry-token"),
        *("opc-client-info", "opc-client-retries", "opc-obo-token", "cookie", "proxy-authorization"),
        *("If-Match", "if-none-match", "if-modified-since", "connection", "transfer-encoding", "expect", "te"),
    ],
)
def test_a_header_that_the_client_signs_or_sets_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^header '{name}' cannot be given: ") as caught:
        build({name: SECRET})

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "headers",
    [
        *({"x-a": value} for value in (f"{SECRET}\r\nx: y", f"{SECRET}\n", f"{SECRET}\0", f"{SECRET}é", "", " ")),
        *({name: SECRET} for name in ("x a", "x\r\na", "é", "", "x:")),
        {"x-a": SECRET, "X-A": SECRET},
    ],
)
def test_a_header_that_could_be_split_or_is_no_ascii_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"^header ") as caught:
        build(headers)

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ([("x-a", SECRET)], "headers must be a mapping of names to values, not list"),
        (SECRET, "headers must be a mapping of names to values, not str"),
        ({"x-a": SECRET.encode()}, "header 'x-a' must be a string with a string for a value"),
        ({5: SECRET}, "header 5 must be a string with a string for a value"),
    ],
)
def test_headers_of_another_type_are_refused(headers: object, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        build(headers)

    assert str(caught.value) == message


def test_no_repr_shows_the_value_of_a_header() -> None:
    """Neither that of the client nor those of what it holds."""
    client = build({"x-a": SECRET})
    shown = [client, vars(client), vars(client)["_transport"], vars(client)["_transport"].common_headers]

    assert [each for each in map(repr, shown) if SECRET in each] == []
    assert "<headers x-a>" in repr(shown[1])
