"""Whole programs that never close their client: each ends without a warning and with nothing left open."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from typing import TYPE_CHECKING, Final

import pytest
import trustme

from aidp_sessions.testing import LocalService

from .raw_server import RawServer, answer

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
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    trust = f"ssl.create_default_context(cafile={str(tmp_path / 'authority.pem')!r})" if secure else "True"
    service = LocalService()
    config = str(service.write_config(tmp_path))
    async with RawServer(answer(), tls=context if secure else None) as server:
        preamble = PREAMBLE.format(platform=service.platform_id, config=config, endpoint=server.url, ssl=trust)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-X", "dev", "-W", "error", "-c", preamble + SCRIPTS[script]),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]},
        )
        output, complaints = await process.communicate()

    assert (process.returncode, output.decode().split(), complaints.decode()) == (0, ["()", "()"], "")
