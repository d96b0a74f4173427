"""The curves: throughput against concurrency and number of workspaces, memory against the size of an answer."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import matplotlib as mpl

from .jobs import FanningOut, Reading, run
from .large import READERS
from .scenarios import OCI_ASYNC, OFFICIAL, OURS, SAME_WORK
from .server import prepare
from .target import Target

mpl.use("svg")
import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

_FOLDER: Final = Path(__file__).parent
_CONCURRENCY: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_WORKSPACES: Final = (10, 100, 1000, 10_000, 100_000)
_SESSIONS: Final = (100, 1000, 10_000, 100_000)
_BYTES_PER_SESSION: Final = 410
_ROUNDS_OF_EACH: Final = 10
"""At least so many answers per request in flight, lest a curve shows how runs begin and end."""


def draw(url: str, *, quick: bool) -> None:
    """Measure and draw ``throughput.svg`` and ``memory.svg``; *quick* asks fewer workspaces per point of the former."""
    mpl.rcParams.update({"svg.hashsalt": "aidp", "axes.grid": True, "grid.alpha": 0.3, "font.size": 9})
    target = Target.of(url)
    _draw_throughput(target, quick=quick)
    _draw_memory(target, url)


def _draw_throughput(target: Target, *, quick: bool) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, layout="constrained")
    count, times = (300, 1) if quick else (2000, 3)
    for latency, style in ((0, "-"), (50, "--")):

        def rate(peer: str, concurrency: int, latency: int = latency) -> float:
            enough = min(count, 40 * concurrency) if latency else count
            return _rate(target, peer, max(enough, _ROUNDS_OF_EACH * concurrency), concurrency, latency)

        labels = {peer: f"{peer}, {latency} ms" for peer in (OURS, SAME_WORK, OCI_ASYNC)}
        _curves(left, dict.fromkeys(_CONCURRENCY, times), rate, labels, style)
    left.axhline(_rate(target, OFFICIAL, count // 4, 1, 0), color="grey", linestyle=":", label=f"{OFFICIAL}, 1 thread")
    _label(left, "requests in flight", "requests/s")
    figure.legend(loc="outside lower center", ncols=4, fontsize=7, handlelength=3)

    def rate_of_many(peer: str, workspaces: int) -> float:
        return _rate(target, peer, workspaces, 32, 0)

    often_enough = {number: max(1, min(5, 5000 // number) * times) for number in _WORKSPACES}  # milliseconds say little
    _curves(right, often_enough, rate_of_many, {OURS: OURS, SAME_WORK: SAME_WORK}, "-")
    _label(right, "workspaces, 32 requests in flight", "")
    figure.savefig(_FOLDER / "throughput.svg", metadata={"Date": None})


def _draw_memory(target: Target, url: str) -> None:
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for sessions in _SESSIONS:
        prepare(url, sessions)
    for reader in READERS:

        def growth(sessions: int, reader: str = reader) -> float:
            return max(0.05, run(Reading(target=target, reader=reader, sessions=sessions))["growth_mb"])

        megabytes = [sessions * _BYTES_PER_SESSION / 1e6 for sessions in _SESSIONS]
        axes.plot(megabytes, [growth(sessions) for sessions in _SESSIONS], marker=".", label=reader)
    axes.set_yscale("log")
    axes.legend(fontsize=7)
    _label(axes, "size of the answer, MB", "growth of the peak, MB")
    figure.savefig(_FOLDER / "memory.svg", metadata={"Date": None})


def _rate(target: Target, peer: str, workspaces: int, concurrency: int, latency_ms: int) -> float:
    job = FanningOut(target=target, peer=peer, workspaces=workspaces, concurrency=concurrency, latency_ms=latency_ms)
    return run(job)["per_second"]


def _curves(
    axes: Axes, numbers: dict[int, int], measure: Callable[[str, int], float], labels: dict[str, str], style: str
) -> None:
    """Plot medians of several measurements; the peers alternate, because the speed of the machine varies."""
    found: dict[tuple[str, int], list[float]] = {each: [] for each in product(labels, numbers)}
    for turn in range(max(numbers.values())):
        for number, peer in product(numbers, labels):
            if turn < numbers[number]:
                found[peer, number].append(measure(peer, number))
    for colour, (peer, label) in enumerate(labels.items()):
        medians = [median(found[peer, number]) for number in numbers]
        axes.plot(list(numbers), medians, style, color=f"C{colour}", marker=".", label=label)


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xscale("log")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
