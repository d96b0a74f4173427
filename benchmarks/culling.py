"""Three cullers on the same platform: requests, time, and kernels that they end although these are in use again.

Run ``python -m benchmarks.culling``; ``--quick`` takes a tenth of the platform. All kernels have been idle
for a day, and each has five sessions. When the first deletion arrives in a workspace, some of its idle kernels
become busy: 5 % of all kernels wake up between a look at them and their deletion. In the local service, an etag changes
with the kernel; whether it does in AI Data Platform is not documented.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import time
from collections import defaultdict
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Final

import attrs

from aidp_sessions import CullPolicy, ExecutionState, KernelSummary, NotFoundError, RetryPolicy, SessionSummary
from aidp_sessions.testing import LocalService

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from aidp_sessions.testing import RecordedRequest

    Culler = Callable[[LocalService], Awaitable[None]]

IDLE_FOR: Final = timedelta(hours=8)
DAY: Final = timedelta(days=1)
SEED: Final = 20260430


@attrs.frozen(kw_only=True)
class Size:
    workspaces: int = 200
    kernels_per_workspace: int = 5
    sessions_per_kernel: int = 5
    idle_share: float = 1.0
    waking_share: float = 0.05
    latency: float = 0.03

    @property
    def kernels(self) -> int:
        return self.workspaces * self.kernels_per_workspace


@attrs.frozen(kw_only=True)
class Figures:
    """What a culler did; *wrong* counts kernels that were in use when it ended them, *left* idle ones that it kept."""

    requests: int
    seconds: float
    ended: int
    wrong: int
    left: int


async def ours(service: LocalService) -> None:
    """`plan_cull` and `cull`, one kernel after the other."""
    policy = CullPolicy(since=IDLE_FOR, max_kernels=None, max_share=None)
    async with service.client() as client:
        plan = await client.plan_cull(policy)
        async for _ in client.cull(plan):
            pass


async def list_once_delete_concurrently(service: LocalService) -> None:
    """The algorithm of jupyterhub-idle-culler: list once, then ten deletions at a time, without another look."""
    async with service.client(retry=RetryPolicy.none(), max_concurrency=10) as client:
        found = await client.sessions().idle_since(IDLE_FOR, connected=False).collect()

        async def delete(session: SessionSummary) -> None:
            with suppress(NotFoundError):  # it ended with another session of its kernel
                await client.delete_session(session.workspace_key, session.id or "")

        async with asyncio.TaskGroup() as group:
            for session in found:
                group.create_task(delete(session))


async def official_client(service: LocalService) -> None:
    """A loop over workspaces as in Oracle's samples: list, then delete what is idle, one request after the other."""
    await asyncio.to_thread(_official_loop, service)


def _official_loop(service: LocalService) -> None:
    import oci  # noqa: PLC0415  # heavy, and needed for this culler alone
    from aidp_python_client.aidataplatform_dp import NotebookClient, WorkspaceClient  # noqa: PLC0415

    config, options = service.oci_config(), {"service_endpoint": service.url}
    notebooks, workspaces = NotebookClient(config, **options), WorkspaceClient(config, **options)
    listed = oci.pagination.list_call_get_all_results(workspaces.list_workspaces, service.platform_id).data
    limit = datetime.now(UTC) - IDLE_FOR
    for workspace in listed:
        for session in notebooks.list_sessions(service.platform_id, workspace.key).data.items:
            idle = session.kernel.execution_state == "idle" and session.kernel.connections == 0
            if idle and datetime.fromisoformat(session.kernel.last_activity) <= limit:
                try:
                    notebooks.delete_session(service.platform_id, workspace.key, session.id)
                except oci.exceptions.ServiceError as error:
                    if error.status != 404:  # it ended with another session of its kernel
                        raise


CULLERS: Final[Mapping[str, Culler]] = {
    "aidp_sessions": ours,
    "list once, delete concurrently": list_once_delete_concurrently,
    "official client": official_client,
}


async def measure(culler: Culler, size: Size) -> Figures:
    async with LocalService(latency=size.latency) as service:
        idle, waking = populate(service, size)
        service.on_request = _waker(service, waking)
        service.reset_counts()
        start = time.perf_counter()
        await culler(service)
        seconds = time.perf_counter() - start
        ended = [session.kernel for session in service.deleted if session.kernel is not None]
        wrong = sum(kernel.execution_state == ExecutionState.BUSY for kernel in ended)
        left = idle - sum(map(len, waking.values())) - (len(ended) - wrong)
        return Figures(requests=service.request_count, seconds=seconds, ended=len(ended), wrong=wrong, left=left)


def populate(service: LocalService, size: Size) -> tuple[int, dict[str, list[KernelSummary]]]:
    """Add the workspaces; returns the number of idle kernels, and those that will wake up, by workspace."""
    random, yesterday = Random(SEED), datetime.now(UTC) - DAY  # noqa: S311  # reproducible on purpose
    chosen = random.sample(range(size.kernels), round(size.kernels * size.idle_share))
    waking = defaultdict[str, list[KernelSummary]](list)
    for workspace in range(size.workspaces):
        first = workspace * size.kernels_per_workspace
        kernels = [
            _kernel(number, yesterday if number in chosen else None)
            for number in range(first, first + size.kernels_per_workspace)
        ]
        service.add_workspace(
            f"workspace-{workspace}", [each for kernel in kernels for each in _sessions(kernel, size)]
        )
    for number in chosen[: round(size.kernels * size.waking_share)]:
        waking[f"workspace-{number // size.kernels_per_workspace}"].append(_kernel(number, None))
    return len(chosen), waking


def _kernel(number: int, idle_since: datetime | None) -> KernelSummary:
    return KernelSummary(
        id=f"kernel-{number}",
        name="notebook",
        execution_state=ExecutionState.IDLE if idle_since else ExecutionState.BUSY,
        last_activity=idle_since or datetime.now(UTC),
        connections=0,
    )


def _sessions(kernel: KernelSummary, size: Size) -> list[SessionSummary]:
    names = [f"{kernel.id}-{number}" for number in range(size.sessions_per_kernel)]
    return [
        SessionSummary(id=name, name=name, path=f"Workspace/{name}.ipynb", type="notebook", kernel=kernel)
        for name in names
    ]


def _waker(service: LocalService, waking: Mapping[str, Sequence[KernelSummary]]) -> Callable[[RecordedRequest], None]:
    """A function that makes the kernels of a workspace busy when the first deletion arrives there."""
    waiting = dict(waking)

    def before_request(request: RecordedRequest) -> None:
        key = request.workspace_key or ""
        if request.operation == "delete_session":
            for kernel in waiting.pop(key, ()):
                service.set_kernel(key, kernel)

    return before_request


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.culling", description="Measure three cullers.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the platform, for a first impression")
    size = Size(workspaces=20) if parser.parse_args().quick else Size()
    sessions = size.kernels * size.sessions_per_kernel
    print(f"{size.workspaces} workspaces, {size.kernels:,} kernels, {sessions:,} sessions, {size.latency * 1000:g} ms")
    print(f"{'':<32}{'requests':>14}{'seconds':>14}{'ended':>8}{'wrongly':>9}{'left':>6}")
    first: Figures | None = None
    for name, culler in CULLERS.items():
        figures = asyncio.run(measure(culler, size))
        first = first or figures
        requests = f"{figures.requests:,} x{figures.requests / first.requests:.2f}"
        seconds = f"{figures.seconds:.1f} x{figures.seconds / first.seconds:.2f}"
        print(f"{name:<32}{requests:>14}{seconds:>14}{figures.ended:>8}{figures.wrong:>9}{figures.left:>6}", flush=True)
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
