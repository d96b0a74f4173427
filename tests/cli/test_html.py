"""``--html FILE``: the report page in addition to the output, or an error before any request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aidp_sessions._version import __version__
from aidp_sessions.testing import Fault, LocalService

from ..helpers.cli_runner import (
    forget_settings,
    invoke,
    lines,
    point_to,
    wire,
)
from ..helpers.html_reader import Document

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def platform(service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LocalService:
    forget_settings(monkeypatch, tmp_path)
    point_to(service, monkeypatch, tmp_path)
    service.add_workspace("analytics", [wire("idler"), wire("worker", execution_state="busy")])
    return service


@pytest.mark.parametrize(
    ("arguments", "title", "shown"),
    [
        (["list"], "Notebook sessions", {"idler", "worker"}),
        (["idle", "--since", "1h"], "Idle notebook sessions", {"idler"}),
        (["busy"], "Busy notebook sessions", {"worker"}),
    ],
)
async def test_the_page_holds_the_sessions_that_are_printed(
    platform: LocalService, tmp_path: Path, arguments: list[str], title: str, shown: set[str]
) -> None:
    file = tmp_path / "report.html"

    result = await invoke(*arguments, "--html", str(file))

    page = file.read_text(encoding="utf-8")
    assert (result.exit_code, result.stderr) == (0, "")
    assert {line["id"] for line in lines(result.stdout)} == shown
    assert {name for name in ("idler", "worker") if f"Workspace/{name}.ipynb" in page} == shown
    assert f"<title>{title}</title>" in page


async def test_a_workspace_that_failed_is_on_the_page(platform: LocalService, tmp_path: Path) -> None:
    platform.add_workspace("forbidden")
    platform.fail("forbidden", Fault(status=403, times=None))
    file = tmp_path / "report.html"

    result = await invoke("list", "--html", str(file))

    assert result.exit_code == 1
    assert "list_sessions of workspace &#x27;forbidden&#x27;: 403" in file.read_text(encoding="utf-8")


async def test_the_page_says_what_was_asked_where_and_by_whom(platform: LocalService, tmp_path: Path) -> None:
    """And its figures are those of everything that was listed, not of the selection."""
    file = tmp_path / "report.html"
    platform.add_workspace("forbidden")
    platform.fail("forbidden", Fault(status=403, times=None))

    await invoke("idle", "--since", "1h30m", "--not-connected", "--path", "Workspace/worker.ipynb", "--html", str(file))

    document = Document(file.read_text(encoding="utf-8"))
    facts = dict(zip(document.texts["dt"], document.texts["dd"], strict=True))
    assert facts.pop("Asked by").startswith("user ocid1.user.")
    assert facts == {
        "Selected": "idle for 1 h 30 min or longer, not connected, of notebook Workspace/worker.ipynb",
        "Asked": "2 workspaces, 1 failed",
        "Platform": platform.platform_id,
        "Endpoint": platform.url,
        "Made by": f"aidp_sessions {__version__}",
        "Shown": "0",
        "Sessions": "1",
        "Kernels": "1",
        "Idle": "0",
        "Busy": "1",
        "Other": "0",
        "Workspaces failed": "1",
    }


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_a_run_without_any_answer_keeps_the_old_page(platform: LocalService, tmp_path: Path) -> None:
    platform.fail(None, Fault(status=403, times=None))
    file = tmp_path / "report.html"
    file.write_text("old")
    before = names(tmp_path)

    result = await invoke("list", "--html", str(file))

    assert result.exit_code == 4
    assert file.read_text() == "old"
    assert names(tmp_path) == before


@pytest.mark.parametrize("path", ["absent/report.html", "."])
async def test_a_file_that_cannot_be_written_is_wrong_usage_before_any_request(
    platform: LocalService, tmp_path: Path, path: str
) -> None:
    result = await invoke("list", "--html", str(tmp_path / path))

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1].startswith("Error: Invalid value for '--html': ")
    assert str(tmp_path) in result.stderr
    assert platform.request_count == 0
