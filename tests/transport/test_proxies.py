"""Through a proxy, the request arrives as it was signed, and a tunnel's proxy sees the destination only."""

from __future__ import annotations

import asyncio
import pickle
import ssl
from base64 import b64encode
from typing import TYPE_CHECKING, Final, Self

import aiohttp
import pytest
import trustme

from aidp_sessions import ConnectionFailedError, RetryPolicy

from ..helpers.raw_server import PREFIX, RawServer, answer, close

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from aidp_sessions.streams.fan_out import OnError

TARGET: Final = f"{PREFIX}/a%2Fb/notebook/api/sessions"


class ConnectProxy:
    """Answers CONNECT for any host by a connection to *port* of loopback."""

    def __init__(self, port: int) -> None:
        self.heads: list[bytes] = []
        self.passed = b""
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        await asyncio.gather(*self._tasks)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(self._pass_on(reader, far_writer), self._pass_on(far_reader, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            self.passed += data
            writer.write(data)
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("from_environment", [False, True])
async def test_a_plain_proxy_gets_the_whole_url_and_the_signature_still_covers_the_path(
    monkeypatch: pytest.MonkeyPatch, from_environment: bool
) -> None:
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with RawServer(answer()) as proxy, RawServer(answer()) as server:
        if from_environment:
            monkeypatch.setenv("http_proxy", proxy.url)
        options = {"trust_env": True} if from_environment else {"proxy": proxy.url}
        async with server.client(**options) as client:
            await client.list_sessions("a/b")
    (request,) = proxy.received

    assert server.received == []
    assert request.line == f"GET {server.url}{TARGET} HTTP/1.1"
    assert request.header("host") == f"127.0.0.1:{server.port}"
    assert request.is_signed_for(TARGET)


@pytest.mark.parametrize("variables", [{}, {"NO_PROXY": "127.0.0.0/8"}])
async def test_all_proxy_is_used_unless_no_proxy_names_the_network(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with RawServer(answer()) as proxy, RawServer(answer()) as server:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        async with server.client(trust_env=True) as client:
            await client.list_sessions("k")

    assert (len(proxy.received), len(server.received)) == ((0, 1) if variables else (1, 0))


async def test_a_proxy_gets_user_and_password_as_they_are_meant() -> None:
    async with RawServer(answer()) as proxy, RawServer(answer()) as server:
        url = proxy.url.replace("http://", r"http://CORP\me:hunter%2F2@")
        async with server.client(proxy=url) as client:
            await client.list_sessions("k")

    expected = b64encode(rb"CORP\me:hunter/2").decode()
    assert proxy.received[0].header("proxy-authorization") == f"Basic {expected}"


async def test_a_tunnel_is_asked_for_the_host_alone_and_shows_nothing_of_the_request() -> None:
    authority, context, trusting = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("aidp.example.invalid").configure_cert(context)
    authority.configure_trust(trusting)
    async with RawServer(answer(), tls=context) as server, ConnectProxy(server.port) as proxy:
        endpoint = "https://aidp.example.invalid"
        async with server.client(endpoint=endpoint, proxy=proxy.url, ssl=trusting) as client:
            await client.list_sessions("a/b")
            await client.list_sessions("a/b")

    assert [request.line for request in server.received] == [f"GET {TARGET} HTTP/1.1"] * 2
    assert {request.header("host") for request in server.received} == {"aidp.example.invalid"}
    assert all(request.is_signed for request in server.received)
    (head,) = proxy.heads
    assert head.startswith(b"CONNECT aidp.example.invalid:443 HTTP/1.1\r\n")
    assert b"authorization: signature" not in head.lower()
    assert b"workspaces" not in head + proxy.passed


async def test_a_proxy_that_hangs_up_is_asked_once_per_attempt() -> None:
    async with RawServer(close()) as proxy:
        client = proxy.client(endpoint="https://aidp.invalid", proxy=proxy.url, retry=RetryPolicy.none())
        async with client:
            with pytest.raises(ConnectionFailedError, match="the connection failed: it was closed before an answer"):
                await client.list_sessions("k")

    assert [request.line for request in proxy.received] == ["CONNECT aidp.invalid:443 HTTP/1.1"]


async def test_a_password_of_the_proxy_is_in_no_error() -> None:
    async with RawServer() as gone:
        proxy = gone.url.replace("http://", "http://someone:hunter2@")
    async with RawServer(answer(b"", 407)) as refusing:
        other = refusing.url.replace("http://", "http://someone:hunter2@")
        for url in (proxy, other):
            client = refusing.client(endpoint="https://aidp.invalid", proxy=url, retry=RetryPolicy.none())
            async with client:
                with pytest.raises(ConnectionFailedError) as caught:
                    await client.list_sessions("k")
            assert "hunter2" not in str(caught.value) + repr(client) + repr(vars(caught.value))
            assert b"hunter2" not in pickle.dumps(caught.value)


async def test_a_netrc_file_never_takes_the_place_of_the_signature(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with RawServer(answer()) as server, server.client(trust_env=True) as client:
        await client.list_sessions("k")

    assert server.received[0].is_signed


@pytest.mark.parametrize("on_error", ["defer", "skip", "raise"])
async def test_a_netrc_file_that_a_session_of_the_caller_s_applies_is_an_error_of_this_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, on_error: OnError
) -> None:
    """Such a session wants to send its own Authorization; nothing is sent, and the error does not repeat it."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with RawServer(answer()) as server, aiohttp.ClientSession(trust_env=True) as http:
        async with server.client(http_session=http) as client:
            with pytest.raises(ConnectionFailedError) as caught:
                await client.list_sessions("k")
            stream = client.sessions(["k", "l"], on_error=on_error)
            if on_error == "raise":
                with pytest.raises(ConnectionFailedError):
                    await stream.collect()
            else:
                errors = [each.error async for each in stream.by_workspace()]
                assert [type(error) for error in errors] == [ConnectionFailedError] * 2

    assert server.received == []
    assert caught.value.message.startswith("the request cannot be sent: ")
    assert len(caught.value.request_ids) == 1
    assert "hunter2" not in repr(vars(caught.value)) + str(caught.value)


@pytest.mark.parametrize(
    ("status", "remedy"), [(407, "; put user and password into its URL"), (403, "; it does not allow this host")]
)
async def test_a_proxy_that_refuses_a_tunnel_is_asked_once_and_the_error_says_the_way_out(
    status: int, remedy: str
) -> None:
    async with RawServer(close(answer(b"", status))) as proxy:
        async with proxy.client(endpoint="https://aidp.example.com", proxy=proxy.url) as client:
            with pytest.raises(ConnectionFailedError) as caught:
                await client.list_sessions("w")

    assert caught.value.message == f"the proxy refused the connection with {status} Whatever{remedy}"
    assert (caught.value.permanent, caught.value.unsent, len(proxy.received)) == (True, True, 1)
