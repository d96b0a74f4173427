"""Whole programs that never close their client: each ends without a warning and with nothing left open."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from typing import TYPE_CHECKING, Final, cast

import pytest
import trustme

from aidp_sessions.testing import LocalService

from ..helpers.raw_server import RawServer, answer

if TYPE_CHECKING:
    from pathlib import Path

TWO_RUNS: Final = """
for _ in range(2):
    print(run(client.list_sessions("k")).items)
"""
SCRIPTS: Final = {
    "two runs": TWO_RUNS,
    "two runs of the other loop": f"from uvloop import run\n{TWO_RUNS}",
    "three runs, the last one closing": f"{TWO_RUNS}\nasync def close():\n    async with client: pass\nrun(close())\n",
    "never used": "print(())\nprint(())",
    "given up in the middle": """
async def main():
    call = asyncio.create_task(client.list_sessions("k"))
    for _ in range(12):
        await asyncio.sleep(0)
    print(())
for _ in range(2):
    run(main())
""",
    "a stream left half way": """
async def main():
    async for outcome in client.sessions(["a", "b", "c"], max_concurrency=1).by_workspace():
        print(outcome.sessions)
        break
for _ in range(2):
    run(main())
""",
    "forgotten on a running loop": """
async def main():
    global client
    print((await client.list_sessions("k")).items)
    client = client.with_options()
    print((await client.list_sessions("k")).items)
    client = None
run(main())
""",
}
IN_ANY_TURN: Final = """
import time

class Slow(asyncio.SelectorEventLoop):  # whatever the service has to say in a turn has arrived by then
    def _run_once(self):
        time.sleep(0.002)
        super()._run_once()

async def main(turns):
    call = asyncio.create_task(client.list_sessions("k"))
    for _ in range(turns):
        await asyncio.sleep(0)

for turns in range(14):
    with asyncio.Runner(loop_factory=Slow) as runner:
        runner.run(main(turns))
"""
PREAMBLE: Final = """
import asyncio, logging, ssl
from asyncio import run
logging.getLogger("asyncio").addFilter(lambda record: "took" not in record.msg)  # a busy machine is no fault
from aidp_sessions import SessionsClient
client = SessionsClient.from_config({platform!r}, config_file={config!r}, endpoint={endpoint!r}, ssl={ssl})
"""


@pytest.mark.parametrize(
    ("script", "secure"),
    [
        ("two runs", False),
        ("two runs", True),
        ("two runs of the other loop", True),
        ("three runs, the last one closing", True),
        ("never used", False),
        ("given up in the middle", False),
        ("given up in the middle", True),
        ("a stream left half way", True),
        ("forgotten on a running loop", True),
    ],
)
async def test_a_program_that_never_closes_its_client_ends_without_a_warning(
    tmp_path: Path, script: str, secure: bool
) -> None:
    context, trust = certified(tmp_path)
    async with RawServer(answer(), tls=context if secure else None) as server:
        ended = await run_to_its_end(SCRIPTS[script], tmp_path, server.url, trust if secure else "True")

    assert ended == (0, ["()", "()"], "")


async def test_a_call_given_up_in_any_turn_of_a_handshake_leaves_no_socket_to_a_service_that_says_no_goodbye(
    tmp_path: Path,
) -> None:
    context, trust = certified(tmp_path)
    held: list[asyncio.StreamWriter] = []

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        cast("asyncio.Transport", writer.transport).pause_reading()
        held.append(writer)

    server = await asyncio.start_server(hold, "127.0.0.1", 0, ssl=context)
    try:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ended = await run_to_its_end(IN_ANY_TURN, tmp_path, url, trust)
    finally:
        server.close()
        for writer in held:
            writer.transport.abort()

    assert held
    assert ended == (0, [], "")


def certified(tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    """The context of a server, and the source of one that trusts it."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    return context, f"ssl.create_default_context(cafile={str(tmp_path / 'authority.pem')!r})"


async def run_to_its_end(script: str, tmp_path: Path, url: str, trust: str) -> tuple[int | None, list[str], str]:
    """Exit status, words printed and complaints of a program that finds a client for *url* ready made."""
    service = LocalService()
    config = str(service.write_config(tmp_path))
    preamble = PREAMBLE.format(platform=service.platform_id, config=config, endpoint=url, ssl=trust)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-W", "error", "-c", preamble + script),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]},
    )
    output, complaints = await process.communicate()
    return process.returncode, output.decode().split(), complaints.decode()
