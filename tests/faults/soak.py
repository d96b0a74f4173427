"""A long run through a proxy that breaks 8 % of all answers: is anything lost, repeated or left behind? At what cost?

    python -m tests.faults.soak [--quick]

The service and the proxy run in another process. First this library, then the official client (fewer requests, same
mix of faults, in threads), both in this process. Prints a table and one line of JSON; fails if a promise is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import attrs

from aidp_sessions import FanOutError, SessionsClient, Timeout
from aidp_sessions.testing import LocalService

from .catalogue import ALL, PASSING, Seeded
from .proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from aidp_sessions import SessionStream, SessionSummary

SESSIONS: Final = 5
CONCURRENCY: Final = 32
READ_S: Final = 1.0
LONG: Final = 50_000
"""With this many answers, the first tenth is more than warming up, so growth of memory over it matters."""
SILENT: Final = [fault for fault in ALL if fault.name in ("silence in the headers", "silence in the body")]
STATM: Final = Path("/proc/self/statm")
DESCRIPTORS: Final = Path("/proc/self/fd")


def expected(key: str) -> list[str]:
    return [f"{key}-{number}" for number in range(SESSIONS)]


async def serve(options: argparse.Namespace) -> None:
    """Run service and proxy: print their addresses, then answer each line of input with the counts so far."""
    async with LocalService(compress=False, record_limit=1) as service:
        for number in range(options.workspaces):
            key = f"w{number}"
            service.add_workspace(key, [{"id": name, "name": "notebook.ipynb"} for name in expected(key)])
        plan = Seeded(options.seed, options.rate, [*PASSING, *SILENT])
        async with FaultProxy(urlsplit(service.url).port or 0, plan) as proxy:
            config = str(service.write_config(options.serve))
            say({"url": proxy.url, "config": config, "platform": service.platform_id})
            while await asyncio.to_thread(sys.stdin.readline):
                say({"requests": proxy.requests, "faults": proxy.faults, "connections": proxy.connections})


def say(document: object) -> None:
    print(json.dumps(document), flush=True)


@attrs.frozen
class Server:
    """The process that runs service and proxy."""

    process: asyncio.subprocess.Process
    url: str
    config: str
    platform: str

    async def counts(self) -> dict[str, int]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(b"\n")
        counts: dict[str, int] = json.loads(await self.process.stdout.readline())
        return counts


@asynccontextmanager
async def server(options: argparse.Namespace) -> AsyncIterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        arguments = ("--serve", folder, "--workspaces", options.workspaces, "--seed", options.seed)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.soak", *map(str, arguments), "--rate", str(options.rate)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin
        assert process.stdout
        yield Server(process, **json.loads(await process.stdout.readline()))
        process.stdin.close()
        await process.wait()


@attrs.define
class Memory:
    """The largest resident set, in MiB, of each tenth of a run."""

    peaks: list[float] = attrs.field(factory=lambda: [0.0] * 10)
    tenth: int = 0

    def sample(self) -> None:
        mebibytes = int(STATM.read_text().split()[1]) / 256
        self.peaks[self.tenth] = max(self.peaks[self.tenth], mebibytes)

    async def watch(self) -> None:
        while True:
            self.sample()
            await asyncio.sleep(0.02)

    @property
    def growth(self) -> float:
        """Of the last tenth over the first."""
        return self.peaks[-1] / self.peaks[0] - 1


@attrs.define(kw_only=True)
class Result:
    """The figures of one client's run."""

    client: str
    needed: int
    sent: int = 0
    faults: int = 0
    seconds: float = 0.0
    cpu_us: float = 0.0
    lost: int = 0
    doubled: int = 0
    failures: Counter[str] = attrs.field(factory=Counter)
    memory: Memory = attrs.field(factory=Memory)
    leaked: dict[str, int] = attrs.field(factory=dict)

    def compare(self, found: Counter[str], asked: Iterable[str]) -> None:
        wanted = Counter(name for key in asked for name in expected(key))
        self.lost, self.doubled = (wanted - found).total(), (found - wanted).total()

    @property
    def rate(self) -> float:
        return self.needed / self.seconds

    @property
    def amplification(self) -> float:
        return self.sent / self.needed


class Meter:
    """Measures the cost of a run."""

    def __init__(self, there: Server, result: Result) -> None:
        self._there = there
        self._result = result

    async def __aenter__(self) -> None:
        gc.collect()
        self._before = await self._there.counts()
        self._began, self._cpu = time.perf_counter(), time.process_time()
        self._watcher = asyncio.create_task(self._result.memory.watch())

    async def __aexit__(self, *_: object) -> None:
        result = self._result
        result.seconds = time.perf_counter() - self._began
        result.cpu_us = (time.process_time() - self._cpu) / result.needed * 1e6
        self._watcher.cancel()
        await asyncio.wait([self._watcher])
        after = await self._there.counts()
        result.sent = after["requests"] - self._before["requests"]
        result.faults = after["faults"] - self._before["faults"]


async def ours(there: Server, keys: list[str], rounds: int) -> Result:
    result = Result(client="aidp_sessions", needed=rounds * len(keys))
    descriptors, tasks = len(list(DESCRIPTORS.iterdir())), len(asyncio.all_tasks())
    client = SessionsClient.from_config(
        there.platform,
        config_file=there.config,
        endpoint=there.url,
        max_concurrency=CONCURRENCY,
        timeout=Timeout(connect=10.0, read=READ_S, total=300.0),
    )
    async with client:
        await client.sessions(keys, on_error="skip").collect()  # before measuring: the first connections and imports
        async with Meter(there, result):
            found = await one_stream(client, keys * rounds, result)
        result.leaked["slots"] = client._transport.limiter.in_use
    await asyncio.sleep(0.2)  # time for the other side to notice
    gc.collect()
    result.compare(found, keys * rounds)
    result.leaked["descriptors"] = len(list(DESCRIPTORS.iterdir())) - descriptors
    result.leaked["tasks"] = len(asyncio.all_tasks()) - tasks
    result.leaked["connections"] = (await there.counts())["connections"]
    return result


async def one_stream(client: SessionsClient, asked: list[str], result: Result) -> Counter[str]:
    found: Counter[str] = Counter()
    total = len(asked) * SESSIONS
    try:
        async for number, session in numbered(client.sessions(iter(asked))):
            found[session.id or ""] += 1
            if number * 10 // total != result.memory.tenth:
                result.memory.tenth = min(number * 10 // total, 9)
                progress(result.memory.tenth)
    except FanOutError as error:
        result.failures.update(type(member).__name__ for member in error.exceptions)
    return found


async def numbered(stream: SessionStream) -> AsyncIterator[tuple[int, SessionSummary]]:
    number = 0
    async for session in stream:
        yield number, session
        number += 1


async def official(there: Server, keys: list[str], requests: int) -> Result:
    """The official client with its default retries and circuit breaker, in as many threads as we have slots."""
    result = Result(client="official", needed=requests)
    ask = official_call(there)
    with ThreadPoolExecutor(CONCURRENCY) as threads:
        loop = asyncio.get_running_loop()
        found: Counter[str] = Counter()
        asked = [keys[number % len(keys)] for number in range(requests)]
        async with Meter(there, result):
            calls = [loop.run_in_executor(threads, ask, key) for key in asked]
            for number, call in enumerate(asyncio.as_completed(calls)):
                result.memory.tenth = number * 10 // requests
                names, failure = await call
                found.update(names)
                result.failures.update([failure] if failure else [])
        result.compare(found, asked)
    return result


def official_call(there: Server) -> Callable[[str], tuple[list[str], str]]:
    import oci  # noqa: PLC0415  # half a second and 70 MB
    from aidp_python_client.aidataplatform_dp import NotebookClient  # noqa: PLC0415  # as slow to import

    notebooks = NotebookClient(oci.config.from_file(there.config), service_endpoint=there.url, timeout=(10, READ_S))

    def ask(key: str) -> tuple[list[str], str]:
        try:
            answer = notebooks.list_sessions(there.platform, key)
            return [session.id for session in answer.data.items or ()], ""
        except Exception as error:  # noqa: BLE001  # any exception counts as a failure
            return [], type(error).__name__

    return ask


def progress(tenths: int) -> None:
    if sys.stderr.isatty():
        print(f"{tenths}/10", file=sys.stderr, flush=True)


def table(results: list[Result]) -> None:
    rows: list[tuple[str, Callable[[Result], float], str]] = [
        ("answers needed", lambda result: result.needed, ",.0f"),
        ("requests sent", lambda result: result.sent, ",.0f"),
        ("faults met", lambda result: result.faults, ",.0f"),
        ("requests sent / needed", lambda result: result.amplification, ".3f"),
        ("answers per second", lambda result: result.rate, ",.0f"),
        ("CPU per answer, µs", lambda result: result.cpu_us, ",.0f"),
        ("calls failed", lambda result: result.failures.total(), ",.0f"),
        ("sessions lost", lambda result: result.lost, ",.0f"),
        ("sessions lost per million", lambda result: result.lost / result.needed / SESSIONS * 1e6, ",.0f"),
        ("sessions doubled", lambda result: result.doubled, ",.0f"),
        ("peak memory, MiB", lambda result: max(result.memory.peaks), ",.1f"),
        ("growth, last tenth over first", lambda result: result.memory.growth, "+.2%"),
    ]
    print(f"{'':32}" + "".join(f"{result.client:>16}" for result in results) + f"{'ratio':>10}")
    for name, value, form in rows:
        values = [value(result) for result in results]
        ratio = f"{values[0] / values[1]:10.2f}" if len(values) > 1 and values[1] > 0 and form[0] != "+" else ""
        print(f"{name:32}" + "".join(f"{format(each, form):>16}" for each in values) + ratio)
    print(f"left behind by ours: {results[0].leaked}; failures: {[dict(result.failures) for result in results]}")


def broken_promises(result: Result) -> list[str]:
    promises = {
        "nothing is lost": result.lost == 0 and not result.failures,
        "nothing is doubled": result.doubled == 0,
        "nothing is left behind": not any(result.leaked.values()),
        "memory of the last tenth is within 5 % of the first": result.memory.growth <= 0.05 or result.needed < LONG,
        "at most 1.2 requests per answer": result.amplification <= 1.2,
    }
    return [promise for promise, kept in promises.items() if not kept]


async def main(options: argparse.Namespace) -> list[str]:
    keys = [f"w{number}" for number in range(options.workspaces)]
    async with server(options) as there:
        results = [await ours(there, keys, options.requests // options.workspaces)]
        if options.official:
            results.append(await official(there, keys, options.official))
    table(results)
    broken = broken_promises(results[0])
    figures = [
        {**attrs.asdict(result), "amplification": result.amplification, "per_second": result.rate} for result in results
    ]
    say({"soak": figures, "seed": options.seed, "rate": options.rate, "broken_promises": broken})
    return broken


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000, help="answers that ours needs")
    parser.add_argument("--workspaces", type=int, default=1000)
    parser.add_argument("--official", type=int, default=4000, help="answers for the official client; 0 leaves it out")
    parser.add_argument("--rate", type=float, default=0.08, help="share of answers that are broken")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="4,000 requests over 200 workspaces, 400 for the other")
    parser.add_argument("--serve", metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.requests, options.workspaces, options.official = 4000, 200, 400
    return options


if __name__ == "__main__":
    chosen = parse()
    if chosen.serve:
        asyncio.run(serve(chosen))
    else:
        sys.exit(bool(asyncio.run(main(chosen))))
