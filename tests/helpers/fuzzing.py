"""Mutated answers and checks of their outcomes, for a short test and a long program."""

from __future__ import annotations

import gzip
import json
import re
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
from multidict import CIMultiDict

from aidp_sessions import AidpError, ResponseDecodeError, ServiceError, SessionSummary
from aidp_sessions._convert import incremental as _incremental
from aidp_sessions._convert.codec import decode_items
from aidp_sessions._convert.incremental import IncrementalDecoder
from aidp_sessions._operations.buffering import SessionBuffer
from aidp_sessions._operations.failures import error_for
from aidp_sessions._operations.messages import RawResponse
from aidp_sessions.models import WorkspaceRef, WorkspaceSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from random import Random

T = TypeVar("T")

KERNEL: Final = (
    b'{"id":"k1","name":"python3","execution_state":"idle","connections":1,'
    b'"last_activity":"2026-11-23T01:12:43.863595Z"}'
)
SESSION: Final = b'{"id":"s1","name":"caf\xc3\xa9 \\u00e9","path":"a/b.ipynb","type":"notebook","cluster_id":"c"}'
BODIES: Final = (
    b'{"items":[' + SESSION + b"]}",
    b'{"items":[{"id":"s1","kernel":' + KERNEL + b',"agentFlowKey":"f","lifecycleState":"ACTIVE"}]}',
    b'{ "x": {"items": [1, 2.5e3, -0, null, true]} ,\n "items" : [ ' + SESSION + b" , {} ] }",
    b"[" + SESSION + b',{"id":"s2","kernel":null,"unknown":[{"deep":[[]]}]}]',
    (
        b'{"items":[{"key":"w","displayName":"W","type":"USER","lifecycleState":"ACTIVE",'
        b'"timeCreated":"2026-01-01T00:00:00Z","isPrivateNetworkEnabled":false}]}'
    ),
    b'{"code":"NotAuthorizedOrNotFound","message":"Authorization failed or requested resource not found."}',
)
TOKENS: Final = (
    *(b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"/", b" ", b"\n", b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80"),
    *(
        b"null",
        b"true",
        b"false",
        b"NaN",
        b"Infinity",
        b"-",
        b"0",
        b"1e999",
        b"9" * 40,
        b"-0.0",
        b"\\ud800",
        b"\\u0000",
    ),
    *(b'"items":', b'"items":[]', b"[]", b"{}", b'"kernel":', b'"last_activity":', b'"id":', b'""', b"[" * 2000),
    *(b"\r\n", b"\r\n\r\n", b"HTTP/1.1 ", b"200", b"204", b"304", b"503", b"Content-Length: ", b"chunked", b"gzip"),
    *(b"0\r\n\r\n", b"Transfer-Encoding: chunked\r\n", b"Location: //x\r\n", b"opc-next-page: t\r\n", b"\xef\xbb\xbf"),
    *(b"2026-11-23T01:12:43Z", b"+24:00", b"0000", b"10000-01-01", b"Retry-After: 1e9\r\n", b"Date: x\r\n"),
)
MAX_TEXT: Final = 10_000
EMPTY_ARRAY: Final = re.compile(rb"\[\s*\]")


def _message(body: bytes, status: bytes = b"200 OK", *lines: bytes) -> bytes:
    head = (b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), b"opc-request-id: theirs", *lines)
    return b"\r\n".join((*head, b"", body))


STATUSES: Final = (
    *[b"200 OK"] * 5,
    b"206 Partial Content",
    b"401 Unauthorized",
    b"503 Service Unavailable",
    b"302 Found",
)
MESSAGES: Final = (
    *(_message(body) for body in BODIES[:4]),
    _message(BODIES[5], b"404 Not Found", b"Date: Mon, 23 Nov 2026 01:12:43 GMT"),
    _message(BODIES[5], b"429 Too Many Requests", b"Retry-After: 7"),
    _message(gzip.compress(BODIES[1], mtime=0), b"200 OK", b"Content-Encoding: gzip"),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n"
    % (BODIES[0][:5], len(BODIES[0]) - 5, BODIES[0][5:]),
    b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + _message(BODIES[0]),
    b"HTTP/1.0 200 OK\r\n\r\n" + BODIES[1],
)


@attrs.frozen
class Edit:
    """One change, made at *where* (0 to 1 through the data) to a stretch of up to *size* bytes."""

    kind: int
    where: float
    size: int
    token: int

    def apply(self, data: bytes) -> bytes:
        start = int(self.where * (len(data) + 1))
        end = min(len(data), start + self.size)
        return data[:start] + _KINDS[self.kind % len(_KINDS)](self, data[start:end]) + data[end:]


_KINDS: Final[tuple[Callable[[Edit, bytes], bytes], ...]] = (
    lambda edit, part: b"",
    lambda edit, part: part + part,
    lambda edit, part: TOKENS[edit.token % len(TOKENS)] + part,
    lambda edit, part: TOKENS[edit.token % len(TOKENS)],
    lambda edit, part: bytes(byte ^ (1 << edit.token % 8) for byte in part[:1]) + part[1:],
    lambda edit, part: part[::-1],
    lambda edit, part: part * (edit.token % 50),
)


def edited(data: bytes, edits: Sequence[Edit]) -> bytes:
    for edit in edits:
        data = edit.apply(data)
    return data


def some_edits(random: Random) -> list[Edit]:
    chance = random.random
    return [
        Edit(int(chance() * 7), chance(), 1 + int(chance() ** 3 * 40), int(chance() * 400))
        for _ in range(1 + int(chance() ** 2 * 4))
    ]


def some_message(random: Random) -> bytes:
    """An answer that is mutated as a whole, or only in its body, inside a valid HTTP message."""
    if random.random() < 0.5:
        return edited(random.choice(MESSAGES), some_edits(random))
    return _message(edited(random.choice(BODIES), some_edits(random)), random.choice(STATUSES))


def check_decoding(body: bytes, pieces: Sequence[int] = ()) -> str:
    """Decode *body* in every way; return the outcome, or raise `AssertionError` if it is wrong."""
    whole = _outcome(lambda: SessionBuffer(WorkspaceRef("k")).decode(RawResponse(200, CIMultiDict(), body)).sessions)
    if whole is not None:
        _check_against_json(whole, body)
    if body.count(b'"items"') < 2:  # the last of two counts, but in pieces the first was returned before
        in_pieces = _outcome(lambda: _piecewise(body, pieces))
        assert in_pieces == whole, f"in pieces: {in_pieces}"
    _outcome(lambda: decode_items(body, WorkspaceSummary))
    error = error_for(RawResponse(502, CIMultiDict(), body), now=0.0)
    assert isinstance(error, ServiceError)
    assert error.status == 502
    assert len(str(error)) < MAX_TEXT
    return "refused" if whole is None else "decoded"


def _outcome(decode: Callable[[], T]) -> T | None:
    """What *decode* returns, or ``None`` for the documented error."""
    refusal: ResponseDecodeError
    try:
        return decode()
    except ResponseDecodeError as error:
        refusal = error
    assert refusal.path.startswith("$"), refusal.path
    assert len(str(refusal)) < MAX_TEXT
    return None


def _piecewise(body: bytes, pieces: Sequence[int]) -> tuple[SessionSummary, ...]:
    found: tuple[SessionSummary, ...] = ()
    with _small_pieces():
        decoder = IncrementalDecoder(WorkspaceRef("k"))
        for start, end in pairwise([0, *sorted(piece % (len(body) + 1) for piece in pieces), len(body)]):
            found += decoder.feed(body[start:end])
        rest, _ = decoder.close()
    return found + rest


@contextmanager
def _small_pieces() -> Iterator[None]:
    """Make the decoder look for sessions at every piece, not only after a minimum of bytes."""
    settings = vars(_incremental)
    usual, settings["_MIN_BUFFERED"] = settings["_MIN_BUFFERED"], 1
    try:
        yield
    finally:
        settings["_MIN_BUFFERED"] = usual


def _check_against_json(sessions: tuple[SessionSummary, ...], body: bytes) -> None:
    """The standard library accepts *body* too, and finds the same sessions in it."""
    document = _without_surrogates(json.loads(body.decode()))
    items = document if isinstance(document, list) else document["items"]
    assert [session.id for session in sessions] == [item.get("id") for item in items]
    assert [session.name for session in sessions] == [item.get("name") for item in items]
    kernels = [session.kernel and session.kernel.name for session in sessions]
    assert kernels == [item.get("kernel") and item["kernel"]["name"] for item in items]


def _without_surrogates(document: Any) -> Any:
    text = json.dumps(document, ensure_ascii=False)
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def check_result(found: Sequence[SessionSummary] | AidpError, message: bytes) -> str:
    """Check a client's outcome of *message*: a list is empty only if an empty array was sent."""
    if isinstance(found, AidpError):
        assert found.opc_request_id
        assert len(str(found)) < MAX_TEXT
        return type(found).__name__
    assert found or EMPTY_ARRAY.search(message), message
    return "sessions"
