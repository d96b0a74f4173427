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
from aidp_sessions.cli.cluster_listing import clusters_by_workspace
from aidp_sessions.cli.report import Report, source_facts
from aidp_sessions.testing import Fault, LocalService, populate_demo
from aidp_sessions.testing.demo import demo_key

from .browser import start_browser

TAKEN: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)


async def report() -> str:
    found = Report(now=TAKEN)
    async with LocalService() as service:
        populate_demo(service, now=TAKEN)
        service.fail(demo_key("Legacy migration"), Fault(status=404))
        async with service.client() as client:
            found.workspaces = {workspace.key: workspace async for workspace in client.workspaces()}
            async for outcome in client.sessions().by_workspace():
                found.kept += found.record(outcome, lambda _: True)
            async for workspace, clusters in clusters_by_workspace(client, found.seen):
                found.record_clusters(workspace, clusters)
            found.source = source_facts(client) | {"Endpoint": "https://aidp.us-ashburn-1.oci.oraclecloud.com"}
    return page(
        found.kept,
        found.failures,
        title="Notebook sessions",
        taken=TAKEN,
        workspaces=found.names,
        owners=found.owners,
        clusters=found.clusters,
        facts=found.facts(),
    )


async def take_screenshot(path: Path, profile: Path) -> Image.Image:
    async with start_browser(profile) as browser:
        await browser.show(path, width=1200, height=2060)
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
