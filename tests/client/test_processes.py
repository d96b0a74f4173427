"""A client belongs to one process; a program that never closes it ends without a warning and with nothing left open."""

from __future__ import annotations

import asyncio
import copy
import multiprocessing
import os
import pickle
import ssl
import sys
from typing import TYPE_CHECKING, Final, cast

import pytest
import trustme

from aidp_sessions.testing import LocalService

from ..helpers.raw_server import RawServer, answer

if TYPE_CHECKING:
    from pathlib import Path

FORK_PREAMBLE: Final = """
import asyncio, os, sys
from aidp_sessions import SessionsClient

client = SessionsClient.from_config({platform!r}, config_file={config!r}, endpoint={endpoint!r})

def say(*words):
    os.write(1, " ".join(map(str, (*words, ""))).encode())

def child(work, run=asyncio.run):
    pid = os.fork()
    if pid == 0:
        try:
            run(work())
        except RuntimeError as error:
            say(str(error).replace(" ", "_"))
        finally:
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0

async def ask():
    say(len(await client.list_sessions("k")))
"""
FORK_SCRIPTS: Final = {
    "in use": """
async def main():
    async with client:
        await ask()
        child(ask)
        await ask()
asyncio.run(main())
""",
    "in use and closed by the child": """
async def main():
    async with client:
        await ask()
        child(client.aclose)
        await ask()
asyncio.run(main())
""",
    "a copy in use": """
async def main():
    async with client:
        await client.with_options().list_sessions("k")
        child(ask)
        await ask()
asyncio.run(main())
""",
    "not in use yet": """
child(ask)
child(ask)
asyncio.run(ask())
""",
    "in use, and its loop used on": """
loop = asyncio.new_event_loop()
loop.run_until_complete(ask())
child(ask, loop.run_until_complete)
loop.run_until_complete(ask())
loop.run_until_complete(client.aclose())
loop.close()
""",
    "no longer in use": """
asyncio.run(ask())
child(ask)
asyncio.run(ask())
""",
}
REFUSAL: Final = "this_SessionsClient_was_in_use_when_the_process_forked;_create_one_client_per_process"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="for systems that fork")
@pytest.mark.parametrize(
    ("script", "said", "connections"),
    [
        ("in use", ["1", REFUSAL, "1"], 1),
        ("in use and closed by the child", ["1", "1"], 1),
        ("a copy in use", [REFUSAL, "1"], 1),
        ("in use, and its loop used on", ["1", REFUSAL, "1"], 1),
        ("not in use yet", ["1", "1", "1"], 3),
        ("no longer in use", ["1", "1", "1"], 3),
    ],
)
async def test_a_forked_child_gets_an_error_or_its_own_connection_and_the_parent_keeps_its_own(
    tmp_path: Path, script: str, said: list[str], connections: int
) -> None:
    service = LocalService()
    config = str(service.write_config(tmp_path))
    async with RawServer(answer(b'{"items": [{}]}')) as server:
        preamble = FORK_PREAMBLE.format(platform=service.platform_id, config=config, endpoint=server.url)
        process = await asyncio.create_subprocess_exec(
            # Not in debug mode, because asyncio would report slow callbacks.
            *(sys.executable, "-W", "error", "-c", preamble + FORK_SCRIPTS[script]),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]},
        )
        output, complaints = await process.communicate()

    assert (process.returncode, output.decode().split(), complaints.decode()) == (0, said, "")
    assert server.connections == connections


LONG_KEY: Final = """
from aidp_sessions import ApiKeySigner
from aidp_sessions.auth.keys import PrivateKey

key = PrivateKey.generate(3072)
user = dict(tenancy="ocid1.tenancy.oc1..aaaa", user="ocid1.user.oc1..aaaa", fingerprint=key.fingerprint)
signer = ApiKeySigner(**user, private_key=key)
"""
OCI_SIGNER: Final = """
from aidp_sessions import from_oci_signer

def official(request):
    request.headers["authorization"] = 'Signature keyId="a/b/c"'

signer = from_oci_signer(official)
"""
SIGN_IN_PARENT_AND_CHILD: Final = """
import asyncio, os, signal
from aidp_sessions.auth.signing import SigningRequest

async def sign():
    return await signer.sign(SigningRequest("GET", "h", "/", "d"))

expected = asyncio.run(sign())
child = os.fork()
if child == 0:
    signal.alarm(20)  # ends a child that waits for a thread of its parent
    os._exit(0 if asyncio.run(sign()) == expected else 1)
os._exit(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="for systems that fork")
@pytest.mark.parametrize("signer", [LONG_KEY, OCI_SIGNER], ids=["long key", "oci signer"])
async def test_a_forked_child_signs_with_a_signer_that_its_parent_has_used_in_threads(signer: str) -> None:
    process = await asyncio.create_subprocess_exec(
        # Python 3.12 warns of such forks.
        *(sys.executable, "-W", "ignore::DeprecationWarning", "-c", signer + SIGN_IN_PARENT_AND_CHILD),
        env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]},
    )

    assert await process.wait() == 0


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_client_cannot_be_pickled(protocol: int) -> None:
    client = RawServer().client(endpoint="https://aidp.example.com")
    with pytest.raises(TypeError, match=r"^a SessionsClient is not pickled: .* build one per process$"):
        pickle.dumps(client, protocol)
    with pytest.raises(TypeError, match=r"^a SessionsClient is not pickled: .* build one per process$"):
        copy.deepcopy(client)


def test_a_client_cannot_be_an_argument_of_a_spawned_process() -> None:
    """The error is the one of pickling a client."""
    client = RawServer().client(endpoint="https://aidp.example.com")
    context = multiprocessing.get_context("spawn")
    with pytest.raises(TypeError, match="a SessionsClient is not pickled"):
        context.Process(target=print, args=(client.list_sessions,)).start()


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
CANCELLED_HANDSHAKES: Final = """
import time

class Slow(asyncio.SelectorEventLoop):  # what the service sends has arrived before the next iteration
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
        ended = await run_program(SCRIPTS[script], tmp_path, server.url, trust if secure else "True")

    assert ended == (0, ["()", "()"], "")


async def test_a_call_cancelled_in_any_iteration_of_a_handshake_leaves_no_socket_open(
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
        ended = await run_program(CANCELLED_HANDSHAKES, tmp_path, url, trust)
    finally:
        server.close()
        for writer in held:
            writer.transport.abort()

    assert held
    assert ended == (0, [], "")


def certified(tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    """The TLS context of a server, and the source code of a context that trusts it."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    return context, f"ssl.create_default_context(cafile={str(tmp_path / 'authority.pem')!r})"


async def run_program(script: str, tmp_path: Path, url: str, trust: str) -> tuple[int | None, list[str], str]:
    """Run a program that has a client for *url*; return its exit status, printed words and standard error."""
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
