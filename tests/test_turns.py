"""However many requests could go on at once, the event loop is let go after every four of them."""

from __future__ import annotations

import asyncio
from itertools import count, groupby
from typing import Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_sessions._transport.pacer import Turns
from aidp_sessions.auth.signing import Signer, SigningRequest
from aidp_sessions.auth.token import Credentials, Token
from aidp_sessions.principals.refresh import TokenSigner
from aidp_sessions.testing import LocalService

from .credentials import GET, jwt, key
from .principals import client_of
from .ticking import ticking

PER_TURN: Final = 4
BETWEEN_TWO_TICKS: Final = 2 * PER_TURN
"""A ticker has its place anywhere in a turn, so what happens between two ticks may belong to two turns."""


async def test_those_who_come_at_once_go_four_per_turn_in_order() -> None:
    turns, order = Turns(), list[tuple[int, int]]()

    async def go(number: int) -> None:
        await turns.take()
        order.append((ticker.now, number))

    async with ticking() as ticker:
        tasks = [asyncio.create_task(go(number)) for number in range(11)]
        await asyncio.sleep(0)
        tasks[5].cancel()
        await asyncio.wait(tasks)

    groups = [[number for _, number in group] for _, group in groupby(order, lambda entry: entry[0])]
    assert groups == [[0, 1, 2, 3], [4, 6, 7, 8], [9, 10]]


async def test_who_comes_alone_does_not_wait() -> None:
    turns = Turns()
    for _ in range(3):
        for _ in range(PER_TURN):
            with pytest.raises(StopIteration):
                turns.take().send(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)


@given(st.lists(st.integers(0, 10), max_size=30))
async def test_whoever_comes_first_goes_first(sizes: list[int]) -> None:
    """However many come in each turn."""
    turns, order = Turns(), list[int]()

    async def go(number: int) -> None:
        await turns.take()
        order.append(number)

    number = count()
    async with asyncio.TaskGroup() as group:
        for size in sizes:
            for _ in range(size):
                group.create_task(go(next(number)))
            await asyncio.sleep(0)

    assert order == list(range(sum(sizes)))


def test_a_loop_that_was_left_does_not_hold_up_the_next() -> None:
    turns = Turns()

    async def leave() -> None:
        left_behind = [asyncio.get_running_loop().create_task(turns.take()) for _ in range(PER_TURN + 1)]
        await left_behind[0]

    asyncio.run(leave())
    for _ in range(PER_TURN):
        asyncio.run(asyncio.wait_for(turns.take(), 5))


async def test_calls_that_begin_together_are_signed_a_few_per_turn() -> None:
    @attrs.define
    class Noting(Signer):
        inner: Signer

        async def sign(self, request: SigningRequest) -> dict[str, str]:
            ticker.note()
            return await self.inner.sign(request)

    async with (
        LocalService() as service,
        client_of(service, Noting(service.signer), max_concurrency=50) as client,
        ticking() as ticker,
    ):
        service.add_workspace("analytics")
        collections = await asyncio.gather(*(client.list_sessions("analytics") for _ in range(50)))

    assert [collection.items for collection in collections] == 50 * [()]
    assert ticker.noted.total() == 50
    assert ticker.most <= BETWEEN_TWO_TICKS


async def test_those_who_waited_for_one_token_sign_a_few_per_turn() -> None:
    class Slow(TokenSigner):
        async def _obtain(self) -> Credentials:
            await asyncio.sleep(0.01)
            return Credentials(Token.parse(jwt(exp=2**32), "token", ""), key())

    signer = Slow("token", "", clock=lambda: 0.0, sleep=asyncio.sleep)

    async def sign() -> None:
        await signer.sign(GET)
        ticker.note()

    async with ticking() as ticker:
        await asyncio.gather(*(sign() for _ in range(50)))

    assert ticker.noted.total() == 50
    assert ticker.most <= BETWEEN_TWO_TICKS
