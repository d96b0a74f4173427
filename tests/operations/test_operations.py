"""Requests are encoded exactly, and every answer is a value or one error of its class; no loop, no socket."""

from __future__ import annotations

import json
import re
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from aidp_sessions._operations.buffering import SessionBuffer, SessionPage
from aidp_sessions._operations.encoding import path_segment, query_string, request_id
from aidp_sessions._operations.failures import attach_call, error_for
from aidp_sessions._operations.listings import (
    Page,
    next_page_token,
    page_decoder,
    sessions_target,
    with_page,
    workspaces_path,
)
from aidp_sessions._operations.messages import RawResponse, clock_skew, retry_after
from aidp_sessions.errors import SERVICE_ERRORS, ResponseDecodeError, ServiceError, UnauthorizedError
from aidp_sessions.models import SessionSummary, WorkspaceRef, WorkspaceSummary

from ..helpers.strategies import brief

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW: Final = 1_790_000_000.0
OCID: Final = "ocid1.aidataplatform.oc1.iad.amaaaa"
PLATFORM: Final = f"/20260430/aiDataPlatforms/{OCID}/workspaces"
UNRESERVED: Final = re.compile(r"(?:[A-Za-z0-9_.~-]|%[0-9A-F]{2})*")
CONTROLS: Final = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]

text: Final = st.text(max_size=30)
header_text: Final = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30)
segments: Final = text.filter(
    lambda value: value.strip() and value not in (".", "..") and not set(CONTROLS) & set(value)
)
http_dates: Final = st.integers(0, 4_000_000_000).map(lambda moment: formatdate(moment, usegmt=True))


def answer(status: int, body: bytes = b"", **headers: str) -> RawResponse:
    return RawResponse(status, CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()}), body)


def error_body(code: str, message: str) -> bytes:
    return json.dumps({"code": code, "message": message}).encode()


def refused(said: RawResponse) -> ServiceError:
    error = error_for(said, now=NOW)
    assert isinstance(error, ServiceError)
    return error


@pytest.fixture
def far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine's zone is eight hours behind UTC."""
    if not hasattr(time, "tzset"):
        pytest.skip("this system cannot change a process's time zone")
    monkeypatch.setenv("TZ", "XXX+8")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@brief
@given(segments)
@example("a/b?c#d%2F")
@example("+ é日😀")
def test_a_path_segment_decodes_to_what_it_was(value: str) -> None:
    """Nothing in a key can leave its segment: only unreserved characters and upper-case escapes remain."""
    encoded = path_segment(value, "workspace_key")

    assert unquote(encoded, errors="strict") == value
    assert UNRESERVED.fullmatch(encoded)


@pytest.mark.parametrize("value", ["", " ", "\t", "\u3000", ".", "..", *(f"a{control}b" for control in CONTROLS)])
def test_a_segment_that_would_change_the_path_is_refused(value: str) -> None:
    """Blank keys, dots and control characters never reach a URL; the error names argument, value and rule."""
    with pytest.raises(ValueError) as caught:
        path_segment(value, "workspace_key")

    assert str(caught.value) == (
        f"workspace_key={value!r} must not be blank, '.' or '..', nor contain control characters"
    )


def test_dots_and_spaces_inside_a_segment_are_data() -> None:
    """Only a segment that is nothing but dots or blanks is special to a path."""
    assert [path_segment(value, "k") for value in ("...", ".a", " a ", "a/..")] == ["...", ".a", "%20a%20", "a%2F.."]


@pytest.mark.parametrize("value", [None, 5, b"key", ["key"]])
def test_a_segment_must_be_a_string(value: object) -> None:
    """A number is not converted."""
    with pytest.raises(TypeError, match=f"^workspace_key must be a string, not {type(value).__name__}$"):
        path_segment(value, "workspace_key")


def test_a_lone_surrogate_is_refused() -> None:
    """It cannot be encoded as UTF-8."""
    with pytest.raises(ValueError, match=r"^workspace_key='\\ud800' contains a lone surrogate"):
        path_segment("\ud800", "workspace_key")
    with pytest.raises(ValueError, match=r"^path='\\udfff' contains a lone surrogate"):
        query_string({"path": "\udfff"})


@brief
@given(st.dictionaries(st.sampled_from(["cluster_id", "path", "agentFlowKey"]), st.none() | text))
def test_a_query_decodes_to_what_it_was(parameters: dict[str, str | None]) -> None:
    """Values keep their order, absent ones are omitted, and no value contains a reserved character."""
    query = query_string(parameters)
    given_values = [(name, value) for name, value in parameters.items() if value is not None]

    assert [
        (name, unquote(value)) for name, _, value in (pair.partition("=") for pair in query.split("&") if pair)
    ] == (given_values)
    assert parse_qsl(query, keep_blank_values=True, errors="strict") == given_values
    assert all(UNRESERVED.fullmatch(pair.partition("=")[2]) for pair in query.split("&"))


def test_a_space_is_never_a_plus() -> None:
    """Space, plus, slash, comma and percent sign are always escaped in the same way."""
    assert query_string({"path": "a b+c/d,e%2F", "cluster_id": ""}) == "path=a%20b%2Bc%2Fd%2Ce%252F&cluster_id="


def test_a_query_value_must_be_a_string() -> None:
    """The error names the parameter."""
    with pytest.raises(TypeError, match=r"^path must be a string, not int$"):
        query_string({"path": 5})  # type: ignore[dict-item]  # on purpose


def test_a_target_is_path_and_query() -> None:
    """The documented path, with the key as one segment; no question mark without a query."""
    path = f"{PLATFORM}/a%2Fb/notebook/api/sessions"

    assert sessions_target(PLATFORM, "a/b", "") == path
    assert sessions_target(PLATFORM, "a/b", "path=x") == f"{path}?path=x"


def test_a_page_token_is_added_to_equal_parameters() -> None:
    """The token is opaque, so it is escaped whole; the first page has none."""
    assert with_page("/a", None) == "/a"
    assert with_page("/a", "+//+=&") == "/a?page=%2B%2F%2F%2B%3D%26"
    assert with_page("/a?path=x", "t") == "/a?path=x&page=t"


@pytest.mark.parametrize(
    ("base", "version", "path"),
    [
        ("", "20260430", f"/20260430/aiDataPlatforms/{OCID}/workspaces"),
        ("", "20240831", f"/20240831/dataLakes/{OCID}/workspaces"),
        ("", "20270101", f"/20270101/aiDataPlatforms/{OCID}/workspaces"),
        ("/api", "20260430", f"/api/20260430/aiDataPlatforms/{OCID}/workspaces"),
        ("/20260430", "20260430", f"/20260430/aiDataPlatforms/{OCID}/workspaces"),
        ("/api/20260430", "20260430", f"/api/20260430/aiDataPlatforms/{OCID}/workspaces"),
        ("/20240831", "20260430", f"/20240831/20260430/aiDataPlatforms/{OCID}/workspaces"),
    ],
)
def test_the_version_decides_the_name_of_the_collection(base: str, version: str, path: str) -> None:
    """Before 20260430 a platform was a data lake; a base path that ends in the version is not extended with it."""
    assert workspaces_path(base, version, OCID) == path


@pytest.mark.parametrize(
    "version", ["", "latest", "2026043", "202604300", "2026-430", "\uff12\uff10260430", "20260430\n"]
)
def test_a_version_is_eight_digits(version: str) -> None:
    """The error names the value and a correct one."""
    with pytest.raises(ValueError) as caught:
        workspaces_path("", version, OCID)

    assert str(caught.value) == f"api_version={version!r} must be eight digits, such as '20260430'"


@pytest.mark.parametrize("value", ["a", "A-Z_0-9", "-", "_", "x" * 500])
def test_a_valid_request_id_is_sent_as_it_is(value: str) -> None:
    """Letters, digits, underscore and dash are the documented characters."""
    assert request_id(value) == value


@brief
@given(st.text() | st.sampled_from(["", " ", "a b", "a/b", "a\n", "é", "٣", "a.b", "a,b"]))
def test_an_invalid_request_id_is_refused(value: str) -> None:
    """An empty id or one with another character is a ValueError that shows it."""
    if value and all(character.isascii() and (character.isalnum() or character in "_-") for character in value):
        assert request_id(value) == value
        return
    with pytest.raises(ValueError) as caught:
        request_id(value)

    assert str(caught.value) == (
        f"opc_request_id={value!r} may hold only letters, digits, '_' and '-', and must not be empty"
    )


def test_a_request_id_must_be_a_string() -> None:
    """Numbers are not converted."""
    with pytest.raises(TypeError, match=r"^opc_request_id must be a string, not int$"):
        request_id(5)


def test_a_page_of_sessions_has_all_fields_of_the_answer() -> None:
    """Headers are found regardless of case; absent ones are None."""
    body = b'{"items": [{"id": "s"}], "total": 1}'
    session = SessionSummary(id="s", workspace_key="w")

    assert SessionBuffer(WorkspaceRef("w")).decode(
        answer(200, body, ETag="e", OPC_Request_ID="r", Opc_Next_Page="t")
    ) == SessionPage((session,), "t", "e", "r", {"total": 1}, len(body))
    assert SessionBuffer(WorkspaceRef("w")).decode(answer(200, b'[{"id": "s"}]', opc_next_page="")) == SessionPage(
        (session,), None, None, None, {}, 13
    )


def test_a_page_of_workspaces_is_never_a_bare_array() -> None:
    """No version of the service lists workspaces without an envelope."""
    decode = page_decoder(WorkspaceSummary)

    assert decode(answer(200, b'{"items": []}', opc_next_page="t")) == Page((), "t")
    assert decode(answer(200, b'{"items": []}', opc_next_page="")) == Page((), None)
    with pytest.raises(ResponseDecodeError):
        decode(answer(200, b"[]"))


def test_a_page_token_is_accepted_once() -> None:
    """A repeated token would mean endless pages: it is a decode error, even after others."""
    seen: set[str] = set()

    assert [next_page_token(token, seen) for token in ("a", "b", None, "c")] == ["a", "b", None, "c"]
    with pytest.raises(ResponseDecodeError) as caught:
        next_page_token("a", seen)
    assert str(caught.value) == "the service repeated a token, so its pages would never end [at opc-next-page]"


def test_only_a_200_is_no_failure() -> None:
    """Whatever its body; it is decoded later."""
    assert error_for(answer(200, b"<html>"), now=NOW) is None


@pytest.mark.parametrize("status", [100, 201, 202, 204, 205, 206, 226, 299])
def test_another_success_is_a_decode_error(status: int) -> None:
    """The operation documents 200 only; nothing else is taken for "no sessions"."""
    error = error_for(answer(status, b"partly", opc_request_id="r"), now=NOW)

    assert isinstance(error, ResponseDecodeError)
    assert (error.status, error.path, error.headers) == (status, "$", {"opc-request-id": "r"})
    assert error.message == "an answer with this status was not expected; its body: 'partly'"


@pytest.mark.parametrize("status", range(400, 600))
def test_every_error_status_has_its_class(status: int) -> None:
    """401, 404, 429 and 500 have their own, all others are ServiceError; the message is the service's."""
    error = refused(answer(status, error_body("SomeCode", "Some words."), Date=formatdate(NOW, usegmt=True)))

    assert type(error) is SERVICE_ERRORS.get(status, ServiceError)
    assert (error.status, error.code, error.message, error.retry_after) == (status, "SomeCode", "Some words.", None)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is empty"),
        (
            b"<html>\n<h1>502 Bad Gateway</h1>",
            "the body is not the documented error; it begins '<html>\\n<h1>502 Bad Gateway</h1>'",
        ),
        (b"x" * 5000, f"the body is not the documented error; it begins '{'x' * 200}'…"),
        (b"null", "the body is not the documented error; it begins 'null'"),
        (b'{"code": "C"}', 'the body is not the documented error; it begins \'{"code": "C"}\''),
        (b"\xff", "the body is not the documented error; it begins '\ufffd'"),
        (b"[" * 200_000, f"the body is not the documented error; it begins '{'[' * 200}'…"),
    ],
    ids=["empty", "HTML", "long", "null", "no message", "not text", "deep"],
)
@pytest.mark.parametrize("status", [401, 404, 429, 500, 502])
def test_an_undocumented_error_body_is_quoted_not_decoded(status: int, body: bytes, message: str) -> None:
    """The class follows from the status; the code is None."""
    error = refused(answer(status, body))

    assert type(error) is SERVICE_ERRORS.get(status, ServiceError)
    assert (error.status, error.code, error.message) == (status, None, message)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "place"),
    [
        ("https://elsewhere.example:8443/x?y", "elsewhere.example:8443"),
        ("//elsewhere.example/x", "elsewhere.example"),
        ("https://user:secret@elsewhere.example/x", "elsewhere.example"),
        ("/x", "the same host"),
        ("", "an unknown place"),
    ],
)
def test_a_redirect_is_an_error_that_names_its_host(status: int, location: str, place: str) -> None:
    """It is not followed, because the signature is valid for one host only."""
    error = refused(answer(status, b"moved", Location=location))

    assert (type(error), error.status, error.code) == (ServiceError, status, None)
    assert error.message == (
        f"redirects are not followed, because a signature holds for one host only; this one leads to {place}"
    )


@pytest.mark.parametrize("status", [300, 301, 304, 305, 399])
def test_a_redirect_without_a_location_is_a_service_error(status: int) -> None:
    """Location and body may be absent."""
    error = refused(answer(status))

    assert (type(error), error.status, error.code, error.headers) == (ServiceError, status, None, {})


@pytest.mark.parametrize("location", ["http://[", "http://[::1", "https://[x]/", "http://\u2100.example/"])
def test_a_redirect_with_a_malformed_location_is_a_service_error(location: str) -> None:
    """It is never a ValueError."""
    assert type(refused(answer(302, Location=location))) is ServiceError


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("5", 5.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("120", 120.0),
        ("", None),
        ("-5", None),
        ("+5", None),
        ("1e3", None),
        ("nan", None),
        ("inf", None),
        ("٣", None),
        ("²", None),
        ("1.2.3", None),
        ("soon", None),
        ("Wed, 99 Foo 2026 25:61:61 GMT", None),
        ("Wed, 21 Oct 2026 07:28:00 +9999", None),
    ],
)
def test_retry_after_in_seconds(value: str, seconds: float | None) -> None:
    """Anything but decimal seconds is ignored."""
    assert retry_after({"retry-after": value}, NOW) == seconds


def test_no_retry_after_is_none() -> None:
    assert retry_after({}, NOW) is None


@brief
@given(st.integers(0, 4_000_000_000), st.integers(-100_000, 100_000))
def test_a_retry_after_date_counts_from_the_date_of_the_answer(sent: int, wait: int) -> None:
    """Our own clock, which may be wrong, does not matter; a past date is zero seconds."""
    headers = {"date": formatdate(sent, usegmt=True), "retry-after": formatdate(sent + wait, usegmt=True)}

    assert retry_after(headers, NOW) == max(0.0, wait)


def test_a_retry_after_date_counts_from_our_clock_if_the_answer_has_no_date() -> None:
    """An unreadable Date counts as absent."""
    headers = {"retry-after": formatdate(NOW + 30, usegmt=True)}

    assert retry_after(headers, NOW) == 30.0
    assert retry_after({**headers, "date": "today"}, NOW) == 30.0
    assert retry_after(headers, NOW + 60) == 0.0


@brief
@given(st.text() | st.from_regex(r"[0-9]+(\.[0-9]*)?") | http_dates, st.text() | http_dates, st.floats(0, 1e10))
@example("9" * 400, "", 0.0)
@example("Wed, 3 Apr 2002 12.34.56.78+0800", " ", 0.0)
def test_retry_after_is_never_negative_nor_nan(value: str, date: str, now: float) -> None:
    """With any text in the two headers it is a number of seconds from zero, or None."""
    seconds = retry_after({"retry-after": value, "date": date}, now)

    assert seconds is None or seconds >= 0.0


@pytest.mark.usefixtures("far_from_greenwich")
@pytest.mark.parametrize(
    "date",
    [
        "Mon, 21 Sep 2026 14:13:20 GMT",
        "Mon, 21 Sep 2026 14:13:20 -0000",
        "Monday, 21-Sep-26 14:13:20 GMT",
        "Mon Sep 21 14:13:20 2026",
        "Mon, 21 Sep 2026 07:13:20 -0700",
    ],
)
def test_every_form_of_an_http_date_is_in_utc(date: str) -> None:
    """An HTTP date without an offset is UTC, wherever this machine stands (RFC 9110, HTTP-date)."""
    assert clock_skew({"date": date}, NOW) == 0.0
    assert retry_after({"retry-after": date}, NOW - 10) == 10.0


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("two\nlines\r\n", "two\\nlines\\r\\n"),
        ("\x1b[31mred\x9b", "\\x1b[31mred\\x9b"),
        ("\u202etxt.exe\u2066", "\\u202etxt.exe\\u2066"),
        ("a\u2028b\x00", "a\\u2028b\\x00"),
        ("Grüße, 日本語 👩‍💻", "Grüße, 日本語 👩‍💻"),
    ],
)
def test_the_words_of_the_service_stay_on_one_line_and_steer_no_terminal(sent: str, shown: str) -> None:
    """In the code, the message and the headers, and so in the text of the error and in logs."""
    error = refused(RawResponse(500, CIMultiDict({"opc-request-id": sent}), error_body(sent, sent)))
    attach_call(error, "list_sessions", WorkspaceRef("w"), ["ours"])

    assert (error.code, error.message, error.headers) == (shown, shown, {"opc-request-id": shown})
    assert str(error) == f"list_sessions of workspace 'w': 500 {shown}: {shown} (opc-request-id {shown})"


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (0, ""),
        (300, ""),
        (-300, ""),
        (301, "; this machine's clock is 301 s behind the service's"),
        (-301, "; this machine's clock is 301 s ahead of the service's"),
        (86_400, "; this machine's clock is 86400 s behind the service's"),
    ],
)
def test_a_401_mentions_a_difference_of_the_clocks(ahead: int, said: str) -> None:
    """A difference of more than five minutes, the limit for signatures, is in the message."""
    date = formatdate(NOW + ahead, usegmt=True)
    error = refused(answer(401, error_body("NotAuthenticated", "No."), Date=date))

    assert (type(error), error.code, error.message) == (UnauthorizedError, "NotAuthenticated", "No." + said)
    assert refused(answer(401, b"", Date=date)).message == "the body is empty" + said
    assert refused(answer(404, error_body("NotFound", "No."), Date=date)).message == "No."


def test_a_401_without_a_date_does_not_mention_clocks() -> None:
    assert refused(answer(401, error_body("NotAuthenticated", "No."))).message == "No."
    assert clock_skew({}, NOW) is None
    assert clock_skew({"date": "today"}, NOW) is None
    assert clock_skew({"date": formatdate(NOW + 5, usegmt=True)}, NOW) == 5.0


@brief
@given(
    st.integers(201, 599),
    st.binary(max_size=40),
    st.dictionaries(
        st.sampled_from(["Location", "Date", "Retry-After", "ETag", "opc-request-id"]),
        header_text,
    ),
)
def test_every_answer_but_a_200_is_an_error_with_its_status(status: int, body: bytes, headers: dict[str, str]) -> None:
    """Mapping never raises: it returns the error, with the status and all headers."""
    error = error_for(RawResponse(status, CIMultiDict(headers), body), now=NOW)

    assert error is not None
    assert (error.status, error.headers) == (status, {name.lower(): value for name, value in headers.items()})
    assert isinstance(error, ServiceError) is (status >= 300)
