"""In a notebook results are awaited without ceremony and shown as tables; nothing is left open and no secret shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import aidp_sessions

from ..helpers.html_reader import Document, Table
from ..helpers.run_notebook import Shown, move_home, run_cells

if TYPE_CHECKING:
    import pytest

HEAD: Final = ["Session", "Workspace", "Kernel", "State", "Idle for", "Last activity (UTC)", "Connections"]
START: Final = """
import asyncio, gc, sys, warnings
from datetime import UTC, datetime, timedelta
from aidp_sessions import FanOutError, KernelSummary, SessionCollection, SessionsClient, SessionSummary
from aidp_sessions.testing import LocalService

warnings.simplefilter("always")
service = LocalService()
await service.start()
then = datetime.now(UTC) - timedelta(hours=2, minutes=30)
idle = KernelSummary(name="python3", execution_state="idle", last_activity=then, connections=1)
service.add_workspace("analytics", [
    SessionSummary(id="1", path="churn.ipynb", kernel=idle),
    SessionSummary(id="2", name="<b>bold</b>"),
])
service.add_workspace("empty")
config = service.write_config(".")
client = SessionsClient.from_config(service.platform_id, config_file=config, endpoint=service.url)
"""
COLLECT: Final = "SessionCollection(items=tuple(await client.sessions().idle_since(timedelta(hours=2)).collect()))"
OUTCOMES: Final = """
async for outcome in client.sessions(["analytics", "empty"], max_concurrency=1).by_workspace():
    display(outcome)
"""
FAILURE: Final = """
try:
    await client.sessions(["no-such-workspace", "analytics"]).collect()
except FanOutError as error:
    failed = error
failed
"""
END: Final = """
await client.aclose()
await service.aclose()
del client, service
gc.collect()
print(sum("aidp_sessions" in repr(task) for task in asyncio.all_tasks()), f"{then:%Y-%m-%d %H:%M}")
"""
CELLS: Final = {
    "start": START,
    "list": "await client.list_sessions('analytics')",
    "collect": COLLECT,
    "outcomes": OUTCOMES,
    "failure": FAILURE,
    "showing": "for thing in (client, client.signer, service, service.signer, failed, vars(failed.exceptions[0])):\n"
    "    display(thing)",
    "end": END,
}


def tables(shown: Shown) -> list[Table]:
    return [table for html in shown.html for table in Document(html).tables]


async def test_a_notebook_shows_whole_tables_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The service it asks runs on the notebook's own loop."""
    move_home(monkeypatch, tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(aidp_sessions.__file__).parents[1]))

    shown = dict(zip(CELLS, await run_cells(list(CELLS.values()), tmp_path), strict=True))

    left, _, moment = shown["end"].stdout.strip().partition(" ")
    idle = ["churn.ipynb", "analytics", "python3", "idle", "2 h 30 min", moment, "1"]
    warming = ["<b>bold</b>", "analytics", "", "no kernel", "", "", ""]
    failure = "list_sessions of workspace 'no-such-workspace': 404 NotAuthorizedOrNotFound: "
    assert tables(shown["list"]) == [Table("2 sessions, 1 idle", HEAD, [idle, warming])]
    assert tables(shown["collect"]) == [Table("1 session, 1 idle", HEAD, [idle])]
    assert tables(shown["outcomes"]) == [
        Table("analytics: 2 sessions, 1 idle", HEAD, [idle, warming]),
        Table("empty: 0 sessions, 0 idle", HEAD, []),
    ]
    (failed,) = tables(shown["failure"])
    assert (failed.caption, failed.head) == ("1 failure", ["Workspace", "Error", "What happened"])
    assert [row[:2] for row in failed.rows] == [["no-such-workspace", "NotFoundError"]]
    assert failed.rows[0][2].startswith(failure)

    assert left == "0"
    assert {name: cell.stderr for name, cell in shown.items()} == dict.fromkeys(CELLS, "")
    assert capfd.readouterr() == ("", "")
    everything = "".join(cell.everything for cell in shown.values())
    (key,) = [path.read_text() for path in tmp_path.glob("*.pem")]  # noqa: ASYNC240  # nothing else runs
    assert [line for line in key.splitlines() if line in everything] == []
    assert "Signature version" not in everything
