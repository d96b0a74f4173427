"""A made-up platform for demonstrations, with sessions of every kind."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Final

import attrs

from ..activity import idle_for
from ..models import KernelSummary, SessionSummary
from ._service.responses import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..policies import Sleep
    from .service import LocalService

_SEED: Final = 20260430
_DEFAULT: Final = "Default"
_PRIVATE: Final = "Claims (private network)"
BEING_DELETED: Final = "Hackathon 2025"
_STREAMING: Final = "Fraud detection"

# Display name, number of sessions, topics of its notebooks.
_WORKSPACES: Final = (
    (_DEFAULT, 18, ("scratch", "tutorials", "quick_look")),
    (_STREAMING, 41, ("transactions", "graph_features", "alerts", "labelling")),
    ("Demand forecast", 33, ("stores", "promotions", "weather", "backtest")),
    ("Customer churn", 27, ("cohorts", "features", "uplift")),
    ("Pricing", 22, ("elasticity", "competitors", "simulation")),
    ("Data quality", 16, ("profiling", "rules", "anomalies")),
    ("Supply chain", 29, ("lead_times", "inventory", "routes")),
    ("Marketing mix", 19, ("channels", "attribution", "reports")),
    ("GenAI assistants", 24, ("retrieval", "evaluation", "prompts", "agents")),
    ("Finance close", 12, ("ledger", "reconciliation")),
    (_PRIVATE, 14, ("triage", "documents", "reserves")),
    ("Legacy migration", 0, ()),
    (BEING_DELETED, 0, ()),
)
_CREATORS: Final = ("Ada Osei", "Jun Park", "Lena Vogel", "Mateo Silva")
_STEPS: Final = ("ingest", "explore", "train", "evaluate", "dashboard", "cleanup")

# States and their weights; "" is a session without a kernel, whose cluster is warming up.
_STATES: Final = {
    "idle": 58,
    "busy": 15,
    "starting": 8,
    "": 8,
    "dead": 5,
    "restarting": 2,
    "autorestarting": 1,
    "terminating": 1,
    "unknown": 2,
}
_MINUTES: Final = (1, 10, 60, 24 * 60, 7 * 24 * 60, 6 * 7 * 24 * 60)
_SHARED_KERNEL: Final = 0.06
_NEXT_STATE: Final = {"idle": "busy", "busy": "idle"}
_BETWEEN_CHANGES: Final = (1.0, 3.0)


def populate_demo(service: LocalService, *, now: datetime) -> dict[str, list[SessionSummary]]:
    """Add a dozen workspaces and some 250 sessions whose activity lies before *now*, which must be aware.

    The same *now* gives the same platform; the keys of the workspaces are UUIDs, see `demo_key`. One workspace has a
    private network, and one is being deleted. All of them answer; `LocalService.fail` makes one fail. In "Fraud
    detection", one cluster calls idle sessions active, as if they ran a streaming query, and another cluster is
    stopped. Returns the sessions of each workspace by its key.
    """
    random = Random(_SEED)  # noqa: S311  # reproducible on purpose
    held: dict[str, list[SessionSummary]] = {}
    for number, (display_name, count, topics) in enumerate(_WORKSPACES):
        key = demo_key(display_name)
        held[key] = _sessions(random, count, topics, now)
        service.add_workspace(
            key,
            held[key],
            display_name=display_name,
            type="DEFAULT" if display_name == _DEFAULT else "USER",
            lifecycle_state="DELETING" if display_name == BEING_DELETED else "ACTIVE",
            is_private_network_enabled=display_name == _PRIVATE,
            created_by_name=_CREATORS[number % len(_CREATORS)],
            time_created=now - timedelta(days=400 - 21 * number, minutes=random.randrange(1440)),
        )
        service.set_clusters(key, _clusters(held[key], now))
    streaming = demo_key(_STREAMING)
    service.set_clusters(streaming, [*_with_streaming(held[streaming], now), _stopped(now)])
    return held


def demo_key(display_name: str) -> str:
    """The key of the demo's workspace with this name."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, display_name))


async def simulate_activity(service: LocalService, keys: Iterable[str], *, sleep: Sleep = asyncio.sleep) -> None:
    """Make kernels in the workspaces *keys* busy and idle again, one every few seconds, until cancelled."""
    random = Random(_SEED)  # noqa: S311  # reproducible on purpose
    workspaces = list(keys)
    while True:
        await sleep(random.uniform(*_BETWEEN_CHANGES))
        key = random.choice(workspaces)
        kernels = [session.kernel for session in service.sessions(key) if session.kernel]
        kernel = random.choice(kernels) if kernels else None
        if kernel is not None and kernel.execution_state in _NEXT_STATE:
            state = _NEXT_STATE[kernel.execution_state]
            service.set_kernel(key, attrs.evolve(kernel, execution_state=state, last_activity=datetime.now(UTC)))


def _sessions(random: Random, count: int, topics: tuple[str, ...], now: datetime) -> list[SessionSummary]:
    clusters = [_uuid(random) for _ in topics]
    sessions: list[SessionSummary] = []
    paths = Counter[str | None]()
    for _ in range(count):
        session = _session(random, topics, clusters, now)
        if sessions and session.kernel and random.random() < _SHARED_KERNEL:
            session = attrs.evolve(session, kernel=sessions[-1].kernel, cluster_id=sessions[-1].cluster_id)
        sessions.append(_as_copy(session, paths[session.path]) if paths[session.path] else session)
        paths[session.path] += 1
    return sessions


def _as_copy(session: SessionSummary, number: int) -> SessionSummary:
    """Rename the notebook as Jupyter names copies, because a path has one session."""
    stem, dot, suffix = str(session.path).rpartition(".")
    path = f"{stem}-Copy{number}{dot}{suffix}"
    return attrs.evolve(session, path=path, name=path.rpartition("/")[2])


def _clusters(sessions: list[SessionSummary], now: datetime) -> list[dict[str, object]]:
    """The clusters of *sessions*, named after the topic of the first session of each."""
    names = {session.cluster_id: str(session.path).split("/")[1] for session in reversed(sessions)}
    return [
        {"key": key, "displayName": name.replace("_", "-"), "state": "ACTIVE", **_common(now)}
        for key, name in names.items()
    ]


def _common(now: datetime) -> dict[str, object]:
    return {"type": "USER", "timeCreated": timestamp(now)}


def _stopped(now: datetime) -> dict[str, object]:
    return {"key": "nightly", "displayName": "Nightly", "state": "STOPPED", "stoppedBy": "SYSTEM", **_common(now)}


def _with_streaming(sessions: list[SessionSummary], now: datetime) -> list[dict[str, object]]:
    clusters = _clusters(sessions, now)
    streaming = next(cluster for cluster in clusters if cluster["key"] == _longest_idle(sessions, now).cluster_id)
    streaming["attachedSessions"] = [
        {"type": "NOTEBOOK", "path": session.path, "state": "ACTIVE"}
        for session in sessions
        if session.cluster_id == streaming["key"]
    ]
    streaming["autoTerminationMinutes"] = 240
    return clusters


def _longest_idle(sessions: list[SessionSummary], now: datetime) -> SessionSummary:
    """The longest idle session among those without connections."""
    unused = [session for session in sessions if session.kernel and session.kernel.connections == 0]
    return max(unused, key=lambda session: idle_for(session, now) or timedelta(0))


def _session(random: Random, topics: tuple[str, ...], clusters: list[str], now: datetime) -> SessionSummary:
    topic = random.randrange(len(topics))
    (state,) = random.choices(list(_STATES), list(_STATES.values()))
    kind = "agentflow" if topics[topic] == "agents" else random.choices(("notebook", "file"), (9, 1))[0]
    name = f"{random.choice(_STEPS)}_{topics[topic]}.{'py' if kind == 'file' else 'ipynb'}"
    return SessionSummary(
        id=_uuid(random),
        name=name,
        path=f"Workspace/{topics[topic]}/{name}",
        type=kind,
        cluster_id=clusters[topic],
        agent_flow_key=f"flow-{random.randrange(100, 1000)}" if kind == "agentflow" else None,
        lifecycle_state="ACTIVE" if state else "CREATING",
        kernel=_kernel(random, state, now) if state else None,
    )


def _kernel(random: Random, state: str, now: datetime) -> KernelSummary:
    """Idle and dead kernels were last active minutes to weeks ago, all others within the last hour."""
    bounds = random.randrange(len(_MINUTES) - 1) if state in ("idle", "dead") else 0
    age = timedelta(minutes=random.uniform(*_MINUTES[bounds : bounds + 2]))
    return KernelSummary(
        id=_uuid(random),
        name="notebook",
        execution_state=state,
        last_activity=now - age,
        connections=0 if state in ("starting", "dead") else random.choices((0, 1, 2), (6, 4, 1))[0],
    )


def _uuid(random: Random) -> str:
    return str(uuid.UUID(int=random.getrandbits(128), version=4))
