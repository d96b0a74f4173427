"""Every fault has the outcome that the matrix shows, and leaves nothing behind."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import pytest

from aidp_sessions import RetryPolicy
from aidp_sessions.testing import LocalService
from aidp_sessions.testing._service import identity as _identity

from ..helpers.raw_server import Times
from . import matrix
from .catalogue import PASSING, Seeded
from .proxy import FaultProxy

if TYPE_CHECKING:
    from .proxy import Fault

CASES: Final = {f"{name}, {often}": (name, often, fault) for name, often, fault in matrix.cases()}
WORKSPACES: Final = 100


def written() -> list[str]:
    return matrix.FILE.read_text(encoding="utf-8").removeprefix(matrix.HEAD).splitlines()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_a_fault_has_the_outcome_that_the_matrix_shows(case: tuple[str, str, Fault | None]) -> None:
    row = await matrix.run(*case)

    assert [line for line in written() if line.startswith(f"| {row.fault} | {row.often} |")] == [str(row)]


def test_the_matrix_has_a_row_for_every_case_and_no_other() -> None:
    assert matrix.FILE.read_text(encoding="utf-8").startswith(matrix.HEAD)
    assert [tuple(line.split(" | ")[:2]) for line in written()] == [
        (f"| {name}", often) for name, often, _ in CASES.values()
    ]
    assert len(CASES) == len(list(matrix.cases())) > 40


@pytest.mark.parametrize("seed", [1, 2])
async def test_with_many_faults_every_session_comes_exactly_once(seed: int) -> None:
    """A third of all answers is broken; none of 100 workspaces is lost or repeated."""
    times = Times()
    async with LocalService(clock=lambda: times.now, compress=False) as service:
        keys = [f"w{number}" for number in range(WORKSPACES)]
        for key in keys:
            service.add_workspace(key, [{"id": f"{key}-{number}"} for number in range(3)])
        port = urlsplit(service.url).port or 0
        async with FaultProxy(port, Seeded(seed, 0.33)) as proxy:
            retry = RetryPolicy(attempts=20)
            async with service.client(clock=times.clock, retry=retry).with_options(endpoint=proxy.url) as client:
                found = Counter([session.id async for session in client.sessions(keys)])
                assert client._transport.limiter.in_use == 0
            await client._transport.pool.aclose()

    assert found == {f"{key}-{number}": 1 for key in keys for number in range(3)}
    assert proxy.requests >= WORKSPACES + proxy.faults // 2
    assert proxy.faults > WORKSPACES // 5


def test_equal_seeds_give_equal_plans() -> None:
    plans = [[Seeded(seed, 0.5)(b"GET") for _ in range(200)] for seed in (1, 1, 2)]
    first, second, third = ([fault and fault.name for fault in plan] for plan in plans)

    assert first == second != third
    assert {fault.name for fault in PASSING} > {name for name in first if name} > set()
    assert _identity.key_id()
