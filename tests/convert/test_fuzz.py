"""Any bytes of an answer give sessions or a documented error, in one piece or in many."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aidp_sessions import AidpError, RetryPolicy, Timeout

from ..helpers.fuzzing import (
    BODIES,
    Edit,
    check_decoding,
    check_result,
    edited,
    some_edits,
    some_message,
)
from ..helpers.raw_server import RawServer, close

EDITS: Final = st.lists(
    st.builds(Edit, st.integers(0, 6), st.floats(0, 1), st.integers(1, 40), st.integers(0, 400)), max_size=4
)
RANDOM_BODIES: Final = 3000
THROUGH_THE_CLIENT: Final = 400


@pytest.mark.parametrize("body", BODIES[:4], ids=range(4))
def test_the_bodies_are_valid_before_they_are_mutated(body: bytes) -> None:
    assert check_decoding(body, range(len(body))) == "decoded"


@given(st.sampled_from(BODIES), EDITS, st.lists(st.integers(0, 10_000), max_size=8))
@example(BODIES[0], [Edit(2, 0.0, 1, 42)], [3])
@settings(max_examples=300)
def test_a_mutated_body_is_decoded_as_json_says_or_refused(body: bytes, edits: list[Edit], pieces: list[int]) -> None:
    check_decoding(edited(body, edits), pieces)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8))
@settings(max_examples=100)
def test_any_bytes_are_decoded_as_json_says_or_refused(body: bytes, pieces: list[int]) -> None:
    check_decoding(body, pieces)


def test_thousands_of_random_mutations_have_only_documented_outcomes() -> None:
    random = Random(20261123)  # noqa: S311  # chance, not secrecy
    seen = {
        check_decoding(edited(random.choice(BODIES), some_edits(random)), [random.randrange(400) for _ in range(3)])
        for _ in range(RANDOM_BODIES)
    }

    assert seen == {"decoded", "refused"}


async def test_mutated_messages_have_only_documented_outcomes_for_a_whole_client() -> None:
    random = Random(20261123)  # noqa: S311  # chance, not secrecy
    seen: set[str] = set()
    timeout = Timeout(connect=5.0, read=5.0, total=10.0)
    async with RawServer(b"") as server, server.client(retry=RetryPolicy.none(), timeout=timeout) as client:
        for _ in range(THROUGH_THE_CLIENT):
            message = some_message(random)
            server._steps = [close(message)]
            (found,) = await asyncio.gather(client.list_sessions("k"), return_exceptions=True)
            if isinstance(found, BaseException) and not isinstance(found, AidpError):
                raise found
            seen.add(check_result(found if isinstance(found, AidpError) else found.items, message))

    assert seen >= {"sessions", "ConnectionFailedError", "ResponseDecodeError", "ServiceError", "UnauthorizedError"}
    assert "RequestTimeoutError" not in seen
