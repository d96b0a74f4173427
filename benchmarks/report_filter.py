"""Times the filter of the report in a browser: ``python -m benchmarks.report_filter``; needs Chromium.

Each figure is what the page's own clock measures from a keystroke until the new rows are laid out.
"""

from __future__ import annotations

import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from random import Random
from typing import Final
from uuid import UUID

from aidp_sessions import KernelSummary, SessionSummary
from aidp_sessions._display.page import page

SESSIONS: Final = 10_000
ROUNDS: Final = 10
NOW: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
CHROMIUM: Final = ("chromium", "chromium-browser", "google-chrome")
OPTIONS: Final = ("--headless", "--no-sandbox", "--disable-gpu", "--window-size=1280,1000", "--dump-dom")
# What a reader does, as functions of the page; each is measured with the layout that follows.
STEPS: Final = {
    "one letter": "type('a')",
    "a word": "type('churn_12')",
    "two words": "type('idle workspace-7')",
    "an id": "type('0000-4000-8')",
    "no match": "type('zzz')",
    "cleared": "type('')",
    "a chip": "press('.chips button')",
    "the chip again": "press('.chips button')",
    "grouped by cluster": "press('#grouped')",
    "not grouped": "press('#grouped')",
    "sorted by name": "press('.sessions th button')",
}
SCRIPT: Final = """
const type = text => { q.value = text; q.dispatchEvent(new Event("input")) };
const press = selector => document.querySelector(selector).click();
const measured = {};
for (let round = 0; round < %d; round++) for (const [name, step] of Object.entries({%s})) {
  const began = performance.now();
  step();
  document.body.offsetHeight;
  (measured[name] ??= []).push(performance.now() - began);
}
document.body.replaceChildren(JSON.stringify(measured));
"""


def sessions(random: Random) -> list[SessionSummary]:
    """Make sessions of a hundred workspaces and five hundred clusters."""
    found: list[SessionSummary] = []
    for number in range(SESSIONS):
        kernel = KernelSummary(
            id=str(UUID(int=random.getrandbits(128), version=4)),
            name="notebook",
            execution_state=random.choice(("idle", "idle", "idle", "busy", "starting", "dead")),
            last_activity=NOW - timedelta(minutes=random.uniform(0, 50_000)),
            connections=random.randrange(3),
        )
        found.append(
            SessionSummary(
                id=str(UUID(int=random.getrandbits(128), version=4)),
                path=f"Workspace/experiments/churn_{number}.ipynb",
                cluster_id=str(UUID(int=number % 500, version=4)),
                workspace_key=f"workspace-{number % 100}",
                kernel=kernel,
            )
        )
    return found


def measure(text: str, folder: Path) -> dict[str, list[float]]:
    """Open the page *text* in a browser that runs `SCRIPT` in it, which its policy would otherwise not allow."""
    steps = ", ".join(f"{json.dumps(name)}: () => {step}" for name, step in STEPS.items())
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    path = folder / "report.html"
    path.write_text(text.replace("</body>", f"<script>{SCRIPT % (ROUNDS, steps)}</script></body>"), encoding="utf-8")
    browser = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if browser is None:
        sys.exit(f"no Chromium on PATH; its names are {', '.join(CHROMIUM)}")
    command = [browser, *OPTIONS, f"--user-data-dir={folder / 'profile'}", path.as_uri()]
    dumped = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True).stdout  # noqa: S603  # our own page
    found = re.search(r"<body>(\{.*\})\s*</body>", dumped)
    if found is None:
        sys.exit("the page has not finished")
    measured: dict[str, list[float]] = json.loads(unescape(found[1]))
    return measured


def main() -> None:
    text = page(sessions(Random(1)), [], title="Sessions", taken=NOW, clusters={})  # noqa: S311  # reproducible on purpose
    print(f"{SESSIONS:,} sessions, a page of {len(text.encode()) / 1e6:.1f} MB; {ROUNDS} rounds, in milliseconds\n")
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(text, Path(folder))
    print(f"{'':20} {'median':>7} {'longest':>8}")
    for name, times in measured.items():
        print(f"{name:20} {statistics.median(times):7.1f} {max(times):8.1f}")


if __name__ == "__main__":
    main()
