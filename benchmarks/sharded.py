"""More than one core: shards of workspaces over a `dask.distributed` cluster, and what is gained by it.

    python -m benchmarks.sharded [--workspaces N] [--processes N]

Keys and signers are not pickled, so each worker builds its client from plain configuration (``from_config`` reads the
profile on the worker's machine); what comes back are the models, which do pickle.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from distributed import Client, LocalCluster, as_completed

from aidp_sessions import SessionsClient

from .payload import PLATFORM, keys
from .server import running
from .target import Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aidp_sessions import SessionSummary

_SHARD = 250


async def _ask(config_file: str, endpoint: str, shard: Sequence[str]) -> list[SessionSummary]:
    async with SessionsClient.from_config(PLATFORM, config_file=config_file, endpoint=endpoint) as client:
        return await client.sessions(shard).where(_is_idle).collect()


def _is_idle(session: SessionSummary) -> bool:
    return session.kernel is not None and session.kernel.execution_state == "idle"


def idle_sessions(config_file: str, endpoint: str, shard: Sequence[str]) -> list[SessionSummary]:
    """Runs on a worker: what is filtered there is never sent."""
    return asyncio.run(_ask(config_file, endpoint, shard))


def sharded(
    cluster: Client, config_file: str, endpoint: str, workspaces: Sequence[str], size: int = _SHARD
) -> Iterator[SessionSummary]:
    """The idle sessions of *workspaces*, shard by shard as the workers finish; a shard that fails raises its error."""
    shards = [workspaces[start : start + size] for start in range(0, len(workspaces), size)]
    ask = functools.partial(idle_sessions, config_file, endpoint)
    futures = cluster.map(ask, shards, pure=False)
    for _, sessions in as_completed(futures, with_results=True):  # type: ignore[no-untyped-call]
        yield from sessions


def write_config(target: Target, folder: Path) -> str:
    """A profile as the OCI tools keep it, with its key beside it."""
    values, key_file, config_file = target.oci_config(), folder / "key.pem", folder / "config"
    key_file.write_text(values.pop("key_content"))
    key_file.chmod(0o600)
    lines = [f"{name}={value}" for name, value in {**values, "key_file": str(key_file)}.items()]
    config_file.write_text("\n".join(["[DEFAULT]", *lines, ""]))
    config_file.chmod(0o600)
    return str(config_file)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sharded", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workspaces", type=int, default=4000)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    workspaces = keys(options.workspaces)
    with (
        running() as url,
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(n_workers=options.processes, threads_per_worker=1, dashboard_address=None) as local,  # type: ignore[no-untyped-call]
        Client(local) as cluster,  # type: ignore[no-untyped-call]
    ):
        config_file = write_config(Target.of(url), Path(folder))
        for _ in sharded(cluster, config_file, url, workspaces[:400], size=10):
            pass  # by now every worker has imported what it needs
        start = time.perf_counter()
        alone = len(idle_sessions(config_file, url, workspaces))
        middle = time.perf_counter()
        together = sum(1 for _ in sharded(cluster, config_file, url, workspaces))
        end = time.perf_counter()
    assert alone == together == 10 * len(workspaces), (alone, together)
    one, many = len(workspaces) / (middle - start), len(workspaces) / (end - middle)
    print(f"one process: {one:,.0f} requests/s; {options.processes} workers: {many:,.0f} requests/s, x{many / one:.2f}")


if __name__ == "__main__":
    main()
