"""Of the kernels of a real Jupyter server, only those that were idle at both looks are ended, and they really are."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from aidp_sessions import CullPolicy, CullResult, KeepReason

if TYPE_CHECKING:
    from pathlib import Path

    from aidp_sessions.testing import LocalService

    from ..helpers.jupyter import JupyterProcess

_PATIENCE_S = 30.0
LONG_CELL = """
import pathlib, time
while not pathlib.Path({go_on!r}).exists():
    time.sleep(0.01)
pathlib.Path({result!r}).write_text("done")
"""
_NAMES = ("busy", "connected", "idle", "shared", "starting", "woken")


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


async def until_it_ends(process: int) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while is_alive(process):
            await asyncio.sleep(0.01)


async def process_of(jupyter: JupyterProcess, session: dict[str, Any], folder: Path) -> int:
    """Run a cell that tells the process of the session's kernel, and wait until the kernel is idle."""
    file = folder / session["id"]
    code = f"import os, pathlib; pathlib.Path({str(file)!r}).write_text(str(os.getpid()))"
    await jupyter.execute(session["kernel"]["id"], code)
    await jupyter.until(session["id"], connections=0, execution_state="idle")
    return int(file.read_text())  # a few bytes


@pytest.mark.skipif(sys.platform == "win32", reason="signals to processes are POSIX")
async def test_a_cull_ends_the_kernels_that_are_idle_and_no_other(
    service: LocalService, jupyter: JupyterProcess, tmp_path: Path
) -> None:
    """One runs a long cell, which ends as if nothing had happened; one has a connection, and one never had any.

    Two are used between plan and cull, one of which has two sessions.
    """
    service.add_jupyter("lab", url=jupyter.url, token=jupyter.token)
    started = await asyncio.gather(*(jupyter.start_session(f"{name}.ipynb") for name in _NAMES))
    sessions = dict(zip(_NAMES, started, strict=True))
    kernels = {name: session["kernel"]["id"] for name, session in sessions.items()}
    sharing = await jupyter.start_session("sharing.ipynb", kernel_id=kernels["shared"])
    used = [name for name in _NAMES if name != "starting"]
    found = await asyncio.gather(*(process_of(jupyter, sessions[name], tmp_path) for name in used))
    processes = dict(zip(used, found, strict=True))
    go_on, result = tmp_path / "go on", tmp_path / "result"
    await jupyter.begin(kernels["busy"], LONG_CELL.format(go_on=str(go_on), result=str(result)))
    policy = CullPolicy(since=datetime.now(UTC), max_share=None)

    async with jupyter.connected(kernels["connected"]), service.client() as client:
        await jupyter.until(sessions["connected"]["id"], connections=1)
        plan = await client.plan_cull(policy)
        for name in ("woken", "shared"):
            await process_of(jupyter, sessions[name], tmp_path)
        outcomes = {outcome.candidate.kernel_id: outcome async for outcome in client.cull(plan)}
        await until_it_ends(processes["idle"])
        go_on.touch()
        await jupyter.until(sessions["busy"]["id"], execution_state="idle")
        left = {session["path"] for session in await jupyter.sessions()}

    reasons = {kept.kernel_id: kept.reason for kept in plan.kept}
    together = {each.kernel_id: {session.id for session in each.sessions} for each in plan.candidates}
    assert reasons == {
        kernels["busy"]: KeepReason.BUSY,
        kernels["connected"]: KeepReason.CONNECTED,
        kernels["starting"]: KeepReason.STARTING,
    }
    assert together.keys() == {kernels[name] for name in ("idle", "shared", "woken")}
    assert together[kernels["shared"]] == {sessions["shared"]["id"], sharing["id"]}
    assert {kernel: outcome.result for kernel, outcome in outcomes.items()} == {
        kernels["idle"]: CullResult.DELETED,
        kernels["shared"]: CullResult.CHANGED,
        kernels["woken"]: CullResult.CHANGED,
    }
    assert [request.operation for request in service.requests].count("delete_session") == 1
    assert left == {f"{name}.ipynb" for name in ("busy", "connected", "shared", "sharing", "starting", "woken")}
    assert {name for name, process in processes.items() if is_alive(process)} == {
        "busy",
        "connected",
        "shared",
        "woken",
    }
    assert result.read_text() == "done"  # a few bytes
