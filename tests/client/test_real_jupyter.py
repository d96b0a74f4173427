"""Real kernels of a real Jupyter server, listed by the client, have the activity that they should have."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from aidp_sessions import Activity, SessionsClient, SessionSummary, activity_of, idle_for, to_wire

if TYPE_CHECKING:
    from aidp_sessions.testing import LocalService

    from ..helpers.jupyter import JupyterProcess


async def activities(client: SessionsClient) -> dict[str | None, Activity]:
    return {session.path: activity_of(session) async for session in client.sessions()}


async def idle_paths(client: SessionsClient, since: datetime | timedelta) -> list[str | None]:
    return [session.path async for session in client.sessions(["lab"]).idle_since(since)]


async def test_only_the_idle_kernel_is_found_before_and_after_it_is_used_again(
    service: LocalService, jupyter: JupyterProcess
) -> None:
    """One kernel is idle, one runs a long cell, and one never had a client connected."""
    service.add_jupyter("lab", url=jupyter.url, token=jupyter.token)
    left, running, untouched = [
        await jupyter.start_session(path) for path in ("left.ipynb", "running.ipynb", "untouched.ipynb")
    ]
    await jupyter.execute(left["kernel"]["id"], "40 + 2")
    await jupyter.begin(running["kernel"]["id"], "import time; time.sleep(3600)")
    await jupyter.until(left["id"], connections=0, execution_state="idle")

    async with service.client() as client:
        assert await activities(client) == {
            "left.ipynb": Activity.IDLE,
            "running.ipynb": Activity.BUSY,
            "untouched.ipynb": Activity.STARTING,
        }
        (idle,) = await client.sessions("lab").idle_since(datetime.now(UTC)).collect()
        assert idle.kernel is not None
        assert idle.kernel.last_activity is not None
        became_idle = idle.kernel.last_activity
        assert idle_for(idle, became_idle + timedelta(hours=2)) == timedelta(hours=2)
        assert await idle_paths(client, became_idle) == ["left.ipynb"]
        assert await idle_paths(client, became_idle - timedelta(microseconds=1)) == []
        assert await idle_paths(client, timedelta(hours=1)) == []
        assert [s.path async for s in client.sessions().idle_since(became_idle, connected=True)] == []
        assert [s.path async for s in client.sessions().busy()] == ["running.ipynb"]

        await jupyter.execute(left["kernel"]["id"], "6 * 7")
        await jupyter.until(left["id"], connections=0, execution_state="idle")

        assert await idle_paths(client, became_idle) == []
        assert await idle_paths(client, datetime.now(UTC)) == ["left.ipynb"]

        await jupyter.restart(left["kernel"]["id"])
        await jupyter.until(left["id"], execution_state="idle")
        await jupyter.end_session(untouched["id"])
        assert await activities(client) == {"left.ipynb": Activity.IDLE, "running.ipynb": Activity.BUSY}


async def test_the_session_of_a_kernel_that_dies_vanishes(service: LocalService, jupyter: JupyterProcess) -> None:
    """A Jupyter server deletes a kernel that it cannot restart; a watch reports its session as vanished."""
    service.add_jupyter("lab", url=jupyter.url, token=jupyter.token)
    doomed = await jupyter.start_session("doomed.ipynb")
    await jupyter.execute(doomed["kernel"]["id"], "None")
    seen: list[tuple[str, str | None]] = []

    async with service.client() as client, aclosing(client.sessions("lab").watch(timedelta(seconds=0.1))) as changes:
        async for change in changes:
            seen.append((change.kind, change.session.path))
            if seen == [("appeared", "doomed.ipynb")]:
                await jupyter.begin(doomed["kernel"]["id"], "import os, time; time.sleep(0.2); os._exit(1)")
            if change.kind == "vanished":
                break

    assert seen[0] == ("appeared", "doomed.ipynb")
    assert seen[-1] == ("vanished", "doomed.ipynb")
    assert {kind for kind, _ in seen[1:-1]} <= {"changed"}
    assert await jupyter.sessions() == []


async def test_a_session_of_a_real_server_survives_decoding_and_encoding(
    service: LocalService, jupyter: JupyterProcess
) -> None:
    """The JSON is equal; Jupyter's own fields, which AIDP does not document, are in ``extra``."""
    service.add_jupyter("lab", url=jupyter.url, token=jupyter.token)
    await jupyter.start_session("a/b c.ipynb")

    async with service.client() as client:
        sessions = await client.list_sessions("lab")

    (session,) = sessions
    assert isinstance(session, SessionSummary)
    assert session.workspace_key == "lab"
    assert session.extra == {"notebook": {"path": "a/b c.ipynb", "name": "a/b c.ipynb"}}
    assert [to_wire(session)] == [{**item, "lifecycleState": "ACTIVE"} for item in await jupyter.sessions()]
