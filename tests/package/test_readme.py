"""Every example of the README and of the docstrings runs, against a local service, without a warning."""

from __future__ import annotations

import asyncio
import math
import os
import re
import shlex
import sys
import textwrap
from typing import TYPE_CHECKING

import matplotlib.font_manager
import pytest
import trustme
import yaml

from aidp_sessions.cli.commands import command
from aidp_sessions.testing import Fault, LocalService, RecordedRequest
from benchmarks import newcomer

from ..helpers.cli_runner import forget_settings, point_to, start, wire
from ..helpers.plugin import path_with_plugin
from ..helpers.readme import (
    ROOT,
    TEXT,
    Block,
    blocks,
    docstring_blocks,
)
from ..helpers.run_notebook import move_home, run_cells
from ..helpers.tunnel import Tunnel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

STRICT = ("-X", "dev", "-W", "error")
WITHOUT_DEBUG = ("-W", "error")  # for examples whose standard error is compared: asyncio would add slow callbacks
PATIENCE_S = 60.0
NOTEBOOK = "A notebook"
SCRIPT = "gave up:"
SCHEDULED = ("crontab", "yaml")
ABROAD = "ocid1.aidataplatform.oc1.fra.amaaaaaaanotherlocalservicefortests3xq5"
ASHBURN, FRANKFURT = (f"aidp.{region}.oci.oraclecloud.com" for region in ("us-ashburn-1", "eu-frankfurt-1"))
PRELUDE = """
import asyncio
import os
import ssl
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import aiohttp

from aidp_sessions import *
from aidp_sessions.testing import *

async def main() -> None:
"""
ASK_AIOHTTP = """
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
ASK_PROMETHEUS = """
import asyncio, os, re, socket, aiohttp
with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
os.environ["METRICS_PORT"] = str(port)
from test_example import main

async def scrape():
    async with aiohttp.request("GET", f"http://127.0.0.1:{port}/metrics") as answer:
        assert answer.status == 200
        return await answer.text()

async def ask():
    exporting = asyncio.create_task(main())
    idle = []
    while len(idle) < 2:
        assert not exporting.done()
        await asyncio.sleep(0.01)
        text = await scrape()
        idle = re.findall(r'^aidp_kernels_idle{.*workspace="(\\w+)".*} ([0-9.]+)$', text, re.MULTILINE)
    assert sorted(idle) == [("analytics", "1.0"), ("finance", "1.0")], text
    assert "http_client_request_duration_seconds_count" in text
    exporting.cancel()

asyncio.run(ask())
"""
ASK_UVICORN = """
import asyncio, aiohttp, uvicorn
from test_example import app

async def main():
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with aiohttp.request("GET", f"http://127.0.0.1:{port}/idle") as answer:
        assert answer.status == 200, await answer.text()
        assert await answer.json()
    server.should_exit = True
    await serving

asyncio.run(main())
"""


def programs(*, behind_proxy: bool = False) -> list[object]:
    """Find the blocks that need a proxy, or those that do not."""
    every = (*blocks(), *docstring_blocks())
    found = [block for block in every if block.language == "python" and not is_cell(block)]
    return [pytest.param(each, id=each.place) for each in found if needs_proxy(each.code) is behind_proxy]


def is_cell(block: Block) -> bool:
    """Whether *block* is for a notebook."""
    return block.heading == NOTEBOOK or "import pandas" in block.code


def program(code: str) -> str:
    """Complete a fragment that awaits outside a function and omits imports; a whole program stays as it is."""
    try:
        compile(code, "", "exec")
    except SyntaxError:
        return f"{PRELUDE}{textwrap.indent(code, '    ')}\nasyncio.run(main())\n"
    return code


def needs_proxy(code: str) -> bool:
    return "trust_env" in code or "HTTPS_PROXY" in code


def demo_commands() -> list[str]:
    """Find the command lines that need no account."""
    return sorted(set(re.findall(r"aidp-sessions [^|`\n]*--demo[^|`\n]*", TEXT)))


@pytest.fixture
def platform(service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LocalService:
    """A platform like that of the README's reader, and an environment that points to it."""
    forget_settings(monkeypatch, tmp_path)
    (tmp_path / ".oci").mkdir()
    point_to(service, monkeypatch, tmp_path / ".oci")
    monkeypatch.setenv("PYTHONPATH", path_with_plugin(tmp_path / "site"))
    monkeypatch.setenv("KEY_ID", "/".join(service.oci_config()[name] for name in ("tenancy", "user", "fingerprint")))
    service.add_workspace("analytics", [wire("forecast"), wire("training", execution_state="busy")])
    service.add_workspace("finance", [wire("closing", id="k1"), wire("closing-again", id="k1")])
    return service


@pytest.fixture
async def proxy(
    platform: LocalService, block: Block, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[LocalService]:
    """A second platform, in another region; both have their real host names, behind a proxy.

    Their certificate authority is private; the system trusts it unless the example names it.
    """
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "corporate-ca.pem"))
    if "corporate-ca.pem" not in block.code:
        monkeypatch.setenv("SSL_CERT_FILE", "corporate-ca.pem")
    async with LocalService(platform_id=ABROAD) as abroad:
        abroad.add_workspace("vertrieb", [wire("umsatz")])
        ports = {ASHBURN: platform.url, FRANKFURT: abroad.url}
        async with Tunnel(authority, {host: int(url.rpartition(":")[2]) for host, url in ports.items()}) as tunnel:
            for name in ("NO_PROXY", "no_proxy", "https_proxy", "AIDP_ENDPOINT"):
                monkeypatch.delenv(name, raising=False)
            monkeypatch.setenv("HTTPS_PROXY", tunnel.url)
            monkeypatch.setenv("PLATFORMS", f"{platform.platform_id} {ABROAD}")
            yield abroad


async def run(code: str, folder: Path, *, options: tuple[str, ...] = STRICT) -> tuple[int | None, str, str]:
    """Run *code* as tests, as a server that gets one request, or as a script."""
    name = "test_example.py"
    (folder / name).write_text(code, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *options, *runner(code, name)),
        cwd=folder,
        env=dict(os.environ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            stdout, stderr = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, stdout.decode(), stderr.decode()


def runner(code: str, name: str) -> tuple[str, ...]:
    if re.search(r"^(async )?def test_", code, re.MULTILINE):
        settings = ("asyncio_mode=auto", "asyncio_default_fixture_loop_scope=function")
        options = (f"--override-ini={setting}" for setting in settings)
        return ("-m", "pytest", "-p", "no:cacheprovider", *options, name)
    if "web.run_app(" in code:
        return ("-c", ASK_AIOHTTP)
    if "start_http_server(" in code:
        return ("-c", ASK_PROMETHEUS)
    if "FastAPI(" in code:
        return ("-c", ASK_UVICORN)
    return (name,)


@pytest.mark.parametrize("block", programs())
async def test_the_example_runs_without_a_warning(platform: LocalService, block: Block, tmp_path: Path) -> None:
    """It asks the service, unless it starts its own."""
    status, stdout, stderr = await run(program(block.code.replace("30 * 60", "0.01")), tmp_path)

    assert status == 0, stdout + stderr
    assert "Warning" not in stdout + stderr
    assert (platform.request_count > 0) is ("LocalService" not in block.code)


@pytest.mark.parametrize("block", programs(behind_proxy=True))
async def test_the_example_runs_without_a_warning_from_behind_a_proxy(
    proxy: LocalService, platform: LocalService, block: Block, tmp_path: Path
) -> None:
    """It uses the region of each platform."""
    status, stdout, stderr = await run(program(block.code), tmp_path)

    assert status == 0, stdout + stderr
    assert "Warning" not in stdout + stderr
    assert platform.request_count > 0
    assert (proxy.request_count > 0) is ("PLATFORMS" in block.code)


async def test_the_notebook_runs_on_a_real_kernel(
    platform: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its cells in order, without a warning; each shows a table, and that of the data frame a plot too."""
    monkeypatch.setenv("MPLCONFIGDIR", matplotlib.get_cachedir())  # building the cache of fonts anew would be noted
    move_home(monkeypatch, tmp_path)
    cells = [block.code for block in (*blocks(), *docstring_blocks()) if is_cell(block)]

    shown = await run_cells(cells, tmp_path)

    assert len(shown) > 2
    assert [cell.stderr for cell in shown] == [""] * len(shown)
    assert [len(cell.html) for cell in shown] == [1] * len(shown)
    assert ["image/png" in cell.everything for cell in shown] == ["import pandas" in cell for cell in cells]


async def test_the_application_tells_people_and_then_shuts_down_what_was_not_used(
    platform: LocalService, tmp_path: Path
) -> None:
    """The veto and the busy kernel count; a kernel that is used after the notice is kept."""
    (code,) = (block.code for block in blocks() if "client.cull(plan)" in block.code)
    platform.set_sessions("analytics", [wire(name, id=name) for name in ("forecast", "stream", "used")])
    platform.add_workspace("sales", [wire(name, id=name, execution_state="busy") for name in "abcd"])
    notices = code.replace("await asyncio.sleep(30 * 60)", "await client.patch_session('analytics', 'used', name='x')")
    platform.on_request = touch(platform)

    status, stdout, stderr = await run(program(notices), tmp_path)

    assert status == 0, stderr
    assert "Warning" not in stderr
    assert stdout.splitlines()[0] == "3 to shut down; 5 kept; within the caps"
    assert sorted(stdout.splitlines()[1:]) == [
        "None will lose the kernels of Workspace/closing.ipynb Workspace/closing-again.ipynb",
        "None will lose the kernels of Workspace/forecast.ipynb",
        "None will lose the kernels of Workspace/used.ipynb",
        "analytics forecast deleted",
        "analytics used changed",
        "finance k1 deleted",
    ]


def touch(platform: LocalService) -> Callable[[RecordedRequest], None]:
    """Use the kernel of a session that is patched."""

    def use(request: RecordedRequest) -> None:
        if request.method == "PATCH":
            platform.set_session("analytics", wire("used", id="used", execution_state="busy"))

    return use


async def run_script(folder: Path, *, limit: str = "15 * 60") -> tuple[int | None, str, str]:
    (code,) = (block.code for block in docstring_blocks() if SCRIPT in block.code)
    assert code.count("15 * 60") == 1
    return await run(code.replace("15 * 60", limit), folder, options=WITHOUT_DEBUG)


async def test_the_script_prints_one_line_per_kernel(platform: LocalService, tmp_path: Path) -> None:
    status, stdout, stderr = await run_script(tmp_path)

    assert (status, stderr) == (0, "")
    lines = sorted(line.split("\t")[:3] for line in stdout.splitlines())
    assert lines == [
        ["analytics", "forecast", "Workspace/forecast.ipynb"],
        ["finance", "k1", "Workspace/closing.ipynb"],
    ]


async def test_the_script_names_the_workspace_that_failed_and_prints_the_others(
    platform: LocalService, tmp_path: Path
) -> None:
    platform.fail("finance", Fault(status=404))

    status, stdout, stderr = await run_script(tmp_path)

    assert (status, len(stdout.splitlines()), len(stderr.splitlines())) == (1, 1, 1)
    assert stderr.startswith("failed: list_sessions of workspace 'finance': 404 NotAuthorizedOrNotFound")


async def test_the_script_prints_one_line_about_wrong_settings(
    platform: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AIDP_INSTANCE_ID")

    status, stdout, stderr = await run_script(tmp_path)

    assert (status, stdout, len(stderr.splitlines())) == (4, "", 1)
    assert stderr.startswith("gave up: no AI Data Platform is named")


async def test_the_script_says_that_its_time_limit_was_exceeded(platform: LocalService, tmp_path: Path) -> None:
    for key in ("analytics", "finance"):
        platform.fail(key, Fault(delay=math.inf))

    assert await run_script(tmp_path, limit="0.5") == (4, "", "gave up: not finished after 15 minutes\n")


@pytest.mark.parametrize("line", demo_commands())
async def test_the_command_line_runs(platform: LocalService, line: str) -> None:
    process = await start(*shlex.split(line)[1:])
    stdout, stderr = await process.communicate()

    failures = line.count("Hackathon 2025")
    assert (process.returncode, len(stderr.splitlines())) == (failures, failures), stderr.decode()
    assert stdout


def test_the_readme_has_examples_to_run() -> None:
    assert programs()
    assert demo_commands()


@pytest.mark.parametrize("block", [pytest.param(each, id=each.place) for each in (*blocks(), *docstring_blocks())])
def test_every_block_is_run(block: Block) -> None:
    """Python by these tests; each step of a shell block by CI or, if it is a demo, by these tests.

    Docstrings may have blocks of text, which are not run; the README has command lines for other programs to run.
    """
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    steps = [step.strip() for line in block.code.splitlines() for step in line.split("&&")]

    assert block.language in ("python", *(("sh", *SCHEDULED) if block.heading else ("text",)))
    if block.language == "sh":
        assert [step for step in steps if step not in demo_commands() and not in_ci(step, ci)] == []


def scheduled() -> list[list[str]]:
    """The command lines in blocks for cron and Kubernetes."""
    found = [block for block in blocks() if block.language in SCHEDULED]
    lines = [line for block in found for line in block.code.splitlines() if "aidp-sessions cull" in line]
    pods = [yaml.safe_load(block.code)["spec"]["template"]["spec"] for block in found if block.language == "yaml"]
    return [
        *(shlex.split(line.partition(">")[0])[5:] for line in lines),
        *(container["command"] for pod in pods for container in pod["containers"]),
    ]


@pytest.mark.parametrize("line", scheduled(), ids=" ".join)
def test_the_command_accepts_what_cron_and_kubernetes_run(
    line: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    name, subcommand, *arguments = (word.removeprefix("/audit/") for word in line)

    assert name == "aidp-sessions"
    with command.commands[subcommand].make_context(subcommand, arguments) as context:
        assert context.params["yes"] is True


def test_there_are_command_lines_for_cron_and_kubernetes() -> None:
    assert len(scheduled()) == len(SCHEDULED)


def in_ci(step: str, ci: str) -> bool:
    """Whether CI runs *step*, directly or by `benchmarks.newcomer`, or installs the same extra in another way."""
    installed = re.fullmatch(r"python -m pip install ('\.\[[a-z]+\]')", step)
    by_newcomer = "-m benchmarks.newcomer" in ci and step in newcomer.commands()
    return step in ci or by_newcomer or (installed is not None and installed[1] in ci)
