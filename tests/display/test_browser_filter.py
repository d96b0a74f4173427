"""What a reader does with the report in a browser: filter, choose, group, sort, send a link, download, print."""

from __future__ import annotations

import asyncio
import csv
import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import attrs
import pytest

from aidp_sessions import ClusterSummary, KernelSummary, SessionSummary
from aidp_sessions._convert.records import to_record
from aidp_sessions._display.page import page
from aidp_sessions.cli.formats import SESSION_COLUMNS, csv_text

if TYPE_CHECKING:
    from pathlib import Path

    from aidp_sessions._display.rollup import Cluster

    from ..helpers.browser import Browser

NOW: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
CLUSTERS: Final[dict[Cluster, ClusterSummary]] = {
    ("w1", "c1"): ClusterSummary(key="c1", display_name="Nightly"),
    ("w2", "c2"): ClusterSummary(key="c2"),
}
COUNT: Final = "document.querySelector('output').textContent"
PATHS: Final = "[...document.querySelectorAll('.sessions tbody tr:not(.group) th')].map(e => e.firstChild.textContent)"
CHIPS: Final = """[...document.querySelectorAll('.chips button:not([hidden])')].map(
    e => [e.firstChild.textContent, e.querySelector('small').textContent, e.ariaPressed === 'true'])"""
FOCUS: Final = "document.activeElement.id"
GROUPS: Final = "[...document.querySelectorAll('.sessions .group')].map(e => e.textContent)"
FORMULAS: Final = ("=1+1", "\t-2", " \u3000+3", "@x", "\uff1d4", "\uff20y", "a=b", 'a,"b"', "-", "5")

pytestmark = pytest.mark.asyncio(loop_scope="module")


def session(
    path: str,
    hours: float,
    workspace: str,
    cluster: str | None = None,
    state: str = "idle",
    *,
    kernel: str | None = None,
) -> SessionSummary:
    summary = KernelSummary(
        id=kernel or f"k-{path}",
        name="python3",
        execution_state=state,
        last_activity=NOW - timedelta(hours=hours),
        connections=0,
    )
    return SessionSummary(
        id=f"s-{path}",
        path=path,
        workspace_key=workspace,
        workspace_name={"w1": "Churn", "w2": "Fraud"}[workspace],
        cluster_id=cluster,
        kernel=summary,
    )


FOUND: Final = (
    session("alpha", 9, "w1", "c1"),
    session("beta", 8, "w1"),
    session("gamma", 7, "w2", "c2"),
    session("delta", 0, "w1", "c1", "busy"),
    session("epsilon", 0, "w2", "c2", "dead"),
)


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return written(tmp_path, *FOUND, session("zeta", 7, "w2", "c2", kernel="k-gamma"))


def written(folder: Path, *sessions: SessionSummary) -> Path:
    path = folder / "report.html"
    path.write_text(
        page(sessions, [], title="Kernels", taken=NOW, owners={"w1": "Ada"}, clusters=CLUSTERS), encoding="utf-8"
    )
    return path


async def fragment(browser: Browser) -> str:
    """The fragment of the URL, once it has been written."""
    await asyncio.sleep(0.25)
    return str(await browser.value("location.hash"))


def chip(group: str, number: int) -> str:
    return f".chips[aria-label={group}] button:nth-of-type({number})"


async def test_text_in_any_column_filters_the_rows(browser: Browser, report: Path) -> None:
    """Every word must be there; a kernel that sessions share counts with all of them."""
    await browser.show(report)
    assert await browser.value(COUNT) == "6 sessions"

    await browser.click("#q")
    await browser.type("IDLE fraud")
    assert (await browser.value(PATHS), await browser.value(COUNT)) == (["gamma"], "2 of 6 sessions")
    assert await fragment(browser) == "#q=IDLE+fraud"
    await browser.type(" k-gamma s-zeta")
    assert await browser.value(PATHS) == ["gamma"]
    await browser.type(" share")
    assert await browser.value(PATHS) == ["gamma"]
    await browser.type(" nothing")
    assert (await browser.value(PATHS), await browser.value(COUNT)) == ([], "0 of 6 sessions")
    assert browser.complaints == []


async def test_a_slash_focuses_the_filter_and_escape_clears_everything(browser: Browser, report: Path) -> None:
    await browser.show(report)
    await browser.click(chip("State", 2))

    await browser.press("/", "/")
    assert await browser.value(FOCUS) == "q"
    await browser.type("a")
    await browser.press("/", "/")
    assert await browser.value("document.querySelector('#q').value") == "a/"
    await browser.press("Escape")

    assert (await browser.value(COUNT), await fragment(browser)) == ("6 sessions", "")
    assert [pressed for _, _, pressed in await browser.value(CHIPS)] == [False] * 5


async def test_chips_of_one_kind_add_and_of_two_kinds_narrow(browser: Browser, report: Path) -> None:
    await browser.show(report)
    assert await browser.value(CHIPS) == [
        ["idle", "4", False],
        ["busy", "1", False],
        ["dead", "1", False],
        ["Churn", "3", False],
        ["Fraud", "3", False],
    ]

    await browser.click(chip("State", 2))
    assert await browser.value(PATHS) == ["delta"]
    await browser.click(chip("State", 3))
    assert sorted(await browser.value(PATHS)) == ["delta", "epsilon"]
    await browser.click(chip("Workspace", 2))
    assert await browser.value(PATHS) == ["epsilon"]
    assert await fragment(browser) == "#state=busy&state=dead&workspace=Fraud"
    await browser.press("Enter", "\r")  # the chip has the focus
    assert sorted(await browser.value(PATHS)) == ["delta", "epsilon"]


async def test_a_workspace_and_a_cluster_are_links_to_their_sessions(browser: Browser, report: Path) -> None:
    """The link sets the chips. A cluster has one as long as it is chosen; then the filter gets the focus."""
    await browser.show(report)

    await browser.click(".workspaces tbody tr:nth-child(1) a")
    assert await fragment(browser) == "#workspace=Churn"
    assert await browser.value(PATHS) == ["alpha", "beta", "delta"]
    await browser.click(".clusters tbody tr:nth-child(2) a")
    assert await fragment(browser) == "#workspace=Churn&cluster=Nightly"
    assert await browser.value(PATHS) == ["alpha", "delta"]
    await browser.click(chip("Cluster", 1))
    assert (await browser.value(PATHS), await browser.value(FOCUS)) == (["alpha", "beta", "delta"], "q")
    assert browser.complaints == []


async def test_the_fragment_restores_the_view(browser: Browser, report: Path) -> None:
    """A value that is not in the report, and a column that it does not have, do no harm."""
    await browser.show(report, fragment="#q=a&state=idle&workspace=Churn&sort=%2BSession&grouped=")
    view = [await browser.value(each) for each in (PATHS, GROUPS, COUNT, "document.querySelector('#q').value")]
    await browser.show(report, fragment="#state=no+such&sort=-Mood&cluster=%3Cb%3E")
    odd = [await browser.value(PATHS), [name for name, _, pressed in await browser.value(CHIPS) if pressed]]

    assert view == [
        ["alpha", "beta"],
        ["Nightly in Churn 1 session", "no cluster in Churn 1 session"],
        "2 of 6 sessions",
        "a",
    ]
    assert odd == [[], ["no such", "<b>"]]
    assert browser.complaints == []


async def test_rows_are_grouped_by_cluster_in_the_order_of_their_first(browser: Browser, report: Path) -> None:
    await browser.show(report)

    await browser.click("#grouped")

    assert await browser.value(GROUPS) == [
        "Nightly in Churn 2 sessions",
        "no cluster in Churn 1 session",
        "c2 in Fraud 3 sessions",
    ]
    assert await browser.value(PATHS) == ["alpha", "delta", "beta", "gamma", "epsilon"]
    await browser.click("#grouped")
    assert await browser.value(PATHS) == ["alpha", "beta", "gamma", "delta", "epsilon"]


async def test_times_are_shown_in_the_zone_of_the_reader(browser: Browser, report: Path) -> None:
    cell, head = (
        f"document.querySelector('.sessions {part}').textContent" for part in ("td:nth-of-type(5)", "th.n+th")
    )
    await browser.call("Emulation.setTimezoneOverride", timezoneId="Asia/Kolkata")
    try:
        await browser.show(report)
        assert (await browser.value(cell), await browser.value(head)) == ("2026-11-23 03:00", "Last activity (UTC)")
        taken = "document.querySelector('header p').textContent"
        assert await browser.value(taken) == "Taken 2026-11-23 12:00 UTC (2026-11-23 17:30 Asia/Calcutta)"

        await browser.click("#zone")
        assert (await browser.value(cell), await browser.value(head)) == ("2026-11-23 08:30", "Last activity (local)")
        assert await fragment(browser) == "#local="
    finally:
        await browser.call("Emulation.setTimezoneOverride", timezoneId="UTC")
    await browser.show(report, fragment="#local=")
    assert await browser.value(cell) == "2026-11-23 03:00"
    assert await browser.value("document.querySelector('#zone').hidden")


async def download(browser: Browser, folder: Path) -> list[list[str]]:
    """Press the button; return what the browser saved."""
    await browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    await browser.click("#csv")
    path = folder / "notebook-sessions-2026-11-23.csv"
    async with asyncio.timeout(20):
        while not path.exists():
            await asyncio.sleep(0.02)
    return list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))


async def test_what_is_shown_can_be_downloaded(browser: Browser, report: Path, tmp_path: Path) -> None:
    """Each session has a line; the policy of the page permits it, and nothing is sent."""
    await browser.show(report, fragment="#workspace=Fraud&sort=%2BState")

    assert await download(browser, tmp_path) == [
        [
            *("Session", "Workspace", "Cluster", "State", "Idle seconds", "Last activity (UTC)", "Connections"),
            *("Kernel", "Session id"),
        ],
        ["epsilon", "Fraud", "c2", "dead", "", "2026-11-23 12:00", "0", "k-epsilon", "s-epsilon"],
        ["gamma", "Fraud", "c2", "idle", "25200", "2026-11-23 05:00", "0", "k-gamma", "s-gamma"],
        ["zeta", "Fraud", "c2", "idle", "25200", "2026-11-23 05:00", "0", "k-gamma", "s-zeta"],
    ]
    assert [url for url in browser.requests if not url.startswith(("file:", "blob:"))] == []
    assert browser.complaints == []


async def test_the_download_guards_formulas_as_the_command_does(browser: Browser, tmp_path: Path) -> None:
    found = [attrs.evolve(FOUND[0], path=path) for path in FORMULAS]
    apart = [attrs.evolve(each, cluster_id=str(number)) for number, each in enumerate(found)]  # no kernel is shared
    await browser.show(written(tmp_path, *apart), fragment="#sort=%2BCluster")

    downloaded = await download(browser, tmp_path)

    expected = list(
        csv.DictReader(io.StringIO(csv_text(SESSION_COLUMNS, (to_record(session, NOW).values() for session in found))))
    )
    assert [line[0] for line in downloaded[1:]] == [line["path"].replace("\t", " ") for line in expected]


async def test_a_long_report_shows_the_first_rows_until_all_are_wanted(browser: Browser, tmp_path: Path) -> None:
    """The filter looks at all of them, and paper shows all of them."""
    path = written(tmp_path, *(session(f"n{number}", 1000 - number, "w1") for number in range(700)))
    rows, more = "document.querySelectorAll('.sessions tbody tr').length", "document.querySelector('#more')"

    await browser.show(path)
    assert (await browser.value(rows), await browser.value(f"{more}.textContent")) == (100, "Show all 700 rows")
    await browser.click("#more")
    assert (await browser.value(rows), await browser.value(f"{more}.hidden")) == (700, True)

    await browser.show(path, fragment="#q=n699")
    assert await browser.value(PATHS) == ["n699"]

    await browser.show(path)
    await browser.value("dispatchEvent(new Event('beforeprint'))")
    assert await browser.value(rows) == 700
    await browser.value("dispatchEvent(new Event('afterprint'))")
    assert await browser.value(rows) == 100


async def test_without_scripts_all_rows_are_shown_and_nothing_that_needs_them(browser: Browser, report: Path) -> None:
    await browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        await browser.show(report)
        assert await browser.value("document.querySelectorAll('.sessions tbody tr').length") == 5
        assert await browser.value("[...document.querySelectorAll('form, button, input')].every(e => !e.offsetHeight)")
        assert await browser.value("document.querySelectorAll('a, .chips button').length") == 0
    finally:
        await browser.call("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("width", [390, 900])
async def test_chips_and_groups_fit_a_telephone(browser: Browser, tmp_path: Path, width: int) -> None:
    """Also with names that cannot be wrapped."""
    long = "n" * 300
    found = [*FOUND, attrs.evolve(FOUND[3], workspace_name=long, workspace_key=long, cluster_id=long, path=long)]

    await browser.show(written(tmp_path, *found), width=width, fragment=f"#grouped=&cluster={long}")

    assert await browser.value("document.documentElement.scrollWidth") == width
