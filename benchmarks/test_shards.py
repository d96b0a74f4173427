"""Sharding over processes loses nothing and repeats nothing. Run by ``python -m pytest benchmarks`` (extra `dev`)."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest
from distributed import Client, LocalCluster

from aidp_sessions import NotFoundError, ResponseDecodeError
from aidp_sessions.testing import Fault, LocalService

from .shards import SHARDS_AT_A_TIME, Sessions, idle_since

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from distributed import Worker

    from aidp_sessions import SessionsClient, WorkspaceOutcome

NOW: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
SINCE: Final = NOW - timedelta(hours=2)
HOLDINGS: Final = {f"w{number:02}": number % 4 for number in range(60)}
KEYS: Final = list(HOLDINGS)
held: list[SessionsClient] = []
"""Filled on a worker."""


def wire(session_id: str, last_activity: datetime) -> dict[str, object]:
    kernel = {"name": "python3", "execution_state": "idle", "last_activity": last_activity.isoformat()}
    return {"id": session_id, "kernel": kernel}


def ids(workspace_key: str) -> list[str]:
    return [f"{workspace_key}-{number}" for number in range(HOLDINGS[workspace_key])]


def found(outcomes: list[WorkspaceOutcome]) -> list[tuple[str, str]]:
    return sorted((each.workspace_key, each.id or "") for outcome in outcomes for each in outcome.sessions)


@pytest.fixture
async def service() -> AsyncIterator[LocalService]:
    """Each workspace also has a session that is in use."""
    async with LocalService() as service:
        for key in KEYS:
            service.add_workspace(key, [wire("in use", NOW), *(wire(each, SINCE) for each in ids(key))])
        yield service


@pytest.fixture
async def cluster(service: LocalService, tmp_path: Path) -> AsyncIterator[Client]:
    plugin = Sessions(
        platform_id=service.platform_id, config_file=str(service.write_config(tmp_path)), endpoint=service.url
    )
    async with (
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=2, threads_per_worker=SHARDS_AT_A_TIME, dashboard_address="127.0.0.1:0", asynchronous=True
        ) as local,
        Client(local, asynchronous=True) as cluster,  # type: ignore[no-untyped-call]
    ):
        await cluster.register_plugin(plugin)
        yield cluster


async def test_two_workers_return_every_idle_session_exactly_once(service: LocalService, cluster: Client) -> None:
    outcomes = [outcome async for outcome in idle_since(cluster, KEYS, SINCE, size=7)]

    assert found(outcomes) == [(key, each) for key in KEYS for each in ids(key)]
    assert [outcome.error for outcome in outcomes if outcome.error] == []
    assert service.request_count == len(KEYS)
    assert len(set((await cluster.run(os.getpid)).values()) - {os.getpid()}) == 2


async def test_a_workspace_that_fails_affects_no_other(service: LocalService, cluster: Client) -> None:
    service.fail("w03", Fault(status=404, times=None))
    service.fail("w07", Fault(body=b"[{}, 5]"))

    outcomes = [outcome async for outcome in idle_since(cluster, [*KEYS, "absent"], SINCE, size=7)]

    errors = {outcome.workspace_key: type(outcome.error) for outcome in outcomes if outcome.error}
    assert errors == {"w03": NotFoundError, "w07": ResponseDecodeError, "absent": NotFoundError}
    assert found(outcomes) == [(key, each) for key in KEYS if key not in errors for each in ids(key)]


async def hold(dask_worker: Worker) -> None:
    held.append(dask_worker.plugins[Sessions.name].client)  # type: ignore[attr-defined]


async def complaint() -> str:
    try:
        await held[0].list_sessions(KEYS[0])
    except RuntimeError as error:
        return str(error)
    return ""


async def test_the_clients_of_the_workers_are_closed_with_their_plugin(cluster: Client) -> None:
    await cluster.run(hold)
    before = await cluster.run(complaint)

    await cluster.unregister_worker_plugin(Sessions.name)  # type: ignore[no-untyped-call]

    after = await cluster.run(complaint)
    assert (list(before.values()), list(after.values())) == (
        ["", ""],
        ["this SessionsClient is closed; create a new one"] * 2,
    )
