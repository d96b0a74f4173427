"""What a call sends and reads, byte for byte: signatures, headers, pages, bodies."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import zlib
from email.utils import formatdate
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import aiohttp
import pytest
import trustme
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aidp_sessions import ConnectionFailedError, ResponseDecodeError, ServiceError, SessionSummary
from aidp_sessions._version import __version__

from ..helpers.raw_server import (
    PLATFORM,
    PREFIX,
    RawServer,
    Times,
    answer,
    close,
    drip,
    eventually,
    send,
)

UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
NASTY: Final = "a/b%2Fc d+e~f,g@h:i?j#k&l=m;n\"o'p\\q|r<s>{t}[u]^`é✓𝒳\u00a0"
ONE: Final = b'{"items": [{"id": "s1", "name": "caf\xc3\xa9"}]}'

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)
keys = texts.filter(lambda key: key.strip() and key not in (".", ".."))


def encoded(text: str) -> str:
    """Percent-encode all but RFC 3986's unreserved characters, with upper-case digits; independent of our encoder."""
    return "".join(chr(byte) if byte in UNRESERVED else f"%{byte:02X}" for byte in text.encode())


def sessions_of(key: str) -> str:
    return f"{PREFIX}/{encoded(key)}/notebook/api/sessions"


class LocalResolver(AbstractResolver):
    """Resolves every host to one port of loopback, so that a URL may name any host and any port."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [{"hostname": host, "host": "127.0.0.1", "port": self._port, "family": family, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        pass


@given(key=keys, path=st.none() | texts, cluster_id=st.none() | texts, agent_flow_key=st.none() | texts)
@example(key=NASTY, path=NASTY, cluster_id=NASTY, agent_flow_key=NASTY)
@example(key="...", path="Workspace/x.ipynb", cluster_id="", agent_flow_key="%41")
@example(key="/", path="/", cluster_id="+", agent_flow_key=" ")
@example(key="%2F", path="%2e%2e", cluster_id="..", agent_flow_key="a//b/../c")
@settings(max_examples=60)
async def test_the_line_that_arrives_is_the_line_that_was_signed(
    key: str, path: str | None, cluster_id: str | None, agent_flow_key: str | None
) -> None:
    async with RawServer(answer()) as server, server.client() as client:
        await client.list_sessions(key, path=path, cluster_id=cluster_id, agent_flow_key=agent_flow_key)
    (request,) = server.received

    filters = {"cluster_id": cluster_id, "path": path, "agentFlowKey": agent_flow_key}
    query = "&".join(f"{name}={encoded(value)}" for name, value in filters.items() if value is not None)
    assert request.line == f"GET {sessions_of(key)}{query and f'?{query}'} HTTP/1.1"
    assert request.header("host") == f"127.0.0.1:{server.port}"
    assert request.is_signed


@pytest.mark.parametrize(
    ("base", "options", "path"),
    [
        ("/", {}, f"{PREFIX}/k/notebook/api/sessions"),
        ("/gate-way/", {}, f"/gate-way{PREFIX}/k/notebook/api/sessions"),
        ("/a%2Fb/%7ec,d@e:f~+g", {}, f"/a%2Fb/%7ec,d@e:f~+g{PREFIX}/k/notebook/api/sessions"),
        ("/20260430", {}, f"{PREFIX}/k/notebook/api/sessions"),
        ("", {"api_version": "20240831"}, f"/20240831/dataLakes/{PLATFORM}/workspaces/k/notebook/api/sessions"),
    ],
)
async def test_the_path_of_an_endpoint_is_signed_and_sent_as_it_was_given(
    base: str, options: dict[str, Any], path: str
) -> None:
    async with RawServer(answer()) as server, server.client(endpoint=server.url + base, **options) as client:
        await client.list_sessions("k")
    (request,) = server.received

    assert request.line == f"GET {path} HTTP/1.1"
    assert request.is_signed


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        ("http://localhost", "localhost"),
        ("http://localhost:80", "localhost"),
        ("http://LocalHost:8080/", "localhost:8080"),
        ("http://localhost:443", "localhost:443"),
        ("https://AIDP.example.invalid:443/", "aidp.example.invalid"),
        ("https://aidp.example.invalid:80", "aidp.example.invalid:80"),
    ],
)
async def test_the_host_that_arrives_is_the_host_that_was_signed(endpoint: str, host: str) -> None:
    contexts = tls_contexts("aidp.example.invalid") if endpoint.startswith("https") else (None, True)
    async with RawServer(answer(), tls=contexts[0]) as server:
        connector = aiohttp.TCPConnector(resolver=LocalResolver(server.port))
        async with aiohttp.ClientSession(connector=connector) as http:
            client = server.client(endpoint=endpoint, http_session=http, ssl=contexts[1])
            await client.list_sessions("k")
    (request,) = server.received

    assert request.header("host") == host
    assert request.is_signed


def tls_contexts(host: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts for a server of that name and for a client that trusts it."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(host).configure_cert(server)
    authority.configure_trust(client)
    return server, client


async def test_a_request_carries_these_headers_and_no_others() -> None:
    times = Times()
    async with RawServer(answer()) as server, server.client(clock=times.clock) as client:
        await client.list_sessions("k", opc_request_id="our_Own-1")
    (request,) = server.received
    headers = dict(request.headers)

    assert len(request.headers) == len(headers)
    assert "gzip" in headers.pop("accept-encoding")
    assert headers.pop("authorization").startswith('Signature algorithm="rsa-sha256",')
    assert headers.pop("user-agent").startswith(f"aidp-sessions/{__version__} ")
    assert headers == {
        "accept": "application/json",
        "date": formatdate(times.now, usegmt=True),
        "host": f"127.0.0.1:{server.port}",
        "opc-client-info": f"aidp-sessions/{__version__}",
        "opc-client-retries": "true",
        "opc-request-id": "our_Own-1",
    }


async def test_cookies_of_the_service_are_not_sent_back() -> None:
    async with RawServer(answer(set_cookie="session=1; Path=/")) as server:
        async with server.client(endpoint=f"http://localhost:{server.port}") as client:  # addresses have no cookies
            await client.list_sessions("k")
            await client.list_sessions("k")

    assert [[name for name, _ in request.headers if name == "cookie"] for request in server.received] == [[], []]


async def test_a_signature_is_made_after_the_wait_for_a_slot() -> None:
    times = Times()
    async with RawServer(send(b""), answer()) as server, server.client(max_concurrency=1, clock=times.clock) as client:
        first = asyncio.create_task(client.list_sessions("k"))
        await eventually(lambda: len(server.received) == 1)
        second = asyncio.create_task(client.list_sessions("k"))
        await asyncio.sleep(0.01)
        times.now += 1_000.0
        next(iter(server.open)).write(answer())
        await asyncio.gather(first, second)

    assert [request.header("date") for request in server.received] == [
        formatdate(times.now - 1_000.0, usegmt=True),
        formatdate(times.now, usegmt=True),
    ]


@given(token=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1))
@example(token="+//+==")
@example(token="a%2Fb&page=c#d")
@settings(max_examples=40)
async def test_a_page_token_is_sent_back_unchanged_with_the_same_filters(token: str) -> None:
    async with RawServer(answer(opc_next_page=token), answer()) as server, server.client() as client:
        await client.list_sessions("k", path="/a b", opc_request_id="id")
    targets = [request.target for request in server.received]

    assert targets == [f"{sessions_of('k')}?path=%2Fa%20b", f"{sessions_of('k')}?path=%2Fa%20b&page={encoded(token)}"]
    assert [request.header("opc-request-id") for request in server.received] == ["id", "id-2"]
    assert all(request.is_signed for request in server.received)


async def test_a_page_token_that_is_not_text_is_sent_back_byte_for_byte() -> None:
    token = b"\xff\xfe+".decode("utf-8", "surrogateescape")
    async with RawServer(answer(opc_next_page=token), answer()) as server, server.client() as client:
        await client.list_sessions("k")

    assert unquote_to_bytes(server.received[1].target.rpartition("page=")[2]) == b"\xff\xfe+"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_error_that_names_where_it_leads_and_is_never_followed(status: int) -> None:
    async with RawServer(answer()) as elsewhere:
        location = f"{elsewhere.url}{PREFIX}/k/notebook/api/sessions"
        async with RawServer(answer(b"", status, location=location)) as server, server.client() as client:
            with pytest.raises(ServiceError) as caught:
                await client.list_sessions("k")

    assert elsewhere.connections == 0
    assert len(server.received) == 1
    assert (type(caught.value), caught.value.status) == (ServiceError, status)
    assert f"127.0.0.1:{elsewhere.port}" in caught.value.message


@pytest.mark.parametrize("size", [1, 7, 1_000_000])
@pytest.mark.parametrize("coding", ["identity", "gzip", "deflate", "chunked", "to the end", "after early hints"])
async def test_a_body_is_the_same_however_it_is_coded_and_cut_up(coding: str, size: int) -> None:
    forms = {
        "identity": answer(ONE),
        "gzip": answer(gzip.compress(ONE), content_encoding="gzip"),
        "deflate": answer(zlib.compress(ONE), content_encoding="deflate"),
        "chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n%b\r\n%x;a=b\r\n%b\r\n0\r\nx: y\r\n\r\n"
        % (ONE[:5], len(ONE) - 5, ONE[5:]),
        "to the end": b"HTTP/1.1 200 OK\r\n\r\n" + ONE,
        "after early hints": b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + answer(ONE),
    }
    step = drip(forms[coding], size=size, end=coding == "to the end")
    async with RawServer(step) as server, server.client() as client:
        collection = await client.list_sessions("k")

    assert collection.items == (SessionSummary(id="s1", name="café", workspace_key="k"),)


async def test_the_request_id_of_the_service_is_on_the_result() -> None:
    async with RawServer(answer(opc_request_id="a/b/c", etag='"e"')) as server, server.client() as client:
        collection = await client.list_sessions("k")

    assert (collection.items, collection.etag, collection.opc_request_id) == ((), '"e"', "a/b/c")


@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_a_body_of_exactly_the_limit_is_taken_and_one_byte_more_is_refused(coding: str) -> None:
    body = gzip.compress(ONE) if coding == "gzip" else ONE
    reply = answer(body, content_encoding=coding, opc_request_id="theirs")
    async with RawServer(reply) as server:
        async with server.client(max_response_bytes=len(ONE)) as client:
            assert len(await client.list_sessions("k")) == 1
        async with server.client(max_response_bytes=len(ONE) - 1) as client:
            with pytest.raises(ResponseDecodeError, match=f"max_response_bytes={len(ONE) - 1}") as caught:
                await client.list_sessions("k")

    assert (caught.value.status, caught.value.path, len(server.received)) == (200, "$", 2)


@pytest.mark.parametrize(
    ("body", "connections"),
    [(b"x" * 2_000_000, [0, 1]), (gzip.compress(bytes(50_000_000)), [0, 0])],
    ids=["plain", "bomb"],
)
async def test_a_connection_whose_body_was_too_large_is_used_again_only_if_it_was_read(
    body: bytes, connections: list[int]
) -> None:
    """The compressed body is read to its end, though not decompressed."""
    coding = "gzip" if body.startswith(b"\x1f") else "identity"
    async with RawServer(answer(body, content_encoding=coding), answer()) as server:
        async with server.client(max_response_bytes=1_000_000) as client:
            with pytest.raises(ResponseDecodeError, match="larger than max_response_bytes"):
                await client.list_sessions("k")
            await client.list_sessions("k")

        assert [request.connection for request in server.received] == connections


@pytest.mark.parametrize("body", [b"[", b'{"items": 5}', b"<html>", b"x" * 100])
async def test_an_answer_that_cannot_be_used_still_gives_its_status_and_request_id(body: bytes) -> None:
    async with RawServer(answer(body, opc_request_id="theirs")) as server:
        async with server.client(max_response_bytes=99) as client:
            with pytest.raises(ResponseDecodeError) as caught:
                await client.list_sessions("k")
    error = caught.value

    assert (error.status, error.headers.get("opc-request-id"), error.opc_request_id) == (200, "theirs", "theirs")
    assert (error.operation, error.workspace_key) == ("list_sessions", "k")
    assert error.request_ids == (server.received[0].header("opc-request-id"),)


@pytest.mark.parametrize("header", ["content_security_policy", "opc_next_page"])
async def test_a_header_of_sixty_thousand_characters_is_read(header: str) -> None:
    pages = [answer(b'{"items": [{"id": "1"}]}', 200, **{header: "A" * 60_000}), answer(b'{"items": [{"id": "2"}]}')]
    async with RawServer(*pages) as server, server.client() as client:
        collection = await client.list_sessions("k")

    expected = ["1", "2"] if header == "opc_next_page" else ["1"]
    assert [session.id for session in collection] == expected


async def test_a_header_that_is_too_long_is_one_error_and_not_asked_for_again() -> None:
    async with RawServer(close(answer(x="A" * 70_000))) as server, server.client() as client:
        with pytest.raises(ConnectionFailedError, match="the head of the response is too large") as caught:
            await client.list_sessions("k")

    assert (caught.value.permanent, len(server.received)) == (True, 1)
