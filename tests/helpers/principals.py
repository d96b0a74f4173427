"""Shared by the tests of principals: a clock that tests set, and clients of a service."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import attrs

from aidp_sessions import Clock, SessionsClient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aidp_sessions.auth.signing import Signer
    from aidp_sessions.testing import LocalService

NOW = 2_000_000_000.0


@attrs.define
class HandClock:
    """Seconds since the epoch; changes only when a task sleeps or a test sets it."""

    now: float = NOW
    sleeps: list[float] = attrs.field(factory=list)

    def __call__(self) -> float:
        return self.now

    @property
    def clock(self) -> Clock:
        """For what takes a whole `Clock`."""
        return Clock(time=self, sleep=self.sleep, random=lambda: 0.5)

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def client_of(service: LocalService, signer: Signer, **options: Any) -> SessionsClient:
    """A client of *service* that signs as *signer*."""
    return SessionsClient(service.platform_id, signer=signer, endpoint=service.url, **options)


def background_tasks() -> list[str]:
    """The names of the tasks that refresh credentials."""
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("refresh ")]


async def settled() -> None:
    """Wait for every refresh in flight."""
    tasks = [task for task in asyncio.all_tasks() if task.get_name().startswith("refresh ")]
    if tasks:
        await asyncio.wait(tasks)


def key_id(headers: Mapping[str, str]) -> str:
    return headers["authorization"].partition('keyId="')[2].partition('"')[0]


def token_in(headers: Mapping[str, str]) -> str:
    return key_id(headers).removeprefix("ST$")
