"""The demo has kernels for every rule of culling."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aidp_sessions.culling.plan import apply_clusters, make_plan
from aidp_sessions.culling.policy import CullPolicy, KeepReason
from aidp_sessions.models import AttachedSession
from aidp_sessions.results import WorkspaceOutcome
from aidp_sessions.testing import LocalService, populate_demo

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
POLICY = CullPolicy(since=timedelta(days=1), protect=("*/dashboard_*",))


async def attached_to_clusters(service: LocalService, key: str) -> list[AttachedSession]:
    async with service.client() as client:
        response = await client.request("GET", "workspaces/{key}/clusters", {"key": key}, query={"limit": "1000"})
    document = response.json()
    assert isinstance(document, dict)
    return [
        AttachedSession(path=attached["path"], state=attached["state"])
        for cluster in document["items"]
        for attached in cluster["attachedSessions"]
    ]


async def test_the_demo_can_be_culled(service: LocalService) -> None:
    """Long idle kernels are candidates, one of several sessions among them; the others are kept for eight reasons."""
    held = populate_demo(service, now=NOW)
    outcomes = [WorkspaceOutcome(workspace_key=key, sessions=service.sessions(key), error=None) for key in held]
    attached = {key: await attached_to_clusters(service, key) for key in held}

    plan = apply_clusters(make_plan(outcomes, POLICY, platform_id=service.platform_id, taken=NOW), attached)

    assert plan.refusal is None
    assert 10 <= len(plan.candidates) <= 30
    assert {len(candidate.sessions) for candidate in plan.candidates} >= {1, 2}
    assert {kernel.reason for kernel in plan.kept} >= {
        KeepReason.BUSY,
        KeepReason.STARTING,
        KeepReason.UNKNOWN,
        KeepReason.RECENT,
        KeepReason.CONNECTED,
        KeepReason.TYPE,
        KeepReason.PROTECTED,
        KeepReason.ACTIVE_ON_CLUSTER,
    }
    assert KeepReason.CLUSTER_UNREADABLE not in {kernel.reason for kernel in plan.kept}
