"""Compressed bodies are read as other tools read them, in pieces of bounded size, and damaged ones are errors."""

from __future__ import annotations

import gzip
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_sessions import ConnectionFailedError
from aidp_sessions._transport.inflate import Inflater, inflater_for

from ..helpers.raw_server import RawServer, answer
from ..helpers.strategies import brief

ONE = b'{"items": [{"id": "one"}]}'


def inflate(name: str, body: bytes, cuts: list[int]) -> bytes:
    inflater = Inflater(name)
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    chunks = [body[start:end] for start, end in pairwise(places)]
    pieces = [piece for chunk in chunks for piece in inflater.feed(chunk)]
    inflater.close()
    assert all(0 < len(piece) <= 64 * 1024 for piece in pieces)
    return b"".join(pieces)


def raw_deflate(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


@brief
@given(
    st.binary(max_size=300),
    st.integers(1, 1000),
    st.lists(st.integers(0, 10_000)),
    st.sampled_from([b"", b"\0", bytes(600), b"trailing junk", b"\x1f padding"]),
)
def test_gzip_gives_back_what_was_compressed_however_it_is_cut_and_padded(
    seed: bytes, repeats: int, cuts: list[int], padding: bytes
) -> None:
    body = seed * repeats
    half = len(body) // 2
    members = gzip.compress(body[:half], 1) + gzip.compress(body[half:], 1)

    assert inflate("gzip", gzip.compress(body, 1) + padding, cuts) == body
    assert inflate("x-gzip", members + padding, cuts) == body


@brief
@given(st.binary(max_size=300), st.integers(1, 1000), st.lists(st.integers(0, 10_000)))
def test_deflate_is_read_with_and_without_its_header(seed: bytes, repeats: int, cuts: list[int]) -> None:
    body = seed * repeats

    assert inflate("deflate", zlib.compress(body, 1), cuts) == body
    assert inflate("deflate", raw_deflate(body), cuts) == body


@brief
@given(st.integers(1, 40), st.lists(st.integers(0, 100)))
def test_data_that_ends_early_is_an_error(end: int, cuts: list[int]) -> None:
    with pytest.raises(ConnectionFailedError, match="the body broke off in the middle of its gzip data"):
        inflate("gzip", gzip.compress(ONE)[:end], cuts)


def test_other_data_is_an_error() -> None:
    with pytest.raises(ConnectionFailedError, match="the body is damaged: it is not gzip"):
        inflate("gzip", ONE, [])


def test_an_encoding_that_was_not_offered_is_left_alone() -> None:
    assert [inflater_for(name) for name in ("", "identity", "br", "gzip, gzip")] == [None] * 4


@pytest.mark.parametrize("name", ["gzip", "x-gzip", "X-GZIP"])
async def test_a_listing_is_read_with_padding_behind_it(name: str) -> None:
    body = gzip.compress(ONE) + bytes(512)
    async with RawServer(answer(body, content_encoding=name)) as server, server.client() as client:
        collection = await client.list_sessions("k")

    assert [session.id for session in collection] == ["one"]
