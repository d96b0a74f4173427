"""Prints figures: tables of medians, spreads and ratios, and the claims with their figures."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

import attrs

from .scenarios import GENERATOR, LISTED, MSGSPEC, OCI_ASYNC, OFFICIAL, OURS, SAME_WORK, STREAMED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Results = dict[str, dict[str, dict[str, list[float]]]]
"""Scenario, row, figure: one value per round."""

_COLUMN: Final = 22


@attrs.frozen
class Claim:
    scenario: str
    text: str
    value: Callable[[Callable[[str, str], float]], float]
    """Computed from a function that gives a row's figure in one round."""
    at_least: float | None = None
    at_most: float | None = None

    def holds(self, value: float) -> bool:
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)


def _ratio(figure: str, row: str, to: str) -> Callable[[Callable[[str, str], float]], float]:
    return lambda of: of(row, figure) / of(to, figure)


def _figure(figure: str, row: str) -> Callable[[Callable[[str, str], float]], float]:
    return lambda of: of(row, figure)


CLAIMS: Final = (
    Claim("a", "throughput ÷ NotebookClient's, one thread", _ratio("per_second", OURS, OFFICIAL), at_least=3),
    Claim("a", "throughput ÷ AsyncBaseClient's", _ratio("per_second", OURS, OCI_ASYNC), at_least=1.9),
    Claim("a", "CPU per request ÷ the floor's of the same work", _ratio("cpu_us", OURS, SAME_WORK), at_most=1.12),
    Claim("a", "service's capacity ÷ our throughput", _ratio("per_second", GENERATOR, OURS), at_least=5),
    Claim("b", "% of concurrency ÷ latency", _figure("of_ideal_percent", OURS), at_least=92),
    Claim("c", "NotebookClient's time per session ÷ ours", _ratio("session_us", OFFICIAL, OURS), at_least=5),
    Claim("c", "time per session ÷ msgspec into attrs", _ratio("session_us", OURS, MSGSPEC), at_most=2),
    Claim("d", "streamed: first session, % of the total time", _figure("first_percent", STREAMED), at_most=3),
    Claim("d", "streamed: growth of the peak, MB", _figure("growth_mb", STREAMED), at_most=8),
    Claim("d", "streamed: longest stall of the loop, ms", _figure("stall_max_ms", STREAMED), at_most=15),
    Claim("d", "listed: longest stall of the loop, ms", _figure("stall_max_ms", LISTED), at_most=60),  # the collector
    Claim(
        "e",
        "growth of the peak over that of 100 workspaces, MB",
        lambda of: of("many workspaces", "growth_mb") - of("few workspaces", "growth_mb"),
        at_most=15,
    ),
    Claim(
        "f",
        "healthy workspaces' finish ÷ undisturbed",
        _ratio("healthy_s", "a tenth throttled", "undisturbed"),
        at_most=1.1,
    ),
    Claim("g", "import ÷ import of aiohttp", _figure("of_aiohttp", OURS), at_most=1.15),
    Claim("g", "modules that must not be imported", _figure("unwanted", OURS), at_most=0),
)


def tables(results: Results) -> Iterator[str]:
    """One table per scenario: medians, half the distance between the extremes, and ratios to the first row.

    A ratio is the median of the ratios within rounds, because the machine's speed changes more slowly.
    """
    for scenario, rows in results.items():
        figures = list(dict.fromkeys(figure for row in rows.values() for figure in row))
        width = max(map(len, rows)) + 2
        yield f"\n({scenario})" + " " * (width - len(scenario) - 2) + "".join(f"{name:>{_COLUMN}}" for name in figures)
        first = next(iter(rows.values()))
        for name, row in rows.items():
            yield name.ljust(width) + "".join(_cell(row.get(figure), first.get(figure)) for figure in figures)


def _cell(values: list[float] | None, first: list[float] | None) -> str:
    if values is None:
        return " " * _COLUMN
    middle = median(values)
    spread = f"±{50 * (max(values) - min(values)) / middle:.0f}%" if middle and len(values) > 1 else ""
    ratios = [value / base for value, base in zip(values, first or (), strict=False) if base]
    ratio = f"x{median(ratios):.2f}" if ratios else ""
    return f"{_short(middle)} {spread:>5}{ratio:>7}".rjust(_COLUMN)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def claims(results: Results) -> Iterator[str]:
    """One line per claim whose scenario has been measured, with the median of what it is in each round."""
    yield "\nclaims (medians of the rounds)"
    for claim in CLAIMS:
        rows = results.get(claim.scenario)
        if rows is None:
            continue
        rounds = min(len(values) for row in rows.values() for values in row.values())
        value = median(
            claim.value(lambda row, figure, turn=turn, rows=rows: rows[row][figure][turn])  # type: ignore[misc]
            for turn in range(rounds)
        )
        bound = f">= {claim.at_least:g}" if claim.at_least is not None else f"<= {claim.at_most:g}"
        verdict = "holds" if claim.holds(value) else "FAILS"
        yield f"  ({claim.scenario}) {verdict}  {claim.text}: {_short(value)} ({bound})"
