"""Every example of the README runs as it stands, against a local service, without a warning."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import aidp_sessions

from .command import forget_settings, point_to, start, wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aidp_sessions.testing import LocalService

README = Path(__file__).parents[1] / "README.md"
STRICT = (sys.executable, "-X", "dev", "-W", "error")
PATIENCE_S = 60.0
ASK_THE_SERVER = """
import asyncio
from aiohttp.test_utils import TestClient, TestServer
from test_example import app

async def main():
    async with TestClient(TestServer(app)) as client:
        for resource in app.router.resources():
            async with client.get(resource.canonical) as answer:
                assert answer.status == 200, await answer.text()
                assert await answer.json()

asyncio.run(main())
"""
_BLOCK = re.compile(r"(?P<fragment><!-- not run -->\s*)?^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> Iterator[object]:
    """Yield the blocks that are whole programs, each named by its line in the README."""
    text = README.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        if not found["fragment"]:
            yield pytest.param(found["code"], id=f"line-{text.count(chr(10), 0, found.start('code')) + 1}")


def demo_commands() -> list[str]:
    """Find the command lines that need no account."""
    return sorted(set(re.findall(r"aidp-sessions [^|`\n]*--demo[^|`\n]*", README.read_text(encoding="utf-8"))))


@pytest.fixture
def platform(service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LocalService:
    """A platform as the README imagines its reader's, and an environment that points to it."""
    forget_settings(monkeypatch, tmp_path)
    point_to(service, monkeypatch, tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(aidp_sessions.__file__).parents[1]))
    service.add_workspace("analytics", [wire("forecast"), wire("training", execution_state="busy")])
    service.add_workspace("finance", [wire("closing")])
    return service


@pytest.mark.parametrize("code", list(blocks()))
async def test_the_example_runs_without_a_warning(platform: LocalService, code: str, tmp_path: Path) -> None:
    (tmp_path / "test_example.py").write_text(code, encoding="utf-8")

    process = await asyncio.create_subprocess_exec(
        *(*STRICT, *runner(code)),
        cwd=tmp_path,
        env=dict(os.environ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    assert process.returncode == 0, output.decode()
    assert "Warning" not in output.decode()


def runner(code: str) -> tuple[str, ...]:
    """Say how a reader would run *code*: as tests, as a server that is asked once, or as a script."""
    if re.search(r"^(async )?def test_", code, re.MULTILINE):
        return ("-m", "pytest", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "test_example.py")
    return ("-c", ASK_THE_SERVER) if "web.run_app(" in code else ("test_example.py",)


@pytest.mark.parametrize("line", demo_commands())
async def test_the_command_line_runs(platform: LocalService, line: str) -> None:
    process = await start(*shlex.split(line)[1:])
    stdout, stderr = await process.communicate()

    assert (process.returncode, len(stderr.splitlines())) in ((0, 0), (1, 1)), stderr.decode()
    assert stdout


def test_the_readme_has_examples_to_run() -> None:
    assert list(blocks())
    assert demo_commands()
