"""Runs the benchmarks: ``python -m benchmarks``. Every measurement is a process of its own; rounds are interleaved."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

from .report import Results, claims, tables
from .scenarios import SCENARIOS, Settings
from .server import running
from .target import Target


def main() -> None:
    options = _parser().parse_args()
    names = [name.strip() for name in options.only.split(",")] if options.only else list(SCENARIOS)
    if unknown := set(names) - set(SCENARIOS):
        sys.exit(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    began = time.perf_counter()
    with running() as url:
        if options.plots:
            from .plots import draw  # noqa: PLC0415  # matplotlib is needed for this alone

            draw(url, quick=options.quick)
            return
        settings = Settings(url=url, target=Target.of(url), quick=options.quick)
        results = _measure(settings, names, options.rounds or (1 if options.quick else 5))
    judged = ["\n--quick measures too little to judge the claims by"] if options.quick else claims(results)
    print(*tables(results), *judged, sep="\n")
    print(f"\n{_machine()}; {time.perf_counter() - began:.0f} s")
    if options.json:
        options.json.write_text(json.dumps({"machine": _machine(), "results": results}, indent=1))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure aidp_sessions beside its peers.")
    parser.add_argument("--quick", action="store_true", help="one short round, for a first impression")
    parser.add_argument("--only", metavar="a,c,…", help=f"scenarios, of {', '.join(SCENARIOS)}")
    parser.add_argument("--rounds", type=int, help="how often each is measured (default: 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single figure to FILE")
    parser.add_argument("--plots", action="store_true", help="draw the curves into benchmarks/*.svg instead")
    return parser


def _measure(settings: Settings, names: list[str], rounds: int) -> Results:
    results: Results = {}
    tables_of_rows = {name: list(SCENARIOS[name](settings)) for name in names}
    for number in range(rounds):
        for scenario, rows in tables_of_rows.items():
            for row, measure in rows:
                print(f"\rround {number + 1} of {rounds}: ({scenario}) {row:<40}", end="", file=sys.stderr, flush=True)
                for figure, value in measure().items():
                    results.setdefault(scenario, {}).setdefault(row, {}).setdefault(figure, []).append(value)
    print("\r" + " " * 70 + "\r", end="", file=sys.stderr)
    return results


def _machine() -> str:
    return f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores"


if __name__ == "__main__":
    main()
