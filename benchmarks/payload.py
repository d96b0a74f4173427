"""The answers of the benchmarks' service, and the keys of its workspaces."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final
from uuid import UUID

PLATFORM: Final = "ocid1.aidataplatform.oc1.iad.amaaaaaabenchmark"
_START: Final = datetime(2026, 11, 23, tzinfo=UTC)
_STATES: Final = ("idle", "busy", "idle", "starting")


def path_of(workspace_key: str) -> str:
    return f"/20260430/aiDataPlatforms/{PLATFORM}/workspaces/{workspace_key}/notebook/api/sessions"


def keys(count: int, *, sessions: int = 20, latency_ms: int = 0, throttled_every: int = 0) -> list[str]:
    """Workspace keys that make the service answer that way; every *throttled_every*-th is throttled at first."""
    return [
        f"{'t' if throttled_every and number % throttled_every == 0 else ''}{sessions}s{latency_ms}ms{number}"
        for number in range(count)
    ]


def _session(number: int) -> dict[str, object]:
    moment = _START - timedelta(seconds=number, microseconds=number * 7919)
    return {
        "id": str(UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128)),
        "name": f"notebook-{number}.ipynb",
        "path": f"/data/team-{number % 7}/notebook-{number}.ipynb",
        "type": "notebook",
        "cluster_id": str(UUID(int=(number % 50) * 0xD1B54A32D192ED03C0FE5A5BD1A2E5F1 % 2**128)),
        "lifecycleState": "ACTIVE",
        "kernel": {
            "id": str(UUID(int=number * 0xBF58476D1CE4E5B994D049BB133111EB % 2**128)),
            "name": "python3",
            "last_activity": moment.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "connections": number % 3,
            "execution_state": _STATES[number % len(_STATES)],
        },
    }


@cache
def sessions_body(count: int) -> bytes:
    """The answer of a workspace with *count* sessions, about 410 bytes each."""
    return json.dumps({"items": [_session(number) for number in range(count)]}).encode()
