"""A headless Chromium, controlled by its DevTools protocol; needs no driver and no network."""

from __future__ import annotations

import asyncio
import base64
import io
import itertools
import os
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

REQUIRED: Final = "REQUIRE_CHROMIUM"
"""If this variable is set, a missing Chromium is a failure and not a reason to skip."""

_PATIENCE_S = 60.0
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update"),
    *("--disable-background-networking", "--disable-sync", "--hide-scrollbars", "--remote-debugging-port=0"),
)


class Browser:
    """One tab.

    Attributes:
        requests: the URLs of all requests, also of failed ones.
        complaints: the lines of the console: errors, violated policies, and output of scripts.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._socket = socket
        self._ids = itertools.count(1)
        self._tab: dict[str, str] = {}

    async def open_tab(self) -> None:
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._tab = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")

    async def call(self, method: str, **params: object) -> dict[str, Any]:
        """Call one method of the protocol; return its result."""
        number = next(self._ids)
        await self._socket.send_json({"id": number, "method": method, "params": params, **self._tab})
        message = await self._until(lambda message: message.get("id") == number)
        assert "error" not in message, message
        result: dict[str, Any] = message["result"]
        return result

    async def show(
        self, page: Path, *, width: int = 1280, height: int = 1000, scheme: str = "light", fragment: str = ""
    ) -> None:
        """Load *page* from disk, with *fragment* behind its URL, and wait until it is complete."""
        url = page.as_uri() + fragment
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.call("Emulation.setDeviceMetricsOverride", **metrics)
        scheme_wanted = {"name": "prefers-color-scheme", "value": scheme}
        await self.call("Emulation.setEmulatedMedia", media="", features=[scheme_wanted])
        self.complaints.clear()
        await self.call("Page.navigate", url="about:blank")  # otherwise another fragment would not load the page again
        self.requests.clear()
        await self.call("Page.navigate", url=url)
        while await self.value("document.readyState") != "complete" or await self.value("location.href") != url:
            await asyncio.sleep(0.01)

    async def value(self, expression: str) -> Any:
        """Evaluate *expression* in the page; return its value as JSON has it."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def click(self, selector: str) -> None:
        """Move the mouse to the middle of an element and press its button."""
        await self.value(f"{_find(selector)}.scrollIntoView({{ block: 'center' }})")
        box = await self.value(f"{_find(selector)}.getBoundingClientRect().toJSON()")
        middle = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        for event in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=event, button="left", clickCount=1, **middle)

    async def press(self, key: str, text: str = "") -> None:
        code = {"Tab": 9, "Enter": 13, "Escape": 27, "/": 191}[key]
        for event in ("keyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=event, key=key, text=text, windowsVirtualKeyCode=code)

    async def type(self, text: str) -> None:
        """Insert *text* into the element that has the focus."""
        await self.call("Input.insertText", text=text)

    async def picture(self) -> Image.Image:
        """Take a picture of what the window shows."""
        answer = await self.call("Page.captureScreenshot", format="png")
        return Image.open(io.BytesIO(base64.b64decode(answer["data"]))).convert("RGB")

    async def _until(self, wanted: Any) -> dict[str, Any]:
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                message: dict[str, Any] = await self._socket.receive_json()
                if wanted(message):
                    return message
                self._note(message)

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(params["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.complaints.append(params["exceptionDetails"]["text"])
            case "Runtime.consoleAPICalled":
                self.complaints.append(str(params["args"]))


def _find(selector: str) -> str:
    return f"document.querySelector({selector!r})"


def chromium() -> str:
    """Find Chromium, or skip the test; fail it where `REQUIRED` is set."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None and os.environ.get(REQUIRED):
        pytest.fail(f"no Chromium on PATH, and {REQUIRED} is set")
    return path or pytest.skip("no Chromium on PATH; on Debian: apt-get install chromium")


@asynccontextmanager
async def start_browser(folder: Path) -> AsyncIterator[Browser]:
    """Run a Chromium that keeps its files in *folder*, which must be empty; it ends with the block."""
    process = await asyncio.create_subprocess_exec(
        *(chromium(), *_OPTIONS, f"--user-data-dir={folder}"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_PATIENCE_S):
            address = await _address(process, folder / "DevToolsActivePort")
        async with aiohttp.ClientSession() as http, http.ws_connect(address, max_msg_size=0) as socket:
            browser = Browser(socket)
            await browser.open_tab()
            yield browser
            browser._tab = {}
            await browser.call("Browser.close")
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _address(process: asyncio.subprocess.Process, announcement: Path) -> str:
    """Wait for the file in which Chromium says where it listens."""
    while process.returncode is None:
        lines = announcement.read_text().splitlines() if announcement.exists() else []  # noqa: ASYNC240  # a few bytes
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        await asyncio.sleep(0.02)
    raise RuntimeError(f"Chromium ended with code {process.returncode} before it listened")
