"""Signatures made where they hold up the event loop least: those of short keys in place, of long ones in threads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
from typing import TYPE_CHECKING, Final

from .signing import signed_headers

if TYPE_CHECKING:
    from .signing import PrivateKey, SigningRequest

_QUICK_BITS: Final = 2048


class Signatures:
    """Makes those of one signer.

    The way to a thread and back costs as much CPU as an RSA-2048 signature. OpenSSL lets go of the interpreter, so
    longer ones run beside the loop, and on several cores: one thread for each, made on first use, and by whatever
    process it is used in, for a fork inherits no threads.
    """

    def __init__(self) -> None:
        self._threads: concurrent.futures.ThreadPoolExecutor | None = None
        self._process = 0

    async def make(self, request: SigningRequest, key: PrivateKey, key_id: str) -> dict[str, str]:
        """As `signed_headers`."""
        if key.bits <= _QUICK_BITS:
            return signed_headers(request, key, key_id)
        if self._threads is None or self._process != os.getpid():
            self._threads = concurrent.futures.ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="aidp-sessions")
            self._process = os.getpid()
        return await asyncio.get_running_loop().run_in_executor(self._threads, signed_headers, request, key, key_id)
