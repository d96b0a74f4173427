"""How long signing and renewing hold up the event loop: lateness of a 1 ms ticker, per size of key.

Run ``python benchmarks/signing_stall.py``. Exits with 1 if the 99th percentile of a row reaches 20 ms.

As many tasks as a client has slots sign, each about every 25 ms, as if answers took that long. Renewals make a key, or
read token and key from files, four times a second; in real life they come once an hour. Keys that are made always have
2048 bits, those in files may have more. The row "nothing" says what the machine itself adds; run this where nothing
else runs.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aidp_sessions import Clock
from aidp_sessions.auth.keys import PrivateKey
from aidp_sessions.auth.signing import SigningRequest
from aidp_sessions.auth.token import Credentials, Token
from aidp_sessions.principals.refresh import TokenSigner
from aidp_sessions.principals.resource import ResourcePrincipalSigner
from aidp_sessions.testing.principals.credentials import make_token

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SECONDS = 5.0
TASKS = 32
LATENCY_S = 0.025
NEW_KEYS_BITS = 2048
PAUSE_S = 0.25
TICK_S = 0.001
LIMIT_MS = 20.0
REQUEST = SigningRequest("GET", "127.0.0.1", "/20260430/x", "Thu, 05 Jan 2034 21:31:40 GMT")


class Generating(TokenSigner):
    """Renews with a key that it makes itself, as an instance principal does, but without the network."""

    def __init__(self) -> None:
        super().__init__("token", "", clock=Clock())

    async def _obtain(self) -> Credentials:
        key = await asyncio.to_thread(PrivateKey.generate)
        return Credentials(Token.parse(make_token(issued_at=time.time(), lifetime=3600), "token", ""), key)


class Counter:
    signatures = 0
    renewals = 0


async def sign_as_answers_come(signer: TokenSigner, counter: Counter) -> None:
    while True:
        await signer.sign(REQUEST)
        counter.signatures += 1
        await asyncio.sleep(LATENCY_S * random.uniform(0.5, 1.5))  # noqa: S311  # no secret


async def renew_often(signer: TokenSigner, counter: Counter) -> None:
    while True:
        task = signer._refresher._start()  # noqa: SLF001  # calls would wait for the token to near its end
        assert task is not None
        await asyncio.wait({task})
        counter.renewals += 1
        await asyncio.sleep(PAUSE_S)


async def tick(late: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(TICK_S)
        late.append((time.perf_counter() - began - TICK_S) * 1000)


async def measure(make: Callable[[], TokenSigner], *, signing: bool, renewing: bool) -> tuple[list[float], Counter]:
    signer, counter, late = make(), Counter(), list[float]()
    await signer.sign(REQUEST)
    work: list[Awaitable[None]] = []
    if signing:
        work += [sign_as_answers_come(signer, counter) for _ in range(TASKS)]
    if renewing:
        work.append(renew_often(signer, counter))
    tasks = [asyncio.ensure_future(each) for each in (*work, tick(late))]
    await asyncio.sleep(SECONDS)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await signer.aclose()
    return sorted(late), counter


def from_files(folder: str, bits: int) -> ResourcePrincipalSigner:
    token, key = Path(folder, f"token-{bits}"), Path(folder, f"key-{bits}")
    token.write_text(make_token(issued_at=time.time(), lifetime=3600))
    key.write_text(PrivateKey.generate(bits).to_pem())
    return ResourcePrincipalSigner(session_token=str(token), private_key=str(key), environ={})


def with_new_keys(_: str, __: int) -> Generating:
    return Generating()


def main() -> int:
    print(f"{TASKS} tasks, {SECONDS:g} s per row; lateness of a {TICK_S * 1000:g} ms ticker in ms")
    print(f"{'key':<9}{'work':<31}{'p50':>7}{'p99':>7}{'max':>7}{'signatures/s':>14}{'renewals/s':>12}")
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for bits in (2048, 4096):
            for work, make, signing, renewing in (
                ("nothing", from_files, False, False),
                ("signing", from_files, True, False),
                ("signing, renewing from files", from_files, True, True),
                ("renewing with new keys", with_new_keys, False, True),
                ("signing, renewing with new keys", with_new_keys, True, True),
            ):
                if make is with_new_keys and bits != NEW_KEYS_BITS:
                    continue
                late, counter = asyncio.run(measure(partial(make, folder, bits), signing=signing, renewing=renewing))
                p50, p99 = (late[int(len(late) * share)] for share in (0.5, 0.99))
                worst = max(worst, p99)
                rates = f"{counter.signatures / SECONDS:>14.0f}{counter.renewals / SECONDS:>12.1f}"
                print(f"RSA-{bits:<5}{work:<31}{p50:>7.2f}{p99:>7.2f}{late[-1]:>7.2f}{rates}")
    print(f"worst p99: {worst:.2f} ms, limit {LIMIT_MS:g} ms")
    return 0 if worst < LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main())
