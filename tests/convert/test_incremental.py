"""Decoding in pieces gives the results and errors of decoding the whole, in constant memory, for any pieces."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aidp_sessions._convert.codec import decode_json, envelope
from aidp_sessions._convert.incremental import MAX_BUFFERED, PIECE, IncrementalDecoder
from aidp_sessions._convert.strict import structure_sessions
from aidp_sessions.errors import ResponseDecodeError
from aidp_sessions.models import SessionSummary, WorkspaceRef

from ..helpers.decoding import encode
from ..helpers.strategies import brief, json_values, wire_sessions

if TYPE_CHECKING:
    Decoded = tuple[tuple[SessionSummary, ...], dict[str, object]]

SESSION = {"id": "1", "kernel": {"name": "python3"}, "path": "x" * 300}
thorough = settings(max_examples=100)
cuts = st.lists(st.integers(0, 10_000), max_size=20)
DOCUMENTED = {"items", *(field.name for field in attrs.fields(SessionSummary))}


def in_pieces(body: bytes, cuts: list[int]) -> Decoded:
    """Decode *body*, cut at *cuts*, looking for complete sessions at each cut."""
    decoder = IncrementalDecoder(WorkspaceRef("w"))
    sessions: tuple[SessionSummary, ...] = ()
    places = sorted({0, *(cut % (len(body) + 1) for cut in cuts), len(body)})
    for start, end in itertools.pairwise(places):
        decoder._min_buffered = 0
        sessions += decoder.feed(body[start:end])
    rest, extra = decoder.close()
    return sessions + rest, extra


def whole(body: bytes) -> Decoded:
    items, path, extra = envelope(decode_json(body), bare_array=True)
    return structure_sessions(items, path, WorkspaceRef("w")), extra


def refusal(body: bytes, cuts: list[int]) -> tuple[str, str]:
    with pytest.raises(ResponseDecodeError) as caught:
        in_pieces(body, cuts)
    return caught.value.path, caught.value.message


confusing = st.sampled_from(
    [
        '"items":[',
        '{"items":[{}]}',
        "},{",
        "}, {",
        '\\",{"',
        "\\",
        '"',
        '\\"items\\":[{',
        "é\ud83d\ude00",
        "[[{",
    ]
)
values = json_values | confusing | st.lists(wire_sessions, max_size=3).map(lambda items: {"items": items})
fields = st.dictionaries(confusing | st.text(max_size=5), values, max_size=3).map(
    lambda found: {name: value for name, value in found.items() if name not in DOCUMENTED}
)
sessions_with_confusing_texts = st.tuples(wire_sessions, fields).map(lambda parts: {**parts[1], **parts[0]})
styles = st.tuples(
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")]), st.sampled_from([None, 1]), st.booleans()
)


@thorough
@given(
    before=fields,
    items=st.lists(sessions_with_confusing_texts, max_size=6),
    after=fields,
    bare=st.booleans(),
    style=styles,
    space=st.text(" \t\r\n", max_size=3),
    cuts=cuts,
)
def test_pieces_decode_to_the_same_as_the_whole(
    *,
    before: dict[str, object],
    items: list[dict[str, object]],
    after: dict[str, object],
    bare: bool,
    style: tuple[tuple[str, str], int | None, bool],
    space: str,
    cuts: list[int],
) -> None:
    """Fields before and after the items, white space, and strings that look like parts of the structure."""
    separators, indent, ascii_only = style
    after = {name: value for name, value in after.items() if name not in before}
    document = items if bare else {**before, "items": items, **after}
    text = json.dumps(document, separators=separators, indent=indent, ensure_ascii=ascii_only)
    body = (space + text + space).encode(errors="replace")

    assert in_pieces(body, cuts) == whole(body)


@thorough
@given(
    number=st.integers(0, 5),
    wrong=st.sampled_from([{"kernel": {}}, {"name": 5}, {"kernel": {"name": "x", "last_activity": "today"}}, 7, None]),
    form=st.sampled_from(['{"items": %s}', "%s", '{"total": {"items": [5]}, "items": %s}']),
    cuts=cuts,
)
def test_the_path_of_a_wrong_session_has_its_index_in_the_whole(
    number: int, wrong: object, form: str, cuts: list[int]
) -> None:
    items = [{"id": "},{", "kernel": {"name": "},"}}] * number + [wrong] + [{"id": "after"}] * 2
    body = (form % json.dumps(items)).encode()

    with pytest.raises(ResponseDecodeError) as expected:
        whole(body)

    assert refusal(body, cuts) == (expected.value.path, expected.value.message)


@pytest.mark.parametrize("value", [b"null", b"5", b'"[{"', b"{}", b'{"items": [{}, {}]}'])
@brief
@given(cuts=cuts)
def test_items_that_are_no_array_are_ignored_if_an_array_of_items_follows(value: bytes, cuts: list[int]) -> None:
    """The last value of a repeated name counts."""
    body = b'{"items": ' + value + b', "items": [{"id": "1"}, {"id": "2"}, {"id": "3"}]}'

    assert in_pieces(body, cuts) == whole(body)


@pytest.mark.parametrize("value", [b"null", b"5", b'"[{"', b"{}", b'{"items": [{}, {}]}'])
@brief
@given(cuts=cuts)
def test_items_that_are_no_array_are_refused(value: bytes, cuts: list[int]) -> None:
    assert refusal(b'{"items": ' + value + b', "note": [{}, {}]}', cuts)[0] == "$.items"


@brief
@given(cut=st.integers(0, 300), cuts=cuts)
def test_a_body_that_ends_early_is_an_error(cut: int, cuts: list[int]) -> None:
    body = json.dumps({"total": 9, "items": [{"id": str(each)} for each in range(9)], "after": [{}, {}]}).encode()

    assert refusal(body[: cut % len(body)], cuts)


@pytest.mark.parametrize("tail", [b"]}", b" ]}", b",]}", b"]", b"}", b"]} x", b'], "items": null}', b"],}", b"], 5}"])
def test_a_body_that_ends_wrongly_is_an_error(tail: bytes) -> None:
    """For example with a comma before the end of the array, although the pieces before it were valid."""
    assert refusal(b'{"items":[{"id":"1"},' + tail, [21])


@pytest.mark.parametrize("name", [b'"items"', b'"it\\u0065ms"'])
@pytest.mark.parametrize("between", [b"", b'"note": {"items": []}, '])
def test_a_second_array_of_items_is_refused_if_sessions_of_the_first_were_yielded(name: bytes, between: bytes) -> None:
    """The sessions at the end of the first array would be lost without an error."""
    body = b'{"items":[{"id":"1"},{"id":"2"}], ' + between + name + b': [{"id":"3"}]}'

    assert refusal(body, [21]) == ("$.items", "there is a second array of this name")


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf[{}]", b"<html>", b"NaN", b"'items'", b"]", b"\x00"])
def test_a_body_that_does_not_begin_like_a_collection_is_refused_at_once(start: bytes) -> None:
    """Before all of it has arrived; the error shows its beginning."""
    with pytest.raises(ResponseDecodeError, match=r"^the body is not JSON: .* it begins"):
        IncrementalDecoder(WorkspaceRef("w")).feed(start + b" " * PIECE)


def fed(body: bytes) -> tuple[int, int]:
    """The number of sessions of *body* that are returned before its end, and the most bytes that were kept."""
    decoder = IncrementalDecoder(WorkspaceRef("w"))
    number = most = 0
    for start in range(0, len(body), PIECE):
        number += len(decoder.feed(body[start : start + PIECE]))
        most = max(most, len(decoder._buffer))
    decoder.close()
    return number, most


MANY = [SESSION] * 3000
WITH_ARRAYS = {**SESSION, "history": [{"at": each, "state": "idle"} for each in range(100)]}


@pytest.mark.parametrize(
    "body",
    [
        encode({"items": MANY}),
        encode({"total": 1, "items": MANY}),
        encode({"facets": [{"items": MANY[:5]}] * 40, "note": '"items":[{}', "items": MANY}),
        encode(MANY),
        b"  \n" + json.dumps({"items": MANY, "total": 1}, indent=2).encode(),
        json.dumps(MANY, separators=(" ,\n", " : ")).encode(),
        encode({"items": [WITH_ARRAYS] * 1000}),
        encode({"items": [{**SESSION, "path": "},{" * 100}] * 3000}),
        encode({"items": [{**SESSION, "path": '}, {"' * 8000}] * 30}),
        json.dumps({"items": [{**SESSION, "name": "\udce9"}] * 3000}).encode(),
    ],
    ids=[
        "items first",
        "a field first",
        "long fields first",
        "bare array",
        "indented",
        "odd white space",
        "nested arrays",
        "braces in strings",
        "long strings of braces",
        "lone surrogates",
    ],
)
def test_all_but_the_last_sessions_are_returned_before_the_end_and_few_bytes_are_kept(body: bytes) -> None:
    total = len(whole(body)[0])
    number, most = fed(body)

    assert number >= 0.85 * total
    assert most <= 3 * PIECE


@pytest.mark.parametrize(
    ("start", "endless", "path"),
    [
        (b'{"note": "', b"x", "$"),
        (b'{"note": [', b'"1", ', "$"),
        (b'{"items": [{"name": "', b"},{", "$.items[0]"),
        (b'{"items": [{}, {"name": "', b"},{", "$.items[1]"),
        (b'[{}, {"new": [', b'"1", ', "$[1]"),
        (b'{"items": [{}, {}], "note": "', b"}, {", "$.items[1]"),
        (b"", b" ", "$"),
    ],
)
def test_a_value_longer_than_four_mebibytes_is_refused(start: bytes, endless: bytes, path: str) -> None:
    decoder = IncrementalDecoder(WorkspaceRef("w"))
    decoder.feed(start)
    piece = endless * (PIECE // len(endless))
    number = 0

    with pytest.raises(ResponseDecodeError) as caught:
        while number < 2 * MAX_BUFFERED:
            decoder.feed(piece)
            number += len(piece)

    assert caught.value.path == path
    assert caught.value.message.endswith(f"more than {MAX_BUFFERED} bytes")
    assert number <= MAX_BUFFERED


def test_a_session_of_three_megabytes_is_decoded() -> None:
    body = encode({"items": [{"id": "x" * 3_000_000}, *4 * MANY]})

    assert fed(body)[0] > 0
    assert in_pieces(body, list(range(0, len(body), PIECE)))[0] == whole(body)[0]
