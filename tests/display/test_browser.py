"""The report page in a browser: it sorts, draws what the numbers say, and sends no request."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from aidp_sessions import KernelSummary, NotFoundError, SessionSummary
from aidp_sessions._display.page import page

from .test_html import HOSTILE

if TYPE_CHECKING:
    from pathlib import Path

    from ..helpers.browser import Browser

NOW: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
AGES: Final = {"a10": 5, "a9": 90, "b": 1000, "c": 100, "d": 101}
"""Minutes idle, by path; two more sessions are busy and have no idle time."""
PAPER: Final = {"light": (0xFD, 0xFC, 0xFA), "dark": (0x16, 0x18, 0x1C)}
BAR: Final = {"light": (0xC2, 0x74, 0x0C), "dark": (0xE3, 0x9A, 0x3B)}
BARS: Final = """[...document.querySelectorAll("section table.bars")[0].tBodies[0].rows].map(row => {
    const box = row.querySelector("svg").getBoundingClientRect();
    return [box.x, box.y + box.height / 2, box.width]; })"""
# Each element with text of its own: its colour, and the first background behind it that is not transparent.
INKS: Final = """[...document.querySelectorAll("body *")].filter(
    e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) && e.tagName !== "SCRIPT").map(e => {
    let behind = e;
    while (behind && getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
    return [getComputedStyle(e).color, getComputedStyle(behind).backgroundColor]; })"""


pytestmark = pytest.mark.asyncio(loop_scope="module")


def session(path: str, minutes: float | None, workspace: str = "analytics") -> SessionSummary:
    last = None if minutes is None else NOW - timedelta(minutes=minutes)
    kernel = KernelSummary(name="python3", execution_state="busy" if last is None else "idle", last_activity=last)
    return SessionSummary(path=path, kernel=kernel, workspace_key=workspace)


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """Three sessions idle for one to two hours, and one each for under ten minutes and for half a day."""
    found = [session(path, minutes) for path, minutes in AGES.items()]
    found += [session("y", None), session("x", None)]
    gone = NotFoundError("gone")
    gone.workspace_key = "legacy"
    return written(tmp_path, page(found, [gone], title="Kernels", taken=NOW))


def written(folder: Path, text: str) -> Path:
    path = folder / "report.html"
    path.write_text(text, encoding="utf-8")
    return path


async def order(browser: Browser) -> tuple[str, dict[str, str]]:
    """Return the first cells of the sessions from the top, and the header that is marked as sorted."""
    cells = await browser.value("[...document.querySelectorAll('.sessions tbody th')].map(e => e.textContent)")
    heads = await browser.value(
        "[...document.querySelectorAll('[aria-sort]')].map(e => [e.textContent, e.getAttribute('aria-sort')])"
    )
    return " ".join(cells), dict(heads)


def head(column: int) -> str:
    return f".sessions thead th:nth-child({column}) button"


async def test_a_header_sorts_by_mouse_and_by_keyboard(browser: Browser, report: Path) -> None:
    """Idle times by length, names with their numbers in numeric order, and rows without a value last."""
    await browser.show(report)
    assert await order(browser) == ("b d c a9 a10 x y", {"Idle for": "descending"})

    await browser.click(head(5))
    assert await order(browser) == ("a10 a9 c d b x y", {"Idle for": "ascending"})
    await browser.click(head(5))
    assert await order(browser) == ("b d c a9 a10 x y", {"Idle for": "descending"})
    await browser.click(head(1))
    assert await order(browser) == ("a9 a10 b c d x y", {"Session": "ascending"})
    await browser.press("Enter", "\r")
    assert await order(browser) == ("y x d c b a10 a9", {"Session": "descending"})

    for _ in range(4):
        await browser.press("Tab")
    await browser.press("Enter", "\r")
    assert await order(browser) == ("b d c a9 a10 y x", {"Idle for": "descending"})
    assert browser.complaints == []


async def test_a_hostile_name_runs_no_script_and_sends_no_request(browser: Browser, tmp_path: Path) -> None:
    failures = [NotFoundError(text) for text in HOSTILE]
    found = [session(text, 5, text) for text in HOSTILE]
    path = written(
        tmp_path, page(found, failures, title="".join(HOSTILE), taken=NOW, workspaces=dict.fromkeys(HOSTILE, ""))
    )

    await browser.show(path)
    await browser.click(head(2))

    assert (browser.requests, browser.complaints) == ([path.as_uri()], [])
    assert await browser.value("document.querySelectorAll('.sessions tbody tr').length") == len(HOSTILE)
    assert await browser.value("document.title") != "broken"


async def test_the_content_security_policy_stops_markup_that_was_not_escaped(browser: Browser, tmp_path: Path) -> None:
    """Markup that the test adds to the page neither runs nor loads, and the console says so."""
    smuggled = """<script>document.title = "broken"</script><p id="p" onclick="document.title = 'broken'">x</p>
        <img src="http://127.0.0.1:9/"><link rel="stylesheet" href="http://127.0.0.1:9/"><style>p { color: red }</style>
        <iframe src="http://127.0.0.1:9/"></iframe>"""
    text = page([], [], title="Kernels", taken=NOW).replace("<main>", "<main>" + smuggled)

    await browser.show(written(tmp_path, text))
    await browser.click("#p")

    assert await browser.value("document.title") == "Kernels"
    assert [text for text in browser.complaints if "Content Security Policy" not in text] == []
    assert len(browser.complaints) == 6
    assert await browser.value("getComputedStyle(document.getElementById('p')).color") != "rgb(255, 0, 0)"
    assert await browser.value("performance.getEntriesByType('resource').filter(e => e.responseStatus).length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_picture_shows_the_numbers(browser: Browser, report: Path, scheme: str) -> None:
    """Each bar begins and ends at its share of the largest one, in the colours of the scheme."""
    await browser.show(report, scheme=scheme)

    picture = await browser.picture()
    bars = await browser.value(BARS)

    assert picture.size == (1280, 1000)
    assert picture.getpixel((2, 2)) == PAPER[scheme]
    for number, (left, middle, width) in zip([1, 0, 0, 3, 0, 0, 1, 0, 0, 0], bars, strict=True):
        end = left + width * number / 3
        row = [picture.getpixel((round(x), int(middle))) for x in (left + 2, end - 2, end + 2, left + width - 2)]
        drawn = [number > 0, number > 0, False, number == 3]
        assert row == [BAR[scheme] if here else PAPER[scheme] for here in drawn]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_has_enough_contrast(browser: Browser, report: Path, scheme: str) -> None:
    """At least 4.5 to 1, which WCAG requires for level AA."""
    await browser.show(report, scheme=scheme, fragment="#state=idle&grouped=")

    inks = {(ink, behind) for ink, behind in await browser.value(INKS)}

    assert len(inks) >= 3
    assert [pair for pair in inks if contrast(*map(channels, pair)) < 4.5] == []


def channels(color: str) -> list[float]:
    return [int(part) / 255 for part in color.removeprefix("rgb(").removesuffix(")").split(", ")]


def contrast(one: list[float], other: list[float]) -> float:
    """WCAG 2.2's contrast ratio."""
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luminance(color: list[float]) -> float:
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("width", [390, 800, 1280])
async def test_no_screen_needs_scrolling_sideways(browser: Browser, tmp_path: Path, width: int) -> None:
    """Also with long names that cannot be wrapped."""
    long = "n" * 300
    failures = [NotFoundError(long)]
    failures[0].workspace_key = long
    path = written(tmp_path, page([session(long, 5, long)], failures, title=long, taken=NOW))

    await browser.show(path, width=width)

    assert await browser.value("document.documentElement.scrollWidth") == width


async def test_on_paper_every_workspace_is_shown(browser: Browser, tmp_path: Path) -> None:
    """A table that scrolls on a screen is printed in full."""
    path = written(
        tmp_path, page([], [], title="Kernels", taken=NOW, workspaces=dict.fromkeys(map(str, range(100)), ""))
    )
    hidden = "(e => e.scrollHeight - e.clientHeight)(document.querySelector('.scroll'))"

    await browser.show(path)
    assert await browser.value(hidden) > 0
    await browser.call("Emulation.setEmulatedMedia", media="print")
    assert await browser.value(hidden) == 0


async def test_the_browser_reports_output_violations_and_requests(browser: Browser, tmp_path: Path) -> None:
    """A page that prints to its console, breaks its policy and loads a file is noticed for each of the three."""
    path = written(tmp_path, "<script>console.log('x'); missing()</script><img src='missing.png'>")

    await browser.show(path)

    assert browser.requests == [path.as_uri(), path.with_name("missing.png").as_uri()]
    complaints: list[Any] = [text for text in browser.complaints if "x" in text or "Uncaught" in text or "ERR" in text]
    assert len(complaints) == 3
