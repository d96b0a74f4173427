"""Any bytes decode to sessions or to a decode error with path and reason; an error body never adds an error."""

from __future__ import annotations

import copy
import json
import operator
import pickle
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aidp_sessions._convert.codec import decode_collection, envelope, excerpt, to_wire
from aidp_sessions._convert.fast import ErrorBody, decode_error
from aidp_sessions._convert.strict import structure_items
from aidp_sessions.errors import ResponseDecodeError
from aidp_sessions.models import KernelSummary, SessionSummary, WorkspaceRef, WorkspaceSummary

from ..helpers.decoding import (
    NAMED,
    encode,
    refusal,
    sessions_in,
    sessions_one_by_one,
)
from ..helpers.strategies import (
    KERNEL_FIELDS,
    SESSION_FIELDS,
    WORKSPACE_FIELDS,
    brief,
    json_values,
    session_without_nulls,
    wire_collections,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n",
        b"<html><body>502 Bad Gateway</body></html>",
        b"NaN",
        b"[NaN]",
        b'{"items": [{"new": NaN}]}',
        b'{"items": [{"new": -Infinity}]}',
        b'{"items": [{"new": 1e999}]}',
        b"{'items': []}",
        b'{"items": []',
        b'{"items": [{"id": "s1"}, {"id": "s',
        b'{"items": [],}',
        b'{"items": []} trailing',
        b'{"items": []}{"items": []}',
        b'\xef\xbb\xbf{"items": []}',
        '{"items": []}'.encode("utf-16"),
        b'{"items": [{"name": "\xff"}]}',
        b'{"items": [{"name": "\xed\xa0\x80"}]}',
        b'{"items": [{"name": "\\ud80"}]}',
        b'{"items": [{"name": "\\udcgg"}]}',
        b'{"items": [{"name": "\x00"}]}',
        b'{"items": [{"\xff": 1}]}',
    ],
)
def test_what_is_not_json_is_refused_with_its_beginning(body: bytes) -> None:
    """Strict JSON in UTF-8: no byte order mark, no NaN, no second document; the message shows the body."""
    path, message = refusal(body)

    assert path == "$"
    assert message.startswith("the body is not JSON: ")
    assert message.endswith(f"; it begins {body.decode('utf-8', 'replace')!r}")


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"items": [{"new": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]}"])
def test_a_body_nested_too_deeply_is_refused(body: bytes) -> None:
    """It does not exhaust the stack."""
    assert refusal(body) == ("$", f"the body is not JSON: nested too deeply; it begins {body[:200].decode()!r}…")


@pytest.mark.parametrize(
    ("body", "session"),
    [
        (b'[{"name": "a", "name": "b"}]', SessionSummary(name="b", workspace_key="w")),
        (b'{"items": [1], "items": [{}]}', SessionSummary(workspace_key="w")),
        (b" \r\n\t[{}]\n ", SessionSummary(workspace_key="w")),
        (
            b'[{"n": 123456789012345678901234567890}]',
            SessionSummary(workspace_key="w", extra={"n": 123456789012345678901234567890}),
        ),
        (
            b'[{"kernel": {"name": "k", "connections": 18446744073709551616}}]',
            SessionSummary(workspace_key="w", kernel=KernelSummary(name="k", connections=2**64)),
        ),
        (b'[{"id": "\\u00e9\\ud83d\\ude00\\u0000"}]', SessionSummary(workspace_key="w", id="é😀\x00")),
        ('[{"id": "日本"}]'.encode(), SessionSummary(workspace_key="w", id="日本")),
    ],
    ids=["duplicate key", "duplicate items", "white space", "huge integer", "huge count", "escapes", "UTF-8"],
)
def test_unusual_but_valid_json_is_read(body: bytes, session: SessionSummary) -> None:
    """The last of repeated keys counts, white space does not matter, and whole numbers have no limit."""
    assert sessions_in(body) == (session,)


LONE: Final = "\ud800", "\udfff", "\udce9", "\ude00\ud83d", "\ud83d\ud83d", "a\ud83d\\u0041"


@pytest.mark.parametrize("text", [*LONE, "\ud83d\\", "\\\udce9\\\\udce9", '"\ud83d"', "\n\ud83d\n"])
def test_a_lone_surrogate_is_read_as_the_replacement_character(text: str) -> None:
    """Python writes them for file names that are not UTF-8, and no output could encode them."""
    mended = "".join("\ufffd" if "\ud800" <= each <= "\udfff" else each for each in text)
    wire = {"path": text, text: [text], "kernel": {"name": text, "note": text}}
    body = json.dumps({"items": [{"id": "healthy"}, wire], "note": text}).encode()

    sessions, extra = decode_collection(body, WorkspaceRef("w"))

    kernel = KernelSummary(name=mended, extra={"note": mended})
    expected = SessionSummary(workspace_key="w", path=mended, kernel=kernel, extra={mended: [mended]})
    assert sessions == (SessionSummary(workspace_key="w", id="healthy"), expected)
    assert extra == {"note": mended}
    assert json.dumps(to_wire(expected), ensure_ascii=False).encode()


@brief
@given(st.text(st.characters(), max_size=8) | st.text('\ud83d\ude00\\u"d8', max_size=8))
def test_escaped_text_is_read_as_a_decoder_of_utf_16_reads_it(text: str) -> None:
    """Pairs of surrogates, and text that only looks like an escape, do not change."""
    expected = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    (session,) = sessions_in(json.dumps([{"id": text}]).encode())

    assert session.id == expected


def test_an_error_message_with_a_lone_surrogate_is_read() -> None:
    body = b'{"code": "C", "message": "no such file: caf\\udce9"}'

    assert decode_error(body) == ErrorBody("C", "no such file: caf\ufffd")


@brief
@given(st.binary() | st.binary().map(lambda noise: b'{"items": [' + noise + b"]}"))
def test_arbitrary_bytes_give_sessions_or_a_decode_error(body: bytes) -> None:
    """No byte sequence makes the decoder raise anything else."""
    try:
        sessions_in(body)
    except ResponseDecodeError as error:
        assert error.path.startswith("$")  # noqa: PT017  # the other outcome is asserted as well


@brief
@given(wire_collections, st.data())
def test_a_damaged_collection_gives_sessions_or_a_decode_error(document: dict[str, Any], data: st.DataObject) -> None:
    """One flipped or missing byte in a valid answer raises nothing else."""
    body = bytearray(encode(document))
    place = data.draw(st.integers(0, len(body) - 1))
    body[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    try:
        sessions_in(bytes(body))
    except ResponseDecodeError as error:
        assert error.path.startswith("$")  # noqa: PT017  # the other outcome is asserted as well


_almost_kernels = st.dictionaries(st.sampled_from(KERNEL_FIELDS), json_values)
_almost_sessions = st.dictionaries(st.sampled_from(SESSION_FIELDS), json_values | _almost_kernels)
_almost_collections = st.fixed_dictionaries(
    {"items": json_values | st.lists(json_values | _almost_sessions, max_size=3)}
)


@brief
@given(json_values | _almost_collections)
def test_arbitrary_json_gives_sessions_or_a_decode_error(document: Any) -> None:  # it is arbitrary
    """Accepted JSON can be encoded again to the same, except for nulls."""
    try:
        sessions = sessions_in(encode(document))
    except ResponseDecodeError as error:
        assert error.path.startswith("$")  # noqa: PT017  # the other outcome is asserted as well
    else:
        items = document["items"] if isinstance(document, dict) else document
        assert list(map(to_wire, sessions)) == list(map(session_without_nulls, items))


@brief
@given(json_values | st.dictionaries(st.sampled_from(WORKSPACE_FIELDS), json_values))
def test_arbitrary_json_gives_workspaces_or_a_decode_error(item: object) -> None:
    """The listing of workspaces is equally strict."""
    try:
        structure_items([item], WorkspaceSummary, "$.items")
    except ResponseDecodeError as error:
        assert error.path.startswith("$.items[0]")  # noqa: PT017  # the other outcome is asserted as well


def test_an_envelope_is_split_into_items_path_and_unknown_fields() -> None:
    """A bare array is the older form; it is refused where it is not allowed."""
    assert envelope({"items": [1], "total": 1}) == ([1], "$.items", {"total": 1})
    assert envelope([1], bare_array=True) == ([1], "$", {})
    with pytest.raises(ResponseDecodeError, match=r'^expected an object with "items", not an array'):
        envelope([1])


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ({"code": "C", "message": "m"}, ErrorBody("C", "m")),
        ({"code": "", "message": "", "more": [1]}, ErrorBody("", "")),
        ({"code": "C"}, None),
        ({"code": None, "message": "m"}, None),
        ({"code": 404, "message": "m"}, None),
        ([], None),
        (None, None),
        ("C", None),
    ],
)
def test_only_the_documented_error_body_is_an_error_body(document: object, error: ErrorBody | None) -> None:
    """Anything else gives None, so that the caller can show the body."""
    assert decode_error(encode(document)) == error


@brief
@given(st.binary() | json_values.map(encode))
@example(b"[" * 100_000)
def test_an_error_body_is_never_a_second_error(body: bytes) -> None:
    """Reading any error body raises nothing."""
    assert isinstance(decode_error(body), ErrorBody | None)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "''"),
        (b"a\n\x00\xff", "'a\\n\\x00\ufffd'"),
        (b"x" * 200, repr("x" * 200)),
        (b"x" * 201, repr("x" * 200) + "…"),
    ],
)
def test_an_excerpt_is_printable_and_short(body: bytes, text: str) -> None:
    """It has at most two hundred bytes, and a mark if more was cut off."""
    assert excerpt(body) == text


def _result(decode: Callable[[bytes], tuple[SessionSummary, ...]], body: bytes) -> object:
    try:
        return decode(body)
    except ResponseDecodeError as error:
        return error.path, error.message


@brief
@given(wire_collections.map(encode) | _almost_collections.map(encode) | st.lists(_almost_sessions).map(encode))
@example(b'{"items": [{"kernel": {"name": "k", "last_activity": "2026-11-23T01:12:43.999999999Z"}}]}')
@example(b'{"items": [{"kernel": {"name": "k", "connections": 1.0}}]}')
@example(b'{"items": [1], "items": [{}]}')
def test_the_fast_decoder_gives_the_results_of_the_strict_one(body: bytes) -> None:
    """Values, errors and paths are equal."""
    assert _result(sessions_in, body) == _result(sessions_one_by_one, body)


@brief
@given(wire_collections, st.data())
def test_both_decoders_agree_about_damaged_bodies(document: dict[str, Any], data: st.DataObject) -> None:
    """With one flipped or missing byte."""
    body = bytearray(encode(document))
    place = data.draw(st.integers(0, len(body) - 1))
    body[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))

    assert _result(sessions_in, bytes(body)) == _result(sessions_one_by_one, bytes(body))


def test_models_without_unknown_fields_share_an_empty_mapping_that_stays_empty() -> None:
    """It cannot be changed; its copies and pickles are the same object."""
    (session,) = sessions_in(encode([{"kernel": NAMED}]))
    none = session.extra
    attempts: list[Callable[[Any], object]] = [
        lambda extra: operator.setitem(extra, "a", 1),
        lambda extra: extra.__ior__({"a": 1}),
        lambda extra: extra.update(a=1),
        lambda extra: extra.setdefault("a"),
        lambda extra: extra.clear(),
        lambda extra: extra.pop("a", None),
        lambda extra: extra.popitem(),
    ]

    for attempt in attempts:
        with pytest.raises(TypeError, match=r"^the unknown fields of an answer cannot be changed$"):
            attempt(none)
    assert none == {}
    assert session.kernel is not None
    assert session.kernel.extra is none
    assert copy.deepcopy(session).extra is none
    assert pickle.loads(pickle.dumps(session)).extra is none  # noqa: S301  # our own
