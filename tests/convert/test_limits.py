"""A decoded answer takes at most 25 times the memory of its JSON."""

from __future__ import annotations

import gc
import json
import tracemalloc

import pytest

from aidp_sessions._convert.codec import decode_collection, decode_items
from aidp_sessions._convert.fast import decode_error
from aidp_sessions._convert.incremental import PIECE, IncrementalDecoder
from aidp_sessions._convert.limits import MIN_OBJECT_BYTES
from aidp_sessions.errors import ResponseDecodeError
from aidp_sessions.models import WorkspaceRef, WorkspaceSummary

from ..helpers.decoding import encode, refusal, sessions_in

SIZE = 4 * PIECE


def repeated(item: bytes, start: bytes = b"[", end: bytes = b"]", size: int = SIZE) -> bytes:
    return start + b",".join([item] * (size // (len(item) + 1))) + end


DENSE = [
    repeated(b"{}"),
    repeated(b"{}", b'{"items": [', b"]}"),
    repeated(b'{"id":"1"}'),
    repeated(b'{"a":0}'),
    repeated(b'{"kernel":{"name":"","a":[]}}'),
    repeated(b"[]", b'[{"new": [', b"]}]"),
    repeated(b"{}", b'[{"new": [', b"]}]"),
    repeated(b'"a":{}', b'[{"new": {', b"}}]"),
    repeated(b"[]", b'{"note": [', b'], "items": []}'),
    repeated(b"[]", b'{"items": [], "note": [', b"]}"),
    repeated(b"{}", b'[{"id": 5}, ', b"]"),
]


@pytest.mark.parametrize("body", DENSE)
def test_too_many_objects_for_the_size_of_the_answer_are_refused(body: bytes) -> None:
    path, message = refusal(body)

    assert path == "$"
    assert message.endswith(f"are too many; the limit is one per {MIN_OBJECT_BYTES} bytes")


@pytest.mark.parametrize("body", DENSE)
def test_pieces_are_refused_as_early_as_the_objects_appear(body: bytes) -> None:
    """At the latest with the second piece, whatever follows."""
    decoder = IncrementalDecoder(WorkspaceRef("w"))

    with pytest.raises(ResponseDecodeError, match="are too many"):
        decoder.feed(body[:PIECE])
        decoder.feed(body[PIECE : 2 * PIECE])


def test_a_listing_of_workspaces_is_bounded_too() -> None:
    with pytest.raises(ResponseDecodeError, match="are too many"):
        decode_items(repeated(b"{}", b'{"items": [', b"]}"), WorkspaceSummary)


def test_an_error_body_of_any_size_is_read() -> None:
    """Its unknown fields are skipped, so they take no memory."""
    assert decode_error(repeated(b"[]", b'{"code": "C", "message": "m", "new": [', b"]}")) is not None


@pytest.mark.parametrize(
    "body",
    [
        repeated(b'{"id":"0001"}', b"[" + b" " * SIZE),
        repeated(b'{"id":"00000001"}'),
        repeated(b'{"id":"00000001","kernel":{"name":"k"}}'),
        repeated(b'{"id":"00000000001","new":[]}' + b" " * 10),
        b"[" + b"{}," * 900 + b"{}]",
        encode([{"id": "{[" * 1000, "new": "[{}]" * 1000}] * 10),
        encode([{"id": '\\"{[\\' * 1000, "new": "[" * 1000}] * 10),
    ],
)
def test_short_sessions_and_brackets_in_strings_are_not_refused(body: bytes) -> None:
    assert len(sessions_in(body)) == len(json.loads(body))


@pytest.mark.parametrize(
    "item",
    [
        b'{"id":"00000001"}',
        b'{"kernel":{"name":""}}',
        b'{"a":"b","c":12}',
        b'{"a":"b","c":"d"}',
        b'{"id":"b","c":1}',
        b'{"id":"a","name":"b","path":"c","type":"d"}',
        b'{"a":{"b":{"c":{"d":{}}}},"text":"%b"}' % (b"x" * 60),
        b'{"new":{"a":{"b":1},"b":"%b"}}' % (b"x" * 30),
        b'{"new":[1,2,3,4,5,6,7,8,9,0,1,2,3]}',
        b'{"new":["a","b","c","d","e","f","g"]}',
        b'{"new":{"a":"a","b":"b","c":"c","d":"d"}}',
        b'{"new":[0.1,0.2,0.3,0.4,0.5,0.6,0.7]}',
    ],
)
def test_a_decoded_answer_takes_at_most_25_times_the_memory_of_its_json(item: bytes) -> None:
    body = repeated(item, size=128 * 1024)
    sessions_in(body)
    gc.collect()
    tracemalloc.start()
    try:
        decoded = decode_collection(body, WorkspaceRef("w"))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert decoded[0]
    assert taken <= 25 * len(body)


LONG = "\U0001f600" * 100_000


@pytest.mark.parametrize(
    "document",
    [
        {LONG: 1},
        {"items": LONG},
        {"items": [LONG]},
        {"items": [{"id": {LONG: LONG}}]},
        {"items": [{LONG: LONG, "path": 5}]},
        {"items": [{"kernel": {"name": "k", "last_activity": LONG}}]},
        {"items": [{"kernel": {"name": "k", "connections": LONG}}]},
        [LONG],
        LONG,
    ],
)
def test_the_error_about_a_long_wrong_value_is_short(document: object) -> None:
    path, message = refusal(encode(document))

    assert len(path) <= 100
    assert len(message) <= 1000


@pytest.mark.parametrize("body", [LONG.encode(), b'{"' + LONG.encode(), b"\xff" * 100_000])
def test_an_error_about_a_long_body_shows_its_beginning_only(body: bytes) -> None:
    assert len(refusal(body)[1]) <= 1000
