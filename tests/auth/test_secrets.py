"""No credential is shown anywhere, and no argument becomes a header."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import logging
import pickle
import re
import traceback
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote

import attrs
import oci
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import aidp_sessions
from aidp_sessions import (
    AidpError,
    ApiKeySigner,
    ConfigError,
    ConnectionFailedError,
    CredentialsError,
    RetryPolicy,
    ServiceError,
    SessionsClient,
    SessionTokenSigner,
    Signer,
    Timeout,
    from_oci_signer,
)
from aidp_sessions._operations.redaction import redact

from ..helpers import credentials
from ..helpers.exception_chains import exception_chain
from ..helpers.raw_server import (
    PLATFORM,
    PREFIX,
    RawServer,
    Times,
    answer,
    close,
    send,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..helpers.raw_server import Step

PASS_PHRASE: Final = "canary-of-the-pass-phrase-7391"
PROXY_PASSWORD: Final = "canary-of-the-proxy-5127"
TOKEN: Final = credentials.jwt(exp=4_000_000_000, tenant=credentials.TENANCY, canary="canary-of-the-token-8846")
PEM: Final = credentials.pem(0, PASS_PHRASE)
PLAIN_PEM: Final = credentials.pem(0)
PACKAGE: Final = str(Path(aidp_sessions.__file__).parent)
API_KEY: Final[dict[str, Any]] = {"tenancy": credentials.TENANCY, "user": credentials.USER}
ONCE: Final = RetryPolicy.none()
DATE: Final = "Thu, 05 Jan 2034 21:31:40 GMT"
LIMITS: Final = Timeout(connect=0.05, read=0.05, total=0.2)


def secrets(pem: str) -> set[str]:
    """The lines of a key, without the first and last, which all keys of its kind share."""
    return set(pem.splitlines()[2:-2])


def api_key() -> ApiKeySigner:
    return ApiKeySigner(**API_KEY, fingerprint=credentials.fingerprint(), private_key=PEM, pass_phrase=PASS_PHRASE)


def session_token() -> SessionTokenSigner:
    return SessionTokenSigner(token=TOKEN, private_key=PEM, pass_phrase=PASS_PHRASE)


def official_token() -> Signer:
    key = oci.signer.load_private_key(PEM, PASS_PHRASE)
    return from_oci_signer(oci.auth.signers.SecurityTokenSigner(TOKEN, key))


SIGNERS: Final[dict[str, Callable[[], Signer]]] = {
    "api key": api_key,
    "session token": session_token,
    "oci's session token": official_token,
}


@attrs.define
class Everything:
    """Everything that was shown, and the secrets that must not be in it."""

    shown: list[str] = attrs.field(factory=list)
    needles: set[str] = attrs.field(
        factory=lambda: {PASS_PHRASE, PROXY_PASSWORD, *TOKEN.split(".")[1:2], *secrets(PEM), *secrets(PLAIN_PEM)}
    )

    def add(self, *things: object) -> None:
        for thing in things:
            self.shown += [repr(thing), str(thing)]

    def add_error(self, error: BaseException, *, with_locals: bool = True) -> None:
        """Add text, attributes, pickle, chain, members, and the local variables of our frames, as crash reporters do.

        Local variables hold the service's answer, so they are omitted where the answer has our secrets.
        """
        for link in exception_chain(error):
            self.add(link, link.args, vars(link))
            self.shown += traceback.format_exception(link)
            self.shown += locals_of_ours(link) if with_locals else ()
            self.shown.append(pickle.dumps(link).decode("latin-1"))

    def add_requests(self, server: RawServer) -> None:
        """Add the secrets that were sent: signatures, tokens, proxy passwords."""
        for request in server.received:
            sent = dict(request.headers)
            self.needles |= set(re.findall(r'signature="([^"]{40})', sent.get("authorization", "")))
            basic = sent.get("proxy-authorization")
            self.needles |= {basic.partition(" ")[2]} if basic else set()

    def leaked(self) -> list[str]:
        spellings = {form for needle in self.needles for form in (needle, quote(needle, safe=""), json.dumps(needle))}
        return sorted({form for form in spellings if any(form in text for text in self.shown)})


def locals_of_ours(error: BaseException) -> Iterator[str]:
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename.startswith(PACKAGE):
            yield from (f"{name}={value!r}" for name, value in frame.f_locals.items())


@pytest.fixture
def everything(caplog: pytest.LogCaptureFixture) -> Iterator[Everything]:
    """Every logger records all of its messages."""
    levels = {name: logging.getLogger(name).level for name in (None, "asyncio", "aiohttp", "backoff", "aidp_sessions")}
    for name in levels:
        logging.getLogger(name).setLevel(1)
    everything = Everything()
    with caplog.at_level(1):
        yield everything
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def add_logs(everything: Everything, caplog: pytest.LogCaptureFixture) -> None:
    for record in caplog.records:
        everything.shown += [record.getMessage(), repr(record.args), record.exc_text or "", str(record.exc_info)]
    assert any(record.name == "aidp_sessions" for record in caplog.records)


def flat(secret: str) -> str:
    return secret.replace("\n", "\\n")


def in_json(**fields: str) -> bytes:
    return json.dumps(fields).encode()


def in_a_field(secret: str) -> bytes:
    return json.dumps({"items": [{"kernel": {"name": "python3", "last_activity": secret}}]}).encode()


FORMS: Final[dict[str, Callable[[str], bytes]]] = {
    "a body that is no JSON": lambda secret: answer(f"<p>{secret}".encode(), opc_request_id="theirs"),
    "a field": lambda secret: answer(in_a_field(secret)),
    "a status that is no error": lambda secret: answer(secret.encode(), 206),
    "a page of a gateway": lambda secret: answer(f"<p>{secret}".encode(), 502),
    "an error that is none": lambda secret: answer(in_json(oops=secret), 403),
    "a message": lambda secret: answer(in_json(code="C", message=f"You sent '{secret}', and that is wrong."), 400),
    "a message of a 401": lambda secret: answer(in_json(code="C", message=secret), 401, date=DATE),
    "a code": lambda secret: answer(in_json(code=secret, message="M"), 400),
    "headers": lambda secret: answer(b"", 500, x_echo=flat(secret), opc_request_id=flat(secret)),
    "private headers": lambda secret: answer(b"", 500, set_cookie=flat(secret), authorization=flat(secret)),
    "a redirect": lambda secret: answer(b"", 302, location=f"https://{flat(secret)}@x/{flat(secret)}"),
    "no HTTP": lambda secret: f"{secret}\r\n\r\n".encode(),
    "a header that is none": lambda secret: b"HTTP/1.1 200 OK\r\n" + secret.encode() + b"\r\n\r\n",
    "a length that is none": lambda secret: b"HTTP/1.1 200 OK\r\ncontent-length: " + secret.encode() + b"\r\n\r\n",
}
ECHOED: Final[dict[str, Callable[[str], str]]] = {
    "the signature": lambda authorization: authorization,
    "the token": lambda _: TOKEN,
    "the key id": lambda _: f"ST${TOKEN}",
    "a key": lambda _: PLAIN_PEM,
}


def echoing(
    server: RawServer, form: Callable[[str], bytes], echoed: Callable[[str], str], header: str = "authorization"
) -> Step:
    def step(transport: asyncio.Transport) -> None:
        close(form(echoed(server.received[-1].header(header))))(transport)

    return step


@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS.keys())
@pytest.mark.parametrize("echoed", ECHOED.values(), ids=ECHOED.keys())
async def test_a_service_that_echoes_credentials_does_not_get_them_into_errors_or_logs(
    everything: Everything,
    caplog: pytest.LogCaptureFixture,
    signer: Callable[[], Signer],
    echoed: Callable[[str], str],
) -> None:
    given_signer = signer()
    async with RawServer(b"") as server:
        for form in FORMS.values():
            server._steps = [echoing(server, form, echoed)]
            async with SessionsClient(
                PLATFORM, signer=given_signer, endpoint=server.url, retry=ONCE, clock=Times().clock
            ) as client:
                with pytest.raises(AidpError) as caught:
                    await client.list_sessions("k")
                everything.add(client, client.sessions("k"), given_signer)
                everything.add_error(caught.value, with_locals=False)
        everything.add_requests(server)

    add_logs(everything, caplog)
    assert len(everything.needles) > 40
    assert everything.leaked() == []


FAILURES: Final[dict[str, Step | bytes]] = {
    "cut": close(),
    "cut in the body": close(answer()[:-3]),
    "nonsense": close(b"nonsense\r\n\r\n"),
    "silence": send(b""),
    "silence in the body": send(answer()[:-3]),
    "success": answer(b'{"items": [{"id": "s1"}]}'),
}


@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS.keys())
async def test_no_call_shows_credentials_in_any_outcome(
    everything: Everything, caplog: pytest.LogCaptureFixture, signer: Callable[[], Signer]
) -> None:
    """Not even asyncio's debug log shows them."""
    loop, given_signer = asyncio.get_running_loop(), signer()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0
    for step in FAILURES.values():
        async with RawServer(step) as server:
            client = SessionsClient(PLATFORM, signer=given_signer, endpoint=server.url, timeout=LIMITS, retry=ONCE)
            async with client:
                call = asyncio.create_task(client.sessions(["k", "l"]).collect())
                await asyncio.sleep(0)
                everything.add(client, client._transport, client._transport.pool, call, *asyncio.all_tasks())
                await asyncio.wait([call])
                everything.add(call, await asyncio.gather(call, return_exceptions=True))
                if error := call.exception():
                    everything.add_error(error)
            everything.add_requests(server)
    loop.slow_callback_duration = 0.1

    add_logs(everything, caplog)
    assert any(record.name == "asyncio" for record in caplog.records)
    assert everything.leaked() == []


@pytest.mark.parametrize(
    "reply",
    [answer(b"", 407), close(), close(b"nonsense\r\n\r\n"), send(b""), None],
    ids=["407", "cut", "nonsense", "silence", "refused"],
)
@pytest.mark.parametrize("tunnel", [False, True])
async def test_the_password_of_a_proxy_is_not_shown(
    everything: Everything, caplog: pytest.LogCaptureFixture, reply: Step | bytes | None, tunnel: bool
) -> None:
    async with RawServer(reply or b"") as proxy:
        url = proxy.url.replace("http://", f"http://someone:{PROXY_PASSWORD}@")
        if reply is None:
            url = url.replace(str(proxy.port), "1")
        endpoint = "https://aidp.invalid" if tunnel else "http://127.0.0.1:9"
        client = proxy.client(endpoint=endpoint, proxy=url, timeout=LIMITS, retry=ONCE)
        async with client:
            everything.add(client, client.with_options(timeout=LIMITS), client._transport)
            with pytest.raises(AidpError) as caught:
                await client.list_sessions("k")
        everything.add_error(caught.value)
        everything.add_requests(proxy)

    add_logs(everything, caplog)
    assert everything.leaked() == []


async def test_a_proxy_that_echoes_its_password_does_not_get_it_into_errors(everything: Everything) -> None:
    async with RawServer(b"") as proxy:
        for form in FORMS.values():
            proxy._steps = [echoing(proxy, form, str, "proxy-authorization")]
            url = proxy.url.replace("http://", f"http://someone:{PROXY_PASSWORD}@")
            async with proxy.client(endpoint="http://127.0.0.1:9", proxy=url, retry=ONCE) as client:
                with pytest.raises(AidpError) as caught:
                    await client.list_sessions("k")
            everything.add_error(caught.value, with_locals=False)
        everything.add_requests(proxy)

    assert everything.leaked() == []


@pytest.mark.parametrize(
    "build",
    [
        lambda: ApiKeySigner(**API_KEY, fingerprint=":".join(["00"] * 16), private_key=PEM, pass_phrase=PASS_PHRASE),
        lambda: ApiKeySigner(**API_KEY, fingerprint=credentials.fingerprint(), private_key=PEM, pass_phrase="wrong"),
        lambda: ApiKeySigner(**API_KEY, fingerprint=credentials.fingerprint(), private_key=PEM),
        lambda: ApiKeySigner(**API_KEY, fingerprint=credentials.fingerprint(), private_key=PEM[:-200]),
        lambda: ApiKeySigner(**API_KEY, fingerprint=credentials.fingerprint(), private_key=PEM.replace("BEGIN", "B")),
        lambda: ApiKeySigner(**API_KEY, fingerprint=credentials.fingerprint(), private_key="".join(secrets(PEM))),
        lambda: SessionTokenSigner(token=TOKEN, private_key=PEM, pass_phrase="wrong"),
        lambda: SessionTokenSigner(token=TOKEN.replace(".", "!"), private_key=PLAIN_PEM),
        lambda: SessionTokenSigner(token=TOKEN + "\nx", private_key=PLAIN_PEM),
        lambda: SessionTokenSigner(token="é" + TOKEN, private_key=PLAIN_PEM),
        lambda: SessionTokenSigner(token=TOKEN, token_file=TOKEN, private_key=PLAIN_PEM),
    ],
    ids=[
        "fingerprint",
        "pass phrase",
        "no pass phrase",
        "cut",
        "no PEM",
        "no lines",
        "token's pass phrase",
        "no JWT",
        "two lines",
        "no ASCII",
        "two tokens",
    ],
)
def test_a_credential_that_is_refused_is_not_quoted(everything: Everything, build: Callable[[], Signer]) -> None:
    with pytest.raises((AidpError, TypeError, ValueError)) as caught:
        build()

    for link in exception_chain(caught.value):
        everything.add(link, link.args, vars(link))
    assert everything.leaked() == []


@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS.keys())
def test_signers_and_clients_are_neither_copied_nor_pickled(signer: Callable[[], Signer]) -> None:
    client = SessionsClient(PLATFORM, signer=signer(), endpoint="https://aidp.example.com")
    for thing in (signer(), client):
        for take_away in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match=r"(cannot be|is not) pickled"):
                take_away(thing)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('Signature version="1",keyId="a/b/c" , signature="x+/=" rest', "[redacted] rest"),
        ('{"a":"Signature keyId=\\"a/b\\",headers=\\"date (request-target) host\\",signature=\\"x', '{"a":"[redacted]'),
        ("authorization: signature keyId='a',signature='b'", "authorization: [redacted]"),
        ("Signature keyId=&quot;a/b&quot;,signature=&quot;x&#43;/=&quot; rest", "[redacted] rest"),
        ("Signature keyId=&#34;a&#34;,signature=&#x22;x&#x22;; rest", "[redacted]; rest"),
        ("Signature keyId=\\u0022a\\u0022,signature=\\u0022x\\u0022 rest", "[redacted] rest"),
        ("Signature%20keyId%3D%22a%2Fb%22%2Csignature%3D%22x%3D%3D%22&rest", "[redacted]&rest"),
        ("Signature+keyId%3d%27a%27%2csignature%3d%27x%27&rest", "[redacted]&rest"),
        ("keyId=ST%24abc expired", "keyId=[redacted] expired"),
        ("Bearer%20abc123= rest", "[redacted] rest"),
        ("Signature does not match", "Signature does not match"),
        ("keyId ST$eyJhbGciOiJ9.eyJleHAiOjF9.c2ln expired", "keyId [redacted] expired"),
        ("token eyJhbGciOiJ9.eyJleHAiOjF9.c2ln, expired", "token [redacted], expired"),
        ("cut off eyJhbGciOiJ9.eyJl", "cut off [redacted]"),
        ("the eyJ of Iceland", "the eyJ of Iceland"),
        (f"before\n{PLAIN_PEM}after", "before\n[redacted]\nafter"),
        (repr(PLAIN_PEM), "'[redacted]\\n'"),
        (PEM[:200], "[redacted]"),
        ("Basic c29tZW9uZTpodW50ZXIy.", "[redacted]"),
        ("Basic authentication is needed", "Basic authentication is needed"),
        ("Bearer abc123=", "[redacted]"),
        ("\udcff and é", "\ufffd and é"),
    ],
)
def test_what_looks_like_a_credential_is_redacted_and_nothing_else(text: str, shown: str) -> None:
    assert redact(text) == shown


@given(st.text(st.characters(exclude_categories=["Cs"])))
@example("Signature " * 1000)
@example("Signature a=" * 1000)
@example("-----BEGIN " * 1000)
@example("eyJ" * 3000)
def test_redacting_is_idempotent_and_never_fails(text: str) -> None:
    once = redact(text)

    assert redact(once) == once
    assert "-----BEGIN PRIVATE KEY-----" not in once


async def test_a_message_of_a_megabyte_is_cut_short() -> None:
    body = in_json(code="C" * 1_000_000, message="M" * 1_000_000)
    async with RawServer(answer(body, 400)) as server, server.client() as client:
        with pytest.raises(ServiceError) as caught:
            await client.list_sessions("k")

    assert (caught.value.message[:3], caught.value.code and caught.value.code[:3]) == ("MMM", "CCC")
    assert len(str(caught.value)) < 10_000


async def test_header_values_that_are_not_text_can_be_printed() -> None:
    reply = answer(b"", 500, opc_request_id=b"\xff\xfe".decode("utf-8", "surrogateescape"))
    async with RawServer(reply) as server, server.client(retry=ONCE) as client:
        with pytest.raises(ServiceError) as caught:
            await client.list_sessions("k")

    assert caught.value.opc_request_id == "\ufffd\ufffd"
    assert str(caught.value).encode()


INJECTIONS: Final = [
    "x\r\ninjected: 1",
    "x\ninjected: 1",
    "x\rinjected: 1",
    "x\r\n\r\nGET / HTTP/1.1",
    "x\0",
    "é",
    "x\u2028",
]


@pytest.mark.parametrize("value", INJECTIONS)
@pytest.mark.parametrize("name", ["agent_flow_key", "cluster_id", "path"])
async def test_a_filter_stays_in_the_query_whatever_it_holds(name: str, value: str) -> None:
    async with RawServer(answer()) as server, server.client() as client:
        await client.list_sessions("k", **cast("dict[str, Any]", {name: value}))
    (request,) = server.received

    wire = {"agent_flow_key": "agentFlowKey"}.get(name, name)
    assert request.target == f"{PREFIX}/k/notebook/api/sessions?{wire}={quote(value, safe='')}"
    assert request.is_signed
    assert "injected" not in dict(request.headers)


@pytest.mark.parametrize("value", INJECTIONS)
@pytest.mark.parametrize("name", ["display_name", "display_name_contains", "lifecycle_state", "type"])
async def test_a_filter_of_the_listing_stays_in_the_query_whatever_it_holds(name: str, value: str) -> None:
    async with RawServer(answer()) as server, server.client() as client:
        assert [each async for each in client.workspaces(**cast("dict[str, Any]", {name: value}))] == []

    for request in server.received:
        assert f"={quote(value, safe='')}" in request.target
        assert request.is_signed
        assert "injected" not in dict(request.headers)


@pytest.mark.parametrize("value", INJECTIONS)
async def test_a_workspace_key_is_refused_or_escaped(value: str) -> None:
    async with RawServer(answer()) as server, server.client() as client:
        if any(character < " " for character in value):
            with pytest.raises(ValueError, match="control characters"):
                await client.list_sessions(value)
        else:
            await client.list_sessions(value)

    assert [request.target for request in server.received] == [
        f"{PREFIX}/{quote(value, safe='')}/notebook/api/sessions" for _ in server.received
    ]


@pytest.mark.parametrize("value", INJECTIONS)
@pytest.mark.parametrize("name", ["platform_id", "endpoint", "region", "default_region", "api_version", "proxy"])
async def test_an_option_with_characters_of_a_header_is_refused_or_sends_nothing(name: str, value: str) -> None:
    bare = {"platform_id": "ocid1.aidataplatform.oc1..a", "endpoint": "https://", "proxy": "http://127.0.0.1:1/"}
    options: dict[str, Any] = {"platform_id": "ocid1.aidataplatform.oc1..a", name: bare.get(name, "") + value}
    if name == "api_version":
        options |= {"region": "us-ashburn-1"}
    if name == "proxy":
        options |= {"endpoint": "http://127.0.0.1:1"}
    with pytest.raises((ValueError, ConfigError, AidpError)):
        async with SessionsClient(signer=api_key(), retry=ONCE, **options) as client:
            await client.list_sessions("k")


@pytest.mark.parametrize("value", INJECTIONS)
@pytest.mark.parametrize("name", ["tenancy", "user", "fingerprint"])
def test_a_name_of_the_signer_with_characters_of_a_header_is_refused(name: str, value: str) -> None:
    good = {**API_KEY, "fingerprint": credentials.fingerprint()}
    with pytest.raises(ValueError, match=f"^{name} "):
        ApiKeySigner(**{**good, name: good[name] + value}, private_key=PLAIN_PEM)


@pytest.mark.parametrize("value", INJECTIONS)
def test_a_token_with_characters_of_a_header_is_refused(value: str) -> None:
    with pytest.raises(CredentialsError, match="is not a JWT"):
        SessionTokenSigner(token=TOKEN[:30] + value + TOKEN[30:], private_key=PLAIN_PEM)


@pytest.mark.parametrize("value", INJECTIONS)
async def test_a_header_of_a_foreign_signer_is_not_split(value: str) -> None:
    class Foreign(Signer):
        async def sign(self, request: aidp_sessions.SigningRequest) -> dict[str, str]:
            return {"authorization": value, "date": request.date, "host": request.host}

    async with RawServer(answer()) as server:
        async with SessionsClient(PLATFORM, signer=Foreign(), endpoint=server.url, retry=ONCE) as client:
            with contextlib.suppress(ConnectionFailedError):
                await client.list_sessions("k")

    assert [request.head for request in server.received if b"\ninjected" in request.head.replace(b"\r", b"\n")] == []


async def test_the_search_finds_basic_credentials() -> None:
    """The password of a proxy is sent as Basic, so the search includes its Base64 form."""
    everything = Everything()
    async with RawServer(answer()) as proxy:
        url = proxy.url.replace("http://", f"http://someone:{PROXY_PASSWORD}@")
        async with proxy.client(endpoint="http://127.0.0.1:9", proxy=url) as client:
            await client.list_sessions("k")
        everything.add_requests(proxy)

    basic = b64encode(f"someone:{PROXY_PASSWORD}".encode()).decode()
    everything.add(f"Basic {basic} {PASS_PHRASE}")
    assert everything.leaked() == sorted([basic, PASS_PHRASE])
