"""Results and errors keep the answers as they came, without credentials."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Final

import attrs
import pytest

from aidp_sessions import (
    InternalServerError,
    Response,
    ResponseDecodeError,
    RetryPolicy,
    SessionCollection,
    SessionSummary,
)
from aidp_sessions.testing import Fault, LocalService

from ..transport.test_events import FAST


async def test_a_listing_keeps_its_answers_if_asked_to() -> None:
    async with LocalService(session_page_size=1) as service:
        service.add_workspace("a", [{"id": "1"}, {"id": "2"}])
        service.fail("a", Fault(status=503))
        async with service.client(clock=FAST) as client:
            kept = await client.list_sessions("a", keep_responses=True, opc_request_id="id")
            plain_ = await client.list_sessions("a", opc_request_id="id")

    assert [(response.status, response.json()) for response in kept.responses] == [
        (200, {"items": [{"id": "1"}]}),
        (200, {"items": [{"id": "2"}]}),
    ]
    assert [response.headers.get("opc-next-page") is None for response in kept.responses] == [False, True]
    assert plain_.responses == ()
    assert plain_.items == kept.items
    assert attrs.evolve(kept, opc_request_id=None) == attrs.evolve(plain_, opc_request_id=None)
    assert "Response" not in repr(kept)


async def test_a_large_answer_is_kept_whole(service: LocalService) -> None:
    sessions = [{"id": str(number), "name": "n" * 1000} for number in range(1500)]
    service.add_workspace("a", sessions)
    async with service.client() as client:
        kept = await client.list_sessions("a", keep_responses=True)

    assert kept.responses[0].json() == {"items": sessions}
    assert [session.id for session in kept] == [session["id"] for session in sessions]


@pytest.mark.parametrize(
    ("body", "excerpt"),
    [
        (b"<html>" + b"x" * 5000, "<html>" + "x" * 1018),
        (b'Signature keyId="a",signature="c2Vj" \xff', "[redacted] \ufffd"),
    ],
)
async def test_an_error_holds_the_beginning_of_the_body(service: LocalService, body: bytes, excerpt: str) -> None:
    service.add_workspace("a")
    service.fail("a", Fault(status=500, body=body))
    async with service.client(retry=RetryPolicy.none()) as client:
        with pytest.raises(InternalServerError) as caught:
            await client.list_sessions("a")

    assert caught.value.body_excerpt == excerpt
    assert pickle.loads(pickle.dumps(caught.value)).body_excerpt == excerpt  # noqa: S301  # our own


async def test_an_undecodable_answer_is_in_its_error(service: LocalService) -> None:
    service.add_workspace("a")
    service.fail("a", Fault(body=b"[1]"))
    async with service.client() as client:
        with pytest.raises(ResponseDecodeError) as caught:
            await client.list_sessions("a")

    assert caught.value.body_excerpt == "[1]"


class TestResponse:
    RESPONSE: Final = Response(status=200, headers={"ETag": "canary"}, body=b'"canary"')

    def test_headers_are_looked_up_regardless_of_case(self) -> None:
        headers = self.RESPONSE.headers

        assert (headers["etag"], headers["ETAG"], "eTag" in headers, "x" in headers) == (
            "canary",
            "canary",
            True,
            False,
        )
        assert (list(headers), len(headers), headers.get("x", "-")) == (["etag"], 1, "-")

    def test_it_cannot_be_changed(self) -> None:
        with pytest.raises(TypeError):
            self.RESPONSE.headers["etag"] = "x"  # type: ignore[index]  # on purpose
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            self.RESPONSE.status = 1  # type: ignore[misc]  # on purpose

    def test_its_repr_shows_neither_header_values_nor_body(self) -> None:
        assert repr(self.RESPONSE) == "Response(status=200, headers=<headers etag>)"

    def test_it_can_be_pickled_and_compared(self) -> None:
        copy = pickle.loads(pickle.dumps(self.RESPONSE))  # noqa: S301  # our own

        assert copy == self.RESPONSE
        assert hash(copy) == hash(self.RESPONSE)

    @pytest.mark.parametrize("body", [b"", b"{", b"NaN", b"\xff", b"[" * 100_000])
    def test_what_is_not_json_is_an_error_that_does_not_quote_it(self, body: bytes) -> None:
        with pytest.raises(ResponseDecodeError, match=rf"the body, {len(body)} bytes, is not JSON") as caught:
            attrs.evolve(self.RESPONSE, body=body).json()

        assert (caught.value.status, caught.value.headers) == (200, {"etag": "canary"})

    async def test_credentials_in_an_answer_are_left_out(self, service: LocalService) -> None:
        headers = {"Set-Cookie": "canary", "X-Echo": 'Signature keyId="k",signature="canary"', "X-Plain": "1"}
        service.answer("GET", "x", headers=headers)
        async with service.client() as client:
            response = await client.request("GET", "x")

        assert [response.headers.get(name) for name in headers] == [None, "[redacted]", "1"]


class TestSessionCollection:
    ITEMS: Final = tuple(SessionSummary(id=each) for each in "abc")
    COLLECTION: Final = SessionCollection(items=ITEMS)

    def test_it_is_indexed_and_sliced_like_its_items(self) -> None:
        first, *rest = self.COLLECTION

        assert isinstance(self.COLLECTION, Sequence)
        assert (self.COLLECTION[0], self.COLLECTION[-1]) == (self.ITEMS[0], self.ITEMS[2]) == (first, rest[-1])
        assert (self.COLLECTION[0:2], self.COLLECTION[::-1]) == (self.ITEMS[0:2], self.ITEMS[::-1])
        with pytest.raises(IndexError):
            self.COLLECTION[3]

    def test_it_finds_and_counts_a_session(self) -> None:
        made_alike = SessionSummary(id="b")

        assert (made_alike in self.COLLECTION, SessionSummary(id="z") in self.COLLECTION) == (True, False)
        assert (self.COLLECTION.index(made_alike), self.COLLECTION.count(made_alike)) == (1, 1)
        assert tuple(reversed(self.COLLECTION)) == self.ITEMS[::-1]

    def test_it_equals_only_another_collection(self) -> None:
        alike = SessionCollection(items=self.ITEMS)

        assert (alike, hash(alike)) == (self.COLLECTION, hash(self.COLLECTION))
        assert attrs.evolve(alike, etag="1") != self.COLLECTION
        assert self.COLLECTION != self.ITEMS  # type: ignore[comparison-overlap]  # on purpose
        assert pickle.loads(pickle.dumps(alike)) == alike  # noqa: S301  # our own
