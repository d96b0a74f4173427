"""Runs each fault against a real client; `python -m tests.faults.matrix` writes the table of outcomes."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import attrs

from aidp_sessions import AidpError, RetryPolicy, SessionsClient, Timeout
from aidp_sessions.testing import LocalService

from ..helpers.raw_server import Times
from .catalogue import ALL, first
from .proxy import Fault, FaultProxy

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE: Final = Path(__file__).with_name("MATRIX.md")
SESSIONS: Final = [{"id": f"s{number}", "name": "a name of some length"} for number in range(3)]
ATTEMPTS: Final = 3
ONCE, ALWAYS, REFUSED = "once", "always", "connection refused"
HEAD: Final = f"""# What each fault leads to

Each row is one `list_sessions` of a workspace with three sessions, over real TCP, through a proxy that plays the fault
on the first answer or on every one. `RetryPolicy(attempts={ATTEMPTS})`, every draw of chance is a half, and no pause is
really slept.
*Sent* counts the requests that reached the proxy. After every row the same client gets a healthy answer, with no
slot and no connection left behind. The test run compares this file with what it sees, row by row;
`python -m tests.faults.matrix` writes it anew.

| Fault | How often | Outcome | Status | Attempts | Sent | Pauses (s) |
|---|---|---|---|---|---|---|
"""


@attrs.frozen
class Row:
    fault: str
    often: str
    outcome: str
    status: int | None
    attempts: int
    sent: int
    pauses: tuple[float, ...]

    def __str__(self) -> str:
        pauses = ", ".join(f"{pause:g}" for pause in self.pauses) or "–"
        cells = (self.fault, self.often, self.outcome, self.status or "–", self.attempts, self.sent, pauses)
        return f"| {' | '.join(map(str, cells))} |"


def cases() -> Iterator[tuple[str, str, Fault | None]]:
    for often in (ONCE, ALWAYS):
        yield REFUSED, often, None
    for fault in ALL:
        for often in (ONCE, ALWAYS):
            yield fault.name, often, fault


async def run(name: str, often: str, fault: Fault | None) -> Row:
    """Play the case; raises `AssertionError` if anything is left behind."""
    times = Times(now=1_790_000_000.0)
    async with LocalService(clock=lambda: times.now, compress=False) as service:
        service.add_workspace("k", SESSIONS)
        count = 1 if often == ONCE else math.inf
        plan = first(fault, count) if fault else lambda _: None
        async with FaultProxy(urlsplit(service.url).port or 0, plan) as proxy:
            return await _run(name, often, service, proxy, times, refused=fault is None)


async def _run(name: str, often: str, service: LocalService, proxy: FaultProxy, times: Times, *, refused: bool) -> Row:
    async def sleep(seconds: float) -> None:
        await times.sleep(seconds)
        if refused and often == ONCE:
            await proxy.start()

    client = SessionsClient(
        service.platform_id,
        signer=service.signer,
        endpoint=proxy.url,
        timeout=Timeout(connect=5.0, read=0.05 if name.startswith("silence") else 5.0, total=20.0),
        retry=RetryPolicy(attempts=ATTEMPTS),
        clock=attrs.evolve(times.clock, sleep=sleep),
    )
    if refused:
        await proxy.stop()
    async with client:
        row = attrs.evolve(await _ask(client, proxy, times), fault=name, often=often)
        await _check_nothing_left(client, service)
    return row


async def _ask(client: SessionsClient, proxy: FaultProxy, times: Times) -> Row:
    (found,) = await asyncio.gather(client.list_sessions("k"), return_exceptions=True)
    pauses = tuple(times.sleeps)
    if isinstance(found, AidpError):
        attempts = len(found.request_ids)
        assert len(found.attempt_seconds) == attempts
        assert (found.operation, found.workspace_key) == ("list_sessions", "k")
        assert found.opc_request_id == found.request_ids[-1]
        return Row("", "", f"`{type(found).__name__}`", found.status, attempts, proxy.requests, pauses)
    assert not isinstance(found, BaseException), repr(found)
    assert [session.id for session in found] == ["s0", "s1", "s2"]
    return Row("", "", "all sessions", 200, len(pauses) + 1, proxy.requests, pauses)


async def _check_nothing_left(client: SessionsClient, service: LocalService) -> None:
    session = client._transport.pool._session
    assert session is not None
    assert session.connector is not None
    assert not session.connector._acquired
    assert client._transport.limiter.in_use == 0
    healthy = client.with_options(endpoint=service.url)
    assert [session.id for session in await healthy.list_sessions("k")] == ["s0", "s1", "s2"]


async def rows() -> list[Row]:
    return [await run(*case) for case in cases()]


if __name__ == "__main__":
    FILE.write_text(HEAD + "".join(f"{row}\n" for row in asyncio.run(rows())), encoding="utf-8")
