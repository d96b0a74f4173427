"""A service and a client whose clocks stand still, and a session with every documented field."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import attrs
import pytest

from aidp_sessions import AidpError, Clock, KernelSummary, SessionsClient, SessionSummary
from aidp_sessions.testing import LocalService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NOW: Final = 1_790_000_000.0

KERNEL: Final[dict[str, object]] = {
    "connections": 2,
    "execution_state": "idle",
    "id": "kernel-1",
    "last_activity": "2026-11-23T01:12:43.863595Z",
    "name": "python3",
}
SESSION: Final[dict[str, object]] = {
    "agentFlowKey": "flow-1",
    "cluster_id": "cluster-1",
    "id": "session-1",
    "kernel": KERNEL,
    "lifecycleState": "ACTIVE",
    "name": "Fraud",
    "path": "/data/test.ipynb",
    "type": "notebook",
}
KERNEL_MODEL: Final = KernelSummary(
    connections=2,
    execution_state="idle",
    id="kernel-1",
    last_activity=datetime(2026, 11, 23, 1, 12, 43, 863_595, tzinfo=UTC),
    name="python3",
)
SESSION_MODEL: Final = SessionSummary(
    agent_flow_key="flow-1",
    cluster_id="cluster-1",
    id="session-1",
    kernel=KERNEL_MODEL,
    lifecycle_state="ACTIVE",
    name="Fraud",
    path="/data/test.ipynb",
    type="notebook",
    workspace_key="analytics",
)


@attrs.frozen
class Frozen:
    """*pauses* are the seconds that *client*, with the default policies, would have waited."""

    service: LocalService
    client: SessionsClient
    pauses: list[float]


@asynccontextmanager
async def frozen_service() -> AsyncIterator[Frozen]:
    """Both clocks show `NOW`, every random number is a half, and workspace ``analytics`` has `SESSION`."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async with LocalService(clock=lambda: NOW) as service:
        service.add_workspace("analytics", [SESSION])
        async with service.client(clock=Clock(time=lambda: NOW, sleep=sleep, random=lambda: 0.5)) as client:
            yield Frozen(service, client, pauses)


def target(service: LocalService, key: str = "analytics", query: str = "") -> str:
    """The documented request target, made without the code under test."""
    path = f"/20260430/aiDataPlatforms/{service.platform_id}/workspaces/{quote(key, safe='')}/notebook/api/sessions"
    return f"{path}?{query}" if query else path


async def failed(client: SessionsClient, *, opc_request_id: str | None = None) -> AidpError:
    """The error of a call for ``analytics``."""
    with pytest.raises(AidpError) as caught:
        await client.list_sessions("analytics", opc_request_id=opc_request_id)
    return caught.value
