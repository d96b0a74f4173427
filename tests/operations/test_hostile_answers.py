"""Unusual, wrong and broken answers: each is a correct result or an error of its class, with its evidence."""

from __future__ import annotations

import asyncio
import gzip
import pickle
import traceback
import zlib
from typing import TYPE_CHECKING, Final

import aiohttp
import pytest

from aidp_sessions import (
    AidpError,
    ConnectionFailedError,
    RequestTimeoutError,
    ResponseDecodeError,
    RetryPolicy,
    ServiceError,
    SessionSummary,
    Timeout,
)

from ..helpers.exception_chains import exception_chain
from ..helpers.raw_server import (
    RawServer,
    answer,
    close,
    drip,
    eventually,
    send,
)

if TYPE_CHECKING:
    from ..helpers.raw_server import Step

ONCE: Final = RetryPolicy.none()
ITEM: Final = b'{"id": "s1", "name": "n"}'
ONE: Final = b'{"items": [%b]}' % ITEM
FOUND: Final = (SessionSummary(id="s1", name="n", workspace_key="k"),)
ID: Final = "opc-request-id: theirs\r\n"


def raw(*lines: str, body: bytes = b"", status: str = "200 OK", version: str = "1.1") -> bytes:
    return "\r\n".join([f"HTTP/{version} {status}", *lines, "opc-request-id: theirs", "", ""]).encode() + body


def named(body: bytes, status: int = 200, /, **headers: str) -> bytes:
    return answer(body, status, opc_request_id="theirs", **headers)


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n", **headers: str) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return raw("transfer-encoding: chunked", *lines, body=body + end)


def since_aiohttp_3_14(cases: dict[str, Step | bytes]) -> dict[str, Step | bytes]:
    """Omit cases that aiohttp 3.13 reads in another way, also as a result or a typed error."""
    return cases if tuple(map(int, aiohttp.__version__.split(".")[:2])) >= (3, 14) else {}


def kernel(value: bytes, field: bytes = b"connections") -> bytes:
    return b'{"items": [{"id": "s1", "kernel": {"name": "python3", "%b": %b}}]}' % (field, value)


FINE: Final[dict[str, Step | bytes]] = {
    "no content type": raw(f"content-length: {len(ONE)}", body=ONE),
    "a content type of HTML": named(ONE, content_type="text/html; charset=iso-8859-7"),
    "a content type that is none": named(ONE, content_type=";;;=,"),
    "a content type of a megabyte, nearly": named(ONE, content_type="x/" + "y" * 8000),
    "white space around the document": named(b"\r\n\t " + ONE + b" \r\n\n"),
    "white space between everything": named(ONE.replace(b",", b" \n,\t ").replace(b":", b"\r:  ")),
    "escapes": named(b'{"items": [{"\\u0069d": "\\u0073\\u0031", "name": "\\u006e"}]}'),
    "HTTP/1.0 to the end of the connection": close(raw("content-type: application/json", body=ONE, version="1.0")),
    "HTTP/1.0 with a length": raw(f"content-length: {len(ONE)}", body=ONE, version="1.0"),
    "one byte per chunk": chunked(*(ONE[n : n + 1] for n in range(len(ONE)))),
    **since_aiohttp_3_14(
        {"gzip in two members": named(gzip.compress(ONE[:9]) + gzip.compress(ONE[9:]), content_encoding="gzip")}
    ),
    "deflate without its header": named(zlib.compress(ONE, wbits=-15), content_encoding="deflate"),
    "gzip within chunks": chunked(gzip.compress(ONE), content_encoding="gzip"),
    "a hundred early hints": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100 + named(ONE),
    "continue": b"HTTP/1.1 100 Continue\r\n\r\n" + named(ONE),
    "processing, slowly": drip(b"HTTP/1.1 102 Processing\r\n\r\n" + named(ONE), size=9),
    "ninety headers": answer(ONE, 200, **{f"x_{n}": "y" * 80 for n in range(90)}),
    "the same header twice": raw("x: 1", "x: 2", f"content-length: {len(ONE)}", body=ONE),
    "no phrase": raw(f"content-length: {len(ONE)}", body=ONE, status="200"),
    "a header that is no text": raw("x: \udcff\udcfe".encode("utf-8", "surrogateescape").decode("latin-1"), body=b"")[
        :-2
    ]
    + b"content-length: %d\r\n\r\n%b" % (len(ONE), ONE),
    "a lone surrogate": named(ONE.replace(b'"n"', b'"n", "path": "\\ud800"')),
    "an unknown field with everything": named(ONE.replace(b'"n"', b'"n", "x": [1e99, null, {"y": "\\ud83d\\ude00"}]')),
}


@pytest.mark.parametrize("step", FINE.values(), ids=FINE.keys())
async def test_an_unusual_but_valid_answer_is_a_result(step: Step | bytes) -> None:
    async with RawServer(step) as server, server.client(retry=ONCE) as client:
        collection = await client.list_sessions("k")

    found = collection.items[0]
    assert (len(collection), found.id, found.name, found.workspace_key) == (1, "s1", "n", "k")


DEEP: Final = 200_000
UNDECODABLE: Final[dict[str, tuple[bytes, str, str]]] = {
    "nothing": (b"", "$", "not JSON"),
    "a blank": (b" ", "$", "not JSON"),
    "HTML": (b"<html><title>Sign in</title>", "$", "<html><title>Sign in</title>"),
    "null": (b"null", "$", "not null"),
    "a number": (b"5", "$", "not a number"),
    "a string": (b'"items"', "$", "not a string"),
    "an object without items": (b'{"Items": []}', "$.items", "required field missing"),
    "items of null": (b'{"items": null}', "$.items", "not null"),
    "items of an object": (b'{"items": {}}', "$.items", "not an object"),
    "an item of null": (b'{"items": [{}, null]}', "$.items[1]", "not null"),
    "an array of arrays": (b"[[]]", "$[0]", "not an array"),
    "invalid UTF-8": (b'{"items": [{"name": "\xff\xfe"}]}', "$", "not JSON"),
    "overlong UTF-8": (b'{"items": [{"name": "\xc0\xaf"}]}', "$", "not JSON"),
    "UTF-16": (ONE.decode().encode("utf-16"), "$", "not JSON"),
    "a byte order mark": (b"\xef\xbb\xbf" + ONE, "$", "not JSON"),
    "deep arrays": (b"[" * DEEP + b"]" * DEEP, "$", "nested too deeply"),
    "deep arrays in an unknown field": (b'{"items": [{"x": %b%b}]}' % (b"[" * DEEP, b"]" * DEEP), "$", "too deeply"),
    "deep objects": (b'{"x":' * DEEP + b"1" + b"}" * DEEP, "$", "nested too deeply"),
    "arrays that never end": (b"[" * DEEP, "$", "not JSON"),
    "a huge number": (kernel(b"1e999"), "$", "not JSON"),
    "a number of a megabyte": (kernel(b"9" * 1_000_000), "$", "not JSON"),
    "half a connection": (kernel(b"1.5"), "$.items[0].kernel.connections", "expected an integer"),
    "a whole number written as a fraction": (kernel(b"1.0"), "$.items[0].kernel.connections", "expected an integer"),
    "a connection of true": (kernel(b"true"), "$.items[0].kernel.connections", "not a boolean"),
    "NaN": (kernel(b"NaN"), "$", "not JSON"),
    "Infinity": (kernel(b"-Infinity"), "$", "not JSON"),
    "a timestamp of the year 10000": (
        *(kernel(b'"10000-01-01T00:00:00Z"', b"last_activity"), "$.items[0].kernel.last_activity", "10000-01-01"),
    ),
    "a timestamp before time": (
        *(kernel(b'"0001-01-01T00:00:00+14:00"', b"last_activity"), "$.items[0].kernel.last_activity", "0001-01-01"),
    ),
    "a document and a half": (ONE + b'{"ite', "$", "not JSON"),
    "two documents": (ONE + ONE, "$", "not JSON"),
    "a document and a NUL": (ONE + b"\0", "$", "not JSON"),
    "half a document": (ONE[:-1], "$", "not JSON"),
    "single quotes": (b"{'items': []}", "$", "not JSON"),
    "a trailing comma": (b'{"items": [],}', "$", "not JSON"),
    "a comment": (b'{"items": [] /* none */}', "$", "not JSON"),
    "a raw line feed in a string": (b'{"items": [{"name": "\n"}]}', "$", "not JSON"),
}


@pytest.mark.parametrize(("body", "path", "says"), UNDECODABLE.values(), ids=UNDECODABLE.keys())
async def test_an_undocumented_body_is_a_decode_error_with_its_path_and_evidence(
    body: bytes, path: str, says: str
) -> None:
    """The request is sent once: a retry would not help."""
    async with RawServer(named(body)) as server, server.client() as client:
        with pytest.raises(ResponseDecodeError) as caught:
            await client.list_sessions("k", opc_request_id="ours")
    error = caught.value

    assert (error.path, error.status, error.opc_request_id) == (path, 200, "theirs")
    assert says in error.message
    assert len(error.message) < 2000
    assert (error.request_ids, len(server.received)) == (("ours",), 1)


@pytest.mark.parametrize("number", [2**31, 2**64, 10**400 - 1], ids=["32 bits", "64 bits", "400 digits"])
async def test_a_whole_number_of_any_size_is_decoded_exactly(number: int) -> None:
    async with RawServer(named(kernel(b"%d" % number))) as server, server.client() as client:
        (session,) = await client.list_sessions("k")

    assert session.kernel is not None
    assert session.kernel.connections == number


DUPLICATES: Final[dict[str, tuple[bytes, tuple[str, ...]]]] = {
    "of a field": (b'{"items": [{"id": "s0", "id": "s1"}]}', ("s1",)),
    "of items": (b'{"items": [{"id": "s0"}], "items": [{"id": "s1"}]}', ("s1",)),
}


@pytest.mark.parametrize(("body", "ids"), DUPLICATES.values(), ids=DUPLICATES.keys())
async def test_the_last_of_two_equal_names_counts(body: bytes, ids: tuple[str, ...]) -> None:
    """Most JSON decoders behave like this (RFC 8259, Objects)."""
    async with RawServer(named(body)) as server, server.client() as client:
        assert tuple(session.id for session in await client.list_sessions("k")) == ids


REFUSED: Final[dict[str, tuple[bytes, type[AidpError], int, str]]] = {
    "205": (named(b"", 205), ResponseDecodeError, 205, "''"),
    "an unknown status": (named(b"", 999), ServiceError, 999, "the body is empty"),
}


@pytest.mark.parametrize(("reply", "kind", "status", "says"), REFUSED.values(), ids=REFUSED.keys())
async def test_an_undocumented_status_is_an_error_with_its_evidence(
    reply: bytes, kind: type[AidpError], status: int, says: str
) -> None:
    async with RawServer(reply) as server, server.client(retry=ONCE) as client:
        with pytest.raises(AidpError) as caught:
            await client.list_sessions("k")

    assert (type(caught.value), caught.value.status, caught.value.opc_request_id) == (kind, status, "theirs")
    assert says in caught.value.message


BROKEN: Final[dict[str, Step | bytes]] = {
    "chunks without an end": close(chunked(ONE, end=b"")),
    "a chunk cut short": close(raw("transfer-encoding: chunked", body=b"ff\r\n" + ONE)),
    "a chunk of a negative size": close(raw("transfer-encoding: chunked", body=b"-1\r\n" + ONE)),
    "a chunk of an endless size": close(raw("transfer-encoding: chunked", body=b"f" * 5000 + b"\r\n" + ONE)),
    "two lengths": close(raw(f"content-length: {len(ONE)}", "content-length: 5", body=ONE)),
    "a length with a sign": close(raw(f"content-length: +{len(ONE)}", body=ONE)),
    "a length that is huge": close(raw("content-length: 99999999999999999999999", body=ONE)),
    **since_aiohttp_3_14({"a thousand headers": close(answer(ONE, 200, **{f"x_{n}": "y" for n in range(1000)}))}),
    "a status line without end": close(b"HTTP/1.1 200 " + b"x" * 100_000),
    "a header without end": close(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 1_000_000),
    "HTTP/0.9": close(ONE),
    "HTTP/2": close(raw(f"content-length: {len(ONE)}", body=ONE, version="2")),
    "HTTP/3.0": close(raw(f"content-length: {len(ONE)}", body=ONE, version="3.0")),
    "a request": close(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"),
    "204 with a body": named(ONE, 204),
    "304 with a body": named(ONE, 304),
    "deflate that is none": named(b"nothing", content_encoding="deflate"),
    "words": close(b"hello there\r\n\r\n"),
    "binary": close(bytes(range(256))),
    "a TLS alert": close(b"\x15\x03\x01\x00\x02\x02\x28"),
    "a status that is no number": close(b"HTTP/1.1 abc OK\r\n\r\n"),
    "a status of two digits": close(b"HTTP/1.1 20 OK\r\n\r\n"),
    "a header without a colon": close(b"HTTP/1.1 200 OK\r\nnothing\r\n\r\n"),
    "a negative length": close(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"),
    "a length and chunks": close(
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "a chunk of no size": close(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
    "a header of a megabyte": close(answer(x="x" * 1_000_000)),
    "headers without end": close(b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: y\r\n" % n for n in range(50_000))),
    "gzip that is none": close(answer(b"not gzip at all", content_encoding="gzip")),
    "hints without an end": close(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50),
}


@pytest.mark.parametrize("step", BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_message_is_a_failed_connection(step: Step | bytes) -> None:
    """The error has the id that we sent, and one short line of text."""
    async with RawServer(step) as server, server.client(retry=ONCE) as client:
        with pytest.raises(AidpError) as caught:
            await client.list_sessions("k", opc_request_id="ours")

    assert (type(caught.value), caught.value.opc_request_id) == (ConnectionFailedError, "ours")
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 600


FAILURES: Final[dict[str, Step | bytes]] = {
    **BROKEN,
    "nothing": close(),
    "half a document": answer(b"["),
    "a status": answer(b"", 503),
}


@pytest.mark.parametrize("step", FAILURES.values(), ids=FAILURES.keys())
async def test_no_error_of_a_call_holds_the_signature_or_an_exception_of_aiohttp(step: Step | bytes) -> None:
    async with RawServer(step) as server, server.client(retry=ONCE) as client:
        with pytest.raises(AidpError) as caught:
            await client.list_sessions("k")
    error = caught.value
    secret = server.received[0].header("authorization").partition('signature="')[2][:40]

    shown = "".join(traceback.format_exception(error)) + repr(vars(error)) + repr(error.args)
    assert secret not in shown
    assert secret.encode() not in pickle.dumps(error)
    assert [
        type(link).__module__ for link in exception_chain(error) if type(link).__module__.startswith("aiohttp")
    ] == []


@pytest.mark.parametrize("status", ["101 Switching Protocols", "100 Continue", "199 Whatever"])
async def test_an_interim_answer_and_then_nothing_is_an_error_within_the_limits(status: str) -> None:
    """The limit of the whole call, because aiohttp stops the read timeout at the first interim answer."""
    timeout = Timeout(connect=5.0, read=0.05, total=0.1)
    async with RawServer(raw("upgrade: x", "connection: upgrade", status=status)) as server:
        async with server.client(retry=ONCE, timeout=timeout) as client:
            with pytest.raises((RequestTimeoutError, ResponseDecodeError)):
                await client.list_sessions("k")


async def test_endless_interim_answers_end_with_the_total_of_the_call() -> None:
    def hint(transport: asyncio.Transport) -> None:
        if not transport.is_closing():
            transport.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            asyncio.get_running_loop().call_later(0.001, hint, transport)

    async with RawServer(hint) as server:
        async with server.client(retry=ONCE, timeout=Timeout(total=0.1)) as client:
            with pytest.raises(RequestTimeoutError, match=r"the total of 0\.1 s"):
                await client.list_sessions("k")
            await eventually(lambda: not server.open)


@pytest.mark.parametrize("layers", [1, 2])
async def test_a_compressed_body_is_limited_by_its_decompressed_size(layers: int) -> None:
    """Compressed once or twice, it is counted while it is decompressed, and never decompressed whole."""
    bomb = bytes(50_000_000)
    for _ in range(layers):
        bomb = gzip.compress(bomb, 1)
    coding = ", ".join(["gzip"] * layers)
    async with RawServer(named(bomb, content_encoding=coding)) as server:
        async with server.client(max_response_bytes=100_000, retry=ONCE) as client:
            with pytest.raises((ResponseDecodeError, ConnectionFailedError)) as caught:
                await client.list_sessions("k")

    assert caught.value.opc_request_id is not None
    assert "max_response_bytes=100000" in caught.value.message or layers == 2


async def test_data_behind_an_answer_is_not_taken_for_the_next_answer() -> None:
    """An unrequested second answer could hold another caller's sessions."""
    foreign = named(b'{"items": [{"id": "foreign"}]}')
    async with RawServer(named(ONE) + foreign, named(ONE)) as server, server.client(retry=ONCE) as client:
        for _ in range(3):
            assert [session.id for session in await client.list_sessions("k")] == ["s1"]


async def test_an_unrequested_late_answer_is_not_taken_for_the_next_one() -> None:
    foreign = named(b'{"items": [{"id": "foreign"}]}')
    async with RawServer(named(ONE)) as server, server.client(retry=ONCE) as client:
        await client.list_sessions("k")
        for transport in server.open:
            transport.write(foreign)
        await asyncio.sleep(0.02)  # time for it to arrive
        assert [session.id for session in await client.list_sessions("k")] == ["s1"]


async def test_a_repeated_page_token_is_an_error() -> None:
    async with RawServer(named(ONE, opc_next_page="a"), named(ONE, opc_next_page="b"), send(b"")) as server:
        server._steps[2] = server._steps[0]
        async with server.client() as client:
            with pytest.raises(ResponseDecodeError, match="repeated a token") as caught:
                await client.list_sessions("k")

    assert (caught.value.path, len(server.received)) == ("opc-next-page", 3)
