"""At most four requests proceed per iteration of the event loop."""

from __future__ import annotations

import asyncio
from itertools import count, groupby
from typing import Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_sessions import Clock
from aidp_sessions._transport.pacer import Pacer
from aidp_sessions.auth.signing import Signer, SigningRequest
from aidp_sessions.auth.token import Credentials, Token
from aidp_sessions.principals.refresh import TokenSigner
from aidp_sessions.testing import LocalService

from ..helpers.credentials import GET, jwt, key
from ..helpers.loop_ticker import loop_ticker
from ..helpers.principals import client_of

PER_ITERATION: Final = 4
BETWEEN_TWO_TICKS: Final = 2 * PER_ITERATION
"""A ticker may run at any place of an iteration, so events between two ticks may belong to two iterations."""


async def test_callers_that_come_at_once_proceed_four_per_iteration_in_order() -> None:
    pacer, order = Pacer(), list[tuple[int, int]]()

    async def go(number: int) -> None:
        await pacer.wait()
        order.append((ticker.now, number))

    async with loop_ticker() as ticker:
        tasks = [asyncio.create_task(go(number)) for number in range(11)]
        await asyncio.sleep(0)
        tasks[5].cancel()
        await asyncio.wait(tasks)

    groups = [[number for _, number in group] for _, group in groupby(order, lambda entry: entry[0])]
    assert groups == [[0, 1, 2, 3], [4, 6, 7, 8], [9, 10]]


async def test_up_to_four_callers_do_not_wait() -> None:
    pacer = Pacer()
    for _ in range(3):
        for _ in range(PER_ITERATION):
            with pytest.raises(StopIteration):
                pacer.wait().send(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)


@given(st.lists(st.integers(0, 10), max_size=30))
async def test_callers_proceed_in_the_order_in_which_they_came(sizes: list[int]) -> None:
    """Whatever the number of callers per iteration."""
    pacer, order = Pacer(), list[int]()

    async def go(number: int) -> None:
        await pacer.wait()
        order.append(number)

    number = count()
    async with asyncio.TaskGroup() as group:
        for size in sizes:
            for _ in range(size):
                group.create_task(go(next(number)))
            await asyncio.sleep(0)

    assert order == list(range(sum(sizes)))


def test_a_pacer_can_be_used_on_one_loop_after_another() -> None:
    pacer = Pacer()

    async def leave() -> None:
        left_behind = [asyncio.get_running_loop().create_task(pacer.wait()) for _ in range(PER_ITERATION + 1)]
        await left_behind[0]

    asyncio.run(leave())
    for _ in range(PER_ITERATION):
        asyncio.run(asyncio.wait_for(pacer.wait(), 5))


async def test_calls_that_start_together_are_signed_a_few_per_iteration() -> None:
    @attrs.define
    class Noting(Signer):
        inner: Signer

        async def sign(self, request: SigningRequest) -> dict[str, str]:
            ticker.note()
            return await self.inner.sign(request)

    async with (
        LocalService() as service,
        client_of(service, Noting(service.signer), max_concurrency=50) as client,
        loop_ticker() as ticker,
    ):
        service.add_workspace("analytics")
        collections = await asyncio.gather(*(client.list_sessions("analytics") for _ in range(50)))

    assert [collection.items for collection in collections] == 50 * [()]
    assert ticker.noted.total() == 50
    assert ticker.most <= BETWEEN_TWO_TICKS


async def test_calls_that_waited_for_one_token_sign_a_few_per_iteration() -> None:
    class Slow(TokenSigner):
        async def _obtain(self) -> Credentials:
            await asyncio.sleep(0.01)
            return Credentials(Token.parse(jwt(exp=2**32), "token", ""), key())

    signer = Slow("token", "", clock=Clock(time=lambda: 0.0))

    async def sign() -> None:
        await signer.sign(GET)
        ticker.note()

    async with loop_ticker() as ticker:
        await asyncio.gather(*(sign() for _ in range(50)))

    assert ticker.noted.total() == 50
    assert ticker.most <= BETWEEN_TWO_TICKS
