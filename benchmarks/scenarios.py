"""The scenarios, each a table of measurements by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from operator import itemgetter
from statistics import median
from typing import TYPE_CHECKING, Final

import attrs

from .importing import MODULES, imported, installed_size
from .jobs import Decoding, FanningOut, Job, Reading, Throttling, run
from .large import READERS
from .server import prepare
from .target import Target

if TYPE_CHECKING:
    from .measure import Figures

OURS: Final = "aidp_sessions"
SAME_WORK: Final = "floor: sign, send, decode"
OFFICIAL: Final = "NotebookClient"
OCI_ASYNC: Final = "oci AsyncBaseClient"
GENERATOR: Final = "load generator"
STREAMED: Final = "aidp_sessions, streamed"
LISTED: Final = "aidp_sessions, listed"
MSGSPEC: Final = "floor: msgspec into attrs"
DECODERS: Final = (OURS, OFFICIAL, OCI_ASYNC, "floor: cattrs over orjson", MSGSPEC, "floor: json, no objects")

Measure = Callable[[], "Figures"]
Row = tuple[str, Measure]


@attrs.frozen(kw_only=True)
class Settings:
    """Where to measure and how much of it."""

    url: str
    target: Target
    quick: bool

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full


def _row(name: str, job: Job) -> Row:
    return name, partial(run, job)


def fan_out(settings: Settings, target: Target | None = None) -> Iterator[Row]:
    """(a) 1,000 workspaces at once, 20 sessions each, no latency."""
    peers = (OURS, SAME_WORK, "floor: send only", OCI_ASYNC, OFFICIAL, "NotebookClient, 16 threads")
    options = {"target": target or settings.target, "workspaces": settings.size(1000, 300), "concurrency": 32}
    for peer in peers:
        yield _row(peer, FanningOut(peer=peer, **options))  # type: ignore[arg-type]
    for peer in (OURS, SAME_WORK):
        yield _row(f"{peer}, uvloop", FanningOut(peer=peer, uvloop=True, **options))  # type: ignore[arg-type]
    options["workspaces"] = 20_000
    yield _row(GENERATOR, FanningOut(peer=GENERATOR, uvloop=True, **options))  # type: ignore[arg-type]


def latency(settings: Settings) -> Iterator[Row]:
    """(b) 50 ms until each answer, 64 at a time; the ideal is 1,280 requests/s."""
    for peer in (OURS, SAME_WORK, OCI_ASYNC, "NotebookClient, 64 threads", GENERATOR):
        count = settings.size(2560, 640)
        uvloop = peer == GENERATOR
        job = FanningOut(
            target=settings.target, peer=peer, workspaces=count, concurrency=64, latency_ms=50, uvloop=uvloop
        )
        yield _row(peer, job)


def decoding(settings: Settings) -> Iterator[Row]:
    """(c) Decoding alone, 20 sessions per body."""
    for decoder in DECODERS:
        yield _row(decoder, Decoding(decoder=decoder, batches=settings.size(100, 20)))


def large(settings: Settings) -> Iterator[Row]:
    """(d) One workspace with 100,000 sessions: 41 MB."""
    sessions = settings.size(100_000, 30_000)
    prepare(settings.url, sessions)
    for reader in READERS:
        yield _row(reader, Reading(target=settings.target, reader=reader, sessions=sessions))


def many(settings: Settings) -> Iterator[Row]:
    """(e) 10,000 workspaces beside 100: does memory grow with the number?"""
    for count in (100, settings.size(10_000, 2000)):
        job = FanningOut(target=settings.target, peer=OURS, workspaces=count, concurrency=32)
        yield _row("few workspaces" if count == 100 else "many workspaces", job)


def throttled(settings: Settings) -> Iterator[Row]:
    """(f) A tenth of the workspaces answers 429 twice: when are the other nine tenths through?"""
    for name, some in (("undisturbed", False), ("a tenth throttled", True)):
        job = Throttling(target=settings.target, workspaces=settings.size(2000, 300), throttled=some)
        yield _row(name, job)


def importing(settings: Settings) -> Iterator[Row]:
    """(g) A bare interpreter imports it; what is installed for it."""
    for module in MODULES:
        yield module, partial(_import_and_size, module, settings.size(9, 1))


def _import_and_size(module: str, times: int) -> Figures:
    runs = [imported(module) for _ in range(times)]
    fastest = min(runs, key=itemgetter("import_ms"))
    ratio = {"of_aiohttp": median(run["of_aiohttp"] for run in runs)} if "of_aiohttp" in fastest else {}
    return {**fastest, **ratio, **installed_size(module)}


def stalls(settings: Settings) -> Iterator[Row]:
    """(h) As (a), with a ticker of 1 ms beside it: how late are the ticks? For large answers see (d)."""
    for peer in (OURS, SAME_WORK, OCI_ASYNC):
        count = settings.size(1000, 300)
        job = FanningOut(target=settings.target, peer=peer, workspaces=count, concurrency=32, ticker=True)
        yield _row(peer, job)


def long_key(settings: Settings) -> Iterator[Row]:
    """(i) As (a), with RSA-4096."""
    target = Target.of(settings.url, 4096)
    kept = (OURS, SAME_WORK) if settings.quick else (OURS, SAME_WORK, OCI_ASYNC, OFFICIAL)
    return (row for row in fan_out(settings, target) if row[0] in kept)


SCENARIOS: Final[dict[str, Callable[[Settings], Iterator[Row]]]] = {
    "a": fan_out,
    "b": latency,
    "c": decoding,
    "d": large,
    "e": many,
    "f": throttled,
    "g": importing,
    "h": stalls,
    "i": long_key,
}
