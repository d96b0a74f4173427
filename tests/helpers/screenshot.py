"""Takes the picture of the README: the report of the demo platform with one failure, in a browser."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from PIL import Image

from aidp_sessions._display.page import page
from aidp_sessions.testing import Fault, LocalService, populate_demo

from .browser import start_browser

TAKEN: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)


async def report() -> str:
    async with LocalService() as service:
        populate_demo(service, now=TAKEN)
        service.fail("legacy-migration", Fault(status=404))
        async with service.client() as client:
            outcomes = [outcome async for outcome in client.sessions().by_workspace()]
    return page(
        [session for outcome in outcomes for session in outcome.sessions],
        [outcome.error for outcome in outcomes if outcome.error],
        title="Notebook sessions",
        taken=TAKEN,
        workspaces={outcome.workspace_key: outcome.workspace_name for outcome in outcomes},
    )


async def take_screenshot(path: Path, profile: Path) -> Image.Image:
    async with start_browser(profile) as browser:
        await browser.show(path, width=1200, height=1000)
        return await browser.picture()


def main(picture: str) -> None:
    """Write *picture* with few colours, so that the file is small."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "report.html")
        path.write_text(asyncio.run(report()), encoding="utf-8")
        drawn = asyncio.run(take_screenshot(path, Path(folder, "profile")))
    drawn.quantize(64, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(picture, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
