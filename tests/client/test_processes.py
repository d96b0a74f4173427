"""A client belongs to one process: it is not pickled, and a forked child neither uses nor breaks its connections."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import sys
from typing import TYPE_CHECKING, Final

import pytest

from aidp_sessions.testing import LocalService

from ..helpers.raw_server import RawServer, answer

if TYPE_CHECKING:
    from pathlib import Path

PREAMBLE: Final = """
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
SCRIPTS: Final = {
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
async def test_a_forked_child_gets_a_clear_answer_and_leaves_the_parent_its_connection(
    tmp_path: Path, script: str, said: list[str], connections: int
) -> None:
    service = LocalService()
    config = str(service.write_config(tmp_path))
    async with RawServer(answer(b'{"items": [{}]}')) as server:
        preamble = PREAMBLE.format(platform=service.platform_id, config=config, endpoint=server.url)
        process = await asyncio.create_subprocess_exec(
            # Not in debug mode, in which asyncio would report how slow this machine is.
            *(sys.executable, "-W", "error", "-c", preamble + SCRIPTS[script]),
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
def test_pickling_a_client_is_refused_in_clear_words(protocol: int) -> None:
    client = RawServer().client(endpoint="https://aidp.example.com")
    with pytest.raises(TypeError, match=r"^a SessionsClient is not pickled: .* build one per process$"):
        pickle.dumps(client, protocol)


def test_a_spawned_process_does_not_get_a_client_by_accident() -> None:
    """What multiprocessing says when an argument of a worker holds a client is what we say."""
    client = RawServer().client(endpoint="https://aidp.example.com")
    context = multiprocessing.get_context("spawn")
    with pytest.raises(TypeError, match="a SessionsClient is not pickled"):
        context.Process(target=print, args=(client.list_sessions,)).start()
