"""What tools that print the variables of every frame see of a call that failed: no signature and no secret."""

from __future__ import annotations

import asyncio
import traceback
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import pytest

from aidp_sessions import RetryPolicy, SessionsClient, Signer, Timeout
from aidp_sessions.testing._service import identity as _identity

from ..helpers.exception_chains import exception_chain
from ..helpers.raw_server import PLATFORM, RawServer, Step, answer, close, eventually, reset, send

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aidp_sessions import SigningRequest

ONCE: Final = RetryPolicy.none()
SECRET: Final = "hunter2-of-the-caller"
HALF: Final = answer(b'{"items": []}')[:-5]


class Signing(Signer):
    """Signs as usual, and remembers what must not be found."""

    def __init__(self, **more: str) -> None:
        self._signer = _identity.signer()
        self._more = more
        self.authorizations: list[str] = []

    async def sign(self, request: SigningRequest) -> dict[str, str]:
        headers = await self._signer.sign(request)
        self.authorizations.append(headers["authorization"])
        return {**headers, **self._more}

    async def refresh(self, rejected: Mapping[str, str]) -> bool:
        return False


def leaks(error: BaseException, needles: list[str]) -> list[str]:
    """The places in which one of *needles* shows: variables of frames outside this file, texts and attributes."""
    found: list[str] = []
    for link in exception_chain(error):
        shown = {"its text": str(link) + repr(link.args) + repr(vars(link))}
        for frame, _ in traceback.walk_tb(link.__traceback__):
            if frame.f_code.co_filename != __file__:
                shown |= {f"{frame.f_code.co_qualname}: {name}": repr(value) for name, value in frame.f_locals.items()}
        found += [
            f"{type(link).__name__}, {place}" for place, text in shown.items() if any(each in text for each in needles)
        ]
    return found


async def failure_of(act: Awaitable[object]) -> BaseException:
    try:
        await act
    except BaseException as error:  # noqa: BLE001  # a cancellation among them
        return error
    raise AssertionError("it did not fail")


async def list_one(client: SessionsClient) -> object:
    return await client.list_sessions("w")


async def within_a_timeout(client: SessionsClient) -> object:
    async with asyncio.timeout(0.1):
        return await client.list_sessions("w")


async def waited_for(client: SessionsClient) -> object:
    return await asyncio.wait_for(client.list_sessions("w"), 0.1)


async def cancelled(client: SessionsClient) -> object:
    call = asyncio.ensure_future(client.list_sessions("w"))
    await asyncio.sleep(0.1)
    call.cancel()
    return await call


async def closed(client: SessionsClient) -> object:
    call = asyncio.ensure_future(client.list_sessions("w"))
    await asyncio.sleep(0.1)
    await client.aclose()
    return await call


async def collect(client: SessionsClient) -> object:
    return await client.sessions(["w", "v"]).collect()


async def collect_within_a_timeout(client: SessionsClient) -> object:
    async with asyncio.timeout(0.1):
        return await collect(client)


async def collect_first_failure(client: SessionsClient) -> object:
    return await client.sessions(["w", "v"], on_error="raise").collect()


async def next_within_a_timeout(client: SessionsClient) -> object:
    async with aclosing(client.sessions(["w", "v"]).by_workspace()) as outcomes:
        return await asyncio.wait_for(anext(outcomes), 0.1)


async def discover(client: SessionsClient) -> object:
    return await client.sessions().collect()


async def post(client: SessionsClient) -> object:
    headers = {"x-secret": SECRET}
    async with asyncio.timeout(0.1):
        return await client.request("POST", "x", json={"password": SECRET}, headers=headers)


async def put_bytes(client: SessionsClient) -> object:
    return await client.request("PUT", "x", body=SECRET.encode(), headers={"x-secret": SECRET})


SHORT: Final = {"total": Timeout(total=0.1), "read": Timeout(read=0.1)}
WAITS: Final = [
    *(within_a_timeout, waited_for, cancelled, closed, collect_within_a_timeout, next_within_a_timeout, post),
]
FAILS: Final = [list_one, collect, collect_first_failure, discover, put_bytes]


async def judge(act: Callable[[SessionsClient], Awaitable[object]], *steps: Step | bytes, **options: Any) -> list[str]:
    signer = Signing()
    async with RawServer(*steps) as server:
        given: dict[str, Any] = {"endpoint": server.url, "retry": ONCE, **options}
        async with SessionsClient(PLATFORM, signer=signer, **given) as client:
            error = await failure_of(act(client))
    assert signer.authorizations
    secrets = [authorization.partition('signature="')[2][:40] for authorization in signer.authorizations]
    return leaks(error, [*secrets, SECRET])


@pytest.mark.parametrize("sent", [b"", HALF], ids=["silence", "half"])
@pytest.mark.parametrize("act", WAITS)
async def test_a_call_that_is_given_up_shows_nothing(
    act: Callable[[SessionsClient], Awaitable[object]], sent: bytes
) -> None:
    assert await judge(act, send(sent)) == []


@pytest.mark.parametrize("limits", SHORT.values(), ids=SHORT.keys())
@pytest.mark.parametrize("sent", [b"", HALF], ids=["silence", "half"])
@pytest.mark.parametrize("act", FAILS)
async def test_a_call_that_takes_too_long_shows_nothing(
    act: Callable[[SessionsClient], Awaitable[object]], sent: bytes, limits: Timeout
) -> None:
    assert await judge(act, send(sent), timeout=limits) == []


BROKEN: Final[dict[str, Step]] = {
    "closed": close(),
    "reset": reset(),
    "junk": close(b"junk\r\n\r\n"),
    "half": close(HALF),
    **{str(status): send(answer(b"{}", status)) for status in (302, 401, 404, 500, 503)},
}


@pytest.mark.parametrize("step", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("act", FAILS)
async def test_a_call_that_fails_shows_nothing(act: Callable[[SessionsClient], Awaitable[object]], step: Step) -> None:
    assert await judge(act, step) == []


@pytest.mark.parametrize("act", [list_one, collect, discover])
async def test_a_body_that_cannot_be_decoded_shows_nothing(act: Callable[[SessionsClient], Awaitable[object]]) -> None:
    assert await judge(act, answer(b"no")) == []


async def test_a_session_that_its_owner_has_closed_shows_nothing() -> None:
    signer = Signing()
    async with RawServer(send(b"")) as server, aiohttp.ClientSession() as http:
        client = SessionsClient(PLATFORM, signer=signer, endpoint=server.url, http_session=http, retry=ONCE)
        call = asyncio.ensure_future(failure_of(client.list_sessions("w")))
        await eventually(lambda: bool(server.received))
        await http.close()
        during, after = await call, await failure_of(client.list_sessions("w"))

    secrets = [authorization.partition('signature="')[2][:40] for authorization in signer.authorizations]
    assert leaks(during, secrets) + leaks(after, secrets) == []


async def test_a_header_of_a_signer_that_cannot_be_sent_shows_nothing() -> None:
    signer = Signing(**{"x-secret": f"{SECRET}\r\nx: y"})
    async with (
        RawServer(answer()) as server,
        SessionsClient(PLATFORM, signer=signer, endpoint=server.url, retry=ONCE) as client,
    ):
        error = await failure_of(client.list_sessions("w"))

    assert server.received == []
    assert leaks(error, [SECRET, *signer.authorizations]) == []


@pytest.mark.parametrize("step", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("act", FAILS)
async def test_a_call_that_fails_shows_no_header_of_the_client(
    act: Callable[[SessionsClient], Awaitable[object]], step: Step
) -> None:
    assert await judge(act, step, headers={"x-secret": SECRET}) == []


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"x-secret": f"{SECRET}\n"}},
        {"headers": {"cookie": SECRET}},
        {"headers": {"x-secret": SECRET, "X-Secret": SECRET}},
        {"json": {"password": SECRET, "x": object()}},
        {"json": {"password": SECRET}, "body": SECRET.encode()},
        {"body": SECRET},
    ],
    ids=["line break", "cookie", "twice", "no JSON", "json and body", "text"],
)
async def test_a_request_that_is_refused_shows_nothing_of_its_headers_and_body(options: Any) -> None:
    client = SessionsClient(PLATFORM, signer=Signing(), endpoint="https://aidp.invalid")
    error = await failure_of(client.request("POST", "x", **options))

    assert isinstance(error, (TypeError, ValueError))
    assert leaks(error, [SECRET]) == []
